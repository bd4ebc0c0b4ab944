"""The command line: one module per command, which parses flags, calls the pipeline and prints the result.

`kcd-gen --version` imports nothing else, and each command only what it needs: imports dominate the start-up time.
"""

from __future__ import annotations

import gc
import os
import sys

from kubocd_gen import __version__
from kubocd_gen.cli.streams import StreamError, prepare_standard_streams

DEFECT = 70


def main() -> None:
    """Run the console script.

    Exit codes: 0 success, 1 errors in sources or packages, 2 usage, 3 drift, 4 network, 70 a defect of kcd-gen.
    """
    # A run is short and creates few cycles; with Python's threshold of 700 objects, collection takes 10 % of the time.
    gc.set_threshold(100_000)
    prepare_standard_streams()
    try:
        code = _run()
        sys.stdout.flush()  # here, where an error can be reported
    except BrokenPipeError:
        # The reader of the pipe is gone. Without this, Python would flush stdout at exit and print another error.
        sys.stdout = None
        code = 141
    except StreamError as error:
        try:  # noqa: SIM105 - contextlib takes as long as all the rest of `--version`
            _print_error(f"error: {error}")
        except (BrokenPipeError, StreamError):
            pass
        sys.stdout = sys.stderr = None  # as above
        code = 1
    sys.exit(code)


def _run() -> int:
    """Run the command and return the exit code."""
    if sys.argv[1:] == ["--version"]:  # what scripts ask first
        sys.stdout.write(f"kcd-gen {__version__}\n")
        return 0
    from kubocd_gen.cli.commands import run

    return run()


def report_defect(error: Exception) -> None:
    """Print an unexpected exception, and its traceback with `--debug`. Call it from the `except` block."""
    if "--debug" in sys.argv or os.environ.get("KCD_GEN_DEBUG"):
        import traceback  # takes 10 ms

        traceback.print_exc()
    what = f"{type(error).__name__}: {error}".encode("unicode_escape").decode()
    _print_error(
        f"internal error in kcd-gen: {what}",
        "    run again with --debug and report the output, with the sources that cause it",
    )


def _print_error(*lines: str) -> None:
    sys.stderr.write("".join(f"{line}\n" for line in lines))
    sys.stderr.flush()
