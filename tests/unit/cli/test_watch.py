"""How the problems of builds that follow each other are shown."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from kubocd_gen.cli.tools import Outcome
from kubocd_gen.cli.watch import ProblemBlock, ProblemLines
from kubocd_gen.diagnostics.problems import Position, Problem
from kubocd_gen.model.compilation import Compilation
from kubocd_gen.model.project import Cluster
from kubocd_gen.pipeline.build import Built
from tests.support.screen import Screen

CLUSTER = Cluster("prod", ("src",), Path("/nowhere"))


def outcome(*problems: Problem, complete: bool = True) -> Outcome:
    return Outcome([Built(Compilation(CLUSTER, (), (), {}, complete=complete), None, ())], problems, None)


def error(file: str, code: str = "bad-thing", line: int = 1, release: str | None = None) -> Problem:
    return Problem(code, "it is bad", Position(file, line, 1), "make it good", release=release)


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    lines = ProblemLines(quiet=False)

    def show(*problems: Problem, built: bool = True, complete: bool = True) -> str:
        lines.show(outcome(*problems, complete=complete) if built else Outcome((), problems, None))
        return capsys.readouterr().err

    return show


def test_only_new_problems_are_printed(shown: Callable[..., str]) -> None:
    one, other = error("a.yaml"), error("b.yaml")
    assert shown(one) == "a.yaml:1:1: error[bad-thing]: it is bad\n    make it good\n"
    assert shown(one) == ""
    assert shown(one, other) == "b.yaml:1:1: error[bad-thing]: it is bad\n    make it good\n"


def test_a_problem_that_only_moved_is_not_new(shown: Callable[..., str]) -> None:
    shown(error("a.yaml"))
    assert shown(error("a.yaml", line=7)) == ""
    assert shown() == "fixed: a.yaml:7:1: error[bad-thing]: it is bad\n"


def test_a_second_problem_of_the_same_kind_is_new(shown: Callable[..., str]) -> None:
    shown(error("a.yaml"))
    assert shown(error("a.yaml"), error("a.yaml", line=7)).count("error[bad-thing]") == 1
    assert shown(error("a.yaml")) == ""
    assert shown().count("fixed: ") == 1


def test_a_fixed_problem_is_printed_once_and_can_return(shown: Callable[..., str]) -> None:
    shown(error("a.yaml"), error("b.yaml"))
    assert shown(error("b.yaml")) == "fixed: a.yaml:1:1: error[bad-thing]: it is bad\n"
    assert shown(error("b.yaml")) == ""
    assert "a.yaml:1:1: error[bad-thing]" in shown(error("a.yaml"), error("b.yaml"))


def test_problems_that_another_error_hides_are_not_fixed(shown: Callable[..., str]) -> None:
    one = error("a.yaml", release="default/a")
    shown(one)
    assert "project" in shown(error("project.yaml"), built=False)
    assert "unread" in shown(error("unread.yaml"), complete=False)
    printed = shown(error("a.yaml", "other-thing", release="default/a"))
    assert [line.split(" ")[1] for line in printed.splitlines() if line.startswith("fixed: ")] == [
        *("project.yaml:1:1:", "unread.yaml:1:1:")
    ]
    assert "error[other-thing]" in printed
    assert sorted(line.split(" ")[2] for line in shown().splitlines()) == ["error[bad-thing]:", "error[other-thing]:"]


def test_warnings_are_not_fixed_while_there_are_errors(shown: Callable[..., str]) -> None:
    warning = Problem("odd-thing", "it is odd", Position("a.yaml", 1, 1), severity="warning")
    shown(warning)
    assert "fixed" not in shown(error("b.yaml"))
    assert shown(warning).startswith("fixed: b.yaml")
    assert shown().startswith("fixed: a.yaml:1:1: warning[odd-thing]")


def test_quiet_hides_everything_but_errors(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ProblemLines(quiet=True)
    lines.show(outcome(Problem("odd-thing", "it is odd", severity="warning"), error("a.yaml")))
    assert "odd" not in capsys.readouterr().err
    lines.show(outcome())
    assert capsys.readouterr().err == "fixed: a.yaml:1:1: error[bad-thing]: it is bad\n"


def test_control_characters_are_escaped(shown: Callable[..., str]) -> None:
    shown(Problem("bad-thing", "\x1b[2J", Position("\x1b.yaml")))
    assert "\x1b" not in shown()


@pytest.mark.parametrize("columns", [40, 12])
def test_the_block_is_replaced(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    block, screen = ProblemBlock(quiet=False), Screen(columns, 24)

    def show(title: str, *problems: Problem) -> str:
        block.erase()
        screen.feed(capsys.readouterr().err + f"{title}\n")
        block.show(outcome(*problems))
        screen.feed(capsys.readouterr().err)
        return screen.text

    with mock.patch.dict(os.environ, {"COLUMNS": str(columns), "LINES": "24"}):
        assert "a.yaml" in show("one", error("a.yaml"), error("資料.yaml"))
        text = show("two", error("b.yaml"))
        assert text.startswith("one\ntwo\nb.yaml")
        assert "1 error" in text
        assert show("three") == "one\ntwo\nthree"


def test_a_block_that_is_larger_than_the_terminal_ends_with_the_errors(capsys: pytest.CaptureFixture[str]) -> None:
    block, screen = ProblemBlock(quiet=False), Screen(60, 10)
    places = [Position(f"{number:02}.yaml") for number in range(50)]
    warnings = [Problem("odd-thing", "it is odd", place, severity="warning") for place in places]
    with mock.patch.dict(os.environ, {"COLUMNS": "60", "LINES": "10"}):
        block.show(outcome(*warnings, error("a.yaml")))
        screen.feed(capsys.readouterr().err)
        lines = screen.text.splitlines()
        assert len(lines) < 10
        assert lines[0] == "… 46 lines above are not shown"
        assert lines[-3:] == ["a.yaml:1:1: error[bad-thing]: it is bad", "    make it good", "1 error, 50 warnings"]
        block.erase()
        screen.feed(capsys.readouterr().err)
        assert screen.text == ""
