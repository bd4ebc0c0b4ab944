"""A template that the lexer can't read to the end is never rendered and always an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.helm.chart import Job, rendering_chart
from kubocd_gen.helm.engine import Helm
from kubocd_gen.helm.names import Names
from kubocd_gen.helm.process import find_helm
from kubocd_gen.helm.rewrite import rewrite
from kubocd_gen.helm.template import Functions, Template, TemplateFailure, Unit
from tests.support.templates import units

UNREADABLE = [
    "{{ 1x }}",
    '{{ .a"b" }}',
    "{{/* a",
    "{{ (1 }}",
    "{{ $x\0 }}",
    "{{ define x }}{{ end }}",
    "{{ if define `a` }}",
]


@pytest.fixture
def charts(tmp_path: Path) -> tuple[Helm, Path]:
    """Return a helm that keeps its charts, and their directory."""
    return Helm(find_helm(), debug_dir=tmp_path), tmp_path


@pytest.mark.parametrize("text", UNREADABLE)
def test_an_unreadable_template_is_checked_in_a_separate_chart_and_not_rendered(
    charts: tuple[Helm, Path], text: str
) -> None:
    helm, directory = charts
    outcomes = [one for (one,) in helm.render(units(["{{ 1 }}", text, "{{ 2 }}", text]), Functions())]
    assert (outcomes[0], outcomes[2]) == ("1", "2")
    assert isinstance(outcomes[1], TemplateFailure)
    assert (outcomes[1], outcomes[1].code) == (outcomes[3], "template-parse")
    alone, shared = sorted(
        (sorted(directory.glob(f"{one.name}/chart/templates/**/*.*")) for one in directory.iterdir()), key=len
    )
    assert [path.parent.name for path in alone] == ["_p"]  # no file that renders it
    assert alone[0].name not in {path.name for path in shared}


def test_readable_templates_need_no_additional_run(charts: tuple[Helm, Path]) -> None:
    helm, directory = charts
    helm.render(units([f"{{{{ {number} }}}}" for number in range(50)]), Functions())
    assert len(list(directory.iterdir())) == 1


def test_an_unreadable_template_that_helm_accepts_is_an_error(tmp_path: Path) -> None:
    binary = tmp_path / "helm"
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    text = Template("{{ 1 }}\n", "a\n {{ 1x }} more")
    expected = TemplateFailure(
        "kcd-gen cannot parse '{{ 1', but helm accepts it",
        2,
        2,
        hint="use only ASCII characters outside of strings, and report this as a bug of kcd-gen",
        code="unreadable-template",
    )
    helm = Helm(binary)
    rendered = helm.render([Unit({}, {}, (text,))], Functions())
    assert rendered == [[expected]]
    assert helm.check([text]) == [[expected]]


@pytest.mark.parametrize("script", ["exit 1", "echo broken >&2; exit 3", "kill -9 $$"])
def test_a_failing_helm_binary_is_an_error(tmp_path: Path, script: str) -> None:
    binary = tmp_path / "helm"
    binary.write_text(f"#!/bin/sh\n{script}\n")
    binary.chmod(0o755)
    with pytest.raises(ProblemsError) as caught:
        Helm(binary).render(units(["{{ 1x }}"]), Functions())
    assert caught.value.problem.code == "helm-failed"


def test_an_unreadable_template_cannot_be_part_of_a_rendering_chart() -> None:
    names = Names()
    for text in UNREADABLE:
        with pytest.raises(AssertionError):
            rendering_chart([Job(0, "{}", "{}", ((0, rewrite(text, names)),))], "", names)


def test_check_reports_an_unreadable_template_among_valid_ones() -> None:
    found = Helm(find_helm()).check([Template("", text) for text in ("{{ .a }}", "{{ 1x }}", "{{ tpl }}")])
    assert [[error.code for error in errors] for errors in found] == [[], ["template-parse"], ["unsupported-function"]]
