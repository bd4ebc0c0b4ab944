from __future__ import annotations

from pathlib import Path

import pytest

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.helm.engine import Helm
from kubocd_gen.helm.process import find_helm
from kubocd_gen.helm.template import Template


@pytest.fixture(scope="module")
def helm() -> Helm:
    return Helm(find_helm())


def test_templates_are_parsed_and_never_rendered(helm: Helm) -> None:
    good = ["plain", "{{ .a.b.c }}", '{{ fail "x" }}', "{{ range until 1000000000 }}x{{ end }}", "{{ index .a 5 }}"]
    assert helm.check([Template("", text) for text in good]) == [[] for _ in good]


def test_every_template_that_does_not_parse_is_named(helm: Helm) -> None:
    texts = ["{{ if }}", "fine {{ .a }}", "a\n{{ .b | nope }}", "{{ if }}", "{{ end }}"]
    found = helm.check([Template("", text) for text in texts])
    assert [[(one.line, one.code) for one in errors] for errors in found] == [
        [(1, "template-parse")],
        [],
        [(2, "template-parse")],
        [(1, "template-parse")],
        [(1, "template-parse")],
    ]
    assert found[2][0].message == 'function "nope" not defined'


def test_an_error_in_a_header_is_reported_in_the_header(helm: Helm) -> None:
    ((error,),) = helm.check([Template("{{ if }}\n", "{{ .a }}")])
    assert (error.in_header, error.line) == (True, 1)


def test_unsupported_functions_are_found_in_unreachable_code(helm: Helm) -> None:
    text = '{{ if false }}\n  {{ readFile "x" }}{{ end }}{{ tpl "a" . }}'
    (errors,) = helm.check([Template("", text)])
    assert [(one.code, one.line, one.column, one.message) for one in errors] == [
        ("unsupported-function", 2, 6, "the function 'readFile' is not supported"),
        ("unsupported-function", 2, 33, "the function 'tpl' is not supported"),
    ]


def test_a_template_larger_than_a_chart_file_is_refused(helm: Helm) -> None:
    ((error,),) = helm.check([Template("", "x" * (5 << 20))])
    assert error.code == "template-too-large"


def test_a_failing_helm_binary_is_an_error(tmp_path: Path) -> None:
    broken = tmp_path / "helm"
    broken.write_text("#!/bin/sh\necho oops >&2; exit 1\n")
    broken.chmod(0o755)
    with pytest.raises(ProblemsError) as caught:
        Helm(broken).check([Template("", "{{ .a }}")])
    assert caught.value.problem.code == "helm-failed"
