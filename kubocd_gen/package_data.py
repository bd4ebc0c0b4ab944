"""The files that ship with kcd-gen, JSON Schemas and Jinja2 scaffolds, and where its documentation is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2

_PACKAGE = Path(__file__).resolve().parent
# The future address of the site. Nothing is published there, and the name is not reserved: it identifies the schemas
# (`$id`), and is never an address for a user, a program or a test to ask.
SITE = "https://kubotal.github.io/kcd-gen"


def _folder(name: str) -> Path:
    # In the wheel they lie inside the package, in a checkout (and an editable install) beside it.
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema `schemas/<name>.json`."""
    loaded: dict[str, Any] = json.loads((_folder("schemas") / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def schema_names(folder: str) -> list[str]:
    """The names of the schemas in a folder of `schemas/`, for `schema`."""
    return sorted(f"{folder}/{path.stem}" for path in (_folder("schemas") / folder).glob("*.json"))


def template_folder() -> Path:
    """The folder of the Jinja2 scaffolds."""
    return _folder("templates")


def scaffolds(folder: str) -> jinja2.Environment:
    """What renders those of `templates/<folder>/`: plain text that is filled in with checked words.

    The filter `yaml` quotes what YAML would read as anything else than a string.
    """
    import jinja2  # 50 ms

    from kubocd_gen.kube_yaml.emitter import string

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


def page(name: str) -> str:
    """Return where a page of the documentation is, for messages: `image` is `docs/image.md of kcd-gen`."""
    return f"docs/{name}.md of kcd-gen"
