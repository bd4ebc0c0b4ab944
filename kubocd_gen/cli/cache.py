"""`kcd-gen cache`."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click

from kubocd_gen.cli.command import Flag, Options, command, option_group, options
from kubocd_gen.cli.console import print_json, print_problems
from kubocd_gen.cli.help_format import Group
from kubocd_gen.cli.options import JsonOptions, QuietOptions
from kubocd_gen.cli.terminal import table
from kubocd_gen.diagnostics.problems import Problems, ProblemsError, has_errors
from kubocd_gen.diagnostics.text import envelope
from kubocd_gen.packages.cache import Cache, CachedBlob, cache_directory, unreadable, unwritable

if TYPE_CHECKING:
    from kubocd_gen.state.cached import CachedState

_DAY = 24 * 60 * 60
_AGE = re.compile(r"([0-9]{1,9})([hdw])")
_SECONDS = {"h": 60 * 60, "d": _DAY, "w": 7 * _DAY}


@option_group
class CacheOptions(Options):
    """Options of every `cache` command."""

    cache_dir: Annotated[
        Path | None, Flag("The cache directory.", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
    ] = None

    def directory(self) -> Path:
        """Return the cache directory, which may not exist yet."""
        return cache_directory(os.environ, self.cache_dir)

    def cache(self) -> Cache:
        return Cache(self.directory())


@options
class DirOptions(CacheOptions):
    """`kcd-gen cache dir`."""


@options
class ListOptions(CacheOptions, JsonOptions):
    """`kcd-gen cache list`."""


@options
class PruneOptions(CacheOptions, QuietOptions):
    """`kcd-gen cache prune`."""

    unused_for: Annotated[
        str, Flag("Remove what has not been used for this long, such as 12h, 30d or 4w.", metavar="AGE")
    ] = "30d"


@options
class VerifyOptions(CacheOptions, QuietOptions):
    """`kcd-gen cache verify`."""


@click.group(cls=Group)
def cache() -> None:
    """Inspect or clean the cache of downloaded packages.

    Packages are stored by digest and verified on every read. The cache can be deleted at any time.

    \b
    kcd-gen cache list
    kcd-gen cache prune --unused-for 30d
    rm -r "$(kcd-gen cache dir)"
    """


@command(DirOptions, name="dir")
def dir_(options: DirOptions) -> int:
    """Print the cache directory. It might not exist yet.

    \b
    du -sh "$(kcd-gen cache dir)"
    """
    click.echo(str(options.directory()))
    return 0


@command(ListOptions, name="list")
def list_(options: ListOptions) -> int:
    """List the cached blobs: digest, size, last use, and for manifests the package reference.

    Also lists the states that builds keep in the cache, one for each cluster.

    \b
    kcd-gen cache list
    kcd-gen cache list --format json
    """
    problems = Problems()
    blobs: list[CachedBlob] = []
    states: list[CachedState] = []
    with problems.collect():
        blobs = list(options.cache().blobs())
        from kubocd_gen.state.cached import cached_states  # other commands do not need it

        try:
            states = cached_states(options.directory())
        except OSError as error:
            raise ProblemsError(unreadable(options.directory(), error)) from error
    if options.format == "json":
        body = {
            "directory": str(options.directory()),
            "blobs": [_entry(blob) for blob in blobs],
            "states": [{"name": one.name, "size": one.size, "used": _day(one.used)} for one in states],
        }
        print_json(envelope("Cache", body, list(problems)))
    elif not has_errors(problems):
        for line in _list_lines(blobs, states):
            click.echo(line)
    return print_problems(problems)


@command(PruneOptions)
def prune(options: PruneOptions) -> int:
    """Remove blobs, and states of builds, that have not been used recently.

    \b
    kcd-gen cache prune                   # not used for 30 days
    kcd-gen cache prune --unused-for 0d   # everything
    """
    problems = Problems()
    with problems.collect():
        unused_for = _seconds(options.unused_for)
        count, freed = options.cache().prune(unused_for)
        from kubocd_gen.state.cached import prune_states

        try:
            states, more = prune_states(options.directory(), unused_for)
        except OSError as error:
            raise ProblemsError(unwritable(options.directory(), error)) from error
        if not options.quiet:
            removed = f"{_blobs(count)} and {_states(states)}" if states else _blobs(count)
            click.echo(f"Removed {removed}, {_size(freed + more)}")
    return print_problems(problems)


@command(VerifyOptions)
def verify(options: VerifyOptions) -> int:
    """Verify all blobs and remove damaged ones; exit 1 if there were any.

    \b
    kcd-gen cache verify
    """
    problems = Problems()
    damaged: list[str] = []
    with problems.collect():
        damaged = options.cache().damaged()
        for digest in damaged:
            click.echo(f"Removed {digest}: the content does not match the digest")
        if not damaged and not options.quiet:
            click.echo("All blobs are valid")
    return print_problems(problems) or (1 if damaged else 0)


for _command in (dir_, list_, prune, verify):
    cache.add_command(_command)


def _seconds(age: str) -> int:
    """Return the seconds of `--unused-for`. Raises BadParameter."""
    found = _AGE.fullmatch(age)
    if found is None:
        raise click.BadParameter(f"'{age}' is not an age such as 12h, 30d or 4w", param_hint="--unused-for")
    return int(found[1]) * _SECONDS[found[2]]


def _entry(blob: CachedBlob) -> dict[str, Any]:
    return {
        "digest": blob.digest,
        "size": blob.size,
        "used": _day(blob.used),
        "references": list(blob.references),
    }


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


def _list_lines(blobs: Sequence[CachedBlob], states: Sequence[CachedState]) -> Iterator[str]:
    rows = [(blob.digest, _size(blob.size), _day(blob.used), " ".join(blob.references)) for blob in blobs]
    rows += [(one.name, _size(one.size), _day(one.used), "") for one in states]
    yield from table(rows, right=(1,))
    yield f"{_blobs(len(blobs))}, {_size(sum(blob.size for blob in blobs))}"
    if states:
        yield f"{_states(len(states))}, {_size(sum(one.size for one in states))}"


def _blobs(count: int) -> str:
    return f"{count} blob{'' if count == 1 else 's'}"


def _states(count: int) -> str:
    return f"{count} state{'' if count == 1 else 's'} of builds"


def _size(count: int) -> str:
    size, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
