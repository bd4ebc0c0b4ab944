"""`kcd-gen init` in repositories of different layouts: each root of Flux is a cluster, and everything is listed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.support.init_checkouts import GITHUB, QUICKSTART_PACKAGE, Repository, sync
from tests.support.workspace import Outcome, kcd_gen

SITES = [
    (region, site, name)
    for region, site in (("eu", "paris"), ("eu", "rome"), ("us", "austin"))
    for name in ("dev", "prod", "test")
]
APPLICATION = """\
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: apps, namespace: argocd}
spec: {project: default, source: {repoURL: 'https://git.example.com/platform', path: apps}}
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "checkout", GITHUB)


def sources(checkout: Repository) -> Mapping[str, object]:
    return {name: one["sources"] for name, one in checkout.clusters().items()}


def placements(checkout: Repository) -> Sequence[str]:
    return sorted(name for name in checkout.files() if "kcd-gen-kustomizations" in name)


def check_second_run(checkout: Repository) -> Outcome:
    """A second run changes nothing, and has no steps left."""
    before = checkout.state()
    again = checkout.init()
    assert (again.exit, again.err) == (0, "")
    assert checkout.state() == before
    assert "Next:" not in again.out
    server = kcd_gen("init", "server", directory=checkout.root)
    assert (server.exit, checkout.state()) == (0, before)
    assert "Next:" not in server.out
    return again


def test_nine_flux_roots_are_nine_clusters(checkout: Repository, snapshot: SnapshotAssertion) -> None:
    for parts in SITES:
        home = f"clusters/{'/'.join(parts)}"
        checkout.write(f"{home}/flux/flux-system/gotk-sync.yaml", sync(f"./{home}/flux"))
        checkout.write(f"{home}/flux/apps.yaml", sync(f"./apps/{'-'.join(parts)}", "apps"))
        checkout.resource(f"{home}/releases/web.yaml")
        checkout.resource(f"apps/{'-'.join(parts)}/shop.yaml")
    checkout.resource("clusters/eu/shared/eu.yaml", "Context")
    checkout.resource("clusters/us/shared/us.yaml", "Context")
    outcome = checkout.init()
    assert (outcome.exit, outcome.err) == (0, "")
    assert outcome.out.partition("\n\n")[0] == snapshot
    assert sources(checkout) == {
        "-".join(parts[1:]): [
            f"apps/{'-'.join(parts)}",
            f"clusters/{'/'.join(parts)}",
            f"clusters/{parts[0]}/shared",
        ]
        for parts in SITES
    }
    assert placements(checkout) == [
        f"clusters/{'/'.join(parts)}/flux/kcd-gen-kustomizations-{'-'.join(parts[1:])}.yaml" for parts in sorted(SITES)
    ]
    check_second_run(checkout)


@pytest.mark.parametrize(
    ("homes", "names"),
    [
        (["clusters/prod", "clusters/test"], ["prod", "test"]),
        (["clusters/eu/prod", "clusters/us/prod", "clusters/us/test"], ["eu-prod", "us-prod", "us-test"]),
        (["clusters/eu/prod", "clusters/us/test"], ["prod", "test"]),
    ],
)
@pytest.mark.parametrize("with_flux", [True, False])
def test_each_environment_is_a_cluster(
    checkout: Repository, homes: Sequence[str], names: Sequence[str], with_flux: bool
) -> None:
    for home in homes:
        if with_flux:
            checkout.write(f"{home}/flux-system/gotk-sync.yaml", sync(f"./{home}"))
        checkout.resource(f"{home}/web.yaml")
    outcome = checkout.init()
    assert (outcome.exit, outcome.err) == (0, "")
    if not with_flux and homes == ["clusters/eu/prod", "clusters/us/test"]:
        # Nothing shows that `eu` is a region and not a cluster with the directory `prod`.
        homes, names = ["clusters/eu", "clusters/us"], ["eu", "us"]
    assert sources(checkout) == {name: [home] for name, home in zip(names, homes, strict=True)}
    if with_flux:
        expected = [f"{home}/kcd-gen-kustomizations-{name}.yaml" for name, home in zip(names, homes, strict=True)]
        assert placements(checkout) == expected
    check_second_run(checkout)


def test_a_tenant_that_a_cluster_applies_is_not_another_cluster(checkout: Repository) -> None:
    checkout.write("clusters/prod/flux-system/gotk-sync.yaml", sync("./clusters/prod"))
    checkout.write("clusters/prod/tenants.yaml", sync("./tenants", "tenants"))
    checkout.write("tenants/shop/sync.yaml", sync("./tenants/shop", "shop"))
    checkout.resource("tenants/shop/web.yaml")
    outcome = checkout.init()
    assert outcome.exit == 0
    assert "  Flux applies tenants/shop, from GitRepository flux-system/shop\n" in outcome.out
    assert sources(checkout) == {"prod": ["tenants"]}
    assert placements(checkout) == ["clusters/prod/kcd-gen-kustomizations.yaml"]
    check_second_run(checkout)


