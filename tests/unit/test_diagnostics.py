from __future__ import annotations

import pytest

from kubocd_gen.diagnostics.problems import Diagnostic, Findings, KcdError, KcdErrors, Position, nearest


@pytest.mark.parametrize(
    ("position", "text"),
    [
        (Position("a.yaml"), "a.yaml"),
        (Position("a.yaml", 3), "a.yaml:3"),
        (Position("a.yaml", 3, 7), "a.yaml:3:7"),
        (Position("oci://r.example.com/p:1/original.yaml", 1, 1), "oci://r.example.com/p:1/original.yaml:1:1"),
    ],
)
def test_a_position_reads_as_editors_and_terminals_take_it(position: Position, text: str) -> None:
    assert str(position) == text


def test_the_text_of_an_error_is_the_sentence_that_the_user_reads() -> None:
    error = KcdError("it is broken", code="broken", position=Position("a.yaml", 1), hint="mend it")
    assert (str(error), error.code, error.position, error.hint) == (
        "it is broken",
        "broken",
        Position("a.yaml", 1),
        "mend it",
    )
    assert error.exit_code == 1


def test_several_errors_are_all_named() -> None:
    errors = KcdErrors(KcdError(text, code="x") for text in ("one", "two"))
    assert str(errors) == "one; two"
    assert [error.message for error in errors.errors] == ["one", "two"]


def test_findings_come_in_the_order_in_which_they_were_found_without_repeats() -> None:
    findings = Findings("prod")
    one, two = KcdError("one", code="a", hint="h", position=Position("f", 1)), KcdError("two", code="b")
    findings.error(two)
    findings.error(KcdErrors([one, two]))
    findings.warning(one, release="default/web")
    findings.note(two)
    assert list(findings) == [
        Diagnostic("error", "b", "two", cluster="prod"),
        Diagnostic("error", "a", "one", "h", "prod", None, Position("f", 1)),
        Diagnostic("warning", "a", "one", "h", "prod", "default/web", Position("f", 1)),
        Diagnostic("note", "b", "two", cluster="prod"),
    ]


def test_one_problem_of_two_releases_is_two_findings() -> None:
    findings = Findings()
    for release in ("a/x", "a/y", "a/x"):
        findings.error(KcdError("one", code="a"), release=release)
    assert [one.release for one in findings] == ["a/x", "a/y"]


def test_a_finding_keeps_the_exit_code_of_its_error() -> None:
    class NetworkError(KcdError):
        exit_code = 4

    findings = Findings()
    findings.error(NetworkError("no answer", code="network"))
    assert [one.exit_code for one in findings] == [4]


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("replicaz", ["replicas", "image"], "did you mean 'replicas'?"),
        ("replicaz", iter(["replicas"]), "did you mean 'replicas'?"),
        ("x", ["replicas", "image"], None),
        ("x", [], None),
        ("", ["a"], None),
    ],
)
def test_the_nearest_name_is_offered_where_one_comes_near(name: str, known: list[str], hint: str | None) -> None:
    assert nearest("did you mean '{}'?", name, known) == hint
