"""Random edits of the vendor layout and the lock file."""

from __future__ import annotations

import json
import os
import random

from tests.support.edits.table import EDITS, edit
from tests.support.incremental import World


@edit
def move_a_tag(world: World, rng: random.Random) -> None:
    package = rng.choice(world.project.packages)
    package.note = f"note {rng.randrange(5)}"
    package.variable = rng.random() < 0.2
    package.varying = rng.random() < 0.2
    package.protected = rng.random() < 0.1
    world.project.write_packages()


@edit
def change_roles_of_a_package(world: World, rng: random.Random) -> None:
    package = rng.choice(world.project.packages)
    package.roles, package.dependencies = rng.choice(("", "web", "cache")), rng.choice(("", "", "database", "cache"))
    world.project.write_packages()


@edit
def damage_a_blob(world: World, rng: random.Random) -> None:
    """Change one byte of a blob, sometimes without changing its modification time, or remove it."""
    blobs = sorted((world.checkout / "packages/blobs/sha256").glob("*"))
    if not blobs:
        return
    path = rng.choice(blobs)
    if rng.random() < 0.3:
        path.unlink()
        return
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1
    path.write_bytes(data)
    if rng.random() < 0.7:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@edit
def change_the_layout(world: World, rng: random.Random) -> None:
    path = world.checkout / "packages/index.json"
    if not path.is_file():
        return
    index = json.loads(path.read_text())
    one = rng.choice(index["manifests"])
    name, value = rng.choice((("size", one["size"] + 1), ("mediaType", "application/x"), ("annotations", {})))
    one[name] = value
    path.write_text(json.dumps(index))


@edit
def repair_packages(world: World, _: random.Random) -> None:
    world.project.write_packages()


EDITS["repair_packages_again"] = repair_packages


@edit
def lock(world: World, rng: random.Random) -> None:
    """Write the lock file, remove it, or make it outdated."""
    path = world.checkout / "kcd-gen.lock"
    if path.exists() and rng.random() < 0.5:
        path.unlink()
    else:
        world.run("lock", "--offline", *(("--update",) if rng.random() < 0.5 else ()))
