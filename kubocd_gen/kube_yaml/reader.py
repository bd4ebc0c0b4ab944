"""Read YAML like sigs.k8s.io/yaml: build JSON-like values from libyaml's events, with limits.

Most documents are plain, and read by `kubocd_gen.kube_yaml.plain_documents`. Here, values are built event by event,
because depth and the expansion of aliases and merges must be counted before memory is used: libyaml's own composer
overflows the stack on 60,000 nested brackets, and 400 bytes of nested aliases can expand to gigabytes. Positions are
not recorded; `kubocd_gen.kube_yaml.locations` finds them when a message needs one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import yaml

from kubocd_gen.budget.spending import Budget, BudgetExceededError, Meter
from kubocd_gen.diagnostics.problems import Position
from kubocd_gen.diagnostics.wording import quoted
from kubocd_gen.kube_yaml.parser import YamlError, events, inner_mark, position_at, syntax_error, too_deep
from kubocd_gen.kube_yaml.plain_documents import plain_documents
from kubocd_gen.kube_yaml.plain_scalars import NotPlainError
from kubocd_gen.kube_yaml.scalars import NODE_TEXT, float64, key_text, resolve_plain, resolve_tagged

MAX_DEPTH = 100
"""Levels of nested maps and lists. Real chart values have about 20; Python recurses safely over a few hundred."""

MAX_EXPANSION = 200_000
"""Nodes to which the aliases and merges of one document can expand: ten times a large context without aliases."""

_MAX_FAULTS = 100  # faults of a document that are reported
_MERGE_TAG = "tag:yaml.org,2002:merge"
_JOINED = "start the second document with '---', or remove one of the keys"
_TWICE = "remove or rename one of the keys"
_TEMPLATE = "quote a value that starts with '{' or '[' if it is a template or a string"
_QUOTE_KEY = "quote the key if it is meant as a string"
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Fault:
    """An error for strict readers only: a duplicate key. `keys` is the path of the map that contains it."""

    keys: tuple[str | int, ...]
    error: YamlError


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a YAML text.

    `line` is its first line, from 1. `value` is None for an empty document; despite `faults`, it is the value that a
    lenient reader returns. With an `error`, Kubernetes does not accept the document: it has no value, and `source` is
    its text.
    """

    value: Any
    line: int
    faults: tuple[Fault, ...] = ()
    error: YamlError | None = None
    source: str = ""


def read_documents(
    text: str, path: str, *, exact_integers: bool = False, keep_marks: bool = False, budget: Budget | None = None
) -> Iterator[Document]:
    """Yield the documents of `text` one by one, including those before a syntax error.

    Scalars, keys and merges follow sigs.k8s.io/yaml. With `exact_integers`, numbers stay as written (int or float), for
    typed fields that accept a number as a string; otherwise they are converted to Go's float64. A byte order mark that
    starts a line is part of the line with `keep_marks`, as in Go, and otherwise an error, because it is a mistake in a
    file. `path` is the path in positions. Values are counted against `budget`.

    Raises YamlError for a syntax error or a limit, after which reading cannot continue, and BudgetExceededError. An
    error that affects only one document, such as a null key or an infinite number, is the `error` of that document.
    """
    budget = budget or Budget()
    done = counted = 0
    try:
        for value, line, count in plain_documents(text, exact_integers=exact_integers):
            if budget.left("yaml-values") < count:
                break  # libyaml's reader raises the error
            budget.spend("yaml-values", count)
            if line:
                done, counted = done + 1, counted + count
                yield Document(value, line)
        else:
            return
    except NotPlainError:
        pass
    except BudgetExceededError as error:
        raise error.at(Position(path)) from None
    meter = budget.meter("yaml-values")
    meter(-counted)
    builder = _Builder(text.removeprefix("\ufeff"), path, exact_integers, keep_marks, meter)
    yield from islice(builder.checked_documents(), done, None)


