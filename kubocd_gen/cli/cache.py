"""`kcd-gen cache`."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import click

from kubocd_gen.cli.guiding import Group
from kubocd_gen.cli.options import option, quiet_option
from kubocd_gen.cli.problems import say_problems
from kubocd_gen.cli.tables import table
from kubocd_gen.diagnostics.problems import Problems, ProblemsError
from kubocd_gen.packages.cache import Cache, cache_folder

_DAY = 24 * 60 * 60
_AGE = re.compile(r"([0-9]+)([hdw])")
_SECONDS = {"h": 60 * 60, "d": _DAY, "w": 7 * _DAY}

_cache_dir = option(
    "--cache-dir", "folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="The cache folder."
)


@click.group(cls=Group)
def cache() -> None:
    """See and clear the cache of fetched packages.

    Packages are kept by digest and verified at every read; the cache can be deleted at any time.

    \b
    kcd-gen cache list
    kcd-gen cache prune --unused-for 30d
    rm -r "$(kcd-gen cache dir)"
    """


@cache.command("dir")
@_cache_dir
def dir_(folder: Path | None) -> int:
    """Print the folder, which need not exist yet.

    \b
    du -sh "$(kcd-gen cache dir)"
    """
    click.echo(str(cache_folder(os.environ, folder)))
    return 0


@cache.command("list")
@_cache_dir
def list_(folder: Path | None) -> int:
    """List what is there: digest, size, last use, and the name of a package's manifest.

    \b
    kcd-gen cache list
    """
    try:
        blobs = list(_cache(folder).blobs())
    except ProblemsError as error:
        return _failed(error)
    rows = [
        (blob.digest, _size(blob.size), time.strftime("%Y-%m-%d", time.gmtime(blob.used)), " ".join(blob.references))
        for blob in blobs
    ]
    for line in table(rows, right=(1,)):
        click.echo(line)
    click.echo(f"{len(blobs)} blob{'' if len(blobs) == 1 else 's'}, {_size(sum(blob.size for blob in blobs))}")
    return 0


@cache.command("prune")
@_cache_dir
@option("--unused-for", default="30d", metavar="AGE", help="Remove what was not read for so long: 12h, 30d, 4w, 0d.")
@quiet_option
def prune(folder: Path | None, unused_for: str, quiet: bool) -> int:
    """Remove what has not been used for a while.

    \b
    kcd-gen cache prune                   # what was not read for 30 days
    kcd-gen cache prune --unused-for 0d   # everything
    """
    age = _AGE.fullmatch(unused_for)
    if age is None:
        raise click.BadParameter(f"'{unused_for}' is not an age such as 12h, 30d or 4w", param_hint="--unused-for")
    try:
        count, freed = _cache(folder).prune(int(age[1]) * _SECONDS[age[2]])
    except ProblemsError as error:
        return _failed(error)
    if not quiet:
        click.echo(f"Removed {count} blob{'' if count == 1 else 's'}, {_size(freed)}")
    return 0


@cache.command("verify")
@_cache_dir
@quiet_option
def verify(folder: Path | None, quiet: bool) -> int:
    """Read everything and remove what is damaged; exit 1 if anything was.

    \b
    kcd-gen cache verify
    """
    try:
        damaged = _cache(folder).damaged()
    except ProblemsError as error:
        return _failed(error)
    for digest in damaged:
        click.echo(f"Removed {digest}, whose content was another")
    if not damaged and not quiet:
        click.echo("Every blob is what its name says")
    return 1 if damaged else 0


def _cache(folder: Path | None) -> Cache:
    return Cache(cache_folder(os.environ, folder))


def _failed(error: ProblemsError) -> int:
    findings = Problems()
    findings.error(error)
    return say_problems(findings)


def _size(count: int) -> str:
    size, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
