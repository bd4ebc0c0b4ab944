"""Hostile templates: odd characters and tokens, followed by an attack on other Releases."""

from __future__ import annotations

import random
import sys
import unicodedata
from collections.abc import Sequence

from kubocd_gen.helm.template import Functions
from kubocd_gen.model.resources import ImageRedirect

FUNCTIONS = Functions(
    image_redirects=(
        ImageRedirect("docker.io/", "mirror.local:5000/hub/", "Always", ("s1", "s2")),
        ImageRedirect("quay.io/", "", "", None),
    ),
    hosts={
        "a.example.com": "10.0.0.1",
        ".w.example.com": "10.0.0.2",
        ".example.com": "10.0.0.3",
        "V6.Example.Org": "fd00::1",
    },
)


# Letters and digits in every Go version; in Python 3.11, which has Unicode 14, the first ones are not even assigned.
_LETTERS = (
    "\U00011f04\U00011f50\U0001df25\U0001e4f0\U000323af" * 3 + "é\u0661\uff11\U0001d7ce\u00aa\u01c5\u02b0\u02c6ßaxZ_1"
)
# Letters in one table and not in the other: newer than Unicode 15, not assigned, private, marks, letter-like numbers,
# connectors, modifiers, spaces, format characters, surrogates.
_ODD = (
    "\U00010d40\U00016d40\U0001e5f1\u1c89\ua7cb\ua7dc\U0003ffff\U000e0080\u0378\U0010ffff\ufffe\ufdd0\U000f0000\ue000"
    "\u2167\u16ee\u0301\u0903\u02c2\u203f\u2040\uff3f\u00b2\u2460\x80\x85\xa0\xad\u1680\u2003\u2028\u2029\u200b\u200d"
    "\u202e\u3000\ufeff\ufffd\ud800\udfff"
)
_ASCII = "\0\x01\v\f\x1b\x7f\t\n\r !\"#$%&'()*+,-./:;<=>?@[]^_`{|}~\\09azAZ"

