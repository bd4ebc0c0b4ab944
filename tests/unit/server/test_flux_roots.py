"""Which clusters the roots of Flux are, by their paths and names."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from kubocd_gen.model.delivery import FluxSource
from kubocd_gen.server.flux_roots import cluster_names, cluster_roots, home_of, roots_named
from kubocd_gen.sources.flux_sync import Sync

SOURCE = FluxSource("GitRepository", "flux-system", "flux-system")


def root(path: str, name: str = "flux-system") -> Sync:
    return Sync(name, "flux-system", path, SOURCE, f"{path}/sync.yaml".lstrip("/"), is_root=True)


def inner(path: str, file: str) -> Sync:
    return Sync("inner", "flux-system", path, SOURCE, file, is_root=False)


@pytest.mark.parametrize(
    ("syncs", "paths"),
    [
        ([root("clusters/a"), root("clusters/b")], ["clusters/a", "clusters/b"]),
        ([root("")], []),
        ([root(""), root("edge")], ["", "edge"]),
        ([root(""), root("tenants", "tenants")], []),
        # An object of the same name can't be in the same cluster.
        ([root("a"), root("a/b")], ["a", "a/b"]),
        ([root("a"), root("a/b", "b")], ["a"]),
        ([root("a"), inner("apps", "a/apps.yaml"), root("apps/x", "x")], ["a"]),
        ([root("a"), inner("apps", "a/apps.yaml"), root("apps/x")], ["a", "apps/x"]),
        # What another cluster applies does not belong to this one.
        ([root("a"), root("a/b"), inner("apps", "a/b/apps.yaml"), root("apps/x", "x")], ["a", "a/b"]),
        ([root("a"), root("a", "other")], ["a"]),
    ],
)
def test_each_root_is_a_cluster_unless_another_one_applies_it(syncs: Sequence[Sync], paths: Sequence[str]) -> None:
    assert [one.path for one in cluster_roots(syncs)] == paths
    assert [one.path for one in cluster_roots(syncs[::-1])] == paths


@pytest.mark.parametrize(
    ("path", "others", "home"),
    [
        ("clusters/prod/flux", (), "clusters/prod"),
        ("clusters/prod/flux-system", (), "clusters/prod"),
        ("clusters/prod", (), "clusters/prod"),
        ("clusters/flux", (), "clusters/flux"),
        ("flux", (), "flux"),
        ("site/flux", ("site/gitops",), "site/flux"),
    ],
)
def test_a_directory_named_after_flux_is_in_the_directory_of_its_cluster(
    path: str, others: Sequence[str], home: str
) -> None:
    assert home_of(path, {path, *others}) == home


def test_names_are_as_short_as_they_can_be_unique() -> None:
    assert list(cluster_names(["c/eu/a", "c/us/b"], "x").values()) == ["a", "b"]
    assert list(cluster_names(["c/eu/a", "c/us/a", "c/us/b"], "x").values()) == ["eu-a", "us-a", "us-b"]
    assert list(cluster_names(["é", "ü"], "x").values()) == ["x", "x-2"]


def test_a_cluster_is_found_by_the_end_of_its_directory() -> None:
    roots = [root("clusters/eu"), root("clusters/eu/prod/flux"), root("clusters/us/prod/flux")]
    assert roots_named("us-prod", roots) == [roots[2]]
    assert roots_named("prod", roots) == roots[1:]
    assert roots_named("eu", roots) == [roots[0]]
    assert roots_named("us", roots) == [roots[2]]
    assert roots_named("asia", roots) == []
