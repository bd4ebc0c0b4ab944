"""`kcd-gen completion`, and what the shell completes.

Names are read from the project's files, without helm, packages or the network. If the files have errors, nothing is
completed; the command will report the errors.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    ZshComplete,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

from kubocd_gen.cli.command import Argument, Options, command, options, partial_options

if TYPE_CHECKING:
    from kubocd_gen.cli.options import ClusterOptions
    from kubocd_gen.model.project import Project

_VARIABLE = "_KCD_GEN_COMPLETE"


@options
class CompletionOptions(Options):
    """`kcd-gen completion`."""

    shell: Annotated[Literal["bash", "zsh", "fish"], Argument()]


@command(CompletionOptions)
def completion(options: CompletionOptions) -> int:
    """Print a script for shell completion of commands, flags, clusters, Releases and packages.

    bash must be 4.4 or newer. macOS ships bash 3.2; use zsh there.

    \b
    eval "$(kcd-gen completion bash)"                                           # in ~/.bashrc
    eval "$(kcd-gen completion zsh)"                                            # in ~/.zshrc, after compinit
    kcd-gen completion fish > ~/.config/fish/completions/kcd-gen.fish
    """
    from kubocd_gen.cli.commands import cli

    add_shells()
    found = get_completion_class(options.shell)
    assert found is not None  # all choices are registered
    click.echo(found(cli, {}, "kcd-gen", _VARIABLE).source_template % _source_values())
    return 0


def _source_values() -> dict[str, str]:
    """Return the values of the script's placeholders.

    click's own `source()` is not used, because it runs bash to get its version.
    """
    return {"complete_func": "_kcd_gen_completion", "complete_var": _VARIABLE, "prog_name": "kcd-gen"}


class Bash(BashComplete):
    """click's completion for bash, extended to words with ':' or '=', at which bash splits words.

    Words are read from the command line itself. Completions omit what bash keeps before the last ':' or '='. After
    `NAME=` no space is added.
    """

    source_template = BashComplete.source_template.replace(
        "COMP_CWORD=$COMP_CWORD", 'COMP_CWORD=$COMP_CWORD COMP_LINE="$COMP_LINE" COMP_POINT=$COMP_POINT'
    ).replace("    return 0", "    if [[ ${COMPREPLY[0]-} == *= ]]; then compopt -o nospace; fi\n\n    return 0")

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ["COMP_LINE"].encode()[: int(os.environ["COMP_POINT"])].decode(errors="ignore")
        words = split_arg_string(line)[1:]
        incomplete = words.pop() if words and not line[-1].isspace() else ""
        self._kept = len(incomplete) - len(re.split("[:=]", incomplete)[-1])
        return words, incomplete

    def format_completion(self, item: CompletionItem) -> str:
        _, incomplete = self.get_completion_args()
        if item.value.startswith(incomplete):
            return f"{item.type},{item.value[self._kept :]}"
        return f"{item.type},{item.value}"  # click has already removed `--name=`


class Zsh(ZshComplete):
    """click's completion for zsh, without a space after `NAME=`. fish adds none by itself."""

    source_template = ZshComplete.source_template.replace(
        "compadd -U -V unsorted -a completions",
        "local -a suffix; [[ $completions[1] == *= ]] && suffix=(-S '')\n"
        '        compadd "${(@)suffix}" -U -V unsorted -a completions',
    )


def add_shells() -> None:
    """Register the classes above with click."""
    add_completion_class(Bash)
    add_completion_class(Zsh)


def offered(
    what: Literal["clusters", "releases", "images"], ctx: click.Context, incomplete: str
) -> list[CompletionItem]:
    """Return the names of the project that complete a word, sorted."""
    from kubocd_gen.cli import report_defect
    from kubocd_gen.diagnostics.problems import ProblemsError

    names = {"clusters": _clusters, "releases": _releases, "images": _images}[what]
    try:
        found = sorted({name for name in names(ctx) if name.startswith(incomplete) and name.isprintable()})
    except ProblemsError:
        return []
    except Exception as error:  # noqa: BLE001 - a message would garble the line being typed
        if os.environ.get("KCD_GEN_DEBUG"):
            report_defect(error)
        return []
    return [CompletionItem(name) for name in found]


def _clusters(ctx: click.Context) -> Iterator[str]:
    """Return the names of the clusters in the project file."""
    from kubocd_gen.model.project import Flags
    from kubocd_gen.sources.project_file import load_project

    options = _partial_options(ctx)
    flags = Flags(project=options.project, allow_outside=options.allow_outside)
    project = load_project(flags, Path.cwd(), outputs=False)
    return (cluster.name for cluster in project.clusters)


def _releases(ctx: click.Context) -> Iterator[str]:
    """Yield the project's Releases as `namespace/name`."""
    from kubocd_gen.diagnostics.problems import Problems
    from kubocd_gen.pipeline import read_cluster

    project = _project(ctx)
    for cluster in project.clusters:
        resources, *_ = read_cluster(project, cluster, Problems())
        yield from (release.key for release in resources.releases)


def _images(ctx: click.Context) -> Iterator[str]:
    """Return the packages of the project's Releases, as `registry/repository:tag`."""
    from kubocd_gen.diagnostics.problems import Problems
    from kubocd_gen.pipeline.lock import wanted_by

    wanted, _ = wanted_by(_project(ctx), Problems())
    return (one.name for one in wanted)


def _project(ctx: click.Context) -> Project:
    from kubocd_gen.model.project import Flags
    from kubocd_gen.sources.project_file import load_project

    options = _partial_options(ctx)
    flags = Flags(
        project=options.project,
        sources=options.sources,
        output=Path("output") if options.sources else None,  # required with sources, but not read
        clusters=() if options.sources else options.clusters,
        namespace=options.namespace,
        offline=True,
        allow_outside=options.allow_outside,
    )
    return load_project(flags, Path.cwd(), outputs=False)


def _partial_options(ctx: click.Context) -> ClusterOptions:
    """Return the project's flags on the incomplete command line; all others have their defaults."""
    from kubocd_gen.cli.options import ClusterOptions

    @options
    class Given(ClusterOptions):
        """The flags of a project, for any command."""

    return partial_options(Given, ctx)
