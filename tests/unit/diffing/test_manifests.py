"""The resources rendered from a chart."""

from __future__ import annotations

from kubocd_gen.budget.spending import Budget
from kubocd_gen.diffing.comparison import read_manifests


def test_resources_are_identified_by_group_kind_namespace_and_name() -> None:
    text = (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n---\n"
        "apiVersion: v1\nkind: List\nitems:\n- {kind: Pod, metadata: {generateName: web-, namespace: other}}\n"
    )
    assert list(read_manifests(text, "web", "apps", Budget())) == [
        ("apps", ("Deployment", "apps", "web"), 0),
        ("", ("Pod", "other", "web-"), 0),
    ]


def test_resources_with_the_same_identity_are_numbered() -> None:
    found = read_manifests("kind: Pod\n---\n" * 20_000, "web", "apps", Budget())
    assert len(found) == 20_000
    assert max(found) == ("", ("Pod", "apps", ""), 19_999)
