"""Edits that end the errors of earlier ones, because a build with errors keeps little."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from tests.support.edits.table import EDITS, edit
from tests.support.incremental import World

_HEALING = ("restore_directories", "heal", "heal_contexts", "heal_the_config", "heal_the_project_file", "heal_files")


@edit
def heal_everything(world: World, rng: random.Random) -> None:
    """Remove what is an error in the whole project, in its output and in the cache."""
    for name in _HEALING:
        EDITS[name](world, rng)
    for one in world.project.releases:
        one.tag = "1.0.0"
    for output in (world.deploy / "east", world.deploy / "west"):
        if output.is_symlink():
            target: Path = output.readlink()
            output.unlink()
            target.replace(output)
        for foreign in (output / "flux/apps/new.yaml", output / "flux/foreign.yaml", output / "hr/x.tgz"):
            if foreign.is_file() and foreign.read_bytes() == b"foreign\n":
                foreign.unlink()
    (world.checkout / "kcd-gen.lock").unlink(missing_ok=True)
    shutil.rmtree(world.checkout / "packages", ignore_errors=True)
    for package in world.project.packages:
        package.variable = package.varying = False
    world.project.write_packages()
    world.helm = ""
    if any(not path.is_file() or path.is_symlink() for path in world.state_files()):
        shutil.rmtree(world.cache, ignore_errors=True)
    world.run("build", "--offline", "--full", "--allow-removals", "99")
