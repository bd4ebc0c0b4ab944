"""Translation of helm's error messages: which rendering failed, why, and at which position in the user's template.

helm 3 prints Go's error chain on one line; helm 3.18 and 4 print most errors on several lines. Both begin with the
position at which the document called the partial, and end with the position at which the partial failed:

    Error: template: kcd/templates/out.yaml:7:5: executing "…" at <include …>: error calling include: template:
    kcd/templates/_p/_1f.tpl:1:14: executing "…" at <.a.b.c>: nil pointer evaluating interface {}.b

`fail` and `required` are reported as `execution error at (kcd/templates/out.yaml:7:5): …` with only their message. A
syntax error is reported as `parse error at (kcd/templates/_p/_1f.tpl:1): …`, cut to the part after its last colon.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, replace
from itertools import takewhile

from kubocd_gen.diagnostics.problems import nearest
from kubocd_gen.helm import functions
from kubocd_gen.helm.chart import RENDERED_SIZE, TOO_LARGE
from kubocd_gen.helm.lexer import Action, Kind, actions, unclosed
from kubocd_gen.helm.names import CHART, Names
from kubocd_gen.helm.process import Run
from kubocd_gen.helm.rewrite import Rewritten
from kubocd_gen.helm.template import Template, TemplateFailure

_PARSE = re.compile(
    rf"Error: parse error (?:at|in) \(({CHART}/templates/_p/_[0-9a-f]+\.tpl)(?::(\d+))?[:\d]*\): (.*)", re.DOTALL
)
_LONG = 4_000  # characters of a message: Go quotes the action, which can be several megabytes
_MODEL = ("Context", "Parameters", "Release")  # the values that templates get
_FAILED = "this message comes from the template: check the parameters and the context that it uses"
_NO_JSON = "remove NaN, infinite numbers and maps that contain themselves: KuboCD would print its error instead"
_MISSING = 'set the missing value, or give it a default: (default "x" .a.b)'
_REFUSAL_HINTS = {
    "no address": "add it to 'hosts' in kcd-gen.yaml, or pass it with --resolve",
    "invalid image name": "include the registry, as in docker.io/library/nginx:1.27",
    "expected a string; found no value": _MISSING,
    "expected the model": "pass $ as the second argument of imageRedirect",
    "semverCompare needs": "use a newer helm, or a prerelease in each constraint, such as '<2.0.0-0'",
    "toJson cannot": _NO_JSON,
    "toToml cannot": "print the parts of the value that TOML has: it has no null",
    "toYaml cannot": _NO_JSON,
}
_UNKNOWN_HOST = re.compile(r"no address is known for the host '(.*)'", re.DOTALL)
_PARSE_HINTS = {
    "bad character U+002D '-'": "use (index .x \"a-b\") for a key that contains '-'",
    "unclosed action": "add the missing '}}', or end the string on its line",
    'unexpected "}" in operand': "close the action with '}}'",
    "unclosed left paren": "add the missing ')'",
    "unterminated quoted string": "add the missing quotation mark, or end the string on its line",
    "unexpected {{end}}": "remove this {{ end }}, or add the missing {{ if }} before it",
    "unclosed comment": "write the comment as {{/* … */}}, without spaces around the slashes",
    "comment ends before closing delimiter": "write the comment as {{/* … */}}, without spaces around the slashes",
}
_TRAILER = "Use --debug flag to render out invalid YAML"
_QUOTED = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_CHARACTER = re.compile(r"(?:bad character|unrecognized character in action:?) U\+([0-9A-F]+)")
_NAMED = (Kind.IDENTIFIER, Kind.VARIABLE, Kind.OTHER)  # tokens that Go's parser refuses by their text


@dataclass(frozen=True, slots=True)
class HelmError:
    """The failure that helm reports: a syntax error on `line` of the chart file `path`, and nothing was rendered.

    If `path` is None, the rendering on `line` of the document failed.
    """

    path: str | None
    line: int
    detail: str


def read_error(run: Run, names: Names) -> HelmError | None:
    """Return the failure that helm's message reports; None if it names no template, such as after a crash."""
    start = run.stderr.find("Error: ")
    if run.stopped is not None or start < 0:
        return None
    message = run.stderr[start:].rstrip().removesuffix(_TRAILER).rstrip()
    if match := _PARSE.match(message):
        return HelmError(match[1], int(match[2] or 1), match[3])
    document = re.escape(f"{CHART}/{names.document}")
    pattern = rf"Error: (?:template: |execution error at \(|){document}:(\d+)(?::\d+)?\)?(.*)"
    match = re.match(pattern, message, re.DOTALL)
    return HelmError(None, int(match[1]), match[2]) if match else None


