"""The scaffolds in `templates/`: plain text that is filled in with checked words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubocd_gen.output.yaml_scalars import string
from kubocd_gen.resources import template_folder

if TYPE_CHECKING:
    import jinja2


def scaffolds(folder: str) -> jinja2.Environment:
    """What renders those of `templates/<folder>/`; the filter `yaml` quotes what YAML would read as anything else."""
    import jinja2  # 50 ms

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template_folder() / folder),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - not HTML
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["yaml"] = string
    return environment