# Each has a usually well-formed and a usually malformed variant.
_OPENINGS = (["{{ ", "{{", "{{- ", "{{-\n", "{{-\t", "{{-\r"], ["{{-", "{{-\xa0", "{{-\v", "{{ {{ ", "{ {"])
_CLOSINGS = ([" }}", "}}", " -}}", "\n-}}", "\t-}}", "  -}}"], ["-}}", "\xa0-}}", " - }}", " } }", " }}}", ""])
_SPACES = ([" ", "  ", "\t", "\n", "\r\n"], ["", "\x85", "\xa0", "\u2028", "\v", "\f", "\0"])
_COMMENTS = (
    ["{{/* c */}}", "{{- /* } */ -}}", '{{/*\n`"*/}}', "{{/* {{ */}}", "{{- /**/}}"],
    ["{{/**/ }}", "{{ /* a */}}", "{{-/* a */}}", "{{/*/}}", "{{/* a"],
)
_ESCAPES = (
    [r"\x61", r"\u0061", r"\141", r"\n", r"\"", r"\\", r"\U00011f04", r"\xff"],
    [r"\q", r"\'", r"\ud800", r"\x6"],
)
_PARENTHESES = ([")", " )", ").a"], ["", "))", ":", ")x", ")'"])
_GO_NUMBERS = "1 -3 +4 1_000 0x1F 0X_1p-2 0b101 0o17 0O7 0B1 017 1.5E-3 .5e1 5. 1i 1+2i 1-2i 0x1.8p1i 1e3"
_INVALID_NUMBERS = "0b12 0o8 089 1e+ 0x1p 1..2 1-2 1+2 +i - + 0x 1.2.3 1e3e4 1_ _1 1__0 12a 0xfg 1\u0661 1.5f"
_NUMBERS = (_GO_NUMBERS.split(), _INVALID_NUMBERS.split())
_CHARACTERS = (
    ["'a'", r"'\''", r"'\\'", r"'\x61'", "'\"'", "'\u2028'", r"'\u00e9'", "'}'"],
    ["'ab'", "''", "'\n'", "'}}'", "'"],
)
_HARMLESS = "list print printf toYaml default and imageRedirect dict toString kindOf"
_REFUSED = "tpl include lookup readFile env expandenv getHostByName toYamlPretty nope set fail upper index resolveDNS"
_FUNCTIONS = (_HARMLESS.split(), _REFUSED.split())
_KEYWORDS = "if else end range with define block template break continue nil true false"
_STRINGS = ["a: ", "\n", "  \n", "é", "}}", "{", "*/", '"', "`", "# set\n", "\r\n", "\x00", "\u2028", "/*", "'", "\t "]
_DEFINED = ['"shared"', "`shared`", r'"sh\x61red"', r'"sh\u0061red"', r'"sh\141red"', "`sha\rred`", '""', '"kcd"']
_DEFINED += ['"kcd/error"', '"kcd/templates/out.yaml"', '"kcd/templates/_library.tpl"', '"kcd/imageRedirect"']
# Each changes another Release, or reveals something of it, in a chart without isolation.
_ATTACKS = [
    '{{ $_ := set .Context "domain" "evil.example.org" }}',
    '{{ $_ := unset .Context "tree" }}',
    '{{ $_ := set (index .Context "tree") "leaf" "evil" }}',
    '{{ range $k, $v := .Context }}{{ if kindIs "map" $v }}{{ $_ := set $v "leaf" "evil" }}{{ end }}{{ end }}',
    '{{ with .Context.tree }}{{ $_ := mergeOverwrite . (dict "leaf" "evil") }}{{ end }}',
    '{{ $_ := merge (dict) .Context (dict "tree" (dict "new" "evil")) }}',
    '{{ $_ := set (first .Context.list) "leaf" "evil" }}',
    '{{ $_ := .ImageRedirector.Scan "9.9.9" }}{{ .ImageRedirector }}',
    "{{ define NAME }}evil{{ end }}",
    "{{ block NAME . }}evil{{ end }}",
    "{{ template NAME . }}",
    '{{ tpl "{{ define NAME }}evil{{ end }}" . }}',
    "{{ include NAME . }}",
    "{{ .Files }}{{ .Template }}{{ .Values }}{{ $.Chart }}{{ .Capabilities }}{{ .Subcharts }}",
    '{{ lookup "v1" "Secret" "" "" }}{{ getHostByName "a.example.com" }}',
    '{{ env "HOME" }}{{ expandenv "$HOME" }}',
    '{{ $kcd := dict "a" 1 }}{{ $kcd.a }}{{ (imageRedirect "docker.io/a" $).url }}',
    "{{ $context }}{{ $models }}{{ $model }}",
    '{{ fail "kcd@0@ x" }}',
    '{{ semver "kcd-error 1 YQ==." }}',
    '{{ call "kcd-unsupported tpl" }}',
]


