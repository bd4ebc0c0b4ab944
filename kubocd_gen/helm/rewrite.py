"""Rewriting of a package's template so that it can share a chart with other packages, and mapping of positions back.

A chart file is the template itself, with these differences:

- Names after `define`, `block` and `template` begin with the file's own path, so no template sees or replaces what
  another defines. In KuboCD the empty name is the template itself; here that is the bare path.
- Functions that helm lacks, or implements differently from KuboCD, become calls of partials (see `functions`).
- Functions that helm has and KuboCD lacks get an undefined name, so that helm refuses them with Go's own message.
- Messages of `fail` and `required` begin with their position, because helm reports them without one.

No change adds a line, and `Rewritten.source_offset` subtracts inserted characters, so messages point into the user's
template.

A template with a lexical error is rewritten up to the error, which gives helm's message for it. It is not `readable`
and must never be rendered (see `refusals`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from kubocd_gen.helm import functions
from kubocd_gen.helm.calls import is_range_over_int
from kubocd_gen.helm.lexer import Action, Kind, Token, actions
from kubocd_gen.helm.names import Names
from kubocd_gen.helm.partials import REPLACED

_TAKES_NAME = frozenset({"define", "block", "template"})
_SURROGATE = re.compile("[\ud800-\udfff]")
_PRINTING = frozenset({"toJson", "toToml", "toYaml"})
_NUMBER = re.compile(r"[+-]?[0-9]+")
# A literal constraint of one version without `!=`, or of several versions without prereleases: every version of the
# library compares it in the same way.
_SIMPLE_CONSTRAINT = re.compile(r"""(["`])(?:[ <>=~^]*v?[0-9xX*.]+(?:-[0-9A-Za-z.]+)?|[ <>=~^,|0-9xX*.v]+)\1""")


@dataclass(frozen=True, slots=True)
class Edit:
    """A replacement of `source[start:end]` by `text`. Positions in `text` map to `anchor`, an offset in the source."""

    start: int
    end: int
    text: str
    anchor: int


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A chart file, and what maps its positions to the original template. Offsets count characters."""

    names: Names
    path: str  # as helm names it in messages
    source: str
    text: str
    edits: tuple[Edit, ...]
    arguments: dict[int, tuple[int, ...]]  # offset of a rewritten call → positions of its arguments
    readable: bool  # the lexer read it to its end, so everything that helm sees was rewritten
    mutates: bool  # it can call a function that modifies maps

    def source_offset(self, offset: int) -> int:
        """Return the offset in `source` of the character at `offset` in `text`."""
        shift = 0
        for edit in self.edits:
            start = edit.start + shift
            if offset < start:
                break
            if offset < start + len(edit.text):
                return edit.anchor
            shift += len(edit.text) - (edit.end - edit.start)
        return offset - shift


def rewrite(source: str, names: Names) -> Rewritten:
    """Return the chart file for `source`, a template preceded by its header."""
    source = _SURROGATE.sub("\ufffd", source)  # as Go decodes bytes that are not UTF-8
    return _Rewriter(source, names, names.text(source)).rewritten()


@dataclass(slots=True)
class _Body:
    """The scope of variables: the template itself, or the content of a `define` or `block`."""

    start: int
    trims: bool  # white space at its start is dropped
    holder: bool = False


@dataclass(slots=True)
class _Rewriter:
    source: str
    names: Names
    path: str
    edits: list[Edit] = field(default_factory=list)
    arguments: dict[int, tuple[int, ...]] = field(default_factory=dict)
    readable: bool = True

    def rewritten(self) -> Rewritten:
        if self.source.startswith("\ufeff"):
            self._insert(0, "{{/**/}}")  # otherwise helm removes the byte order mark
        main = _Body(0, trims=False)
        bodies = [main]
        inside = [main]  # the bodies around the current position: one more than the `end`s to come
        for action in actions(self.source):
            keyword = action.keyword
            body = inside[-1]
            for command in _commands(action.tokens):
                self._command(command, body, broken=action.broken)
            if keyword == "range" and not action.broken:
                self._range(action)
            self._name(action)
            self.readable &= not action.broken
            if keyword in ("define", "block"):
                bodies.append(_Body(action.end, action.trims))
                inside.append(bodies[-1])
            elif keyword in ("if", "range", "with"):
                inside.append(body)
            elif keyword == "end" and len(inside) > 1:
                inside.pop()
        for body in bodies:
            # Only if needed: an empty `define` can be redefined, one with an action in it can't.
            if body.holder:
                self._insert(body.start, f"{{{{ {self.names.holder} := dict {'-' if body.trims else ''}}}}}")
        # Insertions at one offset keep their order, and precede the replacement of the text there.
        edits = tuple(sorted(self.edits, key=lambda edit: (edit.start, edit.end)))
        return Rewritten(
            self.names,
            self.path,
            self.source,
            _apply(self.source, edits),
            edits,
            self.arguments,
            self.readable,
            # Searched in the raw template, not in the tokens, so that a lexer bug can't hide a call.
            functions.MUTATING_WORD.search(self.source) is not None,
        )

    def _name(self, action: Action) -> None:
        tokens = [token for token in action.tokens if token.kind is not Kind.SPACE]
        for index, token in enumerate(tokens):
            if token.kind is Kind.KEYWORD and token.text in _TAKES_NAME:
                name = tokens[index + 1] if index == 0 and len(tokens) > 1 else None
                if name is not None and name.kind in (Kind.STRING, Kind.RAW_STRING):
                    self._insert(name.start + 1, self.path, name.start)
                else:
                    self.readable = False  # a syntax error

    def _command(self, command: _Command, body: _Body, *, broken: bool) -> None:
        for index, word in enumerate(command.words):
            name = word.function
            if name is None:
                continue
            end = word.start + len(name)
            # A name that is an argument, or has fields, is called without arguments.
            calls = index == 0 and not word.chained
            if name not in functions.KNOWN:
                # helm has no function with other characters, so it refuses the name anyway.
                if name.isascii():
                    self._insert(word.start, self.names.undefined)
            elif broken and name in functions.KUBOCD:
                # A function that helm knows, so that it reports the syntax error instead.
                self._replace(word.start, end, "list")
            elif name in functions.UNSUPPORTED:
                call = f'call "{self.names.mark("unsupported")} {name}"'
                self._replace(word.start, end, call if calls else f"({call})")
            elif name in ("imageRedirect", "resolveDNS", "getHostByName"):
                self._lookup(name, word.start, command if calls else None, body)
            elif name in REPLACED and not broken:
                self._replacement(name, command if calls else None, word.start)
            elif name in ("slice", "mustSlice") and calls and not broken:
                self._slice(command)
            elif name in ("fail", "required") and calls:
                self._mark_message(command)

    def _range(self, action: Action) -> None:
        # From Go 1.24 on, `range` accepts integers. It does nothing for negative ones, but `until` counts down.
        tokens = [token for token in action.tokens if token.kind is not Kind.SPACE]
        if is_range_over_int(tokens):
            self._insert(tokens[-1].end, " | max 0 | int | until", tokens[-1].start)

    def _replacement(self, name: str, command: _Command | None, start: int) -> None:
        """Replace a call by one of its partial, unless its literal arguments show that the result is the same."""
        arguments = [self.source[word.start : word.end] for word in command.words[1:]] if command else []
        if name == "semverCompare" and arguments and _SIMPLE_CONSTRAINT.fullmatch(arguments[0]):
            return
        if name not in _PRINTING and command and not command.piped and all(map(_NUMBER.fullmatch, arguments)):
            return
        self._lookup(name, start, command, None, REPLACED[name].convert)

    def _slice(self, command: _Command) -> None:
        # Only the indexes are converted, because a partial would lose the type of the list.
        convert = f'include "{self.names.partial("int64")}"{REPLACED["int64"].convert}'
        for word in command.words[2:]:
            if not _NUMBER.fullmatch(self.source[word.start : word.end]):
                self._insert(word.start, "(list ")
                self._insert(word.end, f" | {convert})", word.start)
        if command.piped and len(command.words) > 1:
            self._insert(command.words[0].start, f"list | {convert} | ")

    def _lookup(self, name: str, start: int, command: _Command | None, body: _Body | None, convert: str = "") -> None:
        end = start + len(name)
        call = f' | include "{self.names.partial(name)}"{convert}'
        if name == "imageRedirect" and body is not None:
            body.holder = True
            call = f' | set {self.names.holder} "a"{call} | get {self.names.holder}'
        if command is None:
            self._replace(start, end, f"(list{call})")
            return
        self.arguments[start] = tuple(word.position for word in command.words[1:])
        self._replace(start, end, "list")
        self._insert(command.end, call, start)

    def _mark_message(self, command: _Command) -> None:
        # Appends the message to the mark by replacing the empty match at its end. The function still checks that the
        # message is a string, and an error keeps its position.
        start = command.words[0].start
        mark = f'regexReplaceAllLiteral "$" "{self.names.mark("at")}@{start}@" '
        if len(command.words) > 1:
            message = command.words[1]
            self._insert(message.start, f"({mark}")
            self._insert(message.end, ")", message.start)
        elif command.piped:
            self._insert(start, f"{mark}| ")

    def _insert(self, at: int, text: str, anchor: int | None = None) -> None:
        self.edits.append(Edit(at, at, text, at if anchor is None else anchor))

    def _replace(self, start: int, end: int, text: str) -> None:
        self.edits.append(Edit(start, end, text, start))


def _apply(source: str, edits: tuple[Edit, ...]) -> str:
    parts: list[str] = []
    position = 0
    for edit in edits:
        parts += (source[position : edit.start], edit.text)
        position = edit.end
    return "".join((*parts, source[position:]))


@dataclass(slots=True)
class _Word:
    """An operand: one term and the fields directly after it, such as `.a.b`, `$x.y`, `(…).z`, `"s"` or `upper`.

    `position` is the offset that Go reports: the second term of a chain, or the first token inside a parenthesis.
    """

    start: int
    end: int
    position: int
    function: str | None = None  # its name, if the word begins with one
    chained: bool = False


@dataclass(slots=True)
class _Command:
    """A function or value and its arguments. If `piped`, another value is passed as the last argument."""

    piped: bool = False
    words: list[_Word] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.words[-1].end


def _commands(tokens: tuple[Token, ...]) -> Iterator[_Command]:
    """Yield the commands of an action's pipelines, inner commands before the command that they are an argument of.

    Keywords and the names after `define`, `block` and `template` are not part of a command. Any tokens are accepted:
    in an action that Go refuses, every function must still be found, or Go would report the wrong name.
    """
    current = _Command()
    outer: list[_Command] = []
    named = False  # the next string is a template's name
    for token in tokens:
        if token.kind is Kind.SPACE:
            continue
        if token.kind is Kind.PIPE:
            if current.words:
                yield current
            current = _Command(piped=True)
        elif token.kind in (Kind.ASSIGN, Kind.KEYWORD):
            if current.words:  # declared variables, or a syntax error
                yield current
            current = _Command()
            named = token.text in _TAKES_NAME
        elif named:
            if token.kind not in (Kind.STRING, Kind.RAW_STRING):
                break  # a syntax error
            named = False
        elif token.kind is Kind.RIGHT_PAREN:
            if current.words:
                yield current
            current = outer.pop()
            current.words[-1].end = token.end
        else:
            last = current.words[-1] if current.words else None
            if last is not None and token.kind is Kind.FIELD and token.start == last.end:
                last.position = last.position if last.chained else token.start
                last.chained = True
                last.end = token.end
                continue
            function = token.text if token.kind is Kind.IDENTIFIER else None
            if outer and not current.words and outer[-1].words[-1].position == outer[-1].words[-1].start:
                outer[-1].words[-1].position = token.start
            current.words.append(_Word(token.start, token.end, token.start, function))
            if token.kind is Kind.LEFT_PAREN:
                outer.append(current)
                current = _Command()
    for command in (current, *reversed(outer)):  # a parenthesis stays open only after a syntax error
        if command.words:
            yield command
