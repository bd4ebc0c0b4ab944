"""Flags that several commands share.

Every flag is also a variable, `KCD_GEN_<NAME>`. Of a repeatable flag it holds several values: paths are separated as in
PATH, all others by white space.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from kubocd_gen.budget.limits import NAMES, parse_limit
from kubocd_gen.cli.guiding import Choice, meant
from kubocd_gen.model.project import Flags
from kubocd_gen.sources.environment import is_secret_name, is_variable_name

Function = TypeVar("Function", bound=Callable[..., Any])


class _Option(click.Option):
    """An option that takes no empty text: `--source "$UNSET"` must not mean the whole checkout."""

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        if value == "" or (isinstance(value, (list, tuple)) and "" in value):
            raise click.BadParameter("it is empty", ctx, self)
        return super().type_cast_value(ctx, value)


def option(
    *declarations: str, other_variables: tuple[str, ...] = (), **attributes: Any
) -> Callable[[Function], Function]:
    """`click.option` with the flag's variable, and its default in the help where it has one.

    `other_variables` are looked at after kcd-gen's own: those of KuboCD that users have set already.
    """
    name = next(text for text in declarations if text.startswith("--"))
    variable = "KCD_GEN_" + name.lstrip("-").replace("-", "_").upper()
    return click.option(*declarations, cls=_Option, envvar=[variable, *other_variables], **attributes)


def _hosts(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> list[tuple[str, str]]:
    hosts = []
    for value in values:
        name, separator, address = value.partition("=")
        if not (name and separator and address):
            raise click.BadParameter(f"'{value}' is not NAME=ADDRESS, such as ldap.example.com=10.1.2.3", ctx, param)
        hosts.append((name, address))
    return hosts


def _limits(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, int]:
    limits = {}
    for value in values:
        name, separator, size = value.partition("=")
        if not (name and separator and size):
            raise click.BadParameter(f"'{value}' is not NAME=VALUE, such as layer=512MiB", ctx, param)
        try:
            limits[name] = parse_limit(name, size)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from None
    return limits


def _hosts_with_port(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> frozenset[str]:
    for value in values:
        if not re.fullmatch(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?", value):
            raise click.BadParameter(f"'{value}' is not HOST or HOST:PORT, such as registry.lan:5000", ctx, param)
    return frozenset(values)


_SWITCHES = frozenset({"true", "false", "1", "0", "yes", "no", "on", "off"})


def _variables(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> frozenset[str]:
    names = [name for value in values for name in value.split(",") if name]
    for name in names:
        example = "--expand-env DOMAIN,REGION or KCD_GEN_EXPAND_ENV=DOMAIN,REGION"
        if name.lower() in _SWITCHES:
            said = f"'{name}' is not the name of a variable; list those to expand, as in {example}"
            raise click.BadParameter(said, ctx, param)
        if not is_variable_name(name):
            raise click.BadParameter(f"'{name}' is not the name of a variable; write {example}", ctx, param)
        if is_secret_name(name):
            said = f"'{name}' is never expanded: by its name it can hold a credential; use a variable of another name"
            raise click.BadParameter(said, ctx, param)
    return frozenset(names)


def _offered_variables(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    known = (name for name in os.environ if is_variable_name(name) and not is_secret_name(name))
    return sorted(name for name in known if name.startswith(incomplete))


def _url(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"https?://[^\s/]\S*", value):
        raise click.BadParameter(f"'{value}' does not start with http:// or https:// and a host", ctx, param)
    return value


def _reports(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> list[tuple[str, Path]]:
    reports = []
    for value in values:
        kind, _, path = value.partition("=")
        if kind not in _REPORTS or not path or "\0" in path:
            said = f"'{value}' is not FORMAT=FILE; the formats are {', '.join(_REPORTS)}."
            raise click.BadParameter(f"{said}{meant(kind, _REPORTS)}", ctx, param)
        reports.append((kind, Path(path)))
    return reports


def offered(what: str) -> Callable[[click.Context, click.Parameter, str], list[Any]]:
    """The `shell_complete` of a flag or argument that names `clusters`, `releases` or `images` of the project."""

    def offer(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from kubocd_gen.cli import completing  # is for Tab alone

        return completing.offering(getattr(completing, what))(ctx, param, incomplete)

    return offer


def _offered_limits(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [f"{name}=" for name in NAMES if name.startswith(incomplete)]


_REPORTS = ("sarif", "gitlab", "junit")
_FOLDER = click.Path(path_type=Path)

ca_file_option = option(
    "--ca-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="PEM certificates to trust besides the system's.",
)
limit_option = option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_limits,
    shell_complete=_offered_limits,
    help=f"Move a guard against hostile packages, as in layer=512MiB; repeatable. There are: {', '.join(NAMES)}.",
)
plain_http_option = option(
    "--allow-plain-http-credentials",
    "clear_text_hosts",
    multiple=True,
    metavar="HOST[:PORT]",
    callback=_hosts_with_port,
    help="Send credentials to this host over plain HTTP, too; repeatable. Whoever is on the way can read them.",
)
cache_option = option("--cache-dir", "cache", type=_FOLDER, metavar="DIR", help="Where fetched packages are kept.")

allow_outside_option = option(
    "--allow-outside",
    multiple=True,
    type=_FOLDER,
    metavar="DIR",
    help="Let paths of the project file, and symlinks, lead to this directory outside the checkout; repeatable.",
)

_OUTPUT = option("--output", type=_FOLDER, metavar="DIR", help="Where flux/ and hr/ are written.")
_PROJECT_OPTIONS = (
    option("--project", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="The project file."),
    option(
        "--source",
        "sources",
        multiple=True,
        type=click.Path(),
        metavar="PATH",
        help="A file, directory or glob; repeatable.",
    ),
    _OUTPUT,
    option(
        "--cluster",
        "clusters",
        multiple=True,
        metavar="NAME",
        shell_complete=offered("clusters"),
        help="Only this cluster; repeatable.",
    ),
    option("--vendor", type=_FOLDER, metavar="DIR", help="An OCI image layout with package images."),
    allow_outside_option,
    option("--namespace", metavar="NS", help="The namespace of Releases and Contexts that name none."),
    option("--kubocd-namespace", metavar="NS", help="The namespace of Config resources."),
    option("--repository-url", metavar="URL", callback=_url, help="Where hr/ is served."),
    option(
        "--dependencies",
        type=Choice(["order", "ignore"]),
        help="Compile roles into dependsOn across Releases (the default), or leave them out.",
    ),
    option(
        "--resolve",
        "hosts",
        multiple=True,
        metavar="NAME=ADDRESS",
        callback=_hosts,
        help="An answer for resolveDNS; repeatable.",
    ),
    limit_option,
    option("--offline", is_flag=True, help="Any need of the network is an error."),
    option("--locked", is_flag=True, help="A package that is not in kcd-gen.lock is an error."),
    ca_file_option,
    plain_http_option,
    cache_option,
    option(
        "--expand-env",
        multiple=True,
        metavar="NAME[,NAME...]",
        callback=_variables,
        shell_complete=_offered_variables,
        help="Replace ${NAME} in sources by this environment variable; repeatable. Credentials are never expanded.",
    ),
)


def project_options(function: Function) -> Function:
    """The flags from which a command gets its Project."""
    for decorate in reversed(_PROJECT_OPTIONS):
        function = decorate(function)
    return function


def writing_options(function: Function) -> Function:
    """The flags of a build that say what is written in spite of problems."""
    removal = option(
        "--allow-protected-removal",
        multiple=True,
        metavar="NAME",
        shell_complete=offered("releases"),
        help="Let this protected Release vanish from the output; repeatable.",
    )
    going = option("--keep-going", is_flag=True, help="Write the Releases that compile, though others fail.")
    return going(removal(function))


def source_options(function: Function) -> Function:
    """The same without `--output`, for a command whose output is something else."""
    for decorate in reversed(_PROJECT_OPTIONS):
        function = function if decorate is _OUTPUT else decorate(function)
    return function


format_option = option("--format", "format_", type=Choice(["text", "json"]), default="text", help="What to print.")
ci_format_option = option(
    "--format",
    "format_",
    type=Choice(["text", "json", "github", "sarif", "gitlab", "junit"]),
    default="text",
    help="What to print; those behind json are for CI systems.",
)
report_option = option(
    "--report",
    "reports",
    multiple=True,
    metavar="FORMAT=FILE",
    callback=_reports,
    help=f"Write a report for a CI system to a file, too; repeatable. The formats: {', '.join(_REPORTS)}.",
)
jobs_option = option("--jobs", "-j", type=click.IntRange(1, 64), help="How much to do at a time; the number of cores.")
quiet_option = option("--quiet", "-q", is_flag=True, help="Print errors only.")
no_warnings_option = option("--quiet", "-q", is_flag=True, help="Print the answer and errors only.")
progress_option = option("--no-progress", is_flag=True, help="Show no line about what is waited for.")


def flags_of(given: Mapping[str, Any]) -> Flags:
    """The values of `project_options` as Flags."""
    return Flags(
        project=given["project"],
        sources=tuple(given["sources"]),
        output=given.get("output"),
        clusters=tuple(given["clusters"]),
        vendor=given["vendor"],
        allow_outside=tuple(given["allow_outside"]),
        namespace=given["namespace"],
        kubocd_namespace=given["kubocd_namespace"],
        repository_url=given["repository_url"],
        dependencies=given["dependencies"],
        hosts=dict(given["hosts"]),
        limits=given["limits"],
        offline=given["offline"],
        locked=given["locked"],
        ca_file=given["ca_file"],
        cache=given["cache"],
        expand_env=given["expand_env"],
        clear_text_hosts=given["clear_text_hosts"],
    )