def test_a_flux_root_inside_another_one_is_a_cluster(checkout: Repository) -> None:
    checkout.write("clusters/flux-system/gotk-sync.yaml", sync("./clusters"))
    checkout.write("clusters/edge/flux-system/gotk-sync.yaml", sync("./clusters/edge"))
    checkout.resource("clusters/web.yaml")
    checkout.resource("clusters/edge/web.yaml")
    assert checkout.init().exit == 0
    assert sources(checkout) == {"clusters": ["clusters/web.yaml"], "edge": ["clusters/edge"]}


def test_a_cluster_without_releases_is_listed_and_left_out(checkout: Repository) -> None:
    for name in ("hub", "prod"):
        checkout.write(f"clusters/{name}/flux-system/gotk-sync.yaml", sync(f"./clusters/{name}"))
    checkout.resource("clusters/prod/web.yaml")
    outcome = checkout.init()
    root = "Flux applies clusters/hub, from GitRepository flux-system/flux-system"
    assert f"  {root}: no Releases, so it is not in the project\n" in outcome.out
    assert sources(checkout) == {"prod": ["clusters/prod"]}
    check_second_run(checkout)


def test_a_repository_of_packages_needs_no_project(checkout: Repository, snapshot: SnapshotAssertion) -> None:
    checkout.write("packages/podinfo.yaml", QUICKSTART_PACKAGE)
    checkout.write("packages/redis/package.yaml", "apiVersion: v1alpha1\nname: redis\ntag: '1'\nmodules: []\n")
    checkout.write("docs/example.yaml", "apiVersion: v1alpha1\nkind: Other\n")
    before = checkout.files()
    outcome = checkout.init()
    assert outcome.exit == 0
    assert outcome.text == snapshot
    assert checkout.files() == before
    assert checkout.init("--cluster-name", "prod").exit == 0
    assert list(checkout.clusters()) == ["prod"]


def test_packages_next_to_releases_are_listed(checkout: Repository) -> None:
    checkout.write("packages/podinfo.yaml", QUICKSTART_PACKAGE)
    checkout.resource("releases/web.yaml")
    assert "  1 package manifest: packages/podinfo.yaml\n" in checkout.init().out
    assert sources(checkout) == {"default": ["releases"]}


def test_argo_cd_applies_the_output_without_kustomizations(checkout: Repository, snapshot: SnapshotAssertion) -> None:
    checkout.write("argocd/apps.yaml", APPLICATION)
    checkout.resource("apps/web.yaml")
    outcome = checkout.init()
    assert (outcome.exit, outcome.err) == (0, "")
    assert outcome.out == snapshot
    assert placements(checkout) == []
    assert "deploy/default/server/service.yaml" in checkout.files()
    check_second_run(checkout)


def test_kustomizations_are_written_if_flux_and_argo_cd_are_used(checkout: Repository) -> None:
    checkout.write("clusters/prod/flux-system/gotk-sync.yaml", sync("./clusters/prod"))
    checkout.write("argocd/apps.yaml", APPLICATION)
    outcome = checkout.init()
    assert "  Argo CD's Applications in argocd/apps.yaml\n" in outcome.out
    assert placements(checkout) == ["clusters/prod/kcd-gen-kustomizations.yaml"]


def test_a_step_remains_until_it_is_done(checkout: Repository) -> None:
    checkout.write("clusters/prod/flux-system/gotk-sync.yaml", sync("./clusters/prod"))
    checkout.write("clusters/prod/kustomization.yaml", "resources: [flux-system]\n")
    step = "  add kcd-gen-kustomizations.yaml to clusters/prod/kustomization.yaml\n"
    assert step in checkout.init().out
    again = checkout.init()
    assert again.out.partition("Next:\n")[2] == step
    checkout.write("clusters/prod/kustomization.yaml", "resources: [flux-system, kcd-gen-kustomizations.yaml]\n")
    check_second_run(checkout)


def test_every_finding_is_listed(checkout: Repository) -> None:
    for number in range(12):
        checkout.write(f"fleet/c{number}/flux-system/gotk-sync.yaml", sync(f"./fleet/c{number}"))
        checkout.resource(f"fleet/c{number}/web.yaml")
    checkout.init()
    names = ", ".join(sorted(f"c{number}" for number in range(12)))
    assert f"  a project with the clusters {names}\n" in checkout.init().out
    assert checkout.init("--dry-run").out.count("Flux applies fleet/c") == 12
