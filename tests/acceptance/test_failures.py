"""A build with problems writes nothing of its own and leaves existing files unchanged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
import yaml
from syrupy.assertion import SnapshotAssertion

from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.pipeline import build as building
from tests.support.images import write_layout
from tests.support.kubocd_resources import config, context, installation, invalid_config, unknown_parameter
from tests.support.workspace import (
    WEB,
    WEB_MANIFEST,
    Outcome,
    Workspace,
    files_below,
    kcd_gen,
    package_content,
    status_of,
)

Prepare = Callable[[Workspace], object]


def test_a_problem_after_a_good_build_leaves_its_output_unchanged(workspace: Workspace) -> None:
    workspace.release("web")
    assert workspace.build().exit == 0
    before = files_below(workspace.output)
    unknown_parameter(workspace)
    workspace.release("new")
    assert workspace.build().exit == 1
    assert files_below(workspace.output) == before


def test_a_protected_release_that_would_be_removed_is_an_error_unless_it_is_named(
    workspace: Workspace, snapshot: SnapshotAssertion
) -> None:
    workspace.release("web", "protected: true")
    workspace.release("app")
    workspace.build()
    (workspace.root / "sources" / "default-web.yaml").unlink()
    before = files_below(workspace.output)
    refused = workspace.build()
    assert refused.text == snapshot
    assert refused.exit == 1
    assert files_below(workspace.output) == before
    assert workspace.build("--keep-going").exit == 1
    assert files_below(workspace.output) == before
    assert workspace.build("--allow-protected-removal", "other/web").exit == 1
    allowed = workspace.build("--allow-protected-removal", "default/web")
    assert allowed.exit == 0
    assert allowed.err.startswith("output/flux/default/web.yaml: note[protected-removal]: the protected Release ")
    assert "flux/default/web.yaml" not in files_below(workspace.output)


def test_a_release_that_is_no_longer_protected_is_removed_by_the_next_build(workspace: Workspace) -> None:
    workspace.release("web", "protected: true")
    workspace.release("app")
    assert workspace.build().exit == 0
    workspace.release("web", "protected: false")
    assert workspace.build().exit == 0
    assert b"prune" not in (workspace.output / "flux/default/web.yaml").read_bytes()
    (workspace.root / "sources/default-web.yaml").unlink()
    removed = workspace.build()
    assert (removed.exit, removed.err) == (0, "")
    assert "flux/default/web.yaml" not in files_below(workspace.output)


def test_a_protected_package_protects_its_releases_unless_they_say_otherwise(workspace: Workspace) -> None:
    workspace.package(WEB_MANIFEST + "protected: true\n")
    workspace.release("web")
    workspace.release("app", "protected: false")
    workspace.build()
    written = files_below(workspace.output)
    assert b"prune: disabled" in written["flux/default/web.yaml"]
    assert b"prune" not in written["flux/default/app.yaml"]


def test_an_invalid_config_stops_every_release_even_with_keep_going(workspace: Workspace) -> None:
    invalid_config(workspace)
    assert workspace.build("--keep-going").exit == 1
    assert [path for path in files_below(workspace.output) if path.startswith("flux/default")] == []


@pytest.mark.parametrize(
    "values",
    [
        "{config: true}",
        "{config: {content: [1]}}",
        "{config: {content: {defaultHelmTimeout: soon}}}",
        "{config: {content: {clusterRole: [a]}}}",
        "{config: {content: {clusterRoles: [a]}}, contexts: [{name: a}]}",
        "[1]",
        "{config: {content: {}}",
    ],
)
def test_a_broken_config_in_the_values_of_the_chart_stops_every_release_and_keeps_the_output(
    values: str, workspace: Workspace
) -> None:
    workspace.release("web")
    workspace.release("app")
    chart = installation("kubocd", more="  values: {config: {content: {defaultHelmTimeout: 9m}}}\n")
    workspace.source("kubocd.yaml", chart)
    assert workspace.build().exit == 0
    before = files_below(workspace.output)
    workspace.source("kubocd.yaml", installation("kubocd", more=f"  values: {values}\n"))
    (workspace.root / "sources" / "default-app.yaml").write_text("")
    outcome = workspace.build("--keep-going", "--format", "json")
    report = json.loads(outcome.out)
    assert outcome.exit == 1
    assert [(one["name"], one["status"]) for one in report["releases"] if one["status"] != "removed"] == [
        ("web", "failed")
    ]
    assert "default/web" in {one["release"] for one in report["diagnostics"] if one["path"] == "sources/kubocd.yaml"}
    after = files_below(workspace.output)
    assert {path: before[path] for path in after if "web" in path} == {
        path: content for path, content in before.items() if "web" in path
    }


def test_a_config_that_is_not_yaml_stops_every_release_and_another_file_does_not(workspace: Workspace) -> None:
    workspace.release("web")
    workspace.source("config.yaml", config("clusterRoles: [a"))
    assert workspace.build("--keep-going").exit == 1
    assert files_below(workspace.output).keys() <= {"flux/kustomization.yaml", ".kcd-gen/shared.list"}
    workspace.source("config.yaml", context("cluster", "[a"))
    assert workspace.build("--keep-going").exit == 1
    assert "flux/default/web.yaml" in files_below(workspace.output)


def test_a_build_without_releases_writes_a_kustomization_that_flux_accepts(workspace: Workspace) -> None:
    workspace.release("web")
    workspace.build()
    (workspace.root / "sources" / "default-web.yaml").write_text("")
    assert workspace.build("--allow-removals", "all").exit == 0
    assert files_below(workspace.output).keys() == {"flux/kustomization.yaml", ".kcd-gen/shared.list"}
    written = yaml.safe_load((workspace.output / "flux/kustomization.yaml").read_text(encoding="utf-8"))
    assert written["resources"] == []
    assert {key for key, value in written.items() if value} == {"apiVersion", "kind", "metadata"}


def test_keep_going_writes_good_releases_and_keeps_the_files_of_failing_ones(workspace: Workspace) -> None:
    workspace.release("web")
    workspace.release("app")
    workspace.build()
    before = files_below(workspace.output)
    workspace.release("web", "parameters: {replicaz: 2}")
    workspace.release("app", "parameters: {replicas: 2}")
    workspace.release("new")
    outcome = workspace.build("--keep-going")
    after = files_below(workspace.output)
    assert outcome.exit == 1
    assert outcome.out.splitlines()[-1] == "2 of 3 Releases compiled; 5 files written, 0 removed, 2 unchanged"
    assert {path for path in after if before.get(path) != after[path]} == {
        ".kcd-gen/default/app.list",
        ".kcd-gen/default/new.list",
        "flux/default/app.yaml",
        "flux/default/new.yaml",
        "flux/kustomization.yaml",
        "hr/default/new/index.yaml",
        "hr/default/new/main-1.0.0.tgz",
    }
    assert before.keys() <= after.keys()
    assert b"default/web.yaml" in after["flux/kustomization.yaml"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda workspace: workspace.source("x.yaml", "apiVersion: kubocd.kubotal.io/v1alpha1\nkind: [\n"),
        lambda workspace: workspace.source(
            "x.yaml", "apiVersion: kubocd.kubotal.io/v1alpha1\nkind: Release\nmetadata: {name: a/b}\nspec: {}\n"
        ),
        lambda workspace: workspace.source(
            "x.yaml", "apiVersion: kubocd.kubotal.io/v1alpha1\nkind: Release\nmetadata: {}\nspec: {}\n"
        ),
    ],
    ids=["file-that-does-not-read", "impossible-name", "no-name"],
)
def test_nothing_is_removed_if_a_release_cannot_be_identified(damage: Prepare, workspace: Workspace) -> None:
    workspace.release("web")
    workspace.release("app")
    workspace.build()
    before = files_below(workspace.output)
    (workspace.root / "sources" / "default-web.yaml").unlink()
    damage(workspace)
    assert workspace.build("--keep-going").exit == 1
    assert files_below(workspace.output) == before


def test_a_source_that_does_not_exist_removes_nothing(workspace: Workspace) -> None:
    workspace.release("web")
    workspace.build()
    before = files_below(workspace.output)
    (workspace.root / "sources" / "default-web.yaml").unlink()
    assert workspace.build("--source", "elsewhere", "--keep-going").exit == 1
    assert files_below(workspace.output) == before


def test_an_output_in_its_own_source_is_not_read(workspace: Workspace) -> None:
    workspace.release("web")
    flags = ("--source", ".", "--output", ".")
    assert workspace.build(*flags).exit == 0
    again = workspace.build(*flags)
    assert again.out == "1 of 1 Release compiled; 0 files written, 0 removed, 4 unchanged\n"


def test_sources_without_a_release_are_a_warning(workspace: Workspace) -> None:
    workspace.source("empty.yaml", "")
    outcome = workspace.build()
    assert outcome.exit == 0
    assert "warning[no-releases]: the sources of cluster 'default' contain no Release" in outcome.err


def test_a_problem_of_an_unused_context_is_a_warning(workspace: Workspace) -> None:
    workspace.release("web")
    workspace.source("contexts.yaml", context("orphan", "{}", parent="nobody"))
    outcome = workspace.build()
    assert outcome.exit == 0
    assert "warning[missing-context]: the Context 'default:nobody' does not exist" in outcome.err


def test_a_context_that_the_cluster_would_refuse_is_an_error_even_if_unused(workspace: Workspace) -> None:
    workspace.release("web")
    workspace.source("contexts.yaml", context("orphan", "{}") + "  parent: nobody\n")
    outcome = workspace.build()
    assert outcome.exit == 1
    assert "error[unknown-field]: spec.parent is not a known field" in outcome.err


def test_a_module_name_that_kubernetes_refuses_is_a_warning(workspace: Workspace) -> None:
    workspace.package(WEB_MANIFEST.replace("name: main", "name: Main"))
    workspace.release("web")
    outcome = workspace.build()
    assert outcome.exit == 0
    message = "the name of HelmRelease 'web-Main' must be an RFC 1123 subdomain, not 'web-Main'"
    assert f"warning[invalid-name]: {message}\n" in outcome.err
    assert outcome.err.count("invalid-name") == 1


def test_names_in_patches_that_kubernetes_refuses_are_warnings(workspace: Workspace) -> None:
    patch = "specPatch: {releaseName: Up_x, targetNamespace: a.b, storageNamespace: ok}"
    workspace.release("web", f"moduleOverrides:\n  - {{module: main, {patch}}}")
    outcome = workspace.build()
    assert outcome.exit == 0
    assert "the releaseName of HelmRelease 'web-main' must be an RFC 1123 subdomain, not 'Up_x'" in outcome.err
    assert "the targetNamespace of HelmRelease 'web-main' must be an RFC 1123 label, not 'a.b'" in outcome.err
    assert "storageNamespace" not in outcome.err


def test_a_module_missing_in_status_yaml_is_an_error(workspace: Workspace) -> None:
    layer = package_content(WEB_MANIFEST, status_of(WEB_MANIFEST.replace("name: main", "name: mian")))
    write_layout(workspace.root / "packages", {WEB: layer})
    workspace.release("web")
    assert "has no chart for module 'main'" in _failed(workspace.build()).err


def test_a_cluster_with_an_error_keeps_the_others_from_being_written(workspace: Workspace) -> None:
    clusters = "[{name: a, sources: [a], output: out/a}, {name: b, sources: [b], output: out/b}]"
    (workspace.root / "kcd-gen.yaml").write_text(
        f"apiVersion: kcd-gen/v1alpha1\nkind: Project\nclusters: {clusters}\npackages: {{vendor: packages}}\n"
    )
    workspace.release("web")
    for name, extra in (("a", ""), ("b", "  parameters: {x: 1}\n")):
        text = (workspace.root / "sources" / "default-web.yaml").read_text()
        (workspace.root / name).mkdir()
        (workspace.root / name / "web.yaml").write_text(f"{text}\n{extra}")
    outcome = _failed(kcd_gen("build", directory=workspace.root))
    assert outcome.out == (
        "a: 1 of 1 Release compiled; nothing was written\nb: 0 of 1 Release compiled; nothing was written\n"
    )
    assert files_below(workspace.root / "out") == {}
    _failed(kcd_gen("build", "--keep-going", directory=workspace.root))
    assert sorted(path.name for path in Path(workspace.root, "out").rglob("web.yaml")) == ["web.yaml"]


def test_with_several_clusters_a_problem_names_its_cluster(workspace: Workspace) -> None:
    (workspace.root / "kcd-gen.yaml").write_text(
        "apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {vendor: packages}\nclusters:\n"
        "- {name: prod, sources: [sources, nowhere], output: out/prod}\n"
        "- {name: test, sources: [sources], output: out/test}\n"
    )
    workspace.release("web", "parameters: {x: 1}")
    outcome = _failed(kcd_gen("build", directory=workspace.root))
    assert outcome.err == (
        "kcd-gen.yaml:5:35: error[missing-source]: the source 'nowhere' does not exist\n"
        "    use a file, a directory or a glob such as 'clusters/*/releases', relative to the project's root\n"
        "    in the cluster prod\n"
        "sources/default-web.yaml:6:16: error[unknown-parameter]: parameter 'x' is not in the schema of web:1.0.0\n"
        "    known parameters: host, replicas\n"
        "    in the clusters prod, test\n"
        "2 errors\n"
    )
    alone = _failed(kcd_gen("build", "--cluster", "test", directory=workspace.root))
    assert "in the cluster" not in alone.err


def test_a_package_that_is_missing_is_reported_in_the_files_of_each_cluster(workspace: Workspace) -> None:
    """It is fetched once, and each cluster reports its own Release, always in the same order."""
    names = ("prod", "test", "dev")
    clusters = "".join(f"- {{name: {name}, sources: [{name}], output: out/{name}}}\n" for name in names)
    (workspace.root / "kcd-gen.yaml").write_text(
        f"apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {{vendor: packages}}\nclusters:\n{clusters}"
    )
    workspace.release("web", package="registry.example.com/demo/other:1.0.0")
    text = (workspace.root / "sources" / "default-web.yaml").read_text()
    for name in names:
        (workspace.root / name).mkdir()
        (workspace.root / name / "web.yaml").write_text(text)
    for _ in range(5):
        outcome = _failed(kcd_gen("build", "--offline", directory=workspace.root))
        positions = [line.partition(": ")[0] for line in outcome.err.splitlines() if "error[missing-package]" in line]
        assert [position.partition(":")[0] for position in positions] == [
            "dev/web.yaml",
            "prod/web.yaml",
            "test/web.yaml",
        ]


def test_an_output_that_cannot_be_written_is_an_error_of_its_cluster(workspace: Workspace) -> None:
    workspace.release("web")
    problem = Problem("unwritable-output", "cannot write to output: No space left on device")
    with mock.patch.object(building, "write", side_effect=ProblemsError(problem)):
        outcome = _failed(workspace.build())
    assert outcome.out == "1 of 1 Release compiled; nothing was written\n"
    assert outcome.err == "error[unwritable-output]: cannot write to output: No space left on device\n1 error\n"


def _failed(outcome: Outcome) -> Outcome:
    assert outcome.exit == 1
    return outcome