def failure_of(error: HelmError, rewritten: Rewritten, template: Template) -> TemplateFailure:
    """Return the failure of `template`, which helm reports as `error`."""
    return _render_error(error, rewritten, template) if error.path is None else _parse_error(error, rewritten, template)


def too_large(limit: str, cause: str = "") -> TemplateFailure:
    """Return the failure of a template whose output is larger than `limit`."""
    hint = f"check for a range over a very large number{cause}"
    return TemplateFailure(f"the output is larger than {limit}", hint=hint, code="template-too-large")


TOO_LARGE_TO_STORE = f"{RENDERED_SIZE >> 20} MiB"


def _parse_error(failure: HelmError, rewritten: Rewritten, template: Template) -> TemplateFailure:
    undefined = rewritten.names.undefined
    message = failure.detail.replace(rewritten.path, "").replace(undefined, "")
    if (cut := f'"{undefined[:10]}"...') in message:
        message = message.replace(cut, f'"{_undefined_on(failure.line, rewritten)}"')
    hint = None
    if re.match(r"[\"'0-9+.]", message):
        message = f"malformed number or character {message}"  # helm cut this part off Go's message
    elif message.startswith("U+"):
        message = f"unrecognized character in action {message}"
    elif match := re.fullmatch(r'function "(.*)" not defined', message):
        hint = nearest("did you mean '{}'?", match[1], functions.KNOWN - functions.UNSUPPORTED.keys())
    hint = hint or next((advice for words, advice in _PARSE_HINTS.items() if words in message), None)
    # A missing `end` is reported at the action that needs it: Go's position can be after the last line.
    if message == "unexpected EOF" and (opened := unclosed(rewritten.source)) is not None:
        message = f"{{{{ {opened.keyword} }}}} has no {{{{ end }}}}"
        hint = f"add the missing {{{{ end }}}} after the content of {{{{ {opened.keyword} }}}}"
        return error_at(template, opened.start, message, hint, code="template-parse")
    started = re.search(r" started at :(\d+)$", message)
    if started:
        message = message[: started.start()]
    line = int(started[1]) if started else failure.line
    offset = _stopped_at(rewritten.source, line, message)
    if offset is not None:
        return error_at(template, offset, message, hint, code="template-parse")
    line, in_header = _line_of(template, line)
    return TemplateFailure(message, line, None, in_header, hint, code="template-parse")


def _render_error(failure: HelmError, rewritten: Rewritten, template: Template) -> TemplateFailure:
    if TOO_LARGE in failure.detail:
        return too_large(TOO_LARGE_TO_STORE)
    names = rewritten.names
    if marked := re.search(rf"(?:^:\s*|HELM_ERR_START){names.mark('at')}@(\d+)@", failure.detail):
        # Before 3.17, helm did not remove a multi-line message from the chain.
        message = failure.detail[marked.end() :].removesuffix("HELM_ERR_END").strip()
        return error_at(template, int(marked[1]), message, _FAILED)
    inner = re.search(rf"{re.escape(rewritten.path)}:(\d+):(\d+):?\s+(.*)", failure.detail, re.DOTALL)
    if inner is None:
        return TemplateFailure(_sentence(failure.detail))
    offset = _offset_of(rewritten, int(inner[1]), int(inner[2]))
    if refused := functions.refusal(names).search(inner[3]):
        argument = int(refused[1])
        if argument:
            arguments = rewritten.arguments.get(offset, ())
            offset = arguments[argument - 1] if argument <= len(arguments) else offset
        message = base64.b64decode(refused[2]).decode("utf-8", "replace")
        hint = next((advice for words, advice in _REFUSAL_HINTS.items() if message.startswith(words)), None)
        if unknown := _UNKNOWN_HOST.fullmatch(message):
            return replace(error_at(template, offset, message, hint, code="unknown-host"), host=unknown[1])
        return error_at(template, offset, message, hint)
    if unsupported := functions.unsupported_call(names).search(inner[3]):
        name = unsupported[1]
        message = f"the function '{name}' is not supported"
        return error_at(template, offset, message, functions.UNSUPPORTED.get(name), code="unsupported-function")
    cause = re.match(r'(?>executing ".*?" at <)(.*?)>:\s+(.*)', inner[3], re.DOTALL)
    if cause is None:
        return error_at(template, offset, _sentence(inner[3]))
    text = re.sub(r"^error calling \w+:\s+", "", cause[2])
    if nested := re.search(rf'executing "{re.escape(names.partial(""))}\w+" at <.*?>:\s+(.*)', text, re.DOTALL):
        text = re.sub(r"^error calling \w+:\s+", "", nested[1])  # the function that the partial replaces
    message = _restored(f"{text} at <{cause[1]}>", names)
    return error_at(template, offset, message, _hint(text, cause[1]))


