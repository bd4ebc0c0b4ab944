"""Commands whose flags are the fields of a dataclass.

A class of options derives from `Options` and declares each flag once, as an annotated field:

    @options
    class VendorOptions(ProjectOptions, JobsOptions):
        prune: Annotated[bool, Flag("Remove what the lock does not name.")] = False

    @command(VendorOptions)
    def vendor(options: VendorOptions) -> int: ...

The annotation decides what click accepts: `bool` is a switch, a `Literal` a choice, a `Path` a path, a tuple a flag
that can be repeated. A field without a default is required. Every flag is also the variable `KCD_GEN_<NAME>`; for a
repeatable flag it holds several values: paths are separated as in PATH, all others by white space.

Flags that several commands share are in groups, which the classes of commands inherit. `@options` makes a frozen
dataclass with slots of the class of a command, while `@option_group` makes nothing of a group but a promise for the
type checker: groups are never instantiated, a dataclass each would take 20 ms, and Python can't combine bases that have
slots of their own. Help lists a command's own flags first, then those that it inherits, in the order of its bases.
"""

from __future__ import annotations

import inspect
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

from kubocd_gen.cli import help_format as guiding

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Complete: TypeAlias = "Callable[[click.Context, click.Parameter, str], list[CompletionItem] | list[str]]"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Flag:
    """How the value of a field is given on the command line.

    The parsers raise ValueError with the sentence that the user reads. Without a value they are not called, and the
    field has its default.

    Args:
        help: What `--help` says about it.
        name: The flag, if it is not `--` and the name of the field.
        short: Another one of a single letter, such as `-q`.
        metavar: What stands for the value in the help.
        type: What click makes of one value, if the annotation does not say it all.
        parse: Makes the field's value of the word that was given.
        parse_all: The same for a repeatable flag, of all the words.
        complete: What a shell offers for the value.
        variables: Variables that are looked at after `KCD_GEN_<NAME>`.
        show_default: Whether the help shows the default.
        count: Whether the value is how often the flag is given.
        eager: Called with the value while flags are still read, before those that are not eager.
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
    """A field that is given by its place on the command line; a tuple takes all the words that are there."""

    metavar: str | None = None
    type: click.ParamType[Any, Any] | None = None
    complete: Complete | None = None


class Options:
    """The base of all classes of options; by itself, those of a command without flags."""

    __slots__ = ()

    @property
    def for_machines(self) -> bool:
        """Whether the command prints a report that programs read; then nothing that it prints is coloured."""
        return False


AnyOptions = TypeVar("AnyOptions", bound=Options)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def option_group(group: type[AnyOptions]) -> type[AnyOptions]:
    """Mark a class whose fields are flags that several commands share. It needs `__slots__ = ()`."""
    return group


@dataclass_transform(frozen_default=True, kw_only_default=True)
def options(options: type[AnyOptions]) -> type[AnyOptions]:
    """Make a dataclass of the class of a command, with its own fields and those of all groups that it inherits.

    Its objects are immutable, have slots and take their values by name. Fields are in the order of the help.
    """
    hints = get_type_hints(options, include_extras=True)
    options.__annotations__ = {name: hints[name] for name in _names(options)}
    # Each method that a dataclass gets takes time at every start; nothing compares or prints options.
    return dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)(options)


class Option(click.Option):
    """An option that takes no empty value: `--source "$UNSET"` must not mean the whole checkout."""

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        if value == "" or (isinstance(value, (list, tuple)) and "" in value):
            raise click.BadParameter("it is empty", ctx, self)
        return super().type_cast_value(ctx, value)


def command(
    options: type[AnyOptions],
    *,
    name: str | None = None,
    help: str | None = None,  # noqa: A002 - as click calls it
    short_help: str | None = None,
) -> Callable[[Callable[[AnyOptions], int]], click.Command]:
    """Make a command of a function from its options to its exit code. Its docstring is the help unless `help` is."""

    def make(run: Callable[[AnyOptions], int]) -> click.Command:
        return click.Command(
            name or run.__name__,
            callback=_calling(options, run),
            params=parameters(options),
            help=help or inspect.getdoc(run),
            short_help=short_help,
        )

    return make


def group(options: type[AnyOptions]) -> Callable[[Callable[[AnyOptions], int]], guiding.Group]:
    """Make a command that has others below it, and does something without them, too.

    Its flags don't count for the commands below it; they are refused before the name of one.
    """

    def make(run: Callable[[AnyOptions], int]) -> guiding.Group:
        return guiding.Group(
            run.__name__,
            callback=_calling(options, run),
            params=parameters(options),
            help=inspect.getdoc(run),
            invoke_without_command=True,
        )

    return make


def given(options: type[AnyOptions], ctx: click.Context) -> AnyOptions:
    """Return what is known of the options while a line is still being written; the rest has its defaults."""
    known = {field.name for field in fields(options)}  # type: ignore[arg-type]  # each class of options is a dataclass
    return options(**{name: value for name, value in ctx.params.items() if name in known and value is not None})


def parameters(options: type[Options]) -> list[click.Parameter]:
    """Return click's parameters for a class of options: arguments, then flags in the order of the help.

    Raises TypeError for a field without Flag or Argument, for a type that needs a parser and has none, and for a switch
    that is not off by default.
    """
    if options is Options:
        return []
    arguments: list[click.Parameter] = []
    flags: list[click.Parameter] = []
    for field in fields(options):  # type: ignore[arg-type]  # as above
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
    """Return the callback of a click command. Only here do flags have names that are strings."""

    def call(**values: Any) -> int:
        ctx = click.get_current_context()
        if ctx.invoked_subcommand:
            _refuse_before_subcommand(ctx)
            return 0
        made = options(**values)
        if made.for_machines:
            ctx.color = False
        return run(made)

    return call


def _refuse_before_subcommand(ctx: click.Context) -> None:
    """Raise UsageError for a flag that is before the name of a subcommand, where it has no effect."""
    for parameter in ctx.command.params:
        if parameter.name in ctx.params and ctx.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE:
            flag = parameter.opts[0]
            raise click.UsageError(f"{flag} stands before '{ctx.invoked_subcommand}'; its flags go behind it", ctx)


def _names(options: type) -> Iterator[str]:
    """Yield the fields: a class's own before those of its bases. One that is declared again keeps its position."""
    declared = [inspect.get_annotations(one) for one in options.__mro__]
    for index, names in enumerate(declared):
        yield from (name for name in names if not any(name in later for later in declared[index + 1 :]))


def _option(field: Field[Any], kind: object, flag: Flag) -> click.Option:
    name = flag.name or f"--{field.name.replace('_', '-')}"
    attributes: dict[str, Any] = {}
    if kind is bool:
        if field.default is not False:
            raise TypeError(f"{field.name}: a switch is off unless it is given")
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
        envvar=[f"KCD_GEN_{name.lstrip('-').replace('-', '_').upper()}", *flag.variables],
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
    """Return what click makes of one value of the field."""
    if flag and (flag.parse or flag.parse_all):
        return click.STRING
    if get_origin(kind) in (Union, UnionType):
        (kind,) = (one for one in get_args(kind) if one is not NoneType)
    if get_origin(kind) is tuple:
        kind, *_ = get_args(kind)
    if get_origin(kind) is Literal:
        return guiding.Choice(get_args(kind))
    if kind is str:
        return click.STRING
    if kind is Path:
        return click.Path(path_type=Path)
    raise TypeError(f"{field.name}: no value of {kind} can be read without a parser")


def _reading(field: Field[Any], flag: Flag) -> Callable[[click.Context, click.Parameter, Any], Any] | None:
    """Return click's callback: it makes the field's value of what click has read, or reports what is wrong with it."""
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
