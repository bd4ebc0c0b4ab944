"""Kubernetes resources as YAML text: block style, indented as kubectl and the flux command indent it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.kube_yaml.quoting import LONGEST_SIMPLE_KEY, block, number, string

# Far deeper than any resource, far from Python's recursion limit (two calls a level at most).
_DEEPEST = 200


def emit_documents(documents: Sequence[Mapping[str, Any]]) -> str:
    """The text of a YAML stream, each document after a line `---`, with a line break at its end; "" for no documents.

    Values are what JSON holds: mappings with string keys, lists or tuples, str, int, float, bool, None; they read back
    the same with Go's YAML 1.1 and 1.2 readers. Keys keep the order that they have. Lines are never folded, multi-line
    texts are literal blocks where possible.

    Raises ProblemsError `not-unicode`, `not-finite` or `too-deep` for what YAML or a reader can't take, naming the
    document.
    """
    out: list[str] = []
    for document in documents:
        out.append("---\n")
        try:
            _node(document, "", out)
        except ProblemsError as error:
            raise ProblemsError(
                Problem(error.problem.code, f"{_title(document)}: {error.problem.message}", hint=error.problem.hint)
            ) from None
    return "".join(out)


def _node(value: Any, indent: str, out: list[str]) -> None:
    """Write `value` from the cursor, which stands after `indent` or something just as wide, to the end of its line."""
    if isinstance(value, str):
        # A block's lines stand deeper than the collection that holds them, which the cursor's column already is.
        out.append(block(value, indent) or string(value) + "\n")
    elif isinstance(value, Mapping):
        _mapping(value, indent, out) if value else out.append("{}\n")
    elif isinstance(value, list | tuple):
        _sequence(value, indent, out) if value else out.append("[]\n")
    else:
        out.append(_constant(value))


def _mapping(mapping: Mapping[str, Any], indent: str, out: list[str]) -> None:
    if len(indent) > 2 * _DEEPEST:
        raise ProblemsError(Problem("too-deep", f"a value is nested deeper than {_DEEPEST} levels"))
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
            # The dashes of a list stand below the key, not further in, as in kubectl's output.
            out.append("\n" + indent)
            _sequence(value, indent, out)
        else:
            out.append(" ")
            _node(value, deeper, out)


def _sequence(items: Sequence[Any], indent: str, out: list[str]) -> None:
    if len(indent) > 2 * _DEEPEST:
        raise ProblemsError(Problem("too-deep", f"a value is nested deeper than {_DEEPEST} levels"))
    start = "- "
    for item in items:
        out.append(start)
        start = indent + "- "
        _node(item, indent + "  ", out)


def _key(key: str, indent: str) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a key is a string, not {key!r}")
    text = string(key)
    return f"{text}:" if len(text) <= LONGEST_SIMPLE_KEY else f"? {text}\n{indent}:"


def _constant(value: Any) -> str:
    if value is None:
        return "null\n"
    if isinstance(value, bool):
        return "true\n" if value else "false\n"
    if isinstance(value, int | float):
        return number(value) + "\n"
    raise TypeError(f"{type(value).__name__} has no form in YAML")


def _title(document: Mapping[str, Any]) -> str:
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    return f"{document.get('kind') or 'a document'} {ascii(name) if name else 'without a name'}"
