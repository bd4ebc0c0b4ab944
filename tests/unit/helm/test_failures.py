"""A failing template is reported with its position in the user's file; the others are rendered."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kubocd_gen.budget.limits import LIMITS, moved
from kubocd_gen.budget.spending import Budget
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.helm.engine import Helm
from kubocd_gen.helm.process import Run, find_helm
from kubocd_gen.helm.template import Functions, Template, TemplateFailure, Unit
from tests.support.templates import LOOP, units

Render = Callable[..., Any]


@pytest.mark.parametrize(
    ("text", "message", "line", "column"),
    [
        ("{{ .a.b.c }}", "nil pointer evaluating interface {}.b at <.a.b.c>", 1, 6),
        ("é\n é{{ .a.b }}", "nil pointer evaluating interface {}.b at <.a.b>", 2, 8),
        ("{{ len .x }}", "len of nil pointer at <len .x>", 1, 4),
        (
            '{{ imageRedirect "a" $ | upper }}',
            "wrong type for value; expected string; got map[string]interface {} at <upper>",
            1,
            26,
        ),
        (
            '{{ template "b" (imageRedirect (resolveDNS `::1`) $ | imageRedirect) }}',
            'template "b" not defined at <{{template "b" (imageRedirect (resolveDNS `::1`) $ | imageRedirect)}}>',
            1,
            13,
        ),
        (
            '{{ upper (imageRedirect "a" $) }}',
            "wrong type for value; expected string; got map[string]interface {} at <imageRedirect>",
            1,
            11,
        ),
        (
            '{{ define "d" }}\n{{ .a.b }}{{ end }}{{ template "d" . }}',
            "nil pointer evaluating interface {}.b at <.a.b>",
            2,
            6,
        ),
    ],
)
def test_an_execution_error_has_the_message_of_go_and_a_position(
    render: Render, text: str, message: str, line: int, column: int
) -> None:
    error = render(text)
    assert (error.message, error.line, error.column, error.code) == (message, line, column, "template-error")


@pytest.mark.parametrize(
    ("text", "message", "line", "column"),
    [
        ("{{ if }}", "missing value for if", 1, 1),
        ("\n{{ nofunc }}", 'function "nofunc" not defined', 2, 4),
        ("{{ \n x", 'function "x" not defined', 2, 2),
        ("\n{{ 1\n", "unclosed action", 2, 1),
        ("{{/* 1\n", "unclosed comment", 1, 1),
        ("{{ end }}", "unexpected {{end}}", 1, 1),
        ("{{ 0xZ }}", 'malformed number or character "0xZ"', 1, 1),
        ("{{ break }}", "{{break}} outside {{range}}", 1, 1),
        ("{{ define x }}", 'unexpected "x" in define clause', 1, 11),
        ("{{ \uffff }}", "unrecognized character in action U+FFFF", 1, 1),
        ("{{ `\u20ac` }} {{ .a\u20ac }} {{ .b }}", "bad character U+20AC '\u20ac'", 1, 11),
        ("{{ .a }} {{ .b-c }}", "bad character U+002D '-'", 1, 10),
        ('{{ "a"veryLongFunctionName }}', 'unexpected "veryLongFunctionName" in operand', 1, 7),
        ("\n{{ imageRedirect `a` $) }}", "unexpected right paren", 2, 1),
        ("{{ (imageRedirect `a` (print `b` @ }}", 'unexpected "@" in operand', 1, 34),
        ("{{ (resolveDNS `a`).b := 1 }}", 'unexpected ":=" in operand', 1, 1),
        ("{{ imageRedirect `a` $ end }}", "unexpected <end> in operand", 1, 1),
        ("{{ (((readFile `a`", "unclosed action", 1, 1),
        ("{{ (nofunc `a` @ }}", 'function "nofunc" not defined', 1, 5),
        ("{{ 1 }} {{ $x }}\n{{ $x }}", 'undefined variable "$x"', 1, 12),
        ("{{ 1 }} {{ print `}}`\n}} {{ if }}", "missing value for if", 2, None),
        ('{{ .a }} {{ `"` }}: {{ 2 | @ }}', 'unexpected "@" in command', 1, 28),
        ('{{ define "a" }}x{{ end }} {{ define "a" }}y{{ end }}', 'multiple definition of template "a"', 1, None),
        ('{{ "a" @ "\\q" }}', 'unexpected "@" in operand', 1, 8),
    ],
)
def test_a_parse_error_has_a_line_and_if_certain_a_column(
    render: Render, text: str, message: str, line: int, column: int | None
) -> None:
    error = render(text)
    assert error.message == message
    assert (error.line, error.column, error.code) == (line, column, "template-parse")


@pytest.mark.parametrize(
    ("text", "keyword", "line", "column"),
    [
        ("a: 1\nb: {{ if .x }}\nc: 2\n", "if", 2, 4),
        ("{{ range .a }}{{ if .b }}\n{{ else }}{{ end }}\n\n", "range", 1, 1),
        ("{{ if .a }}\n  {{- with .b }}\n", "with", 2, 3),
        ('{{ define "a" }}\n', "define", 1, 1),
    ],
)
def test_an_unclosed_block_is_reported_where_it_begins(
    render: Render, text: str, keyword: str, line: int, column: int
) -> None:
    error = render(text)
    assert (error.message, error.code) == (f"{{{{ {keyword} }}}} has no {{{{ end }}}}", "template-parse")
    assert (error.line, error.column) == (line, column)
    assert render("a: 1\n", header=text).in_header


@pytest.mark.parametrize(
    "text", ["{{ else", "{{ 1\n\n", "{{ (1", "{{ `a\n", '{{ template "a"\n', "{{ if 1 }}{{ end }}{{ end }}\n"]
)
def test_no_error_is_reported_after_the_last_line(render: Render, text: str) -> None:
    assert 1 <= render(text).line <= len(text.splitlines())


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (
            "{{ .Context.a.b }}",
            "set '.Context.a', or allow it to be missing with parentheses: (.Context.a).b",
        ),
        (
            "{{ $x := .Context }}{{ $x.a.b }}",
            "set '$x.a', or allow it to be missing with parentheses: ($x.a).b",
        ),
        ("{{ .a.a.a }}", "set the missing value, or allow it to be missing with parentheses: (.a).b"),
        ('{{ $_ := set .Context "s" "x" }}{{ .Context.s.b }}', "check '.Context.s', which is not a map"),
        ("{{ upper .Context.x }}", 'set the missing value, or give it a default: (default "x" .a.b)'),
        ("{{ .Context.a-b }}", "use (index .x \"a-b\") for a key that contains '-'"),
        ("{{ eq 1 1.0 }}", "compare .x with 8080.0, or (int .x) with 8080: the model's numbers are floats"),
    ],
)
def test_the_hint_uses_the_expressions_of_the_template(render: Render, text: str, hint: str) -> None:
    assert render(text).hint == hint


def test_an_error_in_the_header_is_reported_in_the_header(render: Render) -> None:
    header = "{{/* a */}}\n{{ $x := .a.b }}\n"
    assert render("\n{{ 1 }}", header=header) == TemplateFailure(
        "nil pointer evaluating interface {}.b at <.a.b>",
        2,
        12,
        in_header=True,
        hint="set '.a', or allow it to be missing with parentheses: (.a).b",
    )
    assert render("a: 1", header="{{ if }}").in_header
    assert render(
        "a: 1", header="b\n{{ 1 }}{{ if }}"
    ).in_header  # the failing one of several actions on one line is not reported
    after = render("\n{{ if }}", header="{{/* a */}}\n")
    assert (after.line, after.in_header) == (2, False)
    after = render("x{{ .a.b }}", header="{{ 1 }}")
    assert (after.line, after.column, after.in_header) == (1, 7, False)


def test_errors_of_fail_and_required_have_the_position_of_the_call(render_all: Render) -> None:
    found = render_all(
        '{{ if true }}{{ fail "x: y" }}{{ end }}{{ fail "other" }}',
        '\n  {{ fail (printf "two\\nlines %d" 1) }}',
        '{{ "piped" | fail }}',
        '{{ required "first" 1 }}{{ .x | required "need: it" }}',
        "{{ fail 5 }}",
        "{{ fail }}",
    )
    assert [(error.message, error.line, error.column) for error in found] == [
        ("x: y", 1, 17),
        ("two\nlines 1", 2, 6),
        ("piped", 1, 14),
        ("need: it", 1, 33),
        ("expected string; found 5 at <5>", 1, 9),
        ("wrong number of args for fail: want 1 got 0 at <fail>", 1, 4),
    ]


def test_a_message_cannot_imitate_another(render_all: Render) -> None:
    forged = '{{ fail "kcd@0@ Error: parse error at (kcd/templates/out.yaml:5): kcd-error 1 a." }}'
    good, error, context = render_all("{{ 1 }}", forged, '{{ semver `kcd@9@ no template "kcd-error 1 a."` }}')
    assert good == "1"
    assert error.message == "kcd@0@ Error: parse error at (kcd/templates/out.yaml:5): kcd-error 1 a."
    assert (error.line, error.column) == (1, 4)
    assert (context.line, context.column) == (1, 4)


@pytest.mark.parametrize(
    "text",
    [
        f"{{{{ {'.missing_field' * 20_000} }}}}",
        f"{{{{ upper (list {'list ' * 20_000}) }}}}",
        f"{{{{ fail `{chr(10) * 100_000}` }}}}",
        "{{ template `x` `" + '" at <' * 20_000 + "` }}",
    ],
    ids=["fields", "words", "lines", "quotations"],
)
def test_a_message_has_a_maximum_length(render: Render, text: str) -> None:
    error = render(text)
    assert error.code == "template-error"
    assert len(error.message) <= 4_001
    assert "kcd" not in error.message


def test_a_template_larger_than_a_chart_file_is_refused(render: Render) -> None:
    assert render(f"{{{{ {('x' * 100 + ' ') * 33_000} }}}}").code == "template-too-large"


def test_all_failures_of_a_batch_are_reported_and_the_others_rendered(helm: Helm) -> None:
    bad = {3: "{{ .a.b }}", 4: "{{ if }}", 50: "{{ fail `no` }}", 99: "{{ nofunc }}", 104: "{{ .x.y.z }}"}
    texts = [bad.get(number, f"{{{{ {number} }}}}") for number in range(105)]
    rendered = helm.render(units(texts), Functions())
    assert {number for number, (outcome,) in enumerate(rendered) if isinstance(outcome, TemplateFailure)} == set(bad)
    assert all(rendered[number] == [str(number)] for number in range(105) if number not in bad)


def test_templates_after_a_failure_in_the_same_release_are_rendered(render_release: Render) -> None:
    texts = [
        '{{ $_ := set .Context "a" 1 }}',
        "{{ .b.c }}",
        "{{ .Context.a }}",
        "{{ if }}",
        "{{ .d.e }}",
        "plain",
        "{{ .Context.a }}",
    ]
    found = render_release(texts)
    assert [isinstance(outcome, TemplateFailure) for outcome in found] == [False, True, False, True, True, False, False]
    assert [found[0], found[2], found[5], found[6]] == ["", "1", "plain", "1"]


def test_results_do_not_depend_on_the_number_of_processes() -> None:
    texts = [f"{{{{ {number} }}}}{'{{ .a.b }}' if number % 300 == 7 else ''}" for number in range(900)]
    one, three = (Helm(find_helm(), jobs=jobs).render(units(texts), Functions()) for jobs in (1, 3))
    assert one == three
    assert sum(isinstance(outcome, TemplateFailure) for (outcome,) in one) == 3


@pytest.mark.usefixtures("impatient")
def test_a_template_that_does_not_end_is_stopped_and_named() -> None:
    helm = Helm(find_helm())
    texts = ["{{ 1 }}"] * 20 + [LOOP] + ["{{ .a.b }}", "{{ 2 }}"]
    rendered = [outcome for (outcome,) in helm.render(units(texts), Functions())]
    assert rendered[:20] + rendered[22:] == ["1"] * 20 + ["2"]
    assert isinstance(rendered[20], TemplateFailure)
    assert rendered[20].code == "template-timeout"
    assert isinstance(rendered[21], TemplateFailure)
    assert rendered[21].code == "template-error"


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_an_endless_template_of_several_releases_is_not_rendered_for_all() -> None:
    texts = ["{{ 1 }}", *[LOOP] * 12, "{{ 2 }}"]
    budget = Budget(moved(LIMITS, {"helm-time": 600, "cpu-time": 600}))  # this test is not about time limits
    rendered = [outcome for (outcome,) in Helm(find_helm(), budget=budget).render(units(texts), Functions())]
    assert [rendered[0], rendered[-1]] == ["1", "2"]
    errors = [outcome for outcome in rendered if isinstance(outcome, TemplateFailure)]
    assert len(errors) == 12
    assert {error.code for error in errors} == {"template-timeout"}
    untried = "the template was not rendered: it exceeded a limit in 4 other Releases"
    assert sum(error.message == untried for error in errors) >= 6


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_a_release_with_many_endless_templates_leaves_time_for_others() -> None:
    helm = Helm(find_helm())
    endless = tuple(Template("", f"{LOOP}{{{{/* {number} */}}}}") for number in range(10))
    found, (good,) = helm.render([Unit({}, {}, endless), *units(["{{ 1 }}"])], Functions())
    errors = [outcome for outcome in found if isinstance(outcome, TemplateFailure)]
    assert [error.code for error in errors] == ["template-timeout"] * 10
    untried = "the template was not rendered: 4 templates of its Release exceeded a limit"
    assert [error.message for error in errors].count(untried) == 6
    assert good == "1"
    assert not helm.pool.budget.exhausted


@pytest.mark.usefixtures("impatient")
def test_templates_around_an_endless_one_keep_their_order() -> None:
    texts = ('{{ $_ := set .Context "a" 1 }}', LOOP, "{{ .Context.a }}", "{{ if }}")
    unit = Unit({}, {}, tuple(Template("", text) for text in texts))
    found = Helm(find_helm()).render([unit], Functions())[0]
    assert found[0] == ""
    assert found[2] == "1"
    assert [error.code for error in found if isinstance(error, TemplateFailure)] == [
        "template-timeout",
        "template-parse",
    ]


@pytest.mark.parametrize(
    "text", ["{{ repeat 20000000 `x` }}", "{{ $x := repeat 1000000 `x` }}{{ range until 10000 }}{{ $x }}{{ end }}"]
)
def test_a_template_that_prints_too_much_is_named(render_all: Render, text: str) -> None:
    good, error, more = render_all("{{ 1 }}", text, "{{ 2 }}")
    assert (good, more) == ("1", "2")
    assert error.code == "template-too-large"


def test_endless_recursion_is_an_error(render_all: Render) -> None:
    endless, good = render_all('{{ define "a" }}{{ template "a" }}{{ end }}{{ template "a" }}', "{{ 1 }}")
    assert endless.message == 'exceeded maximum template depth (100000) at <{{template "a"}}>'
    assert good == "1"


def test_a_map_that_contains_itself_is_an_error_before_the_stack_overflows(render_all: Render) -> None:
    endless, good = render_all('{{ $_ := set .Context "self" .Context }}{{ . }}', "{{ 1 }}")
    assert (endless.code, endless.message) == (
        "template-too-large",
        "the output is larger than helm can hold in memory",
    )
    assert good == "1"


def test_deep_nesting_is_accepted(render: Render) -> None:
    assert render("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}") == "1"


def test_helm_does_not_run_for_templates_without_actions(tmp_path: Path) -> None:
    helm = Helm(tmp_path / "none")
    assert helm.render([*units(["a<no value>", ""]), Unit({}, {}, ())], Functions()) == [["a"], [""], []]
    assert helm.render([], Functions()) == []


def test_a_full_disk_is_a_user_error(helm: Helm, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ProblemsError) as caught:
        helm.render(units(["{{ 1 }}"]), Functions())
    assert caught.value.problem.code == "helm-failed"
    assert "No space left on device" in caught.value.problem.message


def test_a_missing_temporary_directory_is_a_user_error(helm: Helm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    with pytest.raises(ProblemsError, match="cannot write helm's input to '/nowhere'") as caught:
        helm.render(units(["{{ 1 }}"]), Functions())
    assert caught.value.problem.code == "helm-failed"


@pytest.mark.parametrize("script", ["exit 1", "echo broken >&2; exit 3", "kill -9 $$", "echo hello"])
def test_a_failing_helm_binary_is_reported_at_once(tmp_path: Path, script: str) -> None:
    binary = tmp_path / "helm"
    binary.write_text(f"#!/bin/sh\n{script}\n")
    binary.chmod(0o755)
    with pytest.raises(ProblemsError) as caught:
        Helm(binary).render(units(["{{ 1 }}"] * 50), Functions())
    assert caught.value.problem.code == "helm-failed"


def test_log_lines_of_helm_are_not_part_of_the_error() -> None:
    log = "2026/01/01 00:00:00 Starlark failed to allocate 4GB address space: cannot allocate memory. Slower.\n"
    crashed = Run(2, b"", f"{log}fatal error: stack overflow\n", None)
    assert (crashed.out_of_memory, crashed.summary) == (False, "fatal error: stack overflow")
    assert Run(2, b"", f"{log}fatal error: runtime: out of memory\n", None).out_of_memory


def test_helm_sees_no_files_or_variables_of_the_user(tmp_path: Path) -> None:
    binary = tmp_path / "helm"
    binary.write_text(f'#!/bin/sh\nenv > {tmp_path}/seen; exec {find_helm()} "$@"\n')
    binary.chmod(0o755)
    Helm(binary).render(units(["{{ 1 }}"]), Functions())
    seen = dict(line.split("=", 1) for line in (tmp_path / "seen").read_text().splitlines())
    assert seen["TZ"] == "UTC"
    assert not [name for name, value in seen.items() if str(Path.home()) in value]
    assert {name for name in seen if name.startswith("HELM_")} <= {
        "HELM_CACHE_HOME",
        "HELM_CONFIG_HOME",
        "HELM_DATA_HOME",
        "HELM_PLUGINS",
    }


def test_scratch_charts_are_removed_unless_debugging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch, debug = tmp_path / "scratch", tmp_path / "debug"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    Helm(find_helm()).render(units(["{{ 1 }}", "{{ if }}"]), Functions())
    assert list(scratch.iterdir()) == []
    Helm(find_helm(), debug_dir=debug).render(units(["{{ 1 }}"]), Functions())
    (chart,) = debug.glob("*/chart")
    done = subprocess.run([find_helm(), "template", str(chart)], capture_output=True, text=True, check=True)
    assert "# MQ==" in done.stdout
