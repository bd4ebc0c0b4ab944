"""Random edits of a project, its packages, its output, and the state of its builds."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from kubocd_gen.helm.process import find_helm
from tests.support.changing_project import CLUSTERS, NAMESPACES, Release
from tests.support.incremental import PROGRAM, World

Edit = Callable[[World, random.Random], object]
EDITS: dict[str, Edit] = {}


def edit(function: Edit) -> Edit:
    """Add an edit to the table."""
    EDITS[function.__name__] = function  # type: ignore[attr-defined]
    return function


def _one(world: World, rng: random.Random) -> Release:
    return rng.choice(world.project.releases)


def _toggle(values: dict[str, object], name: str, value: object, rng: random.Random) -> None:
    if name in values and rng.random() < 0.8:
        del values[name]
    else:
        values[name] = value


# Sources


@edit
def change_a_parameter(world: World, rng: random.Random) -> None:
    _one(world, rng).replicas = rng.randrange(10, 80)


@edit
def change_without_a_trace(world: World, rng: random.Random) -> None:
    """Change a file without changing its size and its modification time."""
    one = _one(world, rng)
    path = world.checkout / one.file
    status = path.stat() if path.is_file() else None
    one.replicas = rng.randrange(10, 80)
    world.project.write()
    if status:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@edit
def change_the_text(world: World, rng: random.Random) -> None:
    one = _one(world, rng)
    text = rng.choice(("plain", "é", "a\nb: c\n", '{"password": "h7Gs9x!kQ2"}', "${EDITED}", "{{ .Context.domain }}"))
    _toggle(one.parameters, "text", text, rng)


@edit
def toggle_a_literal_secret(world: World, rng: random.Random) -> None:
    _toggle(_one(world, rng).parameters, "password", "h7Gs9x!kQ2w", rng)


@edit
def toggle_a_failing_template(world: World, rng: random.Random) -> None:
    _toggle(_one(world, rng).parameters, "fail", True, rng)


@edit
def toggle_a_host(world: World, rng: random.Random) -> None:
    _toggle(
        _one(world, rng).parameters, "host", rng.choice(("db.example.com", "db.example.com", "other.example.com")), rng
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
    _toggle(_one(world, rng).fields, *rng.choice(choices), rng)


@edit
def toggle_broken_yaml(world: World, rng: random.Random) -> None:
    broken = [one for one in world.project.releases if one.broken]
    one = rng.choice(broken) if broken else _one(world, rng)
    one.broken = not one.broken


@edit
def heal(world: World, rng: random.Random) -> None:
    """Remove most of what is an error."""
    for one in world.project.releases:
        one.broken = False
        one.parameters.pop("fail", None)
        for name in ("suspended", "nonsense"):
            one.fields.pop(name, None)
    kept = {}
    for one in world.project.releases:
        kept.setdefault(
            (one.file.split("/")[1] if one.file.startswith("clusters") else "", one.namespace, one.name), one
        )
    world.project.releases = list(kept.values())


EDITS["heal_again"] = EDITS["heal_once_more"] = heal


@edit
def change_contexts_of_a_release(world: World, rng: random.Random) -> None:
    names = [*world.project.contexts] * 4 + ["platform/missing"]
    _one(world, rng).contexts = tuple(dict.fromkeys(rng.choice(names) for _ in range(rng.randrange(3))))


@edit
def change_a_package_of_a_release(world: World, rng: random.Random) -> None:
    one, package = _one(world, rng), rng.choice(world.project.packages)
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
        world.project.releases.remove(_one(world, rng))


@edit
def rename_a_release(world: World, rng: random.Random) -> None:
    _one(world, rng).name += rng.choice("ab")


@edit
def move_a_release(world: World, rng: random.Random) -> None:
    _one(world, rng).file = _one(world, rng).file


@edit
def rename_a_file(world: World, rng: random.Random) -> None:
    old = _one(world, rng).file
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
    file = _one(world, rng).file
    world.project.lists ^= {file}


@edit
def touch(world: World, rng: random.Random) -> None:
    path = world.checkout / rng.choice(sorted(world.project.written))
    if path.exists():
        os.utime(path)


@edit
def replace_by_a_symlink(world: World, rng: random.Random) -> None:
    """Move a file inside or outside of the checkout, and leave a symlink to it."""
    path = world.checkout / _one(world, rng).file
    place = rng.choice((world.checkout / "elsewhere", world.checkout / "shared", world.directory / "outside"))
    if path.is_file() and not path.is_symlink():
        place.mkdir(exist_ok=True)
        target = place / f"moved-{rng.randrange(99)}.yaml"
        os.replace(path, target)
        path.symlink_to(target)


@edit
def replace_a_directory_by_a_symlink(world: World, rng: random.Random) -> None:
    path = world.checkout / rng.choice(("clusters/east", "shared", "packages/blobs", "clusters/west"))
    if path.is_symlink():
        target = Path(os.readlink(path))
        path.unlink()
        os.replace(target, path)
    elif path.is_dir():
        target = rng.choice((world.directory, world.checkout)) / f"real-{path.name}"
        if not target.exists():
            os.replace(path, target)
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
            target = Path(os.readlink(path))
            path.unlink()
            os.replace(target, path)
    for path in (world.checkout / "shared").glob("moved-*"):
        path.unlink()
    for name in world.project.written:
        if (world.checkout / name).is_symlink():
            (world.checkout / name).unlink()
    world.project.written = {}


EDITS["restore_directories_again"] = restore_directories


# Contexts, Configs, and everything around


@edit
def change_a_context(world: World, rng: random.Random) -> None:
    spec = world.project.contexts[rng.choice(list(world.project.contexts))]
    spec["context"] = {**(spec.get("context") or {}), "domain": f"d{rng.randrange(99)}.example.com"}


@edit
def toggle_a_context(world: World, rng: random.Random) -> None:
    name = rng.choice(("apps/local", "infra/local", "platform/unused", "platform/secret", "apps/base"))
    secret = {"password": "h7Gs9x!kQ2w"} if name.endswith("secret") else {"domain": name}
    _toggle(world.project.contexts, name, {"context": secret}, rng)


@edit
def change_parents(world: World, rng: random.Random) -> None:
    names = list(world.project.contexts)
    spec, parent = world.project.contexts[rng.choice(names)], rng.choice([*names, "platform/missing"])
    parents = [dict(zip(("namespace", "name"), parent.split("/"), strict=True))]
    spec["parents"] = parents if rng.random() < 0.5 else []


@edit
def toggle_a_long_chain(world: World, rng: random.Random) -> None:
    """Add 150 Contexts, each the parent of the one before: more than kcd-gen follows from the first one."""
    contexts = world.project.contexts
    if "chain/c0" in contexts:
        for number in range(150):
            contexts.pop(f"chain/c{number}")
        for one in world.project.releases:
            one.contexts = tuple(name for name in one.contexts if name != "chain/c100")
        return
    for number in range(150):
        parents = [{"namespace": "chain", "name": f"c{number + 1}"}] if number < 149 else []
        contexts[f"chain/c{number}"] = {"parents": parents, "context": {f"v{number}": 1, "domain": f"c{number}"}}
        if number >= 100:
            contexts[f"chain/c{number}"]["context"] = {"domain": f"c{number}"} if number == 149 else {}
    _one(world, rng).contexts = ("chain/c100",)


@edit
def change_the_end_of_the_chain(world: World, rng: random.Random) -> None:
    if "chain/c149" in world.project.contexts:
        world.project.contexts["chain/c149"]["context"] = {"domain": f"end{rng.randrange(99)}"}


@edit
def break_a_context(world: World, rng: random.Random) -> None:
    spec = world.project.contexts[rng.choice(list(world.project.contexts))]
    if isinstance(spec.get("context"), dict) and rng.random() < 0.5:
        spec["context"] = None if rng.random() < 0.5 else "text"
    else:
        for one in world.project.contexts.values():
            one["context"] = one["context"] if isinstance(one.get("context"), dict) else {"a": 1}


@edit
def heal_contexts(world: World, _: random.Random) -> None:
    for name, one in world.project.contexts.items():
        one["context"] = one["context"] if isinstance(one.get("context"), dict) else {"a": 1}
        if not name.startswith("chain/"):
            one["parents"] = []
    for release in world.project.releases:
        release.contexts = tuple(name for name in release.contexts if name in world.project.contexts)


@edit
def move_a_context(world: World, rng: random.Random) -> None:
    name = rng.choice(list(world.project.contexts))
    world.project.context_files[name] = rng.choice(("shared/contexts.yaml", "shared/a.yaml", _one(world, rng).file))


@edit
def change_the_config(world: World, rng: random.Random) -> None:
    choices: list[tuple[str, object]] = [
        ("defaultNamespaceContexts", ["local", "base"]),
        ("defaultContexts", []),
        ("imageRedirects", [{"oldPrefix": "quay.io/", "newPrefix": f"m{rng.randrange(9)}.example.com/"}]),
        (
            "packageRedirects",
            [{"oldPrefix": "registry.example.com/demo/web:1", "newPrefix": "registry.example.com/demo/web:2"}],
        ),
        ("packageRedirects", [{"oldPrefix": "registry.example.com/demo/", "newPrefix": "", "interval": "7m"}]),
        ("clusterRoles", ["storage", "cache", "database"]),
        ("defaultHelmTimeout", f"{rng.randrange(1, 9)}m"),
        ("specPatch", {"maxHistory": rng.randrange(9)}),
        ("specPatch", {"token": "h7Gs9x!kQ2w"}),
        ("nonsense", 1),
    ]
    name, value = rng.choice(choices)
    _toggle(world.project.config, name, value, rng)


@edit
def heal_the_config(world: World, _: random.Random) -> None:
    world.project.config.pop("nonsense", None)


@edit
def move_the_config(world: World, _: random.Random) -> None:
    world.project.config_in_chart = not world.project.config_in_chart


@edit
def change_the_project_file(world: World, rng: random.Random) -> None:
    choices: list[tuple[str, object]] = [
        ("hosts", {"db.example.com": f"10.1.0.{rng.randrange(9)}"}),
        ("pinDigest", True),
        ("emitOCIRepository", rng.random() < 0.5),
        ("dependencies", "ignore"),
        ("namespaces", "external"),
        ("delivery", "git"),
        ("delivery", "artifact"),
        ("charts", "separate"),
        ("flux", rng.choice(("2.7", "2.8", "2.9"))),
    ]
    name, value = rng.choice(choices)
    _toggle(world.project.settings, name, value, rng)


@edit
def change_a_cluster(world: World, rng: random.Random) -> None:
    choices: list[tuple[str, object]] = [
        ("delivery", rng.choice(("server", "git"))),
        ("namespace", "apps"),
        ("repositoryURL", f"http://charts{rng.randrange(9)}.example.com"),
        ("exclude", ["shop.yaml"]),
        ("hosts", {"other.example.com": "10.2.0.1"}),
        ("kubocdNamespace", "kubocd"),
        ("ignoreKustomizations", True),
    ]
    name, value = rng.choice(choices)
    _toggle(world.project.clusters[rng.choice(CLUSTERS)], name, value, rng)


@edit
def heal_the_project_file(world: World, _: random.Random) -> None:
    world.project.settings = {
        name: world.project.settings[name] for name in ("packages", "hosts") if name in world.project.settings
    }
    for name, values in world.project.clusters.items():
        world.project.clusters[name] = {key: values[key] for key in ("sources", "output")}


@edit
def toggle_a_file(world: World, rng: random.Random) -> None:
    """Add or remove a file that is not a Release, a Context or a Config."""
    flux = (
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: k, namespace: flux-system}\n"
    )
    reference = "sourceRef: {kind: GitRepository, name: flux-system}"
    source = f"spec: {{interval: 5m, path: ./deploy/east/flux, prune: true, {reference}, postBuild: {{substitute: {{a: b}}}}}}\n"
    choices = [
        ("clusters/east/kustomization.yaml", "resources: [web.yaml, shop.yaml]\n"),
        ("shared/kustomization.yaml", "namePrefix: x-\nresources: [contexts.yaml]\n"),
        ("clusters/flux.yaml", flux + source),
        ("clusters/west/.sourceignore", "web.yaml\n"),
        (".sourceignore", "/packages\n"),
        ("shared/namespace.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: apps}\n"),
        ("clusters/west/notes.yaml", "a: 1\n---\nb: [\n"),
        ("clusters/east/chart/Chart.yaml", "name: x\n"),
        ("deploy/east/server/kustomization.yaml", _PINNED),
        ("deploy/east/server/charts.list", f"# {'1' * 64}\n"),
        (
            "kcd-gen.lock",
            world.run("lock", "--offline", "--check").out
            and "apiVersion: kcd-gen/v1alpha1\nkind: Lock\npackages: {}\n",
        ),
    ]
    name, text = rng.choice(choices)
    _toggle(world.project.files, name, text, rng)  # type: ignore[arg-type]


_PINNED = f"""\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: []
images:
- name: kcd-gen-charts
  newName: registry.example.com/charts
  digest: sha256:{"1" * 64}
"""


@edit
def heal_files(world: World, _: random.Random) -> None:
    world.project.files = {"shared/other.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n"}


@edit
def change_the_environment(world: World, rng: random.Random) -> None:
    world.environment = {
        "EDITED": rng.choice(("one", "two")),
        "TZ": rng.choice(("UTC", "Asia/Tokyo")),
        "LANG": rng.choice(("C", "de_DE.UTF-8")),
    }


# Packages


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


# The output


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
        target = Path(os.readlink(path))
        path.unlink()
        os.replace(target, path)
    elif path.is_dir() and not (target := world.checkout / f"real-{path.name}-output").exists():
        os.replace(path, target)
        path.symlink_to(target)


@edit
def interrupt_a_build(world: World, rng: random.Random) -> None:
    """Kill a build at a random moment."""
    variables = {"XDG_CACHE_HOME": str(world.directory / "cache"), "XDG_STATE_HOME": str(world.directory / "journals")}
    _one(world, rng).replicas = rng.randrange(10, 80)
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


# The state, and what builds


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
        size = int(data[:head].split()[-1]) if head else 0
        areas = [(0, head), (head, head + size), (head + size, len(data)), (head + size, len(data))]
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
    _one(world, rng).replicas = rng.randrange(10, 80)
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
