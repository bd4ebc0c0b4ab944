"""Random edits of Contexts, Configs, the project file, and what is around the sources."""

from __future__ import annotations

import random

from tests.support.changing_project import CLUSTERS
from tests.support.edits.table import edit, one_of, toggle
from tests.support.incremental import World


@edit
def change_a_context(world: World, rng: random.Random) -> None:
    spec = world.project.contexts[rng.choice(list(world.project.contexts))]
    spec["context"] = {**(spec.get("context") or {}), "domain": f"d{rng.randrange(99)}.example.com"}


@edit
def toggle_a_context(world: World, rng: random.Random) -> None:
    name = rng.choice(("apps/local", "infra/local", "platform/unused", "platform/secret", "apps/base"))
    secret = {"password": "h7Gs9x!kQ2w"} if name.endswith("secret") else {"domain": name}
    spec = {"context": secret}
    toggle(world.project.contexts, name, spec, rng)


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
    one_of(world, rng).contexts = ("chain/c100",)


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
    world.project.context_files[name] = rng.choice(("shared/contexts.yaml", "shared/a.yaml", one_of(world, rng).file))


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
    toggle(world.project.config, name, value, rng)


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
    toggle(world.project.settings, name, value, rng)


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
    toggle(world.project.clusters[rng.choice(CLUSTERS)], name, value, rng)


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
    applied = f"interval: 5m, path: ./deploy/east/flux, prune: true, {reference}"
    source = f"spec: {{{applied}, postBuild: {{substitute: {{a: b}}}}}}\n"
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
    toggle(world.project.files, name, text, rng)


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
