"""Commands whose flags are the fields of a dataclass.

A class of options derives from `Options` and declares each flag once, as an annotated field:

    @options
    class VendorOptions(ProjectOptions, JobsOptions):
        prune: Annotated[bool, Flag("Remove packages that are not in the lock file.")] = False

    @command(VendorOptions)
    def vendor(options: VendorOptions) -> int: ...

The annotation decides what click accepts: `bool` is a switch, a `Literal` a choice, a `Path` a path, a tuple a flag
that can be repeated. A field without a default is required. Every flag is also the variable `KCD_GEN_<NAME>`; for a
repeatable flag it holds several values: paths are separated as in PATH, other values by white space.

Flags that several commands share are in groups, which the classes of commands inherit. `@options` turns the class of a
command into a frozen dataclass. `@option_group` only informs the type checker: groups are never instantiated, and
making each a dataclass would take 20 ms. Help lists a command's own flags first, then those that it inherits, in the
order of its bases.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    TypeAlias,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

import click
from click.core import ParameterSource

from kubocd_gen.cli import help_format
from kubocd_gen.cli.console import Verbosity, apply_no_color, log_to_stderr, print_problems
from kubocd_gen.cli.variables import source_variable, unknown_variables, variable_of

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Complete: TypeAlias = "Callable[[click.Context, click.Parameter, str], list[CompletionItem] | list[str]]"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Flag:
    """The metadata of a field that is a flag.

    Parsers raise ValueError with the message for the user. They are not called if the flag is absent; the field then
    has its default.

    Args:
        help: The help text.
        name: The flag, if it is not `--` and the name of the field.
        short: A short form, such as `-q`.
        metavar: The placeholder of the value in the help.
        type: The click type of one value, if it does not follow from the annotation.
        parse: Converts the given string to the field's value.
        parse_all: Converts all given strings of a repeatable flag to the field's value.
        complete: Shell completion for the value.
        variables: Environment variables that are read after `KCD_GEN_<NAME>`.
        show_default: Whether the help shows the default.
        count: Whether the value is the number of times that the flag is given.
        eager: A callback that gets the value before flags that are not eager are parsed.
    """

    help: str
    name: str | None = None
    short: str | None = None
    metavar: str | None = None
    type: click.ParamType[Any, Any] | None = None
    parse: Callable[[str], object] | None = None
    parse_all: Callable[[tuple[str, ...]], object] | None = None
    complete: Complete | None = None
    variables: tuple[str, ...] = ()
    show_default: bool = False
    count: bool = False
    eager: Callable[[click.Context, Any], None] | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Argument:
    """The metadata of a field that is a positional argument; a tuple takes all remaining arguments."""

    metavar: str | None = None
    type: click.ParamType[Any, Any] | None = None
    complete: Complete | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Options:
    """The base class of all options. Used directly, the options of a command without flags."""

    @property
    def for_machines(self) -> bool:
        """Whether the command prints a report for programs, which turns colors off."""
        return False

    def around(self, name: str, run: Callable[[], int]) -> int:
        """Run the command `name`, such as `kcd-gen build`, and return its exit code; groups can add to it."""
        return run()


AnyOptions = TypeVar("AnyOptions", bound=Options)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def option_group(group: type[AnyOptions]) -> type[AnyOptions]:
    """Mark a class whose fields are flags that several commands share."""
    return group


@dataclass_transform(frozen_default=True, kw_only_default=True)
def options(options: type[AnyOptions]) -> type[AnyOptions]:
    """Turn the class of a command into a dataclass with its own fields and those of all groups that it inherits.

    The dataclass is frozen, with keyword-only arguments. Fields are in the order of the help.
    """
    hints = get_type_hints(options, include_extras=True)
    options.__annotations__ = {name: hints[name] for name in _names(options)}
    # Generating methods costs start-up time, and nothing compares or prints options.
    return dataclass(frozen=True, kw_only=True, eq=False, repr=False)(options)


class Option(click.Option):
    """An option that rejects an empty value, because `--source "$UNSET"` must not mean the whole checkout."""

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """Return what a message about the value names: the environment variable if the value comes from one."""
        variable = source_variable(self, ctx)
        return f"'{variable}'" if variable else super().get_error_hint(ctx)

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        if value == "" or (isinstance(value, (list, tuple)) and "" in value):
            raise click.BadParameter("the value is empty; set it, or omit the flag", ctx, self)
        return super().type_cast_value(ctx, value)


def command(
    options: type[AnyOptions],
    *,
    name: str | None = None,
    help: str | None = None,  # noqa: A002 - the name that click uses
    short_help: str | None = None,
) -> Callable[[Callable[[AnyOptions], int]], click.Command]:
    """Turn a function that takes options and returns an exit code into a command.

    The help is `help`, or the function's docstring.
    """

    def make(run: Callable[[AnyOptions], int]) -> click.Command:
        return click.Command(
            name or run.__name__,
            callback=_calling(options, run),
            params=parameters(options),
            help=help or inspect.getdoc(run),
            short_help=short_help,
        )

    return make


def group(options: type[AnyOptions]) -> Callable[[Callable[[AnyOptions], int]], help_format.Group]:
    """Turn a function into a command that has subcommands and can also be run without one.

    Its flags do not apply to the subcommands. A flag before the name of a subcommand is a usage error.
    """

    def make(run: Callable[[AnyOptions], int]) -> help_format.Group:
        return help_format.Group(
            run.__name__,
            callback=_calling(options, run),
            params=parameters(options),
            help=inspect.getdoc(run),
            invoke_without_command=True,
        )

    return make


def partial_options(options: type[AnyOptions], ctx: click.Context) -> AnyOptions:
    """Return the options of an incomplete command line, for shell completion; missing ones have their defaults."""
    known = {field.name for field in fields(options)}
    return options(**{name: value for name, value in ctx.params.items() if name in known and value is not None})


def parameters(options: type[Options]) -> list[click.Parameter]:
    """Return click's parameters for a class of options: arguments, then flags in the order of the help.

    Raises TypeError for a field without Flag or Argument, a type that needs a parser and has none, and a switch that is
    on by default.
    """
    arguments: list[click.Parameter] = []
    flags: list[click.Parameter] = []
    for field in fields(options):
        kind, *metadata = get_args(field.type) if get_origin(field.type) is Annotated else (field.type,)
        match metadata:
            case [Flag() as flag]:
                flags.append(_option(field, kind, flag))
            case [Argument() as argument]:
                arguments.append(_argument(field, kind, argument))
            case _:
                raise TypeError(f"{options.__name__}.{field.name} has neither a Flag nor an Argument")
    return arguments + flags


def _calling(options: type[AnyOptions], run: Callable[[AnyOptions], int]) -> Callable[..., int]:
    """Return the callback of a click command, which converts click's keyword arguments to options."""

    def call(**values: Any) -> int:
        ctx = click.get_current_context()
        if ctx.invoked_subcommand:
            _refuse_before_subcommand(ctx)
            return 0
        made = options(**values)
        print_problems(unknown_variables(os.environ, ctx.command), quiet=bool(values.get("quiet")))
        if made.for_machines:
            ctx.color = False
        return made.around(ctx.command_path, lambda: run(made))

    return call


