"""No entry of another machine is accepted that later code cannot process, or that names what is not its own."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest

from kubocd_gen.model.compilation import ChartFile, Summary
from kubocd_gen.pipeline.portable_entries import check_charts, check_documents, check_entry, summary_in
from kubocd_gen.pipeline.stored_summary import stored_summary
from tests.unit.state.test_portable import replaced

SHA256 = "ab" * 32
SUMMARY = Summary(
    namespace="apps",
    name="web",
    suspended=False,
    protected=False,
    deploys=True,
    roles=("web",),
    dependencies=("db",),
    package="web:1.0.0",
    image="registry.example.com/web:1.0.0",
    digest="sha256:" + SHA256,
    origin=None,
    description="A site",
    usage={"text": "https://web"},
    contexts=("apps:shared", "apps:own"),
    resources=(
        ("OCIRepository", "apps", "kcd-web"),
        ("HelmRepository", "apps", "kcd-web"),
        ("HelmRelease", "apps", "web-main"),
    ),
    charts={"index.yaml": ChartFile(SHA256, 10), "web-1.0.0.tgz": ChartFile(SHA256, 20)},
)
ENTRY: dict[str, Any] = {
    "environment": "e" * 32,
    "document": "d 0 () sources/web.yaml",
    "contexts": json.dumps([["apps", "shared", "c" * 32], ["apps", "own", None]]),
    "own": [["apps", "shared"]],
    "request": "{}",
    "digest": SUMMARY.digest,
    "problems": {
        "problems": [
            ["warning", "unknown-override", "text", ["sources/web.yaml", 3, 1, True], "hint", "apps/web", None, 1],
            ["note", "other", "text", None, None, None, "apps/other", 1],
        ],
        "files": {"sources/web.yaml": "f" * 32},
    },
    "searched": 3,
    "spent": {"yaml-values": 10, "schema-steps": 2.0},
    "summary": stored_summary(SUMMARY),
    "written": [[[], None, False], SHA256, 100],
}


def _document(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    annotations = {"kcd-gen.kubocd.io/release": "apps/web", "reconcile.fluxcd.io/requestedAt": "x"}
    metadata = {"name": name, "namespace": "apps", "annotations": annotations}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec}


DOCUMENTS = [
    _document("OCIRepository", "kcd-web"),
    _document("HelmRepository", "kcd-web"),
    _document("HelmRelease", "web-main", dependsOn=[{"name": "db-main", "namespace": "apps"}], values={"a": [1, {}]}),
]


def test_a_right_entry_is_accepted() -> None:
    check_entry("apps/web", ENTRY)
    check_entry("apps/web", {**ENTRY, "written": None})
    assert summary_in(ENTRY) == SUMMARY
    check_documents(json.dumps(DOCUMENTS).encode(), SUMMARY)
    check_charts(SUMMARY, SUMMARY.charts)


def _broken(path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    entry = copy.deepcopy(ENTRY)
    at: Any = entry
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return entry


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("environment",), 1),
        (("contexts",), "["),
        (("contexts",), '[["a", "b"]]'),
        (("own",), [["a"]]),
        (("searched",), -1),
        (("searched",), True),
        (("spent",), {"memory-of-others": 1}),
        (("spent", "yaml-values"), -1),
        (("spent", "yaml-values"), "1"),
        (("problems", "problems", 0, 0), "error"),
        (("problems", "problems", 0, 1), "Not a code"),
        (("problems", "problems", 0, 3), ["/etc/passwd", 1, 1, True]),
        (("problems", "problems", 0, 3), ["sources/web.yaml", 0, 1, True]),
        (("problems", "problems", 0, 5), "other/release"),
        (("problems", "problems", 0, 7), 300),
        (("problems", "files"), {"a": 1}),
        (("summary", 0), ["apps", "other", False, True]),
        (("summary", 0), ["apps", "web", 0, True]),
        (("summary", 4), {"text": 1}),
        (("summary", 7), "zz 10 index.yaml"),
        (("summary", 7), f"{SHA256} 010 index.yaml"),
        (("written",), [[], "zz", 1]),
        (("written",), [[], SHA256]),
        (("more",), 1),
    ],
)
def test_a_wrong_entry_is_refused(path: tuple[str | int, ...], value: Any) -> None:
    with pytest.raises(ValueError, match=r"in it cannot be the result of kcd-gen|^Expecting"):
        entry = _broken(path, value)
        check_entry("apps/web", entry)
        summary = summary_in(entry)
        check_charts(summary, SUMMARY.charts)


@pytest.mark.parametrize("key", ["../web", "apps/../web", "apps/web/x", "Apps/web", "web", "apps/.hidden"])
def test_a_name_that_is_a_path_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="the name of a Release"):
        check_entry(key, ENTRY)


@pytest.mark.parametrize("name", ["../../etc/cron", "other.tgz"])
def test_a_chart_that_the_package_does_not_have_is_refused(name: str) -> None:
    entry = _broken(("summary", 7), f"{SHA256} 10 {name}")
    check_entry("apps/web", entry)  # the names are compared with those of the package
    with pytest.raises(ValueError, match="the charts"):
        check_charts(summary_in(entry), SUMMARY.charts)


def test_no_entry_makes_the_check_fail_otherwise() -> None:
    chance = random.Random(1)  # noqa: S311
    accepted = 0
    for _ in range(3000):
        entry = replaced(ENTRY, chance)
        try:
            check_entry("apps/web", entry)
            assert stored_summary(summary_in(entry)) == entry["summary"]
            accepted += 1
        except ValueError:
            pass
    assert accepted < 600  # where the value is free, such as the text of a message


def test_no_documents_make_the_check_fail_otherwise() -> None:
    chance = random.Random(2)  # noqa: S311
    for _ in range(2000):
        documents = replaced(DOCUMENTS, chance)
        try:
            check_documents(json.dumps(documents).encode(), SUMMARY)
        except ValueError:
            continue
        for one in documents:  # as `Finish` and the emitter use it
            assert isinstance(one["metadata"]["annotations"], dict)
            assert all(isinstance(item["name"], str) for item in one["spec"].get("dependsOn", ()))


def test_the_artifacts_of_a_generator_are_resources() -> None:
    documents = [_document("ArtifactGenerator", "kcd-web", artifacts=[{"name": "web-chart"}])]
    created = (("ArtifactGenerator", "apps", "kcd-web"), ("ExternalArtifact", "apps", "web-chart"))
    summary = Summary(**{name: getattr(SUMMARY, name) for name in Summary.__slots__} | {"resources": created})
    check_documents(json.dumps(documents).encode(), summary)
    with pytest.raises(ValueError, match="the list of resources"):
        check_documents(json.dumps(documents).encode(), SUMMARY)
