"""Run random edits of a project, and compare each incremental build with a full one, byte for byte.

A sequence is a list of steps, each with its own seed, so that a part of a sequence does the same as the whole.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from kubocd_gen.pipeline.known_releases import KnownReleases
from kubocd_gen.state import store
from tests.support.changing_project import CLUSTERS, Project, new_project
from tests.support.workspace import Outcome, files_below, kcd_gen

PROGRAM = Path(sys.executable).parent / "kcd-gen"


@dataclass(frozen=True, slots=True)
class Step:
    """One edit, or several, of the given seed."""

    edits: tuple[str, ...]
    seed: int


class DifferenceError(AssertionError):
    """An incremental build and a full one differ."""


@dataclass
class World:
    """A checkout with its cache, which edits change."""

    directory: Path
    project: Project
    helm: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()  # of all following builds
    outputs: list[Path] = field(default_factory=list)  # copies of earlier outputs
    states: list[Path] = field(default_factory=list)  # copies of earlier states
    other_version: str = ""  # if set, the next incremental build is one of other code
    full_first: bool = False  # a full build comes before the next incremental one
    builds: int = 0
    restored: int = 0  # Releases that builds have restored

    @property
    def checkout(self) -> Path:
        return self.project.root

    @property
    def deploy(self) -> Path:
        return self.checkout / "deploy"

    @property
    def cache(self) -> Path:
        return self.directory / "cache" / "kcd-gen"

    def state_files(self) -> list[Path]:
        directory = self.cache / "state"
        return sorted(directory.iterdir()) if directory.is_dir() else []

    def copy_of(self, path: Path) -> Path:
        """Return a copy of a directory or file, in a place that no build sees."""
        copy = Path(tempfile.mkdtemp(dir=self.directory)) / path.name
        if path.is_dir():
            shutil.copytree(path, copy, symlinks=True)
        elif path.exists():
            shutil.copy2(path, copy)
        return copy

    def run(self, *arguments: str, in_process: bool = True) -> Outcome:
        """Run kcd-gen in the checkout."""
        variables = {"XDG_CACHE_HOME": str(self.directory / "cache"), **self.environment}
        variables["XDG_STATE_HOME"] = str(self.directory / "journals")
        command = [*arguments, *(("--helm", self.helm) if self.helm else ())]
        if in_process:
            return kcd_gen(*command, directory=self.checkout, environment=variables)
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("KCD_", "HELM_"))}
        ended = subprocess.run(
            [PROGRAM, *command], cwd=self.checkout, env=clean | variables, capture_output=True, text=True, check=False
        )
        return Outcome(ended.returncode, ended.stdout, ended.stderr)


def new_world(directory: Path) -> World:
    """Return a checkout with a repository, before the first build."""
    checkout = directory / "work"
    checkout.mkdir(parents=True)
    subprocess.run(["git", "init", "--quiet", str(checkout)], check=True)
    return World(directory, new_project(checkout))


def compare(world: World, rng: random.Random) -> None:
    """Build incrementally and in full, from the same output, and raise DifferenceError if the results differ."""
    flags = [*world.flags, *_flags(rng)]
    in_process = rng.random() > 0.04
    if rng.random() < 0.8:  # otherwise as in one process that builds again and again
        store._recent.clear()
    if world.full_first or rng.random() < 0.05:
        world.run("build", "--offline", "--full", *world.flags)
        world.full_first = False
    journals = [world.checkout / ".git/kcd-gen", world.directory / "journals"]
    before = [(path, world.copy_of(path)) for path in (world.deploy, *journals)]
    with world_of_other_code(world.other_version if in_process else ""), counting(world):
        incremental = world.run("build", "--offline", *flags, in_process=in_process)
    world.other_version = ""
    found = files_below(world.deploy) if world.deploy.is_dir() else {}
    aside = [_moved_aside(world, path) for path, _ in before]
    for path, copy in before:
        if copy.exists():
            shutil.copytree(copy, path, symlinks=True)
        shutil.rmtree(copy.parent)
    full = world.run("build", "--offline", "--full", *flags)
    wanted = files_below(world.deploy) if world.deploy.is_dir() else {}
    for (path, _), kept in zip(before, aside, strict=True):
        shutil.rmtree(path, ignore_errors=True)
        if kept.exists():
            kept.rename(path)
        kept.parent.rmdir()
    world.builds += 1
    where = f"kcd-gen build {' '.join(flags)}{'' if in_process else ' (a process)'}"
    if "--verbose" in flags:  # the log contains times
        incremental, full = (Outcome(one.exit, one.out, "") for one in (incremental, full))
    _same(incremental, _without_full(full), found, wanted, where)
    if rng.random() < 0.5:
        again = world.run("build", "--offline", *flags)
        changed = files_below(world.deploy) if world.deploy.is_dir() else {}
        if changed != found:
            raise DifferenceError(
                f"{where}: the second incremental build changes {_names(found, changed)}\n{again.text}"
            )


_LIMITS = ("yaml-values=40", "output=1000", "rendered=100", "source-bytes=500", "schema-steps=90", "files=5")


def _flags(rng: random.Random) -> Iterator[str]:
    yield from ("--format", "json") if rng.random() < 0.5 else ()
    if rng.random() < 0.6:  # other flags than in the last build can make everything be compiled
        return
    for chance, flags in (
        (0.15, ("--check",)),
        (0.08, ("--dry-run",)),
        (0.2, ("--keep-going",)),
        (0.1, ("--locked",)),
        (0.1, ("--release", rng.choice(("web", "apps/common1", "db")))),
        (0.1, ("--cluster", rng.choice(CLUSTERS))),
        (0.04, ("--resolve", f"db.example.com=10.0.0.{rng.randrange(9)}")),
        (0.05, ("--allow-removals", "50")),
        (0.03, ("--verbose",)),
        (0.03, ("--jobs", "1")),
        # Clusters and threads share a limit, so where it is exceeded depends on their order.
        (0.03, ("--limit", rng.choice(_LIMITS), "--cluster", rng.choice(CLUSTERS), "--jobs", "1")),
        (0.03, ("--expand-env", "EDITED")),
        (0.02, ("--namespace", "apps")),
        (0.02, ("--ignore-kustomizations",)),
    ):
        if rng.random() < chance:
            yield from flags


@contextlib.contextmanager
def world_of_other_code(version: str) -> Iterator[None]:
    """Run the block as code of another version would, if it is not empty."""
    if not version:
        yield
        return
    store._recent.clear()
    with (
        mock.patch.object(store, "code_signature", lambda: version),
        mock.patch.object(store, "rules_fingerprint", lambda: version),
    ):
        yield
    store._recent.clear()


@contextlib.contextmanager
def counting(world: World) -> Iterator[None]:
    """Count the Releases that the block restores from a state."""
    restore = KnownReleases.restore

    def counted(*arguments: Any) -> Any:
        found = restore(*arguments)
        world.restored += len(found)
        return found

    with mock.patch.object(KnownReleases, "restore", counted):
        yield


def _moved_aside(world: World, path: Path) -> Path:
    kept = Path(tempfile.mkdtemp(dir=world.directory)) / path.name
    if path.exists():
        path.rename(kept)
    return kept


def _without_full(outcome: Outcome) -> Outcome:
    """Return the outcome without the flag in the command that `--check` tells to run."""
    return Outcome(outcome.exit, re.sub(r" --full\b(?!-)", "", outcome.out), outcome.err)


def _same(one: Outcome, other: Outcome, found: Mapping[str, bytes], wanted: Mapping[str, bytes], where: str) -> None:
    if one == other and found == wanted:
        return
    parts = [where]
    if found != wanted:
        parts.append(f"the outputs differ in {_names(found, wanted)}")
    lines = (one.text.splitlines(), other.text.splitlines())
    parts += difflib.unified_diff(*lines, "incremental", "full", lineterm="", n=1)
    raise DifferenceError("\n".join(parts))


def _names(one: Mapping[str, bytes], other: Mapping[str, bytes]) -> list[str]:
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


Edits = Mapping[str, Callable[[World, random.Random], object]]


def play(steps: Sequence[Step], edits: Edits, directory: Path) -> World:
    """Play the steps in a new world. Raises DifferenceError, with the number of the step in `step`."""
    world = new_world(directory)
    store._recent.clear()
    for number, step in enumerate(steps):
        rng = random.Random(step.seed)  # noqa: S311
        for name in step.edits:
            edits[name](world, random.Random(f"{step.seed} {name}"))  # noqa: S311
        world.project.write()
        try:
            compare(world, rng)
        except DifferenceError as error:
            error.step = number  # type: ignore[attr-defined]
            raise
    return world


def sequence(seed: int, length: int, edits: Edits) -> list[Step]:
    """Return the steps of a seed. The first builds without any edit."""
    rng = random.Random(seed)  # noqa: S311
    names = sorted(edits)
    steps = [Step((), rng.getrandbits(32))]
    while len(steps) <= length:
        if len(steps) % 10 == 0:
            steps.append(Step(("heal_everything",), rng.getrandbits(32)))
            continue
        count = rng.choice((0, 1, 1, 1, 1, 2, 3))
        steps.append(Step(tuple(rng.choice(names) for _ in range(count)), rng.getrandbits(32)))
    return steps


def check(seed: int, length: int, edits: Edits, directory: Path, *, tries: int = 60) -> World:
    """Play the sequence of a seed. If it fails, raise DifferenceError with a short part of it that fails."""
    steps = sequence(seed, length, edits)
    try:
        return play(steps, edits, directory / "whole")
    except DifferenceError as error:
        failed, steps = error, steps[: error.step + 1]  # type: ignore[attr-defined]
    number, position = 0, len(steps) - 2
    size = max(1, position // 2)
    while size and number < tries:
        at = position
        while at >= 0 and number < tries:
            part = steps[: max(0, at - size + 1)] + steps[at + 1 :]
            number += 1
            place = directory / f"part{number}"
            try:
                play(part, edits, place)
                at -= size
            except DifferenceError as error:
                failed, steps = error, part[: error.step + 1]  # type: ignore[attr-defined]
                at = min(at - size, len(steps) - 2)
            finally:
                shutil.rmtree(place, ignore_errors=True)
        position = len(steps) - 2
        size //= 2
    listed = "\n".join(f"  {step}" for step in steps)
    raise DifferenceError(f"seed {seed}, {len(steps)} steps:\n{listed}\n{failed}")
