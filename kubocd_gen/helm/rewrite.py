"""A package's template made fit for a chart that it shares with strangers, and the way back for positions.

A chart file is the template itself, with these differences:

- names of `define`, `block` and `template` begin with the file's own path, so that no text sees or replaces what
another defines;
  the empty name is KuboCD's name of a text itself, and the bare path is that name here;
- functions that helm lacks, or answers otherwise than KuboCD, are calls of partials (see `functions`);
- functions that helm has and KuboCD lacks get a name that nobody has, so that helm refuses them in Go's own words;
- the messages of `fail` and `required` begin with where they stand, because helm reports them without a position.

No change adds a line, and `Rewritten.source_offset` takes the widths off, so that messages point into the user's text.

A text that the lexer does not read to its end is rewritten up to there, for helm's message, and is not `readable`: it
must never be rendered (see `refusals`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from kubocd_gen.helm import functions
from kubocd_gen.helm.commands import TAKES_NAME, Command, commands
from kubocd_gen.helm.lexer import Action, Kind, actions
from kubocd_gen.helm.names import Names

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Edit:
    """`source[start:end]` became `text`. A position inside `text` belongs to `anchor`, an offset in the source."""

    start: int
    end: int
    text: str
    anchor: int


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A chart file, and what is needed to speak of the text that it was made from. Offsets count characters."""

    names: Names
    path: str  # as helm names it in messages
    source: str
    text: str
    edits: tuple[Edit, ...]
    arguments: dict[int, tuple[int, ...]]  # offset of a rewritten call → positions of its arguments
    readable: bool  # the lexer read it to its end, so that helm sees nothing in it that was not rewritten
    mutates: bool  # can name a function that changes maps

    def source_offset(self, offset: int) -> int:
        """Where in `source` the character at `offset` of `text` comes from."""
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
    """The chart file for `source`, a template behind its header."""
    source = _SURROGATE.sub("\ufffd", source)  # as Go reads what UTF-8 cannot say
    return _Rewriter(source, names, names.text(source)).rewritten()


@dataclass(slots=True)
class _Body:
    """A template's own list of nodes: the text itself, or what a `define` or `block` holds. Variables end with it."""

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
            self._insert(0, "{{/**/}}", 0)  # helm takes a byte order mark off a file
        main = _Body(0, trims=False)
        bodies = [main]
        inside = [main]  # the body in which what comes next stands, one more for each `end` that is to come
        for action in actions(self.source):
            keyword = action.keyword
            body = inside[-1]
            for command in commands(action.tokens):
                self._command(command, body, broken=action.broken)
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
            # Only where it is needed: an empty `define` may be defined again, one with an action in it may not.
            if body.holder:
                self._insert(
                    body.start, f"{{{{ {self.names.holder} := dict {'-' if body.trims else ''}}}}}", body.start
                )
        # Insertions at one offset keep their order, and come before the replacement of what stands there.
        edits = tuple(sorted(self.edits, key=lambda edit: (edit.start, edit.end)))
        return Rewritten(
            self.names,
            self.path,
            self.source,
            _apply(self.source, edits),
            edits,
            self.arguments,
            self.readable,
            # Asked of the characters, not of the tokens: a word that Go takes for such a function is certainly one.
            functions.MUTATING_WORD.search(self.source) is not None,
        )

    def _name(self, action: Action) -> None:
        tokens = [token for token in action.tokens if token.kind is not Kind.SPACE]
        for index, token in enumerate(tokens):
            if token.kind is Kind.KEYWORD and token.text in TAKES_NAME:
                name = tokens[index + 1] if index == 0 and len(tokens) > 1 else None
                if name is not None and name.kind in (Kind.STRING, Kind.RAW_STRING):
                    self._insert(name.start + 1, self.path, name.start)
                else:
                    self.readable = False  # Go refuses it

    def _command(self, command: Command, body: _Body, *, broken: bool) -> None:
        for index, word in enumerate(command.words):
            name = word.function
            if name is None:
                continue
            end = word.start + len(name)
            # A name that is an argument, or has fields, is called without arguments.
            calls = index == 0 and not word.chained
            if name not in functions.KNOWN:
                # helm has no function with other characters; where they are no letters, it says so.
                if name.isascii():
                    self._insert(word.start, self.names.undefined, word.start)
            elif broken and name in functions.KUBOCD:
                self._replace(word.start, end, "list", word.start)  # known to Go, which then finds the mistake
            elif name in functions.UNSUPPORTED:
                call = f'call "{self.names.mark("unsupported")} {name}"'
                self._replace(word.start, end, call if calls else f"({call})", word.start)
            elif name in ("imageRedirect", "resolveDNS", "getHostByName"):
                self._lookup(name, word.start, command if calls else None, body)
            elif name in ("fail", "required") and calls:
                self._mark_message(command)

    def _lookup(self, name: str, start: int, command: Command | None, body: _Body) -> None:
        end = start + len(name)
        answer = f' | include "{self.names.partial(name)}"'
        if name == "imageRedirect":
            body.holder = True
            answer = f' | set {self.names.holder} "a"{answer} | get {self.names.holder}'
        if command is None:
            self._replace(start, end, f"(list{answer})", start)
            return
        self.arguments[start] = tuple(word.position for word in command.words[1:])
        self._replace(start, end, "list", start)
        self._insert(command.end, answer, start)

    def _mark_message(self, command: Command) -> None:
        # The replacement of an empty match at the end of the mark: the message behind it, with the type still checked
        # as a string's and the position of a wrong one unchanged.
        start = command.words[0].start
        mark = f'regexReplaceAllLiteral "$" "{self.names.mark("at")}@{start}@" '
        if len(command.words) > 1:
            message = command.words[1]
            self._insert(message.start, f"({mark}", message.start)
            self._insert(message.end, ")", message.start)
        elif command.piped:
            self._insert(start, f"{mark}| ", start)

    def _insert(self, at: int, text: str, anchor: int) -> None:
        self.edits.append(Edit(at, at, text, anchor))

    def _replace(self, start: int, end: int, text: str, anchor: int) -> None:
        self.edits.append(Edit(start, end, text, anchor))


def _apply(source: str, edits: tuple[Edit, ...]) -> str:
    parts: list[str] = []
    position = 0
    for edit in edits:
        parts += (source[position : edit.start], edit.text)
        position = edit.end
    return "".join((*parts, source[position:]))
