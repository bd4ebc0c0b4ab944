"""Functions that are replaced by partials: the same as in helm, except for what KuboCD's libraries do differently."""

from __future__ import annotations

import base64
import itertools
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kubocd_gen.helm.partials import REPLACED
from kubocd_gen.helm.process import find_helm
from kubocd_gen.helm.template import TemplateFailure

Render = Callable[..., Any]

# Values of all types. Decimal strings are left out: KuboCD reads them differently.
VALUES = (
    *("0", "7", "-3", "2.7", "-1e3", "true", ".none", "(list 1)", "(dict)", "(int64 5)", "9223372036854775807"),
    *('"12"', '"-3"', '"+4"', '""', '" 1"', '"1 "', '"0x10"', '"0b11"', '"010"', '"1_000"', '"1e3"', '"x"', '"5.00"'),
    *('"-"', '"."', '"1.2.3"', '"1.x"', '"0x1.8"', '"9223372036854775808"', '"1\\n.5"', '"\\u0661.\\u0665"'),
)
ONE = ("add1", "int", "int64")
TWO = ("sub", "div", "mod")
MANY = ("add", "mul", "max", "min", "biggest")
PRINTED = (
    *(
        ".none",
        "1",
        '"x"',
        '"<é>"',
        "(list)",
        "(dict)",
        '(dict "b" 1.5 "a" (list "\\t" ""))',
        "(semver `1.2.3`)",
        '"a: b"',
    ),
    *('(dict "n" 12345678.0 "t" "true")', "(until 3)", '"x\\n"', '"x\\ny"'),
)


def plain(texts: list[str], directory: Path) -> list[str]:
    """Return what helm prints for each text, in a chart of its own; a failure is the empty string."""
    (directory / "templates").mkdir()
    (directory / "Chart.yaml").write_text("apiVersion: v2\nname: plain\nversion: 0.0.0\n")
    lines = [f'{{{{ define "t{number}" }}}}{text}{{{{ end }}}}' for number, text in enumerate(texts)]
    lines += [f'# {{{{ include "t{number}" . | b64enc }}}}' for number in range(len(texts))]
    (directory / "templates" / "all.yaml").write_text("\n".join(lines))
    command = [str(find_helm()), "template", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed = [line[2:] for line in done.stdout.split("\n") if line.startswith("# ") and "Source:" not in line]
    return [base64.b64decode(one).decode() for one in printed] if len(printed) == len(texts) else []


def calls() -> list[str]:
    texts = [f"{{{{ {name} {value} }}}} {{{{ {value} | {name} | typeOf }}}}" for name in ONE for value in VALUES]
    pairs = [(a, b) for a, b in itertools.product(VALUES, ("3", "-2.5", '"4"', "true"))]
    texts += [f"{{{{ {name} {a} {b} }}}} {{{{ {name} {a} {b} | typeOf }}}}" for name in (*TWO, *MANY) for a, b in pairs]
    texts += [f"{{{{ {name} {a} 2 {a} }}}}" for name in MANY for a in VALUES]
    texts += [
        f"{{{{ {name} {value} }}}}"
        for name in ("toYaml", "toJson", "toToml")
        for value in PRINTED
        if not (name == "toToml" and value == ".none")
    ]
    texts += [f"{{{{ slice (list 1 2) {one} }}}} {{{{ 2 | slice (list 1 2) {one} }}}}" for one in ("0", '"0"', "true")]
    constraints = ("!=1.2.3", ">=1.2", "~1.2.0", "^1", "1.2 - 2", "<2 || >3", "*", "!=1.x", ">1, !=2.0.1")
    versions = ("1.2.3", "v2", "1.2.3+meta", "3.0.0")
    texts += [
        f'{{{{ semverCompare (print "{c}") "{v}" | typeOf }}}} {{{{ "{v}" | semverCompare "{c}" }}}}'
        for c in constraints
        for v in versions
    ]
    return texts


def test_calls_print_the_same_as_in_helm(render_all: Render, tmp_path: Path) -> None:
    texts = calls()
    assert {name for name in REPLACED if not any(name in text for text in texts)} == set()
    found = dict(zip(texts, render_all(*texts), strict=True))
    expected = dict(zip(texts, plain(texts, tmp_path), strict=True))
    assert {text: (found[text], expected[text]) for text in texts if found[text] != expected[text]} == {}


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        (
            '{{ int "1.9" }} {{ int64 "5." }} {{ int ".5" }} {{ int "-.5" }} {{ int "-1.9" }} {{ int "010.5" }}',
            "1 5 0 0 -1 8",
        ),
        ('{{ add 1 "1.9" }} {{ add1 "1.9" }} {{ sub "5.5" 1 }} {{ mul 2 "-3.7" }}', "2 2 4 -6"),
        (
            '{{ div "7.9" 2 }} {{ mod "7.9" 4 }} {{ max "1.9" 0 "3.2" }} {{ min "1.9" 4 }} {{ biggest 1 "7.7" }}',
            "3 3 3 1 7",
        ),
        (
            '{{ slice (list 1 2 3) "1.9" }} {{ mustSlice (list 1 2 3) 0 "1.9" }} {{ "1.9" | slice (list 1 2) 0 }}',
            "[2 3] [1] [1]",
        ),
        ("{{ slice (list 1 2 3) (int .Parameters.half) .Parameters.two }} {{ list 1 | slice }}", "[2] [1]"),
        ("{{ add .Parameters.half 1 }} {{ .Parameters.half | int | typeOf }} {{ add }}", "2 int 0"),
    ],
)
def test_a_decimal_string_is_read_by_its_integer_part(render: Render, text: str, printed: str) -> None:
    assert render(text, parameters={"half": "1.5", "two": 2.9}) == printed


