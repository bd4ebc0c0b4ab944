from __future__ import annotations

from itertools import permutations

import pytest

from kubocd_gen.diagnostics.problems import MOST, Position, Problem, Problems, ProblemsError, nearest


@pytest.mark.parametrize(
    ("position", "text"),
    [
        (Position("a.yaml"), "a.yaml"),
        (Position("a.yaml", 3), "a.yaml:3"),
        (Position("a.yaml", 3, 7), "a.yaml:3:7"),
        (Position("oci://r.example.com/p:1/original.yaml", 1, 1), "oci://r.example.com/p:1/original.yaml:1:1"),
    ],
)
def test_a_position_is_printed_as_path_line_column(position: Position, text: str) -> None:
    assert str(position) == text


def test_the_string_of_an_error_is_its_message() -> None:
    problem = Problem("broken", "it is broken", position=Position("a.yaml", 1), hint="fix it")
    assert str(ProblemsError(problem)) == "it is broken"
    assert problem.exit_code == 1


def test_an_error_with_several_problems_lists_them_all() -> None:
    errors = ProblemsError(*(Problem("x", text) for text in ("one", "two")))
    assert str(errors) == "one; two"
    assert [error.message for error in errors.problems] == ["one", "two"]


def test_problems_are_sorted_by_position_without_duplicates() -> None:
    problems = Problems("prod")
    one, two = Problem("a", "one", hint="h", position=Position("f", 1)), Problem("b", "two")
    problems.error(two)
    problems.error(ProblemsError(one, two))
    problems.warning(one, release="default/web")
    problems.note(two)
    assert list(problems) == [
        Problem("b", "two", severity="note", cluster="prod"),
        Problem("a", "one", Position("f", 1), "h", "warning", "default/web", "prod"),
        Problem("b", "two", cluster="prod"),
        Problem("a", "one", Position("f", 1), "h", cluster="prod"),
    ]


def test_the_order_of_problems_does_not_depend_on_the_order_of_discovery() -> None:
    found = [Problem("b", "x", Position("f", 2)), Problem("a", "y", Position("f", 2)), Problem("c", "z", Position("e"))]
    for order in permutations(found):
        problems = Problems()
        for one in order:
            problems.error(one)
        assert [one.code for one in problems] == ["c", "a", "b"]


def test_problems_of_one_file_beyond_the_limit_are_counted() -> None:
    problems = Problems("prod")
    for line in range(1, MOST + 3):
        problems.error(Problem("x", "wrong", Position("a.yaml", line)))
    problems.error(Problem("x", "wrong", Position("b.yaml", 1)))
    (more,) = [one for one in problems if one.code == "more-problems"]
    assert (more.position, more.severity, more.cluster) == (Position("a.yaml"), "error", "prod")
    assert more.message.startswith("2 more errors ")
    assert len([one for one in problems if one.code == "x"]) == MOST + 1


def test_setting_the_position_of_a_problem_returns_a_copy() -> None:
    """Clusters share problems of packages, and each cluster reports them in its own file."""
    shared = ProblemsError.of("missing-package", "it is missing")
    here, there = shared.at(Position("a.yaml")), shared.at(Position("b.yaml"))
    assert [one.problem.position for one in (shared, here, there)] == [None, Position("a.yaml"), Position("b.yaml")]
    assert here.at(Position("c.yaml")).problem.position == Position("a.yaml")


def test_the_same_problem_of_two_releases_is_two_problems() -> None:
    problems = Problems()
    for release in ("a/x", "a/y", "a/x"):
        problems.error(Problem("a", "one"), release=release)
    assert [one.release for one in problems] == ["a/x", "a/y"]


def test_a_problem_keeps_the_exit_code_of_its_error() -> None:
    problems = Problems()
    problems.error(Problem("network", "no answer", exit_code=4))
    assert [one.exit_code for one in problems] == [4]


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
def test_the_nearest_name_is_suggested_if_it_is_close(name: str, known: list[str], hint: str | None) -> None:
    assert nearest("did you mean '{}'?", name, known) == hint
