"""Parsing the command line and environment variables into the typed options of a command."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Annotated, Literal

import click
import pytest
from click.testing import CliRunner, Result

from kubocd_gen.cli.command import (
    Argument,
    Flag,
    Options,
    command,
    group,
    option_group,
    options,
    parameters,
    partial_options,
)


def parse_even(word: str) -> int:
    number = int(word)
    if number % 2:
        raise ValueError(f"'{word}' is odd")
    return number


def parse_pairs(words: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((first, second) for first, _, second in (word.partition("=") for word in words))


@option_group
class Shared(Options):
    output: Annotated[Path | None, Flag("Where it goes.", metavar="DIR")] = None
    quiet: Annotated[bool, Flag("Print errors only.", short="-q")] = False


@option_group
class MoreShared(Options):
    names: Annotated[tuple[str, ...], Flag("Only this; repeatable.", name="--name")] = ()
    sources: Annotated[tuple[str, ...], Flag("A path; repeatable.", name="--source", type=click.Path())] = ()


@options
class Cook(Shared, MoreShared):
    dish: Annotated[str, Argument("DISH")]
    pot: Annotated[str, Flag("The pot.", variables=("OLD_POT",))]
    size: Annotated[Literal["small", "large"], Flag("How much.", show_default=True)] = "small"
    heat: Annotated[int, Flag("How hot.", parse=parse_even)] = 4
    pairs: Annotated[tuple[tuple[str, str], ...], Flag("Which.", name="--pair", parse_all=parse_pairs)] = ()
    quiet: Annotated[bool, Flag("Print nothing at all.", short="-q")] = False


class Seen:
    """The command `cook`, and the options with which it was called."""

    options: Cook

    def run(self, *words: str, **variables: str) -> Result:
        @command(Cook)
        def cook(options: Cook) -> int:
            """Cook a dish."""
            self.options = options
            return 0

        # A variable of the shell that runs the tests must not become an option.
        return CliRunner().invoke(cook, words, env={"KCD_GEN_POT": None, "OLD_POT": None, **variables})


def values(made: Cook) -> dict[str, object]:
    return {field.name: getattr(made, field.name) for field in fields(made)}


def test_an_option_that_is_not_given_has_the_default_of_its_field() -> None:
    seen = Seen()
    assert seen.run("soup", "--pot", "p").exit_code == 0
    assert values(seen.options) == {
        "dish": "soup",
        "pot": "p",
        "size": "small",
        "heat": 4,
        "pairs": (),
        "output": None,
        "quiet": False,
        "names": (),
        "sources": (),
    }


def test_flags_are_converted_to_the_types_of_their_fields() -> None:
    seen = Seen()
    several = ["--pair", "a=b", "--pair", "c=d", "--name", "x", "--name", "y"]
    words = ["soup", "--pot", "p", "--size", "large", "--heat", "6", "--output", "out", "-q", *several]
    assert seen.run(*words).exit_code == 0
    made = seen.options
    assert (made.size, made.heat, made.pairs) == ("large", 6, (("a", "b"), ("c", "d")))
    assert (made.output, made.quiet, made.names) == (Path("out"), True, ("x", "y"))


def test_every_flag_has_a_variable_with_paths_separated_as_in_path() -> None:
    seen = Seen()
    result = seen.run("soup", KCD_GEN_POT="p", KCD_GEN_NAME="x y", KCD_GEN_SOURCE="a b:c", KCD_GEN_HEAT="2")
    assert result.exit_code == 0
    assert (seen.options.pot, seen.options.names, seen.options.heat) == ("p", ("x", "y"), 2)
    assert seen.options.sources == ("a b", "c")


def test_additional_variables_have_the_lowest_precedence() -> None:
    seen = Seen()
    seen.run("soup", OLD_POT="old")
    assert seen.options.pot == "old"
    seen.run("soup", OLD_POT="old", KCD_GEN_POT="new")
    assert seen.options.pot == "new"
    seen.run("soup", "--pot", "given", OLD_POT="old", KCD_GEN_POT="new")
    assert seen.options.pot == "given"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["soup"], "Missing option '--pot'"),
        (["--pot", "p"], "Missing argument 'DISH'"),
        (["soup", "--pot", "p", "--heat", "3"], "Invalid value for '--heat': '3' is odd"),
        (["soup", "--pot", "p", "--output="], "Invalid value for '--output': "),
        (["soup", "--pot", "p", "--name", ""], "Invalid value for '--name': "),
        (["soup", "--pot", "p", "--size", "larg"], "Did you mean 'large'?"),
    ],
)
def test_a_mistake_is_a_usage_error(words: list[str], message: str) -> None:
    seen = Seen()
    result = seen.run(*words)
    assert result.exit_code == 2
    assert message in result.output
    assert not hasattr(seen, "options")


def test_help_lists_a_command_s_own_flags_before_the_groups_of_its_bases() -> None:
    assert [one.name for one in parameters(Cook)] == [
        "dish",
        *("pot", "size", "heat", "pairs"),
        *("output", "quiet"),  # `quiet` is declared again with another help text and keeps its position
        *("names", "sources"),
    ]
    output = Seen().run("--help").output
    assert "Print nothing at all." in output
    assert "Print errors only." not in output
    assert "[default: small]" in output
    assert "default: 4" not in output


def test_options_are_immutable() -> None:
    made = Cook(dish="soup", pot="p")
    with pytest.raises(FrozenInstanceError):
        made.pot = "q"  # type: ignore[misc]


def test_a_field_that_is_not_a_flag_is_refused() -> None:
    @options
    class Wrong(Options):
        size: int = 1

    with pytest.raises(TypeError, match=r"Wrong\.size has neither a Flag nor an Argument"):
        parameters(Wrong)


def test_a_boolean_flag_that_defaults_to_true_is_refused() -> None:
    @options
    class Wrong(Options):
        color: Annotated[bool, Flag("Print colors.")] = True

    with pytest.raises(TypeError, match="color: "):
        parameters(Wrong)


def test_a_type_that_click_does_not_know_needs_a_parser() -> None:
    @options
    class Wrong(Options):
        sizes: Annotated[frozenset[str], Flag("Which.")] = frozenset()

    with pytest.raises(TypeError, match="sizes: "):
        parameters(Wrong)


def test_an_incomplete_command_line_yields_the_options_given_so_far() -> None:
    @command(Cook)
    def cook(options: Cook) -> int:
        return 0

    @options
    class Known(Shared, MoreShared):
        """Only the groups, as shell completion reads them for any command."""

    ctx = cook.make_context("cook", ["--output", "out", "--name", "x", "--size", "huge"], resilient_parsing=True)
    known = partial_options(Known, ctx)
    assert (known.output, known.names, known.sources) == (Path("out"), ("x",), ())


@option_group
class Printing(Options):
    machine: Annotated[bool, Flag("Print a report.")] = False

    @property
    def for_machines(self) -> bool:
        return self.machine


@options
class PrintOptions(Printing):
    """The options of a command that prints text or a report."""


def test_a_machine_readable_report_has_no_colors() -> None:
    @command(PrintOptions)
    def show(options: PrintOptions) -> int:
        click.echo(click.style("red", fg="red"))
        return 0

    runner = CliRunner()
    assert runner.invoke(show, color=True).output == "\x1b[31mred\x1b[0m\n"
    assert runner.invoke(show, ["--machine"], color=True).output == "red\n"


def kitchen() -> tuple[click.Group, list[str]]:
    """Return a command with a subcommand, and the list of calls."""
    called: list[str] = []

    @group(PrintOptions)
    def outer(options: PrintOptions) -> int:
        called.append(f"outer {options.machine}")
        return 0

    @command(Options)
    def inner(_: Options) -> int:
        called.append("inner")
        return 0

    outer.add_command(inner)
    return outer, called


@pytest.mark.parametrize(
    ("words", "expected"), [([], ["outer False"]), (["--machine"], ["outer True"]), (["inner"], ["inner"])]
)
def test_a_group_runs_without_a_subcommand(words: list[str], expected: list[str]) -> None:
    outer, called = kitchen()
    assert CliRunner().invoke(outer, words).exit_code == 0
    assert called == expected


def test_flags_of_a_group_are_refused_before_a_subcommand() -> None:
    outer, called = kitchen()
    result = CliRunner().invoke(outer, ["--machine", "inner"])
    assert result.exit_code == 2
    assert "--machine must come after 'inner'" in result.output
    assert called == []


def test_a_command_returns_its_exit_code() -> None:
    @command(Options, name="lose", help="Lose.", short_help="Lose it.")
    def run(_: Options) -> int:
        return 3

    assert run.main([], standalone_mode=False) == 3
    assert (run.name, run.help, run.get_short_help_str()) == ("lose", "Lose.", "Lose it.")
