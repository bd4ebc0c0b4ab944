"""Random edits of Releases, and of the files that they are in."""

from __future__ import annotations

import os
import random
from typing import Any

from tests.support.changing_project import NAMESPACES, Release
from tests.support.edits.table import EDITS, edit, one_of, toggle
from tests.support.incremental import World


@edit
def change_a_parameter(world: World, rng: random.Random) -> None:
    one_of(world, rng).replicas = rng.randrange(10, 80)


@edit
def change_without_a_trace(world: World, rng: random.Random) -> None:
    """Change a file without changing its size and its modification time."""
    one = one_of(world, rng)
    path = world.checkout / one.file
    status = path.stat() if path.is_file() else None
    one.replicas = rng.randrange(10, 80)
    world.project.write()
    if status:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@edit
def change_the_text(world: World, rng: random.Random) -> None:
    one = one_of(world, rng)
    text = rng.choice(("plain", "é", "a\nb: c\n", '{"password": "h7Gs9x!kQ2"}', "${EDITED}", "{{ .Context.domain }}"))
    toggle(one.parameters, "text", text, rng)


@edit
def toggle_a_literal_secret(world: World, rng: random.Random) -> None:
    toggle(one_of(world, rng).parameters, "password", "h7Gs9x!kQ2w", rng)


@edit
def toggle_a_failing_template(world: World, rng: random.Random) -> None:
    toggle(one_of(world, rng).parameters, "fail", True, rng)


@edit
def toggle_a_host(world: World, rng: random.Random) -> None:
    toggle(
        one_of(world, rng).parameters,
        "host",
        rng.choice(("db.example.com", "db.example.com", "other.example.com")),
        rng,
    )


@edit
def toggle_a_field(world: World, rng: random.Random) -> None:
    choices: list[tuple[str, object]] = [
        ("suspended", True),
        ("protected", True),
        ("protected", False),
        ("roles", ["database"]),
        ("roles", ["cache"]),
        ("dependencies", ["database"]),
        ("dependencies", ["cache", "storage"]),
        ("skipDefaultContext", True),
        ("moduleOverrides", [{"module": "main", "specPatch": {"maxHistory": 3}}]),
        ("moduleOverrides", [{"module": "mian", "timeout": "3m"}]),
        ("targetNamespace", "elsewhere"),
        ("createNamespace", True),
        ("description", "described"),
        ("nonsense", 1),
    ]
    toggle(one_of(world, rng).fields, *rng.choice(choices), rng)


@edit
def toggle_broken_yaml(world: World, rng: random.Random) -> None:
    broken = [one for one in world.project.releases if one.broken]
    one = rng.choice(broken) if broken else one_of(world, rng)
    one.broken = not one.broken


@edit
def heal(world: World, rng: random.Random) -> None:
    """Remove most of what is an error."""
    for one in world.project.releases:
        one.broken = False
        one.parameters.pop("fail", None)
        for name in ("suspended", "nonsense"):
            one.fields.pop(name, None)
    kept: dict[tuple[str, str, str], Any] = {}
    for one in world.project.releases:
        kept.setdefault(
            (one.file.split("/")[1] if one.file.startswith("clusters") else "", one.namespace, one.name), one
        )
    world.project.releases = list(kept.values())


EDITS["heal_again"] = EDITS["heal_once_more"] = heal


@edit
def change_contexts_of_a_release(world: World, rng: random.Random) -> None:
    names = [*world.project.contexts] * 4 + ["platform/missing"]
    one_of(world, rng).contexts = tuple(dict.fromkeys(rng.choice(names) for _ in range(rng.randrange(3))))


@edit
def change_a_package_of_a_release(world: World, rng: random.Random) -> None:
    one, package = one_of(world, rng), rng.choice(world.project.packages)
    one.package, one.tag = package.name, package.tag if rng.random() < 0.9 else "9.9.9"


@edit
def add_a_release(world: World, rng: random.Random) -> None:
    name = rng.choice(("new", "newer", "web", "web-main", "db"))
    file = rng.choice([*(one.file for one in world.project.releases), "shared/added.yaml", "clusters/east/added.yml"])
    package = rng.choice(world.project.packages)
    world.project.releases.append(Release(name, rng.choice(NAMESPACES), file, package.name, package.tag))


@edit
def delete_a_release(world: World, rng: random.Random) -> None:
    if len(world.project.releases) > 8:
        world.project.releases.remove(one_of(world, rng))


@edit
def rename_a_release(world: World, rng: random.Random) -> None:
    one_of(world, rng).name += rng.choice("ab")


@edit
def move_a_release(world: World, rng: random.Random) -> None:
    one_of(world, rng).file = one_of(world, rng).file


@edit
def rename_a_file(world: World, rng: random.Random) -> None:
    old = one_of(world, rng).file
    new = f"{old.rpartition('/')[0]}/{rng.choice(('0', 'z', 'sub/x'))}-{rng.randrange(9)}.yaml"
    for one in world.project.releases:
        one.file = new if one.file == old else one.file


@edit
def reorder_a_file(world: World, rng: random.Random) -> None:
    rng.shuffle(world.project.releases)


@edit
def shift_lines(world: World, rng: random.Random) -> None:
    file = rng.choice([*(one.file for one in world.project.releases), "shared/contexts.yaml", "shared/config.yaml"])
    world.project.comments[file] = rng.randrange(4)


@edit
def toggle_a_list(world: World, rng: random.Random) -> None:
    file = one_of(world, rng).file
    world.project.lists ^= {file}


@edit
def touch(world: World, rng: random.Random) -> None:
    path = world.checkout / rng.choice(sorted(world.project.written))
    if path.exists():
        os.utime(path)


@edit
def replace_by_a_symlink(world: World, rng: random.Random) -> None:
    """Move a file inside or outside of the checkout, and leave a symlink to it."""
    path = world.checkout / one_of(world, rng).file
    place = rng.choice((world.checkout / "elsewhere", world.checkout / "shared", world.directory / "outside"))
    if path.is_file() and not path.is_symlink():
        place.mkdir(exist_ok=True)
        target = place / f"moved-{rng.randrange(99)}.yaml"
        path.replace(target)
        path.symlink_to(target)


@edit
def replace_a_directory_by_a_symlink(world: World, rng: random.Random) -> None:
    path = world.checkout / rng.choice(("clusters/east", "shared", "packages/blobs", "clusters/west"))
    if path.is_symlink():
        target = path.readlink()
        path.unlink()
        target.replace(path)
    elif path.is_dir():
        target = rng.choice((world.directory, world.checkout)) / f"real-{path.name}"
        if not target.exists():
            path.replace(target)
            path.symlink_to(target)


@edit
def restore_directories(world: World, _: random.Random) -> None:
    for path in (
        world.checkout / "clusters/east",
        world.checkout / "shared",
        world.checkout / "packages/blobs",
        world.checkout / "clusters/west",
    ):
        if path.is_symlink():
            target = path.readlink()
            path.unlink()
            target.replace(path)
    for path in (world.checkout / "shared").glob("moved-*"):
        path.unlink()
    for name in world.project.written:
        if (world.checkout / name).is_symlink():
            (world.checkout / name).unlink()
    world.project.written = {}


EDITS["restore_directories_again"] = restore_directories