def _refuse_before_subcommand(ctx: click.Context) -> None:
    """Raise UsageError for a flag before the name of a subcommand, where it would have no effect."""
    for parameter in ctx.command.params:
        if parameter.name in ctx.params and ctx.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE:
            flag = parameter.opts[0]
            raise click.UsageError(f"{flag} must come after '{ctx.invoked_subcommand}'", ctx)


def _names(options: type) -> Iterator[str]:
    """Yield the names of the fields, a class's own before those of its bases.

    A field that a subclass redeclares keeps its position in the base class.
    """
    declared = [inspect.get_annotations(one) for one in options.__mro__]
    for index, names in enumerate(declared):
        yield from (name for name in names if not any(name in later for later in declared[index + 1 :]))


def _option(field: Field[Any], kind: object, flag: Flag) -> click.Option:
    name = flag.name or f"--{field.name.replace('_', '-')}"
    attributes: dict[str, Any] = {}
    if kind is bool:
        if field.default is not False:
            raise TypeError(f"{field.name}: a switch must be off by default")
        attributes["is_flag"] = True
    elif flag.count:
        attributes |= {"count": True, "type": flag.type, "default": 0}
    else:
        repeatable = flag.parse_all is not None or get_origin(kind) is tuple
        attributes |= {"type": flag.type or _type(field, kind, flag), "multiple": repeatable}
        if field.default is MISSING:
            attributes["required"] = True
        elif field.default is not None and not repeatable:
            attributes |= {"default": field.default, "show_default": flag.show_default}
    return Option(
        [field.name, name, *([flag.short] if flag.short else [])],
        help=flag.help,
        metavar=flag.metavar,
        envvar=[variable_of(name), *flag.variables],
        shell_complete=flag.complete,
        callback=_reading(field, flag),
        is_eager=flag.eager is not None,
        **attributes,
    )


