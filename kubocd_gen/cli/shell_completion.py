"""What a shell offers behind Tab, from the project's files alone: no helm, no package, no network.

Whatever is wrong with them is for a command to tell; a completion then offers nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import BashComplete, CompletionItem, ZshComplete, add_completion_class, split_arg_string

if TYPE_CHECKING:
    from kubocd_gen.cli.options import ClusterOptions
    from kubocd_gen.model.project import Project

Offer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


class Bash(BashComplete):
    """Click's, for words that hold ':' or '=', which bash takes for words of their own.

    Words are read from the line itself, and of an answer what bash keeps before the last such character is left out.
    Behind `NAME=` there is no space.
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
        return f"{item.type},{item.value}"  # click has taken `--name=` off already


class Zsh(ZshComplete):
    """Click's, without a space behind `NAME=`. fish leaves none there of its own accord."""

    source_template = ZshComplete.source_template.replace(
        "compadd -U -V unsorted -a completions",
        "local -a behind; [[ $completions[1] == *= ]] && behind=(-S '')\n"
        '        compadd "${(@)behind}" -U -V unsorted -a completions',
    )


def add_shells() -> None:
    """Make click answer bash and zsh by the classes above."""
    add_completion_class(Bash)
    add_completion_class(Zsh)


def offering(names: Callable[[click.Context], Iterator[str]]) -> Offer:
    """A `shell_complete` of an option: those of the names that begin as the word does, sorted."""

    def offer(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        try:
            found = sorted({name for name in names(ctx) if name.startswith(incomplete) and name.isprintable()})
        except Exception:  # noqa: BLE001 - a traceback in the middle of a line that is being written helps nobody
            return []
        return [CompletionItem(name) for name in found]

    return offer


def clusters(ctx: click.Context) -> Iterator[str]:
    """The clusters of the project file."""
    from kubocd_gen.model.project import Flags
    from kubocd_gen.sources.project_file import load_project

    options = _given(ctx)
    flags = Flags(project=options.project, allow_outside=options.allow_outside)
    project = load_project(flags, Path.cwd(), outputs=False)
    return (cluster.name for cluster in project.clusters)


def releases(ctx: click.Context) -> Iterator[str]:
    """The project's Releases as `namespace/name`."""
    from kubocd_gen.diagnostics.problems import Problems
    from kubocd_gen.pipeline import read_cluster

    project = _project(ctx)
    for cluster in project.clusters:
        resources, _, _ = read_cluster(project, cluster, Problems())
        yield from (release.key for release in resources.releases)


def images(ctx: click.Context) -> Iterator[str]:
    """The packages that the project's Releases ask for, as `registry/repository:tag`."""
    from kubocd_gen.diagnostics.problems import Problems
    from kubocd_gen.pipeline.lock import wanted_by

    wanted, _ = wanted_by(_project(ctx), Problems())
    return (one.name for one in wanted)


def _project(ctx: click.Context) -> Project:
    from kubocd_gen.model.project import Flags
    from kubocd_gen.sources.project_file import load_project

    options = _given(ctx)
    flags = Flags(
        project=options.project,
        sources=options.sources,
        output=Path("output") if options.sources else None,  # of which nothing is read
        clusters=() if options.sources else options.clusters,
        namespace=options.namespace,
        offline=True,
        allow_outside=options.allow_outside,
    )
    return load_project(flags, Path.cwd(), outputs=False)


def _given(ctx: click.Context) -> ClusterOptions:
    """Return the project's flags that the line has so far; those that its command lacks have their defaults."""
    from kubocd_gen.cli.command import given, options
    from kubocd_gen.cli.options import ClusterOptions

    @options
    class Given(ClusterOptions):
        """The flags of a project, whatever the command."""

    return given(Given, ctx)
