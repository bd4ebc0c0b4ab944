"""Random edits of the output, as by people, by Git, and by builds that are killed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

from tests.support.changing_project import CLUSTERS
from tests.support.edits.table import edit, one_of
from tests.support.incremental import PROGRAM, World


def _written(world: World) -> list[Path]:
    return sorted(path for path in world.deploy.rglob("*") if path.is_file()) if world.deploy.is_dir() else []


@edit
def edit_the_output(world: World, rng: random.Random) -> None:
    if files := _written(world):
        path = rng.choice(files)
        status = path.stat()
        data = bytearray(path.read_bytes() or b"x")
        data[rng.randrange(len(data))] ^= rng.choice((1, 2, 32))
        path.write_bytes(data)
        if rng.random() < 0.5:
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@edit
def delete_output(world: World, rng: random.Random) -> None:
    for path in rng.sample(files := _written(world), min(len(files), rng.randrange(1, 4))):
        path.unlink()


@edit
def delete_the_output(world: World, rng: random.Random) -> None:
    shutil.rmtree(world.deploy / rng.choice(("", "east", "west/.kcd-gen", "east/flux")), ignore_errors=True)


@edit
def restore_an_earlier_output(world: World, rng: random.Random) -> None:
    if world.deploy.is_dir():
        world.outputs.append(world.copy_of(world.deploy))
    if world.outputs and rng.random() < 0.6:
        shutil.rmtree(world.deploy, ignore_errors=True)
        shutil.copytree(rng.choice(world.outputs), world.deploy, symlinks=True)


@edit
def add_a_foreign_file(world: World, rng: random.Random) -> None:
    path = world.deploy / rng.choice(CLUSTERS) / rng.choice(("flux/apps/new.yaml", "flux/foreign.yaml", "hr/x.tgz"))
    if path.exists():
        path.unlink()
    elif path.parent.is_dir():
        path.write_text("foreign\n")


@edit
def replace_the_output_by_a_symlink(world: World, rng: random.Random) -> None:
    path = world.deploy / rng.choice(CLUSTERS)
    if path.is_symlink():
        target = path.readlink()
        path.unlink()
        target.replace(path)
    elif path.is_dir() and not (target := world.checkout / f"real-{path.name}-output").exists():
        path.replace(target)
        path.symlink_to(target)


@edit
def interrupt_a_build(world: World, rng: random.Random) -> None:
    """Kill a build at a random moment."""
    variables = {"XDG_CACHE_HOME": str(world.directory / "cache"), "XDG_STATE_HOME": str(world.directory / "journals")}
    one_of(world, rng).replicas = rng.randrange(10, 80)
    world.project.write()
    process = subprocess.Popen(
        [PROGRAM, "build", "--offline"],
        cwd=world.checkout,
        env={**os.environ, **variables},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(rng.uniform(0.3, 1.5))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
