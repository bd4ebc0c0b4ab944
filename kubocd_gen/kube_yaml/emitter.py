"""Emit Kubernetes resources as YAML: block style, indented like the output of kubectl and flux."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.kube_yaml.quoting import LONGEST_SIMPLE_KEY, block, number, string

# Far deeper than any resource, and far from Python's recursion limit (at most two calls a level).
_DEEPEST = 200


def emit_documents(documents: Sequence[Mapping[str, Any]]) -> str:
    """Return a YAML stream with a line `---` before each document and a line break at its end; "" for no documents.

    Values are JSON-like: mappings with string keys, lists or tuples, str, int, float, bool, None. Go's YAML 1.1 and 1.2
    readers read the same values back. Keys keep their order. Lines are never folded, and multi-line strings are literal
    blocks if possible.

    Raises ProblemsError `not-unicode`, `not-finite` or `too-deep`, with the name of the document, for a value that YAML
    or one of its readers cannot represent.
    """
    out: list[str] = []
    for document in documents:
        out.append("---\n")
        try:
            _node(document, "", out)
        except ProblemsError as error:
            raise ProblemsError.of(
                error.problem.code, f"{_title(document)}: {error.problem.message}", hint=error.problem.hint
            ) from None
    return "".join(out)


def _node(value: Any, indent: str, out: list[str]) -> None:
    """Emit `value` up to its last line break. The cursor is in the column after `indent`."""
    if isinstance(value, str):
        # The lines of a block must be indented deeper than the parent collection, and the cursor already is.
        out.append(block(value, indent) or string(value) + "\n")
    elif isinstance(value, Mapping):
        _mapping(value, indent, out) if value else out.append("{}\n")
    elif isinstance(value, list | tuple):
        _sequence(value, indent, out) if value else out.append("[]\n")
    else:
        out.append(_constant(value))


def _mapping(mapping: Mapping[str, Any], indent: str, out: list[str]) -> None:
    if len(indent) > 2 * _DEEPEST:
        raise ProblemsError.of("too-deep", f"a value is nested more than {_DEEPEST} levels deep")
    deeper = indent + "  "
    start = ""
    for key, value in mapping.items():
        out.append(start + _key(key, indent))
        start = indent
        if isinstance(value, str):
            out.append(" " + (block(value, deeper) or string(value) + "\n"))
        elif isinstance(value, Mapping) and value:
            out.append("\n" + deeper)
            _mapping(value, deeper, out)
        elif isinstance(value, list | tuple) and value:
            # The dashes of a list are not indented below their key, as in kubectl's output.
            out.append("\n" + indent)
            _sequence(value, indent, out)
        else:
            out.append(" ")
            _node(value, deeper, out)


def _sequence(items: Sequence[Any], indent: str, out: list[str]) -> None:
    if len(indent) > 2 * _DEEPEST:
        raise ProblemsError.of("too-deep", f"a value is nested more than {_DEEPEST} levels deep")
    start = "- "
    for item in items:
        out.append(start)
        start = indent + "- "
        _node(item, indent + "  ", out)


def _key(key: str, indent: str) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a key must be a string, not {key!r}")
    text = string(key)
    return f"{text}:" if len(text) <= LONGEST_SIMPLE_KEY else f"? {text}\n{indent}:"


def _constant(value: Any) -> str:
    if value is None:
        return "null\n"
    if isinstance(value, bool):
        return "true\n" if value else "false\n"
    if isinstance(value, int | float):
        return number(value) + "\n"
    raise TypeError(f"YAML cannot represent {type(value).__name__}")


def _title(document: Mapping[str, Any]) -> str:
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    return f"{document.get('kind') or 'a document'} {ascii(name) if name else 'without a name'}"
