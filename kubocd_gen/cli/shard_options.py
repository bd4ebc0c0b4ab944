"""The flags of a build that is divided between several machines."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click

from kubocd_gen.cli.command import Flag, Options, option_group

if TYPE_CHECKING:
    from kubocd_gen.pipeline.merging import Shards

_MOST = 10_000
_FORM = "I/N, such as 3/7; or auto or auto/N in a CI system"
_SHARD = re.compile("(?:([0-9]{1,6})|auto)(?:/([0-9]{1,6}))?")
_VARIABLES = (("CI_NODE_INDEX", 1), ("JOB_COMPLETION_INDEX", 0))  # of GitLab and Kubernetes: the first number
_COUNT = "CI_NODE_TOTAL"  # of GitLab; Kubernetes does not tell


def parse_shard(text: str) -> tuple[int, int]:
    """Parse `--shard` into index, which counts from 1, and count. Raises ValueError."""
    return _parsed(text, os.environ)


def _parsed(text: str, environment: Mapping[str, str]) -> tuple[int, int]:
    found = _SHARD.fullmatch(text)
    if found is None or (found[1] and not found[2]):
        raise ValueError(f"'{text}' is not {_FORM}")
    index = int(found[1]) if found[1] else _own_index(text, environment)
    if found[2]:
        count = int(found[2])
    else:
        count = _number(_COUNT, environment, f"use auto/N: '{text}' needs the number of shards from {_COUNT}")
    if not 1 <= index <= count <= _MOST:
        start = "the first shard is 1" if index == 0 else f"there is no shard {index} of {count}"
        raise ValueError(f"{start}; I is from 1 to N, and N at most {_MOST}")
    return index, count


def _own_index(text: str, environment: Mapping[str, str]) -> int:
    names = [(name, first) for name, first in _VARIABLES if environment.get(name)]
    if len(names) != 1:
        known = " nor ".join(name for name, _ in _VARIABLES)
        state = "both are set" if names else f"neither {known} is set"
        raise ValueError(f"'{text}' finds no shard, because {state}; use I/N, such as 3/7")
    name, first = names[0]
    return _number(name, environment, f"'{text}' needs a number in {name}") + 1 - first


def _number(name: str, environment: Mapping[str, str], message: str) -> int:
    value = environment.get(name, "")
    if not re.fullmatch("[0-9]{1,6}", value):
        raise ValueError(f"{message}, which is {repr(value[:40]) if value else 'not set'}")
    return int(value)


@option_group
class ShardOptions(Options):
    """Options of a build of a part of the Releases, and of the build that merges the parts."""

    shard: Annotated[
        tuple[int, int] | None,
        Flag(
            "Compile the Ith of N parts of the Releases, and write the results to --shard-file instead of the output; "
            "auto takes I (and N) from CI_NODE_INDEX or JOB_COMPLETION_INDEX.",
            metavar="I/N",
            parse=parse_shard,
        ),
    ] = None
    shard_file: Annotated[
        Path | None,
        Flag("With --shard: the file, which ends in .shard, or a directory for it.", metavar="PATH"),
    ] = None
    merge: Annotated[
        tuple[Path, ...],
        Flag("Use the results of all shards: their files, or a directory with them; repeatable.", metavar="PATH"),
    ] = ()


@contextmanager
def merged_shards(paths: Sequence[Path], *, quiet: bool) -> Iterator[Shards | None]:
    """Open the files of all shards; None if there are none to merge. Raises ProblemsError.

    At the end of the block, the number of Releases that came from them is printed.
    """
    if not paths:
        yield None
        return
    from kubocd_gen.pipeline.merging import open_shards

    shards = open_shards(paths)
    yield shards
    if not quiet:
        releases = f"{shards.restored} Release{'' if shards.restored == 1 else 's'}"
        of = f"{len(shards.files)} shard{'' if len(shards.files) == 1 else 's'}"
        click.echo(f"{releases} restored from {of}; the others were compiled here", err=True)
