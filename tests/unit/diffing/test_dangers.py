"""Which changes of a HelmRelease are highlighted as dangerous."""

from __future__ import annotations

from typing import Any

import pytest

from kubocd_gen.compiler.value_changes import changes
from kubocd_gen.diffing.dangers import helm_release_dangers, release_dangers
from kubocd_gen.diffing.records import ReleaseSide


def codes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    changed = tuple(changes({"spec": old}, {"spec": new}))
    return [code for code, _ in helm_release_dangers("web-main", "default", old, new, changed)]


def chart(name: str, version: str) -> dict[str, Any]:
    return {"chart": {"spec": {"chart": name, "version": version}}}


def values(**given: Any) -> dict[str, Any]:
    return {"values": given}


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ({}, {"releaseName": "web-main", "targetNamespace": "default"}, []),
        ({}, {"releaseName": "www"}, ["release-name-changed"]),
        ({"targetNamespace": "a"}, {}, ["target-namespace-changed"]),
        ({}, {"storageNamespace": "b"}, ["storage-namespace-changed"]),
        (chart("web", "1.9.0"), chart("web", "2.0.0"), ["chart-major-version"]),
        (chart("web", "1.9.0"), chart("web", "1.10.0"), []),
        (chart("web", "v1.10.0"), chart("web", "1.9.0"), ["chart-downgraded"]),
        (chart("web", "1.0.0"), chart("other", "9.0.0"), ["chart-changed"]),
        (chart("web", "one"), chart("web", "two"), []),
        ({"upgrade": {"crds": "Skip"}}, {"upgrade": {"crds": "CreateReplace"}}, ["crds-policy-changed"]),
        ({"install": {}}, {}, []),
        ({}, {"install": {"skipCRDs": True}}, ["crds-policy-changed"]),
        (values(storageClass="a"), values(storageClass="b"), ["storage-changed"]),
        (values(p={"storageClassName": "a"}), values(p={}), ["storage-changed"]),
        (values(), values(p={"accessModes": ["ReadWriteMany"]}), ["storage-changed"]),
        (values(size="10Gi"), values(size="9Gi"), ["volume-shrinks"]),
        (values(size="1Ti"), values(size="1000Gi"), ["volume-shrinks"]),
        (values(size="9Gi"), values(size="10Gi"), []),
        (values(size="large"), values(size="small"), []),
        (values(replicas=3), values(replicas=1), []),
    ],
)
def test_dangers_of_a_changed_helm_release(old: dict[str, Any], new: dict[str, Any], found: list[str]) -> None:
    assert codes(old, new) == found


def test_dangers_of_a_changed_release() -> None:
    kept = ReleaseSide("r/p:1", "sha256:0", True, False, {})
    free = ReleaseSide("r/p:1", "sha256:0", False, False, {})
    assert [code for code, _ in release_dangers(kept, None)] == ["protected-release-removed"]
    assert [code for code, _ in release_dangers(kept, free)] == ["protection-removed"]
    assert [*release_dangers(free, None), *release_dangers(None, kept), *release_dangers(free, kept)] == []