def _argument(field: Field[Any], kind: object, argument: Argument) -> click.Argument:
    return click.Argument(
        [field.name],
        metavar=argument.metavar,
        type=argument.type or _type(field, kind, None),
        nargs=-1 if get_origin(kind) is tuple else 1,
        required=field.default is MISSING,
        shell_complete=argument.complete,
    )


def _type(field: Field[Any], kind: object, flag: Flag | None) -> click.ParamType[Any, Any]:
    """Return the click type of one value of the field. Raises TypeError if there is none."""
    if flag and (flag.parse or flag.parse_all):
        return click.STRING
    if get_origin(kind) in (Union, UnionType):
        (kind,) = (one for one in get_args(kind) if one is not NoneType)
    if get_origin(kind) is tuple:
        kind, *_ = get_args(kind)
    if get_origin(kind) is Literal:
        return help_format.Choice(get_args(kind))
    if kind is str:
        return click.STRING
    if kind is Path:
        return click.Path(path_type=Path)
    raise TypeError(f"{field.name}: the type {kind} needs a parser")


def _reading(field: Field[Any], flag: Flag) -> Callable[[click.Context, click.Parameter, Any], Any] | None:
    """Return click's callback, which calls the flag's parser and reports its errors; None if the flag needs none."""
    parse: Callable[[Any], object] | None = flag.parse or flag.parse_all

    def read(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        if flag.eager:
            flag.eager(ctx, value)
        if not parse:
            return value
        if value is None or value == ():
            return field.default
        try:
            return parse(value)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from None

    return read if parse or flag.eager else None


def verbose_flag(help_text: str) -> Flag:
    """Return the flag `-v`, which sets up the log."""
    return Flag(help_text, short="-v", count=True, type=Verbosity(), eager=log_to_stderr)


@options
class CommonOptions(Options):
    """Flags that are handled before a command runs and not passed to it."""

    verbose: Annotated[int, verbose_flag("Log each operation with its duration; -vv: details.")] = 0
    debug: Annotated[bool, Flag("Print tracebacks.")] = False
    no_color: Annotated[bool, Flag("Disable colors.", eager=apply_no_color)] = False


def with_common_options(command: click.Command) -> click.Command:
    """Add the common flags to `command` and its subcommands, and make the help fit the terminal. Return `command`."""
    command.context_class = help_format.Context
    present = {parameter.name for parameter in command.params}
    for parameter in parameters(CommonOptions):
        if parameter.name not in present:
            parameter.expose_value = False
            command.params.append(parameter)
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            with_common_options(inner)
    return command