@pytest.mark.parametrize(
    ("constraint", "version", "matches"),
    [
        ("!=1.2.3", "1.2.3-rc.1", "false"),
        ("!=1.2.3", "2.0.0-alpha", "false"),
        ("!=1.2.3-rc.1", "2.0.0-alpha", "true"),
        ("!=1.2.3-rc.1", "1.2.3-rc.1", "false"),
        ("!=1.2.3 || >=1.0.0-0", "2.0.0-alpha", "true"),
        (">=1.0.0-0 <2.0.0 || 1.5.0-a", "1.5.0-a", "true"),
        (">=1.0.0-0, !=1.5.0-a", "1.5.0-a", "false"),
        (">=1.0-0", "1.5.0-a+b", "true"),
        ("=1.5.0+a-b", "1.5.0-a", "false"),
    ],
)
def test_a_prerelease_matches_only_constraints_with_a_prerelease(
    render: Render, constraint: str, version: str, matches: str
) -> None:
    assert render(f'{{{{ semverCompare "{constraint}" "{version}" }}}}') == matches
    assert (
        render(f'{{{{ if "{version}" | semverCompare (print "{constraint}") }}}}true{{{{ else }}}}false{{{{ end }}}}')
        == matches
    )


def test_a_range_over_an_int_works_with_every_helm(render_all: Render) -> None:
    texts = {
        "{{ range 3 }}{{ . }}{{ end }}": "012",
        "{{ range $i := 2 }}{{ $i }}{{ typeOf $i }}{{ end }}": "0int1int",
        '{{ range len "ab" }}{{ . }}{{ else }}none{{ end }}': "01",
        '{{ range (int "2.9") }}{{ . }}{{ end }}': "01",
        "{{ range 0 }}x{{ else }}none{{ end }}": "none",
        "{{ range int -3 }}x{{ else }}none{{ end }}": "none",
        "{{ range 3 }}{{ if eq . 1 }}{{ break }}{{ end }}{{ . }}{{ end }}": "0",
        "{{ range list 3 }}{{ . }}{{ end }}{{ range .none }}x{{ end }}": "3",
    }
    assert render_all(*texts) == list(texts.values())


@pytest.mark.parametrize("value", ["It\x7fs", "It\x92s", "\ufffe", "\uffff"])
def test_to_yaml_prints_the_error_and_the_value_if_it_fails(render_all: Render, value: str) -> None:
    found = render_all(
        "{{ toYaml .Context }}", "{{ .Context.a | toYaml }}", "{{ toYaml (list .Context.a) }}", context={"a": value}
    )
    shown = (
        value.replace("\x7f", "\\x7f")
        .replace("\x92", "\\u0092")
        .replace("\ufffe", "\\ufffe")
        .replace("\uffff", "\\uffff")
    )
    error = "!!!!!! ERROR: yaml: control characters are not allowed on "
    assert found == [
        f'{error}map[string]interface {{}}{{"a":"{shown}"}}',
        f'{error}"{shown}"',
        f'{error}[]interface {{}}{{"{shown}"}}',
    ]


@pytest.mark.parametrize(
    "text",
    [
        '{{ toJson (float64 "NaN") }}',
        '{{ dict "a" (float64 "Inf") | toYaml }}',
        '{{ dict "a" (list 1 nil) | toToml }}',
        '{{ $a := dict }}{{ $_ := set $a "a" $a }}{{ toJson $a }}',
        '{{ $a := dict }}{{ $_ := set $a "a" $a }}{{ toYaml $a | quote }}',
    ],
)
def test_a_value_that_cannot_be_printed_is_an_error(render: Render, text: str) -> None:
    found = render(text)
    assert isinstance(found, TemplateFailure)
    assert "cannot print the value" in found.message
    assert (found.code, found.line) == ("template-error", 1)
    assert text[: (found.column or 0) - 1].count("to") == 0
    assert found.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ toYaml }}", "wrong number of args for toYaml: want 1 got 0"),
        ("{{ 1 | toJson 2 }}", "wrong number of args for toJson: want 1 got 2"),
        ("{{ int64 .a .b }}", "wrong number of args for int64: want 1 got 2"),
        ("{{ max }}", "wrong number of args for max: want at least 1 got 0 at <max>"),
        ("{{ sub .a }}", "wrong number of args for sub: want 2 got 1"),
        ("{{ div .a .b }}", "runtime error: integer divide by zero"),
        ("{{ mod .a .b }}", "runtime error: integer divide by zero"),
        ('{{ semverCompare (print "a") "1.2.3" }}', "improper constraint: a at <semverCompare>"),
        ('{{ semverCompare "!=1.2.3" .a }}', "invalid value; expected string at <semverCompare>"),
        ('{{ semverCompare "!=1.2.3" }}', "wrong number of args for semverCompare: want 2 got 1"),
        ("{{ range add 1 2 }}{{ end }}", "range can't iterate over 3 at <2>"),
        ("{{ add .a.b.c 1 | int }}", "nil pointer evaluating interface {}.b at <.a.b.c>"),
        ('{{ toYaml (fail "no") }}', "no"),
    ],
)
def test_a_failing_call_has_the_message_and_position_of_the_original(render: Render, text: str, message: str) -> None:
    found = render(text)
    assert isinstance(found, TemplateFailure)
    assert found.message == message
    assert (found.line, found.code) == (1, "template-error")


def test_a_constraint_with_a_prerelease_in_some_parts_is_an_error_with_an_older_helm(render: Render) -> None:
    found = render('{{ semverCompare ">=1.0.0-0 <2.0.0" "1.5.0-alpha" }}')
    if isinstance(found, TemplateFailure):
        assert "semverCompare needs helm 3.19" in found.message
    else:
        assert found == "true"
