"""The resources rendered from a chart."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import cast
from unittest import mock

import pytest

from kubocd_gen.budget.spending import Budget
from kubocd_gen.compiler.secrets import Masks
from kubocd_gen.diagnostics import problems as diagnostics
from kubocd_gen.diagnostics.problems import Position, Problems, ProblemsError
from kubocd_gen.diffing import comparison
from kubocd_gen.diffing.comparison import read_manifests
from kubocd_gen.helm.manifests import Installation
from kubocd_gen.helm.process import HelmPool
from kubocd_gen.model.compilation import Compilation


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


def test_failing_charts_are_reported_in_the_order_of_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the order in which the threads end: only the first problems are kept."""
    second_failed = threading.Event()

    def template(_helm: HelmPool, installation: Installation) -> str:
        if installation.release_name == "a":
            assert second_failed.wait(60)
        elif installation.release_name == "b":
            second_failed.set()
        raise ProblemsError.of("chart-failed", f"{installation.release_name} failed")

    monkeypatch.setattr(comparison, "template", template)
    monkeypatch.setattr(diagnostics, "MOST", 1)
    one = mock.MagicMock()
    one.key, one.summary.suspended = "apps/web", False
    one.release.position.return_value = Position("web.yaml")
    index = b"entries: {a: [{version: 1.0.0, urls: [a.tgz]}], b: [{version: 1.0.0, urls: [b.tgz]}]}"
    one.package.files = {"index.yaml": index, "a.tgz": b"a", "b.tgz": b"b"}
    one.documents = [{"kind": "HelmRepository", "metadata": {"name": "kcd-web"}}]
    one.helm_releases = [
        {
            "metadata": {"name": name, "namespace": "apps"},
            "spec": {
                "chart": {
                    "spec": {
                        "chart": name,
                        "version": "1.0.0",
                        "sourceRef": {"kind": "HelmRepository", "name": "kcd-web"},
                    }
                }
            },
        }
        for name in "ab"
    ]
    old, new = Problems(), Problems()
    pool = cast("HelmPool", SimpleNamespace(jobs=2, budget=Budget()))
    side = cast("Compilation", SimpleNamespace(releases=[one]))
    found = comparison.compare_manifests(None, side, pool, (old, new), Masks())
    assert (found, [*old]) == ({}, [])
    assert [problem.message for problem in new if problem.code == "chart-failed"] == ["HelmRelease 'a': a failed"]