def first_document(
    text: str, path: str, *, exact_integers: bool = False, keep_marks: bool = False, budget: Budget | None = None
) -> Document:
    """Return the first document of `text`; Kubernetes' readers ignore the others. Raises YamlError if it is invalid."""
    documents = read_documents(text, path, exact_integers=exact_integers, keep_marks=keep_marks, budget=budget)
    document = next(documents, Document(None, 1))
    if document.error:
        raise document.error
    return document


def read_document(
    text: str,
    path: str,
    *,
    strict: bool = False,
    exact_integers: bool = False,
    keep_marks: bool = False,
    budget: Budget | None = None,
) -> Any:
    """Return the value of the first document like Kubernetes' readers; None for an empty text.

    With `strict`, a duplicate key raises YamlError; otherwise the last one counts.
    """
    document = first_document(text, path, exact_integers=exact_integers, keep_marks=keep_marks, budget=budget)
    if strict and document.faults:
        raise document.faults[0].error
    return document.value


def scalar_value(event: Any) -> Any:
    """Return the value of a scalar event. Raises ValueError if the text does not match an explicit tag."""
    if event.tag is None:
        return event.value if event.style else resolve_plain(event.value)  # plain scalars have no style
    return resolve_tagged(event.tag, event.value)


def is_merge(event: Any) -> bool:
    """Return whether a key is the merge key `<<`. With quotes or another tag it is an ordinary key."""
    return bool(event.value == "<<" and (event.implicit[0] or event.tag == _MERGE_TAG))


@dataclass(frozen=True, slots=True)
class _Invalid:
    """A value that Go reads, but cannot convert to JSON: an error unless another value of its key replaces it."""

    error: YamlError
    is_map: bool = False


@dataclass(slots=True)
class _Frame:
    """A map or list under construction. `weight` is its number of nodes with all aliases expanded.

    `invalid` is set if a map has a key that JSON cannot have.
    """

    value: dict[str, Any] | list[Any]
    start: Any
    key: str | None = None
    key_event: Any = None
    merging: bool = False
    weight: int = 1
    invalid: _Invalid | None = None


