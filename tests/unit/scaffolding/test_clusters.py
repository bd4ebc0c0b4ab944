"""Finding the clusters of a checkout, by its paths."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubocd_gen.model.delivery import FluxSource
from kubocd_gen.scaffolding.clusters import find_clusters, sources_of
from kubocd_gen.server.flux_roots import name_of
from kubocd_gen.sources.flux_sync import Sync, lies_below

SOURCE = FluxSource("GitRepository", "flux-system", "flux-system")


def sync(path: str, file: str | None = None) -> Sync:
    """Return a Kustomization for `path`; without `file`, one that applies its own directory."""
    return Sync("any", "flux-system", path, SOURCE, file or f"{path}/sync.yaml".lstrip("/"), file is None)


def found(files: list[str], *syncs: Sync) -> dict[str, list[str]]:
    return {one.name: sources_of(one, files) for one in find_clusters(files, syncs, "default")}


@pytest.mark.parametrize(
    ("files", "syncs", "clusters"),
    [
        (["a/x.yaml", "a/b/y.yaml", "z.yaml"], [], {"default": ["a", "z.yaml"]}),
        (["clusters/prod/a/x.yaml"], [], {"prod": ["clusters/prod"]}),
        (["clusters/x.yaml"], [], {"default": ["clusters"]}),
        (["clusters/a/x.yaml", "clusters/b/x.yaml"], [], {"a": ["clusters/a"], "b": ["clusters/b"]}),
        ([], [sync("clusters/a"), sync("b")], {"a": [], "b": []}),
        ([], [sync("")], {"default": []}),
        # Kustomizations refer to other directories, even in a cycle.
        (
            ["apps/a/x.yaml", "apps/b/x.yaml", "more/x.yaml"],
            [
                sync("fleet/a"),
                sync("fleet/b"),
                sync("apps/a", "fleet/a/apps.yaml"),
                sync("apps/b", "fleet/b/apps.yaml"),
                sync("more", "apps/b/more.yaml"),
                sync("fleet/b", "more/back.yaml"),
            ],
            {"a": ["apps/a"], "b": ["apps/b", "more"]},
        ),
        # A cluster that only manages other clusters has nothing to compile.
        (["clusters/b/x.yaml"], [sync("clusters/a"), sync("clusters/b")], {"b": ["clusters/b"]}),
        # Directories of the same name are distinguished by their parents.
        (
            ["eu/clusters/a/x", "us/clusters/a/x"],
            [],
            {"eu-clusters-a": ["eu/clusters/a"], "us-clusters-a": ["us/clusters/a"]},
        ),
        (
            ["clusters/a.b/x", "clusters/a b/x"],
            [],
            {"clusters-a-b": ["clusters/a b"], "clusters-a-b-2": ["clusters/a.b"]},
        ),
        (["clusters/é/x.yaml"], [], {"default": ["clusters/é"]}),
        # If no name is valid, the whole checkout is the source.
        ([".", "a/x.yaml"], [], {"default": ["."]}),
    ],
)
def test_clusters_are_found_with_their_sources(
    files: list[str], syncs: list[Sync], clusters: dict[str, list[str]]
) -> None:
    assert found(files, *syncs) == clusters


paths = st.lists(st.sampled_from(["clusters", "apps", "a", "b", "x.yaml", "y.yaml"]), min_size=1, max_size=4).map(
    "/".join
)


@given(st.sets(paths), st.lists(st.tuples(paths, st.none() | paths), max_size=4))
def test_sources_match_only_the_files_of_their_cluster(files: set[str], pairs: list[tuple[str, str | None]]) -> None:
    # No path is both a file and a directory.
    files = {one for one in files if not any(one != other and lies_below(other, one) for other in files)}
    clusters = find_clusters(files, [sync(*pair) for pair in pairs], "default")
    assert files == set().union(*(one.files for one in clusters))
    assert len({one.name for one in clusters}) == len(clusters)
    for one in clusters:
        covered = {file for file in files if any(lies_below(file, source) for source in sources_of(one, files))}
        assert covered == one.files


@given(st.text())
def test_a_cluster_name_is_valid(text: str) -> None:
    assert re.fullmatch(r"([a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?)?", name_of(text))
    assert name_of(name_of(text)) == name_of(text)
