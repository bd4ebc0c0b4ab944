"""Random damage to the state of builds, and changes of what builds."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess

from kubocd_gen.helm.process import find_helm
from tests.support.edits.table import EDITS, edit, one_of
from tests.support.incremental import PROGRAM, World


@edit
def delete_the_state(world: World, rng: random.Random) -> None:
    for path in world.state_files():
        if path.is_file() and rng.random() < 0.7:
            path.unlink()


@edit
def truncate_the_state(world: World, rng: random.Random) -> None:
    for path in world.state_files():
        if path.is_file():
            os.truncate(path, rng.randrange(path.stat().st_size + 1))


@edit
def damage_the_state(world: World, rng: random.Random) -> None:
    """Flip bits in the header, in the index, or in the blobs."""
    for path in world.state_files():
        if not path.is_file():
            continue
        data = bytearray(path.read_bytes())
        head = data.find(b"\n", data.find(b"\n") + 1) + 1
        found = re.search(rb" (\d+)\n$", data[:head])
        blobs = min(len(data), head + int(found[1]) if found else head)
        areas = [(0, head), (head, blobs), (blobs, len(data)), (blobs, len(data))]
        start, end = rng.choice(areas)
        for _ in range(rng.choice((1, 1, 20)) if end > start else 0):
            data[rng.randrange(start, end)] ^= 1 << rng.randrange(8)
        path.write_bytes(data)


EDITS["damage_the_state_again"] = damage_the_state


@edit
def keep_or_restore_a_state(world: World, rng: random.Random) -> None:
    """Replace states by older copies, which can be those of another cluster."""
    files = [path for path in world.state_files() if path.is_file()]
    world.states += [world.copy_of(path) for path in files]
    for path in files:
        if rng.random() < 0.6:
            shutil.copy2(rng.choice(world.states), path)


@edit
def make_the_state_unusable(world: World, rng: random.Random) -> None:
    for path in world.state_files():
        if path.is_dir():
            path.rmdir()
            continue
        path.unlink()
        match rng.randrange(3):
            case 0:
                path.mkdir()
            case 1:
                os.mkfifo(path)
            case 2:
                path.symlink_to("/dev/zero")


@edit
def repair_the_cache(world: World, _: random.Random) -> None:
    shutil.rmtree(world.cache, ignore_errors=True)


@edit
def build_with_another_version(world: World, rng: random.Random) -> None:
    world.other_version = rng.choice(("one", "two"))


@edit
def build_in_full_before(world: World, _: random.Random) -> None:
    world.full_first = True


@edit
def replace_helm(world: World, rng: random.Random) -> None:
    """Run helm through a script that another program can stand behind, or through one that fails."""
    real, programs = find_helm(None), world.directory / "programs"
    programs.mkdir(exist_ok=True)
    for name, text in (
        ("helm", f'#!/bin/sh\nexec {programs}/behind "$@"\n'),
        ("behind", f'#!/bin/sh\n{rng.choice(("", "", "exit 3", "sleep 0"))}\nexec {real} "$@"\n'),
    ):
        path = programs / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            path.chmod(0o755)
    world.helm = str(programs / "helm") if rng.random() < 0.5 else ""


@edit
def use_the_real_helm(world: World, _: random.Random) -> None:
    world.helm = ""


@edit
def build_twice_at_once(world: World, rng: random.Random) -> None:
    """Run two builds at the same time."""
    one_of(world, rng).replicas = rng.randrange(10, 80)
    world.project.write()
    variables = {"XDG_CACHE_HOME": str(world.directory / "cache"), "XDG_STATE_HOME": str(world.directory / "journals")}
    running = [
        subprocess.Popen(
            [PROGRAM, "build", "--offline"],
            cwd=world.checkout,
            env={**os.environ, **variables},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]
    codes = {process.wait() for process in running}
    assert codes <= {0, 1, 2, 3, 4}, codes
