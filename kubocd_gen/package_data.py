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


def data_directory(name: str) -> Path:
    """Return the directory of schemas or templates."""
    # In the wheel, the files are in the package; in a checkout and an editable install, next to it.
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


def schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema `schemas/<name>.json`."""
    loaded: dict[str, Any] = json.loads((data_directory("schemas") / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def schema_names(directory: str) -> list[str]:
    """Return the names of the schemas in a directory of `schemas/`, as `schema` takes them."""
    return sorted(f"{directory}/{path.stem}" for path in (data_directory("schemas") / directory).glob("*.json"))


def template(name: str) -> bytes:
    """Return the content of the file `templates/<name>`."""
    return (data_directory("templates") / name).read_bytes()


def scaffolds(directory: str) -> jinja2.Environment:
    """Return the Jinja2 environment of `templates/<directory>/`: plain text, filled in with validated values.

    The filter `yaml` quotes what YAML would not read as a string.
    """
    from kubocd_gen.kube_yaml.emitter import string

    environment = _environment(directory, html=False)
    environment.filters["yaml"] = string
    return environment


def html_templates() -> jinja2.Environment:
    """Return the Jinja2 environment of the HTML pages, which escapes all values."""
    return _environment("", html=True)


def _environment(directory: str, *, html: bool) -> jinja2.Environment:
    import jinja2  # 50 ms

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(data_directory("templates") / directory),
        undefined=jinja2.StrictUndefined,
        autoescape=html,  # noqa: S701 - off for plain text
        keep_trailing_newline=not html,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page(name: str) -> str:
    """Return where a page of the documentation is, for messages: `image` is `docs/image.md of kcd-gen`."""
    return f"docs/{name}.md of kcd-gen"