def presentable(error: TemplateFailure, names: Names) -> TemplateFailure:
    """Return `error` without kcd-gen's internal names in its message, cut to a readable length."""
    message = names.hidden(error.message)
    return replace(error, message=message if len(message) <= _LONG else f"{message[:_LONG]}…")


def unsupported_calls(rewritten: Rewritten, template: Template) -> list[TemplateFailure]:
    """Return an error for each call of an unsupported function, whether or not a rendering reaches it."""
    call_of = functions.unsupported_call(rewritten.names)
    calls = ((edit, call_of.search(edit.text)) for edit in rewritten.edits)
    return [
        error_at(
            template,
            edit.anchor,
            f"the function '{call[1]}' is not supported",
            functions.UNSUPPORTED[call[1]],
            code="unsupported-function",
        )
        for edit, call in calls
        if call is not None
    ]


def _undefined_on(line: int, rewritten: Rewritten) -> str:
    """Return the first undefined function on or after a line."""
    start, _ = _span(rewritten.source, line)
    for edit in rewritten.edits:
        if edit.text == rewritten.names.undefined and edit.start >= start:
            return rewritten.source[edit.start :].split(maxsplit=1)[0]
    return ""


def _hint(cause: str, expression: str) -> str | None:
    """Return the hint for a failure that Go reports as `cause` at `expression`; None if there is none."""
    if nil := re.fullmatch(r"nil pointer evaluating interface \{\}\.(\w+)", cause):
        above = _parent(expression, nil[1])
        if above is None:
            return "set the missing value, or allow it to be missing with parentheses: (.a).b"
        root = re.fullmatch(r"\.(\w+)", above)
        if root and root[1] not in _MODEL and (hint := nearest("did you mean '.{}'?", root[1], _MODEL)):
            return hint
        return f"set '{above}', or allow it to be missing with parentheses: ({above}).{nil[1]}"
    if field := re.fullmatch(r"can't evaluate field (\w+) in type interface \{\}", cause):
        above = _parent(expression, field[1])
        return (
            f"check '{above}', which is not a map" if above else "check the value before the field, which is not a map"
        )
    if re.fullmatch(r"range can't iterate over -?\d+", cause):
        return "use helm 3.18 or later, or 'range until (int …)', which works with every helm"
    if cause.startswith("incompatible types for comparison"):
        return "compare .x with 8080.0, or (int .x) with 8080: the model's numbers are floats"
    if re.fullmatch(r'template ".*" not defined', cause):
        return "define it in the template itself or in the package's templateHeader"
    if cause.endswith("; got interface {}") or cause.startswith("invalid value; expected"):
        return _MISSING
    return None


def _parent(expression: str, field: str) -> str | None:
    """Return the part before `field` in a chain such as `.a.b.c`; None if it is not certain."""
    if not re.fullmatch(r"\$?\w*(?:\.\w+)+", expression):
        return None
    parts = expression.split(".")
    above = ".".join(parts[: parts.index(field, 1)]) if parts[1:].count(field) == 1 else ""
    return above or None


