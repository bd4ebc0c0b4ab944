"""`python -m kubocd_gen`."""

from kubocd_gen.cli import main

main()