@dataclass(slots=True)
class _Builder:
    text: str
    path: str
    exact_integers: bool
    keep_marks: bool
    spend: Meter
    frames: list[_Frame] = field(default_factory=list)
    anchors: dict[str, tuple[Any, int] | None] = field(default_factory=dict)  # None while under construction
    faults: list[Fault] = field(default_factory=list)
    depth: int = 0
    expansion: int = 0
    root: Any = None
    has_invalid: bool = False
    broken: YamlError | None = None

    def checked_documents(self) -> Iterator[Document]:
        """Yield the documents. Raises YamlError, and BudgetExceededError with a position."""
        text, path = self.text, self.path
        if not self.keep_marks and (mark_index := inner_mark(text)) is not None:
            problem = "a line starts with a byte order mark (U+FEFF), which Kubernetes reads as part of the line"
            position = position_at(text, path, mark_index)
            hint = "remove it; it might be the start of a second file"
            raise YamlError(problem, code="bad-yaml", position=position, hint=hint)
        try:
            yield from self.documents()
            self.spend.settle(Position(path))
        except BudgetExceededError as error:
            raise error.at(Position(path)) from None
        except (yaml.YAMLError, UnicodeEncodeError) as error:
            if mark := too_deep(error):
                raise self.too_deep(mark) from error
            raise self.broken or syntax_error(error, text, path) from error

    def documents(self) -> Iterator[Document]:
        start: Any = None
        event: Any
        for event in events(self.text, keep_marks=self.keep_marks):
            kind = type(event)
            if kind is not yaml.ScalarEvent:
                self.guard(kind, event)
            self.spend()
            if kind is yaml.DocumentStartEvent:
                start = event.start_mark
                self.anchors, self.faults, self.expansion, self.root, self.broken = {}, [], 0, None, None
                self.has_invalid = False
                if event.version and event.version != (1, 1):
                    self.broken = self.error("Kubernetes reads only YAML 1.1", event, hint="remove the %YAML line")
            elif kind is yaml.DocumentEndEvent:
                if self.has_invalid and self.broken is None and (found := _first_invalid(self.root)):
                    self.broken, self.root = found.error, None
                    self.faults.clear()
                source = self.text[start.index : event.end_mark.index] if self.broken else ""
                self.spend.settle(Position(self.path, start.line + 1))
                yield Document(self.root, start.line + 1, tuple(self.faults), self.broken, source)
                self.broken = None
            elif self.broken is None:
                try:
                    self.take(kind, event)
                except YamlError as error:
                    if error.problem.code == "yaml-limit":
                        raise
                    self.broken = error
                    self.frames.clear()
                    self.faults.clear()

    def guard(self, kind: type, event: Any) -> None:
        """Limit the depth, also in an invalid document, because libyaml takes seconds for very deep nesting."""
        if kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            self.depth += 1
            if self.depth > MAX_DEPTH:
                raise self.too_deep(event.start_mark)
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            self.depth -= 1

    def take(self, kind: type, event: Any) -> None:
        if kind is yaml.ScalarEvent:
            self.scalar(event)
        elif kind is yaml.MappingStartEvent:
            self.start({}, event)
        elif kind is yaml.SequenceStartEvent:
            self.start([], event)
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            frame = self.frames.pop()
            value = frame.invalid or frame.value
            if frame.start.anchor and self.anchors[frame.start.anchor] is None:  # or a child redefined it
                self.anchors[frame.start.anchor] = (value, frame.weight)
            self.add(value, frame.weight, frame.start)
        elif kind is yaml.AliasEvent:
            self.alias(event)

    def start(self, value: dict[str, Any] | list[Any], event: Any) -> None:
        if self.frames and isinstance(self.frames[-1].value, dict) and self.frames[-1].key is None:
            hint = _TEMPLATE if event.flow_style else None
            raise self.error("a key must be a string, not a map or a list", event, hint=hint)
        if event.anchor:
            self.anchors[event.anchor] = None
        self.frames.append(_Frame(value, event))

    def scalar(self, event: Any) -> None:
        text = event.value
        if event.style == '"':
            self.refuse_slash_escape(event)
        elif not event.style and "?" in text and self.frames and self.frames[-1].start.flow_style:
            # libyaml has accepted it since 0.2; its Go port has not.
            message = "an unquoted string in brackets or braces cannot contain '?'"
            raise self.error(message, event, hint="quote the string")
        try:
            value = scalar_value(event)
        except ValueError as error:
            raise self.error(str(error), event) from error
        weight = 1 + len(text) // NODE_TEXT
        if event.anchor:
            self.anchors[event.anchor] = (value, weight)
        self.add(value, weight, event)

    def alias(self, event: Any) -> None:
        if event.anchor not in self.anchors:
            raise self.error(f"the alias '*{event.anchor}' has no anchor '&{event.anchor}'", event)
        known = self.anchors[event.anchor]
        if known is None:
            raise self.error(f"the value of anchor '&{event.anchor}' contains itself", event)
        value, weight = known
        self.expand(weight, event)
        self.add(value, weight, event)

    def expand(self, weight: int, event: Any) -> None:
        self.expansion += weight
        self.spend(weight)
        if self.expansion > MAX_EXPANSION:
            raise self.error(f"aliases and merges expand to more than {MAX_EXPANSION} values", event, "yaml-limit")

    def add(self, value: Any, weight: int, event: Any) -> None:
        """Add a finished value to the innermost map or list; `event` is its first event."""
        if not self.frames:
            self.root = self.number(value, event)
            return
        frame = self.frames[-1]
        frame.weight += weight
        if isinstance(frame.value, list):
            frame.value.append(self.number(value, event))
        elif frame.key is None:
            frame.merging = type(event) is yaml.ScalarEvent and is_merge(event)
            frame.key, frame.key_event = self.key(value, event, frame), event
        else:
            if frame.merging:
                self.merge(frame, value, event)
            else:
                self.put(frame, frame.key, self.number(value, event))
            frame.key = None

    def put(self, frame: _Frame, key: str, value: Any) -> None:
        assert isinstance(frame.value, dict)
        if key in frame.value and len(self.faults) < _MAX_FAULTS:
            fault = self.error(
                f"the key {quoted(key)} is defined twice in the same map",
                frame.key_event,
                "duplicate-key",
                _JOINED if key == "apiVersion" and len(self.frames) == 1 else _TWICE,
            )
            self.faults.append(Fault(self.keys(), fault))
        frame.value[key] = value

    def keys(self) -> tuple[str | int, ...]:
        """Return the path from the root to the innermost map or list."""
        return tuple(
            len(frame.value) if isinstance(frame.value, list) else frame.key or "" for frame in self.frames[:-1]
        )

    def merge(self, frame: _Frame, value: Any, event: Any) -> None:
        """Merge the value of `<<`: it overrides the keys before it; of a list of maps, the first one wins."""
        listed = isinstance(value, list) and type(event) is yaml.SequenceStartEvent  # no alias, like Go
        parts = value if listed else [value]
        if not all(isinstance(part, dict) or (isinstance(part, _Invalid) and part.is_map) for part in parts):
            raise self.error("the value of '<<' must be a map or a list of maps", event)
        for part in reversed(parts):
            if isinstance(part, _Invalid):
                frame.invalid = frame.invalid or part
                continue
            self.expand(len(part), event)
            for key, item in part.items():
                self.put(frame, key, item)

    def key(self, value: Any, event: Any, frame: _Frame) -> str:
        if isinstance(value, (dict, list, _Invalid)):
            raise self.error("a key must be a string, not a map or a list", event, hint=_QUOTE_KEY)
        text = key_text(value)
        message = "a key must be a string, not null" if text is None else ""
        if type(value) is int and value >= 2**63:
            message = "a number of more than 63 bits cannot be a key"
        if message:
            frame.invalid = frame.invalid or self.invalid(message, event, _QUOTE_KEY, is_map=True)
        return text or ""

    def number(self, value: Any, event: Any) -> Any:
        if type(value) is not int and type(value) is not float:
            return value
        if type(value) is float and not math.isfinite(value):
            return self.invalid("a number in Kubernetes must be finite", event, "quote it if it is meant as a string")
        return value if self.exact_integers else float64(value)

    def invalid(self, message: str, event: Any, hint: str, *, is_map: bool = False) -> _Invalid:
        self.has_invalid = True
        return _Invalid(self.error(message, event, hint=hint), is_map)

    def refuse_slash_escape(self, event: Any) -> None:
        # libyaml has accepted the escape since 0.2; its Go port has not.
        source = self.text[event.start_mark.index : event.end_mark.index]
        if "\\/" in source and "/" in _ESCAPE.findall(source):
            raise self.error("Kubernetes does not support the escape '\\/'", event, hint="remove the backslash")

    def too_deep(self, mark: Any) -> YamlError:
        position = Position(self.path, mark.line + 1, mark.column + 1)
        message = f"maps and lists are nested more than {MAX_DEPTH} levels deep"
        return YamlError(message, code="yaml-limit", position=position)

    def error(self, message: str, event: Any, code: str = "bad-yaml", hint: str | None = None) -> YamlError:
        mark = event.start_mark
        return YamlError(message, code=code, position=Position(self.path, mark.line + 1, mark.column + 1), hint=hint)


def _first_invalid(root: Any) -> _Invalid | None:
    """Return the first value of a tree that cannot be converted to JSON, or None. Shared parts are visited once."""
    pending, seen = [root], set[int]()
    while pending:
        item = pending.pop()
        if isinstance(item, _Invalid):
            return item
        if isinstance(item, dict | list) and id(item) not in seen:
            seen.add(id(item))
            pending += reversed(list(item.values()) if isinstance(item, dict) else item)
    return None
