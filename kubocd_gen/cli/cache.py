"""`kcd-gen cache`."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import click

from kubocd_gen.cli.command import Flag, Options, command, option_group, options
from kubocd_gen.cli.console import print_json, print_problems
from kubocd_gen.cli.help_format import Group
from kubocd_gen.cli.options import JsonOptions, QuietOptions
from kubocd_gen.cli.terminal import table
from kubocd_gen.diagnostics.problems import Problems, has_errors
from kubocd_gen.diagnostics.text import envelope
from kubocd_gen.packages.cache import Cache, CachedBlob, cache_directory

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
        str, Flag("Remove blobs that have not been read for this long, such as 12h, 30d or 4w.", metavar="AGE")
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

    \b
    kcd-gen cache list
    kcd-gen cache list --format json
    """
    problems = Problems()
    blobs: list[CachedBlob] = []
    with problems.collect():
        blobs = list(options.cache().blobs())
    if options.format == "json":
        body = {"directory": str(options.directory()), "blobs": [_entry(blob) for blob in blobs]}
        print_json(envelope("Cache", body, list(problems)))
    elif not has_errors(problems):
        for line in _list_lines(blobs):
            click.echo(line)
    return print_problems(problems)


@command(PruneOptions)
def prune(options: PruneOptions) -> int:
    """Remove blobs that have not been used recently.

    \b
    kcd-gen cache prune                   # not read for 30 days
    kcd-gen cache prune --unused-for 0d   # everything
    """
    problems = Problems()
    with problems.collect():
        count, freed = options.cache().prune(_seconds(options.unused_for))
        if not options.quiet:
            click.echo(f"Removed {_blobs(count)}, {_size(freed)}")
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


def _list_lines(blobs: Sequence[CachedBlob]) -> Iterator[str]:
    rows = [(blob.digest, _size(blob.size), _day(blob.used), " ".join(blob.references)) for blob in blobs]
    yield from table(rows, right=(1,))
    yield f"{_blobs(len(blobs))}, {_size(sum(blob.size for blob in blobs))}"


def _blobs(count: int) -> str:
    return f"{count} blob{'' if count == 1 else 's'}"


def _size(count: int) -> str:
    size, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
