"""YAML as sigs.k8s.io/yaml reads it: plain JSON-like values, built from libyaml's events under guard.

Values are built event by event, so that depth and the expansion of aliases and merges are counted before anything is
made: libyaml's own composer overruns the stack on 60,000 nested brackets, and 400 bytes of nested aliases can stand
for gigabytes. No positions are kept; `kubocd_gen.sources.positions` finds them again when a message needs one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from kubocd_gen.diagnostics import KcdError, Position
from kubocd_gen.sources.scalars import float64, number_text, resolve_plain, resolve_tagged

Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MAX_DEPTH = 100
"""Nested maps and lists. The deepest real chart values are some 20 deep; Python recurses safely over a few hundred."""

MAX_EXPANSION = 200_000
"""Nodes that the aliases and merges of one document may stand for: ten times a large context written out in full."""


class YamlError(KcdError):
    """A text that is not YAML, or not YAML that Kubernetes accepts."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a YAML text.

    `value` is None for an empty document. `faults` are what a strict reader refuses (keys given twice); the value is
    then what a lenient one makes of it.
    """

    value: Any
    line: int
    faults: tuple[YamlError, ...] = ()


def read_documents(text: str, path: str, *, exact_integers: bool = False) -> Iterator[Document]:
    """The documents of `text`, one by one, so that those before a syntax error are still had.

    Scalars, keys and merges follow sigs.k8s.io/yaml. With `exact_integers` numbers stay as written (int or float),
    for typed fields that take a number as a string; otherwise they are what Go's float64 makes of them.
    Raises YamlError for a syntax error, a key that is no scalar or null, an infinite number or a limit.
    """
    builder = _Builder(text, path, exact_integers)
    try:
        yield from builder.documents()
    except yaml.YAMLError as error:
        raise _syntax_error(error, path) from error
    except RecursionError as error:  # libyaml's own nesting in the parser's state stack
        raise YamlError("the YAML is nested too deeply", code="yaml-limit", position=Position(path)) from error


def read_document(text: str, path: str, *, strict: bool = False, exact_integers: bool = False) -> Any:
    """The value of the first document, as Kubernetes' readers take it; None for an empty text.

    With `strict` a key given twice raises YamlError; otherwise the last one counts.
    """
    for document in read_documents(text, path, exact_integers=exact_integers):
        if strict and document.faults:
            raise document.faults[0]
        return document.value
    return None


def _syntax_error(error: yaml.YAMLError, path: str) -> YamlError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    position = Position(path, mark.line + 1, mark.column + 1) if mark else Position(path)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error).splitlines()[0]
    context = getattr(error, "context", None)
    hint = None
    if "mapping values are not allowed" in problem:
        hint = "a value that contains ': ' must be quoted"
    elif "cannot start any token" in problem:
        hint = "a value that starts with such a character must be quoted (tabs can't indent)"
    return YamlError(
        f"this is not YAML: {problem}{f' ({context})' if context else ''}",
        code="bad-yaml",
        position=position,
        hint=hint,
    )


@dataclass(slots=True)
class _Frame:
    """A map or list under construction. `weight` counts the nodes that it stands for, aliases expanded."""

    value: dict[str, Any] | list[Any]
    anchor: str | None
    key: str | None = None
    merging: bool = False
    weight: int = 1


@dataclass(slots=True)
class _Builder:
    text: str
    path: str
    exact_integers: bool
    frames: list[_Frame] = field(default_factory=list)
    anchors: dict[str, tuple[Any, int] | None] = field(default_factory=dict)  # None while it is being built
    faults: list[YamlError] = field(default_factory=list)
    expansion: int = 0
    root: Any = None

    def documents(self) -> Iterator[Document]:
        line = 1
        event: Any
        for event in yaml.parse(self.text, Loader=Loader):
            kind = type(event)
            if kind is yaml.ScalarEvent:
                self.scalar(event)
            elif kind is yaml.MappingStartEvent:
                self.start({}, event)
            elif kind is yaml.SequenceStartEvent:
                self.start([], event)
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                frame = self.frames.pop()
                if frame.anchor:
                    self.anchors[frame.anchor] = (frame.value, frame.weight)
                self.add(frame.value, frame.weight, event)
            elif kind is yaml.AliasEvent:
                self.alias(event)
            elif kind is yaml.DocumentStartEvent:
                if event.version and event.version != (1, 1):
                    raise self.error("Kubernetes reads YAML 1.1 only; take the %YAML line out", event)
                line = event.start_mark.line + 1
                self.anchors, self.faults, self.expansion, self.root = {}, [], 0, None
            elif kind is yaml.DocumentEndEvent:
                yield Document(self.root, line, tuple(self.faults))

    def start(self, value: dict[str, Any] | list[Any], event: Any) -> None:
        if len(self.frames) >= MAX_DEPTH:
            raise self.error(f"maps and lists are nested more than {MAX_DEPTH} deep", event, "yaml-limit")
        if self.frames and isinstance(self.frames[-1].value, dict) and self.frames[-1].key is None:
            raise self.error("a key must be a text, not a map or a list", event)
        if event.anchor:
            self.anchors[event.anchor] = None
        self.frames.append(_Frame(value, event.anchor))

    def scalar(self, event: Any) -> None:
        text, tag = event.value, event.tag
        if event.style == '"' and "\\/" in self.text:
            self.refuse_slash_escape(event)
        if tag is None or tag == "!":
            value = resolve_plain(text) if event.implicit[0] else text
        else:
            try:
                value = resolve_tagged(tag, text)
            except ValueError as error:
                raise self.error(str(error), event) from error
        if event.anchor:
            self.anchors[event.anchor] = (value, 1)
        # A quoted or tagged `<<` is a key like any other.
        self.add(value, 1, event, plain_merge=text == "<<" and event.implicit[0])

    def alias(self, event: Any) -> None:
        if event.anchor not in self.anchors:
            raise self.error(f"there is no anchor '&{event.anchor}' for '*{event.anchor}'", event)
        known = self.anchors[event.anchor]
        if known is None:
            raise self.error(f"the value of anchor '&{event.anchor}' contains itself", event)
        value, weight = known
        self.expand(weight, event)
        self.add(value, weight, event)

    def expand(self, weight: int, event: Any) -> None:
        self.expansion += weight
        if self.expansion > MAX_EXPANSION:
            raise self.error(f"aliases and merges stand for more than {MAX_EXPANSION} values", event, "yaml-limit")

    def add(self, value: Any, weight: int, event: Any, *, plain_merge: bool = False) -> None:
        if not self.frames:
            self.root = self.number(value, event)
            return
        frame = self.frames[-1]
        frame.weight += weight
        if isinstance(frame.value, list):
            frame.value.append(self.number(value, event))
        elif frame.key is None:
            frame.key, frame.merging = ("<<", True) if plain_merge else (self.key(value, event), False)
        elif frame.merging:
            frame.key, frame.merging = None, False
            self.merge(frame.value, value, event)
        else:
            self.put(frame.value, frame.key, self.number(value, event), event)
            frame.key = None

    def put(self, mapping: dict[str, Any], key: str, value: Any, event: Any) -> None:
        if key in mapping:
            fault = self.error(f"the key '{key}' is given twice in one map", event, "duplicate-key")
            self.faults.append(fault)
        mapping[key] = value

    def merge(self, mapping: dict[str, Any], value: Any, event: Any) -> None:
        """`<<`: what it brings overrides the keys before it; in a list of maps the first one wins."""
        parts = value if isinstance(value, list) else [value]
        if not all(isinstance(part, dict) for part in parts):
            raise self.error("'<<' takes a map or a list of maps", event)
        for part in reversed(parts):
            self.expand(len(part), event)
            for key, item in part.items():
                self.put(mapping, key, item, event)

    def key(self, value: Any, event: Any) -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, (int, float)) and not _is_infinite(value):
            return number_text(value)
        what = "null" if value is None else "a map or a list" if isinstance(value, (dict, list)) else "this number"
        raise self.error(f"a key must be a text, not {what}", event, hint="quote the key if it is meant as a text")

    def number(self, value: Any, event: Any) -> Any:
        if type(value) is int or type(value) is float:
            if _is_infinite(value):
                raise self.error(
                    "a number in Kubernetes must be finite", event, hint="quote it if it is meant as a text"
                )
            return value if self.exact_integers else float64(value)
        return value

    def refuse_slash_escape(self, event: Any) -> None:
        # libyaml reads the escape since 0.2, Go's port of it does not. The source is looked at only where it may be.
        lines = self.text.splitlines()
        first, last = event.start_mark, event.end_mark
        source = "\n".join(lines[first.line : last.line + 1])
        unescaped = source[first.column :].replace("\\\\", "")
        if (
            "\\/"
            in unescaped[: len(unescaped) - (len(lines[last.line]) - last.column if last.line < len(lines) else 0)]
        ):
            raise self.error("Kubernetes does not know the escape '\\/'", event, hint="write '/' alone")

    def error(self, message: str, event: Any, code: str = "bad-yaml", hint: str | None = None) -> YamlError:
        mark = event.start_mark
        return YamlError(message, code=code, position=Position(self.path, mark.line + 1, mark.column + 1), hint=hint)


def _is_infinite(number: float) -> bool:
    return isinstance(number, float) and not math.isfinite(number)
