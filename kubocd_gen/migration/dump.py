"""What `kubectl get … -o yaml` (or json) printed, as the objects in it; and what was pasted instead of that."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.kube_yaml.errors import YamlError
from kubocd_gen.kube_yaml.reader import read_documents

MAX_BYTES = 512 * 1024 * 1024
"""1,000 Releases with managedFields are some 40 MB of YAML, or 100 MB of JSON."""

_KUBECTL = re.compile(
    r"^(?:error: |Error from server|Unable to connect to the server|The connection to the server|No resources found)",
    re.MULTILINE,
)
_TABLE = re.compile(r"^(?:NAMESPACE +)?NAME +[A-Z]")
# kubectl sorts the fields of a List: its kind comes after the items.
_LIST = re.compile(r"apiVersion: v1\r?\nitems:")
_LIST_END = re.compile(r"^kind: List\b", re.MULTILINE)
_CUT = "its end is missing, where kubectl says `kind: List`"
_CUT_HINT = "was it cut off? what is not in it would count as not in the cluster"
_SPACE = re.compile(r"\s*")
_ASK = "print it with: kubectl get … -A -o json --show-managed-fields"

Raw = Mapping[str, Any]


def read_dump(data: bytes, path: str) -> list[Raw]:
    """The objects of a dump, those of Lists one by one. Raises ProblemsError `bad-dump` or YamlError.

    Where kubectl was asked for managedFields, an object that has none has an empty list of them.
    """
    if len(data) > MAX_BYTES:
        raise ProblemsError(
            _bad(f"it is larger than {MAX_BYTES // 2**20} MiB", path, "dump fewer kinds, or namespace by namespace")
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ProblemsError(
            _bad("it is no UTF-8 text", path, "PowerShell's '>' writes UTF-16; save it as UTF-8")
        ) from error
    if not text.strip():
        raise ProblemsError(
            _bad(
                "it is empty",
                path,
                "kubectl prints its errors on the terminal and nothing else; leave out kinds that it does not know",
            )
        )
    if _TABLE.match(text):
        raise ProblemsError(_bad("it is the table that kubectl prints for people", path, _ASK))
    if said := _KUBECTL.match(text):  # `error: …` would be YAML
        raise ProblemsError(_said(text, said, path))
    documents = _json(text, path) if text.lstrip()[0] in "{[" else _yaml(text, path)
    objects = [one for document in documents for one in _objects(document, text, path, {})]
    return list(map(_with_managers, objects)) if any(map(_has_managers, objects)) else objects


def _has_managers(one: Raw) -> bool:
    return isinstance(one.get("metadata"), Mapping) and bool(one["metadata"].get("managedFields"))


def _with_managers(one: Raw) -> Raw:
    """An empty list of them is what kubectl leaves out."""
    metadata = one.get("metadata")
    if not isinstance(metadata, Mapping):
        return one
    return {**one, "metadata": {**metadata, "managedFields": metadata.get("managedFields") or []}}


def _yaml(text: str, path: str) -> Iterator[Any]:
    try:
        for document in read_documents(text, path):
            if document.error:
                raise document.error
            if document.value is not None:
                yield document.value
    except YamlError as error:
        if said := _KUBECTL.search(text):
            raise ProblemsError(_said(text, said, path)) from error
        if _LIST.match(text) and not _LIST_END.search(text):
            raise ProblemsError(_bad(_CUT, path, _CUT_HINT)) from error
        raise


def _json(text: str, path: str) -> Iterator[Any]:
    decoder, at = json.JSONDecoder(parse_constant=_refuse), 0
    try:
        while (at := _end_of_space(text, at)) < len(text):
            value, at = decoder.raw_decode(text, at)
            yield value
    except RecursionError as error:
        raise ProblemsError(_bad("it is nested too deeply", path, _ASK)) from error
    except ValueError as error:
        if said := _KUBECTL.search(text):
            raise ProblemsError(_said(text, said, path)) from error
        where = Position(path, error.lineno, error.colno) if isinstance(error, json.JSONDecodeError) else Position(path)
        what = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        hint = "was it cut off, or did '2>&1' put kubectl's messages into it?"
        raise ProblemsError(Problem("bad-dump", f"this is not JSON: {what}", position=where, hint=hint)) from error


def _end_of_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _objects(document: Any, text: str, path: str, inherited: Raw) -> Iterator[Raw]:
    if not isinstance(document, Mapping):
        if said := _KUBECTL.search(text):
            raise ProblemsError(_said(text, said, path))
        raise ProblemsError(_bad("it holds no Kubernetes objects", path, _ASK))
    kind, items = document.get("kind"), document.get("items")
    if isinstance(items, list) and kind is None:
        raise ProblemsError(_bad(_CUT, path, _CUT_HINT))
    if isinstance(items, list) and isinstance(kind, str) and kind.endswith("List"):
        # The API's own lists name the kind of their items once.
        named = {"apiVersion": document.get("apiVersion"), "kind": kind.removesuffix("List")}
        for item in items:
            yield from _objects(item, text, path, named if named["kind"] else {})
    else:
        yield {**inherited, **document}


def _said(text: str, said: re.Match[str], path: str) -> Problem:
    line = text[said.start() : said.start() + 200].splitlines()[0]
    number = text.count("\n", 0, said.start()) + 1
    hint = "a kind that the cluster does not have is left out of the command; '2>/dev/null' keeps messages out"
    return Problem("bad-dump", f"kubectl says in it: {line}", position=Position(path, number), hint=hint)


def _bad(what: str, path: str, hint: str) -> Problem:
    return Problem("bad-dump", f"this is no dump of a cluster: {what}", position=Position(path), hint=hint)