class Hostile:
    """Generates templates, the same ones for the same `seed`. `faults` is how often a detail is one that Go rejects."""

    def __init__(self, seed: int, faults: float = 0.04) -> None:
        self._chance = random.Random(seed)  # noqa: S311 (no secret: a failure must be seen again)
        self._faults = faults

    def text(self) -> str:
        """Return a template: a few parts, often with an attack at the end, sometimes mutated."""
        parts = [self._part() for _ in range(self._chance.randrange(4))]
        if self._likely(0.6):
            parts.append(self._attack())
        text = "".join(parts)
        while self._likely(self._faults * 3):
            text = self._mutated(text)
        return text

    def character(self) -> str:
        """Return any character at all, odd ones more often."""
        if self._likely(0.7):
            return self._chance.choice(_ODD + _LETTERS)
        while unicodedata.category(character := chr(self._chance.randrange(sys.maxunicode + 1))) == "Co":
            pass  # private characters, which outnumber all others
        return character

    def _likely(self, share: float) -> bool:
        return self._chance.random() < share

    def _one(self, choices: tuple[Sequence[str], Sequence[str]]) -> str:
        return self._chance.choice(choices[self._likely(self._faults)])

    def _name(self) -> str:
        letters = [self.character() if self._likely(self._faults) else self._chance.choice(_LETTERS) for _ in range(3)]
        name = "".join(letters[: self._chance.randrange(1, 4)])
        return name if self._likely(self._faults) else name.lstrip("1")

    def _part(self) -> str:
        kind = self._chance.random()
        if kind < 0.2:
            return self._chance.choice(_STRINGS)
        if kind < 0.3:
            return self._one(_COMMENTS)
        if kind < 0.4:
            name = f"${self._name()}"
            return f"{{{{ {name} := {self._value()} }}}}{{{{ {name} }}}}"
        if kind < 0.5:
            return f"{{{{ if {self._value()} }}}}{self._part()}{{{{ else }}}}{self._part()}{{{{ end }}}}"
        return self._one(_OPENINGS) + self._pipeline() + self._one(_CLOSINGS)

    def _pipeline(self) -> str:
        commands = [self._value() if self._likely(0.4) else self._call()]
        commands += [self._call() for _ in range(self._chance.choice((0, 0, 0, 1, 2)))]
        space = self._one(_SPACES)
        return f"{space}|{space}".join(commands if not self._likely(self._faults) else [*commands, self._noise()])

    def _call(self) -> str:
        words = [self._one(_FUNCTIONS), *(self._value() for _ in range(self._chance.randrange(4)))]
        return self._one(_SPACES).join(words)

    def _value(self) -> str:
        kind = self._chance.random()
        if kind < 0.35:
            return self._string()
        if kind < 0.5:
            return self._one(_NUMBERS)
        if kind < 0.6:
            return self._one(_CHARACTERS)
        if kind < 0.7:
            return self._chance.choice((".", "$", ".Context", "$.Context.domain", "true", f".{self._name()}", ".a1"))
        if kind < 0.95:
            return f"({self._pipeline()}{self._one(_PARENTHESES)}"
        return f"(dict `a` 1).a{self._name()}" if self._likely(0.5) else f"{self._one(_FUNCTIONS)}"

    def _string(self) -> str:
        pieces = [
            self._one(_ESCAPES) if self._likely(0.4) else self._chance.choice(("{{", "}}", "/*", " ", self.character()))
            for _ in range(self._chance.randrange(4))
        ]
        inside = "".join(pieces)
        if self._likely(self._faults):
            return self._chance.choice((f'"{inside}\n"', f'"{inside}\\\n"', f'"{inside}', f"`{inside}", f'{inside}"'))
        return self._chance.choice((f'"{inside}"', f"`{inside}`", f"`{inside}\r`", f"`{inside}\n`"))

    def _noise(self) -> str:
        noises: list[str] = [":=", "=", ",", ":", ")", "(", *_KEYWORDS.split(), *_ASCII, self.character()]
        return self._chance.choice(noises)

    def _attack(self) -> str:
        attack = self._chance.choice(_ATTACKS).replace("NAME", self._chance.choice(_DEFINED))
        if self._likely(0.2):
            return f"{{{{ if true }}}}{attack}{{{{ end }}}}"
        return attack

    def _mutated(self, text: str) -> str:
        at = self._chance.randrange(len(text) + 1)
        kind = self._chance.random()
        if kind < 0.5:
            return text[:at] + (self.character() if self._likely(0.5) else self._chance.choice(_ASCII)) + text[at:]
        if kind < 0.8:
            return text[:at] + text[at + 1 :]
        other = self._chance.randrange(len(text) + 1)
        return text[: max(at, other)] + text[min(at, other) :]