def _restored(message: str, names: Names) -> str:
    """Return `message` with the user's functions instead of the calls that they were rewritten to."""
    message = names.hidden(message)[:_LONG]
    names = Names("")  # names without the nonce, as they are in the message now
    holder, mark, partial = re.escape(names.holder), rf'"{names.mark("at")}@\d+@"', rf'"{names.partial("")}(\w+)"'
    message = re.sub(rf'\(?regexReplaceAllLiteral "\$" {mark}(?: \|)? ?', "", message)
    answer = rf' \| (?:set {holder} "a" \| )?include {partial}(?: \| (?:get {holder}|int64|int|eq "true"))?'
    changed = 1
    while changed:  # inner calls first
        message, changed = re.subn(rf"\blist((?:(?!\blist\b).)*?){answer}", r"\2\1", message, flags=re.DOTALL)
    # Go points at the last argument that it evaluated, which can be an inserted one.
    message = re.sub(rf" at <{mark}>", " at <fail>", message)
    inserted = rf" at <(?:(?:include )?{partial}|{holder})>"
    return re.sub(inserted, lambda match: f" at <{match[1] or 'imageRedirect'}>", message)


def _sentence(message: str) -> str:
    return " ".join(message.strip(" :\n").split())


def error_at(
    template: Template, offset: int, message: str, hint: str | None = None, code: str = "template-error"
) -> TemplateFailure:
    """Return an error at an offset in the template's source, with the line and column in its text or header."""
    in_header = offset < len(template.header)
    text = template.header if in_header else template.text
    offset -= 0 if in_header else len(template.header)
    line, column = text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)
    return TemplateFailure(message, line, column, in_header, hint, code)


def _span(text: str, line: int) -> tuple[int, int]:
    """Return the offsets of the start and the end of a line, counted from 1."""
    start = sum(len(one) + 1 for one in text.split("\n")[: line - 1])
    end = text.find("\n", start)
    return start, end if end >= 0 else len(text)


def _offset_of(rewritten: Rewritten, line: int, column: int) -> int:
    """Return the offset in the source, in characters, for Go's line (from 1) and column (in bytes, from 0)."""
    start, end = _span(rewritten.text, line)
    before = rewritten.text[start:end].encode()[:column].decode("utf-8", "ignore")
    return rewritten.source_offset(start + len(before))


def _line_of(template: Template, line: int) -> tuple[int, bool]:
    """Convert a line of the source to a line of the text or of the header, and return whether it is in the header.

    The last line of the header can be the first of the text; it then counts as the header's if only that has an action.
    """
    above = template.header.count("\n")
    header_end = template.header.rpartition("\n")[2]
    shared_by_header = "{{" in header_end and "{{" not in template.text.partition("\n")[0]
    if line <= above or (line == above + 1 and shared_by_header):
        return line, True
    lines = template.text.count("\n") + (not template.text.endswith("\n"))
    return min(line - above, max(lines, 1)), False


def _stopped_at(source: str, line: int, message: str) -> int | None:
    """Return the offset at which Go's parser stopped, given the line that it reports; None if that is not certain.

    It is the first token that the message names, the action with the lexical error, or the only action on the line.
    """
    start, end = _span(source, line)
    begun = takewhile(lambda action: action.start < end, actions(source))
    here = [action for action in begun if action.end > start]
    if quoted := _QUOTED.search(message):
        word = re.sub(r"\\(.)", r"\1", quoted[0][1:-1])
        for action in here:
            for token in action.tokens:
                if token.kind in _NAMED and token.text == word:
                    return token.start
    if character := _CHARACTER.match(message):
        refused = chr(int(character[1], 16))
        here = [action for action in here if action.broken or _holds(action, refused)][:1]
    if here and (here[-1].broken or len(here) == 1):
        return here[-1].start
    return None


def _holds(action: Action, character: str) -> bool:
    """Return whether `character` is part of a name in the action, where Go can refuse it."""
    return any(character in token.text for token in action.tokens if token.kind in (*_NAMED, Kind.FIELD))
