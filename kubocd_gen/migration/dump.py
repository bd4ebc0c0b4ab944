"""Read a dump, which is the output of `kubectl get … -o yaml` (or json), and recognize what is not a dump."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from kubocd_gen.budget.spending import Budget
from kubocd_gen.diagnostics.problems import Position, ProblemsError
from kubocd_gen.kube_yaml.parser import YamlError
from kubocd_gen.kube_yaml.reader import read_documents

MAX_BYTES = 512 * 1024 * 1024
"""The largest dump that is read. 1,000 Releases with managedFields are about 40 MB of YAML or 100 MB of JSON."""

_KUBECTL = re.compile(
    r"^(?:error: |Error from server|Unable to connect to the server|The connection to the server|No resources found)",
    re.MULTILINE,
)
_TABLE = re.compile(r"^(?:NAMESPACE +)?NAME +[A-Z]")
# kubectl sorts the fields of a List: its kind comes after the items.
_LIST = re.compile(r"apiVersion: v1\r?\nitems:")
_LIST_END = re.compile(r"^kind: List\b", re.MULTILINE)
_TRUNCATED = "it ends before the line 'kind: List'"
_TRUNCATED_HINT = "create the dump again: objects that are not in it would count as missing from the cluster"
_SPACE = re.compile(r"\s*")
_DUMP_HINT = "create the dump with: kubectl get … -A -o json --show-managed-fields"

Raw = Mapping[str, Any]


def read_dump(data: bytes, path: str, budget: Budget | None = None) -> list[Raw]:
    """Return the objects of a dump, including the items of Lists. Raises ProblemsError `bad-dump` or YamlError.

    If any object has managedFields, the others get an empty list, because kubectl omits empty lists. Values in YAML are
    counted against `budget`.
    """
    if len(data) > MAX_BYTES:
        hint = "dump fewer kinds, or one namespace at a time"
        raise _bad(f"it is larger than {MAX_BYTES // 2**20} MiB", path, hint)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _bad("it is not valid UTF-8", path, "save it as UTF-8; PowerShell's '>' writes UTF-16") from error
    if not text.strip():
        hint = "look for kubectl's error on the terminal, and omit kinds that the cluster does not have"
        raise _bad("it is empty", path, hint)
    if _TABLE.match(text):
        raise _bad("it is a table, kubectl's default output format", path, _DUMP_HINT)
    _refuse_message(_KUBECTL.match(text), path)  # `error: …` is valid YAML
    documents = _json(text, path) if text.lstrip()[0] in "{[" else _yaml(text, path, budget)
    objects = [one for document in documents for one in _objects(document, text, path, {})]
    return list(map(_with_managers, objects)) if any(map(_has_managers, objects)) else objects


def _has_managers(one: Raw) -> bool:
    return isinstance(one.get("metadata"), Mapping) and bool(one["metadata"].get("managedFields"))


def _with_managers(one: Raw) -> Raw:
    """Return the object with the empty list of managedFields that kubectl omits."""
    metadata = one.get("metadata")
    if not isinstance(metadata, Mapping):
        return one
    return {**one, "metadata": {**metadata, "managedFields": metadata.get("managedFields") or []}}


def _yaml(text: str, path: str, budget: Budget | None) -> Iterator[Any]:
    try:
        for document in read_documents(text, path, budget=budget):
            if document.error:
                raise document.error
            if document.value is not None:
                yield document.value
    except YamlError as error:
        _refuse_message(_KUBECTL.search(text), path)
        if _LIST.match(text) and not _LIST_END.search(text):
            raise _bad(_TRUNCATED, path, _TRUNCATED_HINT) from error
        raise


def _json(text: str, path: str) -> Iterator[Any]:
    decoder, at = json.JSONDecoder(parse_constant=_refuse), 0
    try:
        while (at := _end_of_space(text, at)) < len(text):
            value, at = decoder.raw_decode(text, at)
            yield value
    except RecursionError as error:
        raise _bad("it is nested too deeply", path, _DUMP_HINT) from error
    except ValueError as error:
        _refuse_message(_KUBECTL.search(text), path)
        position, reason = Position(path), str(error)
        if isinstance(error, json.JSONDecodeError):
            position, reason = Position(path, error.lineno, error.colno), error.msg
        hint = "check that it is complete, and contains no messages of kubectl (do not use '2>&1')"
        raise ProblemsError.of("bad-dump", f"the dump is not valid JSON: {reason}", position, hint) from error


def _end_of_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _refuse(name: str) -> None:
    raise ValueError(f"'{name}' is not a valid number")


def _objects(document: Any, text: str, path: str, inherited: Raw) -> Iterator[Raw]:
    if not isinstance(document, Mapping):
        _refuse_message(_KUBECTL.search(text), path)
        raise _bad("it contains no Kubernetes objects", path, _DUMP_HINT)
    kind, items = document.get("kind"), document.get("items")
    if isinstance(items, list) and kind is None:
        raise _bad(_TRUNCATED, path, _TRUNCATED_HINT)
    if isinstance(items, list) and isinstance(kind, str) and kind.endswith("List"):
        # In a typed list of the API, such as DeploymentList, the items have neither apiVersion nor kind.
        item_type = {"apiVersion": document.get("apiVersion"), "kind": kind.removesuffix("List")}
        for item in items:
            yield from _objects(item, text, path, item_type if item_type["kind"] else {})
    else:
        yield {**inherited, **document}


def _refuse_message(message: re.Match[str] | None, path: str) -> None:
    """Raise ProblemsError if a message of kubectl was found in the dump."""
    if message:
        text, start = message.string, message.start()
        line = text[start : start + 200].splitlines()[0]
        position = Position(path, text.count("\n", 0, start) + 1)
        hint = "omit kinds that the cluster does not have; discard messages with '2>/dev/null'"
        raise ProblemsError.of("bad-dump", f"the dump contains a message of kubectl: {line}", position, hint)


def _bad(reason: str, path: str, hint: str) -> ProblemsError:
    return ProblemsError.of("bad-dump", f"this is not a dump of a cluster: {reason}", Position(path), hint)
