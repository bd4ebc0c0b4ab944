"""One complete problem of each code that is not in `test_errors`; each is caused by the function of its name."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from unittest import mock

import pytest
from syrupy.assertion import SnapshotAssertion

from kubocd_gen.files.directory import open_directory
from kubocd_gen.files.walk import OpenDirectory
from kubocd_gen.oci.descriptors import REF_NAME
from kubocd_gen.output.journal import open_staging
from kubocd_gen.output.moves import NEW, STAGING
from kubocd_gen.packages.archive import Subject, read_package_archive
from tests.support.charts import commit_all, git
from tests.support.images import (
    chart_archive,
    chart_index,
    gzipped,
    tarred,
    write_blob,
    write_image,
    write_index,
    write_layout,
)
from tests.support.kubocd_resources import config, context, installation
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

Provoke = Callable[[Workspace], Outcome]
HERE = Path(__file__).parent
ROOT = HERE.parents[1]

IN_UNIT_TESTS = {
    "abandoned-output": "../acceptance/test_removals.py::test_an_output_without_a_cluster_can_be_pruned",
    "ambiguous-flux-folder": "../acceptance/test_init_server.py::test_a_cluster_with_an_unknown_directory_is_an_error",
    "ambiguous-release": "../acceptance/test_selected_releases.py::test_a_name_must_select_a_release",
    "applied-output": "../acceptance/test_init_server.py::test_an_output_that_flux_applies_as_a_whole_is_an_error",
    "bad-shard": "../acceptance/test_shards.py::test_another_file_is_refused",
    "incomplete-shards": "../acceptance/test_shards.py::test_every_shard_is_needed_once",
    "bad-base": "oci/test_base_image.py::test_an_invalid_base_is_refused",
    "bad-chart": "archives/test_chart.py::test_a_harmful_archive_is_refused",
    "bad-credentials": "oci/test_credentials.py::test_a_helper_that_fails_is_named",
    "bad-dump": "../acceptance/test_migrate.py::test_an_invalid_dump_is_an_error",
    "bad-kustomization": "server/test_kustomization.py::test_an_unsupported_notation_is_an_error_and_not_edited",
    "base-part-left-out": "../acceptance/test_image.py::test_every_platform_is_kept",
    "chart-not-in-package": "../acceptance/test_delivery.py::test_fields_that_a_mode_cannot_express_are_errors",
    "chart-conflict": "../acceptance/test_package.py::test_two_modules_share_a_chart_and_never_two_of_one_name",
    "chart-skipped": "../acceptance/test_kustomize.py::test_templates_of_a_helm_chart_are_skipped_with_a_note",
    "chart-version-suffix": "../acceptance/test_delivery.py::test_lint_says_what_a_mode_costs",
    "cross-namespace-source": "../acceptance/test_delivery.py::test_references_that_flux_refuses_are_reported",
    "delivery-changed": "../acceptance/test_delivery.py::test_diff_says_what_another_delivery_means",
    "deprecated-variable": "oci/test_credentials.py::test_sources_of_credentials_have_an_order_of_precedence",
    "duplicate-package": "../acceptance/test_package.py::test_two_manifests_of_one_package_are_an_error",
    "encrypted-source": "../acceptance/test_kustomize.py::test_a_document_encrypted_with_sops_is_an_error",
    "exposed-address": "../server/test_serve.py::test_another_address_than_loopback_is_a_warning",
    "flux-not-searched": "../acceptance/test_kustomize.py::test_a_checkout_that_is_too_large_to_search_is_no_error",
    "git-failed": "packaging/test_git.py::test_a_missing_repository_is_an_error",
    "git-missing": "packaging/test_git.py::test_git_is_required_only_for_git_sources",
    "ignored-output": "../acceptance/test_init.py::test_an_output_ignored_by_git_is_a_warning",
    "kustomization-ignored": "../acceptance/test_kustomize.py::test_a_kustomization_that_changes_sources_is_an_error",
    "kustomize-failed": "../acceptance/test_kustomize.py::test_what_kustomize_cannot_build_is_an_error",
    "kustomize-missing": "../acceptance/test_kustomize.py::test_without_kustomize_a_kustomization_is_an_error",
    "large-artifact": "../acceptance/test_delivery.py::test_lint_says_what_a_mode_costs",
    "large-chart": "../acceptance/test_delivery.py::test_lint_says_what_a_mode_costs",
    "mass-removal": "../acceptance/test_removals.py::test_a_single_release_is_all_of_them",
    "missing-feature-gate": "../acceptance/test_delivery.py::test_missing_features_of_flux_are_reported_with_artifact",
    "missing-chart": "packaging/test_helm_repository.py::test_a_missing_chart_or_version_is_an_error_with_a_suggestion",
    "missing-namespace": "../acceptance/test_namespaces.py::test_lint_finds_a_target_namespace_that_nothing_creates",
    "missing-output": "../server/test_serve.py::test_unusable_arguments_are_an_error",
    "missing-platform": "../acceptance/test_image.py::test_platforms_can_be_selected",
    "missing-repository": "../faults/test_pushing.py::test_an_unexpected_status_of_an_upload_is_an_error",
    "more-problems": "diagnostics/test_problems.py::test_problems_of_one_file_beyond_the_limit_are_counted",
    "not-a-service": "../acceptance/test_init_server.py::test_a_url_that_is_not_a_service_is_an_error_at_its_line",
    "not-finite": "kube_yaml/test_emitter.py::test_a_number_that_json_cannot_represent_is_an_error",
    "not-unicode": "kube_yaml/test_emitter.py::test_a_lone_surrogate_is_an_error_that_names_the_resource",
    "offline": "../faults/test_failing_servers.py::test_offline_mode_sends_no_request",
    "old-helm": "helm/test_process.py::test_an_old_version_is_a_problem",
    "other-flux-source": "../acceptance/test_delivery.py::test_another_source_of_the_output_is_reported",
    "outdated-output": "../acceptance/test_ci_formats.py::test_an_outdated_output_is_annotated",
    "outside-checkout": "../acceptance/test_init_server.py::test_an_output_outside_the_checkout_is_an_error",
    "overlapping-paths": "sources/test_project_paths.py::test_paths_that_are_read_must_not_overlap_the_output",
    "registry-denied": "../faults/test_registry.py::test_a_private_registry_requires_a_login",
    "registry-failed": "../faults/test_failing_servers.py::test_a_request_is_tried_five_times",
    "remote-base": "../acceptance/test_kustomize.py::test_what_kustomize_cannot_build_is_an_error",
    "run-limit": "../faults/test_trust.py::test_received_bytes_count_towards_the_limit_of_the_run",
    "secret-variable": "sources/test_environment.py::test_a_credential_is_never_expanded",
    "stale-image": "../acceptance/test_charts_in_step.py::test_a_hostile_file_is_a_warning_and_never_followed",
    "suspended-output": "pipeline/test_suspended.py::test_a_file_that_no_build_writes_is_refused",
    "tag-exists": "oci/test_layout_writer.py::test_a_tag_is_moved_only_on_request",
    "too-deep": "kube_yaml/test_emitter.py::test_a_deeply_nested_value_is_written_or_is_an_error",
    "undeliverable-field": "../acceptance/test_delivery.py::test_fields_that_a_mode_cannot_express_are_errors",
    "unfollowed-kustomization": "../acceptance/test_kustomize.py::test_a_kustomization_of_another_source_is_reported",
    "unknown-substitution": "../acceptance/test_kustomize.py::test_values_that_flux_reads_from_elsewhere_are_an_error",
    "unlisted-variable": "sources/test_documents.py::test_only_the_listed_variables_are_expanded",
    "unlocked-dependency": "packaging/test_directory.py::test_dependencies_are_fetched_into_a_copy",
    "unpinned-base": "../acceptance/test_image.py::test_a_base_with_only_a_tag_is_a_warning",
    "unpinned-image": "../acceptance/test_image.py::test_the_layers_of_a_base_elsewhere_are_copied_by_a_push",
    "unreadable-template": "helm/test_refusals.py::test_an_unreadable_template_that_helm_accepts_is_an_error",
    "unsupported-proxy": "network/test_proxies.py::test_other_proxies_are_refused_at_once",
    "unusable-address": "../server/test_serve.py::test_unusable_arguments_are_an_error",
    "unusable-file": "../acceptance/test_init_server.py::test_nothing_is_written_through_symlinks",
    "unwritable-layout": "oci/test_layout_writer.py::test_a_directory_that_cannot_be_created_is_an_error",
    "unwritable-schema": "../acceptance/test_schema.py::test_a_file_that_cannot_be_written_is_an_error",
}
"""Codes of checks in the writer for values that the readers never accept, and those of commands other than `build` and
of the registry client."""


def ambiguous_installation(workspace: Workspace) -> Outcome:
    workspace.release("web")
    workspace.source("kubocd.yaml", installation("kubocd") + "---\n" + installation("kubocd-next"))
    return workspace.build()


def ambiguous_package(workspace: Workspace) -> Outcome:
    directory = workspace.root / "packages"
    manifests = [WEB_MANIFEST, WEB_MANIFEST + "description: another\n"]
    layers = [package_content(manifest, status_of(manifest)) for manifest in manifests]
    write_index(directory, [{**write_image(directory, layer), "annotations": {REF_NAME: WEB}} for layer in layers])
    workspace.release("web")
    return workspace.build()


def assumed_chart_version(workspace: Workspace) -> Outcome:
    workspace.release("web")
    workspace.source("kubocd.yaml", installation("kubocd", version="v0.x"))
    return workspace.build()


def bad_index(workspace: Workspace) -> Outcome:
    return with_files(
        workspace, {"index.yaml": b"entries:\n  main:\n  - urls: [https://charts.example.com/main.tgz]\n"}
    )


def bad_project(workspace: Workspace) -> Outcome:
    (workspace.root / "kcd-gen.yaml").write_bytes("name: café\n".encode("latin-1"))
    return kcd_gen("build", directory=workspace.root)


def broken_journal(workspace: Workspace) -> Outcome:
    interrupt(workspace, "../../etc/passwd")
    return workspace.build()


def interrupt(workspace: Workspace, path: str) -> None:
    """Leave the state of a write that was killed before it moved a file to `path`."""
    workspace.release("web")
    (workspace.root / ".git").mkdir()
    workspace.output.mkdir()
    with open_directory(workspace.output) as root:
        store = open_staging(root)
        root.create(f"{NEW}/0", b"kind: HelmRelease\n")
        step = {"path": path, "replace": True, "inode": None, "digests": {}}
        journal = {"inode": (workspace.output / STAGING).stat().st_ino, "steps": [step], "paths": [path]}
        store.write("journal.json", json.dumps(journal).encode(), durable=False)


def chart_failed(workspace: Workspace) -> Outcome:
    git(workspace.root, "init", "--quiet", "--initial-branch=main")
    commit_all(workspace.root)
    workspace.release("web")
    index = chart_index({"main-1.0.0.tgz": (broken := broken_chart())})
    return with_files(
        workspace, {"main-1.0.0.tgz": broken, "index.yaml": index.encode()}, "diff", "--charts", "--ref", "main"
    )


def broken_chart() -> bytes:
    return chart_archive(
        {
            "main/Chart.yaml": b"apiVersion: v2\nname: main\nversion: 1.0.0\n",
            "main/templates/all.yaml": b"{{ required `set a color` .Values.color }}\n",
        }
    )


def corrupt_chart(workspace: Workspace) -> Outcome:
    index = chart_index({name: data for name, data in web_files().items() if name.endswith(".tgz")})
    other = re.sub("digest: [0-9a-f]+", f"digest: {'0' * 64}", index)
    return with_files(workspace, {"index.yaml": other.encode()})


def package_limit(workspace: Workspace) -> Outcome:
    return with_files(workspace, {"index.yaml": b" " * (6 << 20)})


def duplicate_cluster(workspace: Workspace) -> Outcome:
    clusters = "[{name: a, sources: [a], output: out}, {name: a, sources: [b], output: out/b}]"
    return project(workspace, f"clusters: {clusters}")


def duplicate_key(workspace: Workspace) -> Outcome:
    workspace.release("web", "parameters:\n  replicas: 1\n  host: a\n  replicas: 2")
    return workspace.build()


def duplicate_override(workspace: Workspace) -> Outcome:
    workspace.release("web", "moduleOverrides:\n  - {module: main, timeout: 1m}\n  - {module: main, interval: 5m}")
    return workspace.build()


def foreign_staging(workspace: Workspace) -> Outcome:
    workspace.release("web")
    (workspace.output / NEW).mkdir(parents=True)
    (workspace.output / NEW / "0").write_text("kind: HelmRelease\n")
    return workspace.build()


def helm_failed(workspace: Workspace) -> Outcome:
    workspace.release("web")
    helm = workspace.root / "helm"
    helm.write_text("#!/bin/sh\necho 'cannot allocate a thread' >&2\nexit 3\n")
    helm.chmod(0o755)
    return workspace.build("--helm", str(helm))


def ignored_config(workspace: Workspace) -> Outcome:
    workspace.release("web")
    workspace.source("config.yaml", config("clusterRoles: [ingress]").replace("kubocd}", "kubcd}"))
    return workspace.build()


def interrupted_output(workspace: Workspace) -> Outcome:
    gone = "flux/default/gone.yaml"
    interrupt(workspace, gone)
    (workspace.output / gone / "theirs").mkdir(parents=True)
    return workspace.build()


def invalid_name(workspace: Workspace) -> Outcome:
    workspace.package(WEB_MANIFEST.replace("name: main", "name: Main"))
    workspace.release("web")
    return workspace.build()


def literal_secret(workspace: Workspace) -> Outcome:
    workspace.package(WEB_MANIFEST.replace("host: {type", "adminPassword: {type: string}\n      host: {type"))
    workspace.release("web", "parameters:\n  replicas: 2\n  adminPassword: tiger")
    return workspace.build()


def missing_parameter(workspace: Workspace) -> Outcome:
    workspace.package(WEB_MANIFEST.replace('default: ""', "required: true"))
    workspace.release("web", "parameters:\n  replicas: 2")
    return workspace.build()


def missing_project(workspace: Workspace) -> Outcome:
    return kcd_gen("build", directory=workspace.root)


def no_repository(workspace: Workspace) -> Outcome:
    workspace.release("web")
    return workspace.run("diff")


def no_releases(workspace: Workspace) -> Outcome:
    workspace.source("contexts.yaml", context("cluster", "{}"))
    return workspace.build()


def not_a_package(workspace: Workspace) -> Outcome:
    directory = workspace.root / "packages"
    chart = write_blob(directory, b"{}", "application/vnd.cncf.helm.config.v1+json")
    write_index(directory, [{**write_image(directory, b"", config=chart), "annotations": {REF_NAME: WEB}}])
    workspace.release("web")
    return workspace.build()


def other_file_system(workspace: Workspace) -> Outcome:
    workspace.release("web")
    workspace.build()
    real = OpenDirectory.statuses

    def other(directory: OpenDirectory) -> dict[str, os.stat_result]:
        found = real(directory)
        if "hr" in found:
            found["hr"] = os.stat_result((*found["hr"][:2], found["hr"].st_dev + 1, *found["hr"][3:]))
        return found

    with mock.patch.object(OpenDirectory, "statuses", other):
        return workspace.build()


def outdated_values(workspace: Workspace) -> Outcome:
    workspace.release("web")
    chart = "chart: {spec: {chart: kubocd-ctrl, version: 0.3.1}}"
    workspace.source(
        "kubocd.yaml",
        f"""\
        apiVersion: helm.toolkit.fluxcd.io/v2
        kind: HelmRelease
        metadata: {{name: kubocd, namespace: kubocd}}
        spec:
          {chart}
          values:
            config: {{clusterRoles: [storage], defaultContexts: [{{name: cluster, namespace: contexts}}]}}
        """,
    )
    return workspace.build()


def several_providers(workspace: Workspace) -> Outcome:
    workspace.release("web", "dependencies: [database]")
    workspace.release("mysql", "roles: [database]")
    workspace.release("postgres", "roles: [database]")
    return workspace.build()


def suspended_provider(workspace: Workspace) -> Outcome:
    workspace.release("db", "roles: [database]")
    workspace.release("web", "dependencies: [database]")
    workspace.build()
    workspace.release("db", "roles: [database]\nsuspended: true")
    return workspace.build()


def symlinked_output(workspace: Workspace) -> Outcome:
    workspace.release("web")
    workspace.output.mkdir()
    (workspace.output / "hr").symlink_to("../elsewhere")
    return workspace.build()


def template_too_large(workspace: Workspace) -> Outcome:
    workspace.package(WEB_MANIFEST.replace("{{ .Parameters.host }}", "{{ repeat 20000000 `x` }}"))
    workspace.release("web")
    return workspace.build()


def unknown_cluster(workspace: Workspace) -> Outcome:
    return project(workspace, "clusters: [{name: prod, sources: [a], output: out}]", "--cluster", "prd")


def unknown_variable(workspace: Workspace) -> Outcome:
    return kcd_gen("cache", "dir", directory=workspace.root, environment={"KCD_GEN_LOKCED": "1"})


def unknown_kind(workspace: Workspace) -> Outcome:
    workspace.source("web.yaml", "apiVersion: kubocd.kubotal.io/v1alpha1\nkind: Relese\nmetadata: {name: web}\n")
    workspace.source("link.yaml", "apiVersion: kubocd.kubotal.io/v1alpha1\nkind: Connection\nmetadata: {name: link}\n")
    return workspace.build()


def unknown_module_override(workspace: Workspace) -> Outcome:
    workspace.release("web", "moduleOverrides:\n  - {module: mian, timeout: 1m}")
    return workspace.build()


def unknown_revision(workspace: Workspace) -> Outcome:
    workspace.release("web")
    git(workspace.root, "init", "--quiet", "--initial-branch=main")
    commit_all(workspace.root)
    return workspace.run("diff", "--ref", "mian")


def unknown_version(workspace: Workspace) -> Outcome:
    workspace.source("web.yaml", "apiVersion: kubocd.kubotal.io/v1beta1\nkind: Release\nmetadata: {name: web}\n")
    return workspace.build()


def unread_values(workspace: Workspace) -> Outcome:
    workspace.release("web")
    more = "  valuesFrom:\n    - {kind: ConfigMap, name: kubocd-values}\n"
    workspace.source("kubocd.yaml", installation("kubocd", more=more))
    return workspace.build()


def unreadable_output(workspace: Workspace) -> Outcome:
    workspace.release("web")
    (workspace.root / "file").write_text("")
    return workspace.build("--output", "file/output")


def unreadable_revision(workspace: Workspace) -> Outcome:
    workspace.source("web.yaml", f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 400\n")
    git(workspace.root, "init", "--quiet", "--initial-branch=main")
    commit_all(workspace.root)
    return workspace.run("diff", "--ref", "main")


def unreadable_source(workspace: Workspace) -> Outcome:
    workspace.release("web")
    text = "# Für den Zugang\napiVersion: kubocd.kubotal.io/v1alpha1\nkind: Context\n"
    (workspace.root / "sources" / "context.yaml").write_bytes(text.encode("latin-1"))
    return workspace.build()


def unset_variable(workspace: Workspace) -> Outcome:
    workspace.release("web", "parameters:\n  host: ${HOST_OF_WEB}")
    return workspace.build("--expand-env", "HOST_OF_WEB")


def unsupported_function(workspace: Workspace) -> Outcome:
    workspace.package(WEB_MANIFEST.replace("{{ .Parameters.host }}", "{{ readFile `/etc/passwd` }}"))
    workspace.release("web")
    return workspace.build()


def unused_context(workspace: Workspace) -> Outcome:
    workspace.source("contexts.yaml", context("cluster", "{}"))
    workspace.release("web")
    return workspace.build()


def unwritable_state(workspace: Workspace) -> Outcome:
    workspace.release("web")
    (workspace.root / "state").write_text("")
    return workspace.run("build", environment={"XDG_STATE_HOME": str(workspace.root / "state")})


def unwritable_output(workspace: Workspace) -> Outcome:
    workspace.release("web")
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with mock.patch.object(os, "fsync", side_effect=full):
        return workspace.build()


def usage(workspace: Workspace) -> Outcome:
    return kcd_gen("build", "--source", "sources", directory=workspace.root)


def unknown_release(workspace: Workspace) -> Outcome:
    workspace.release("web")
    return workspace.build("--allow-protected-removal", "default/wbe")


def variable_in_manifest(workspace: Workspace) -> Outcome:
    workspace.package(WEB_MANIFEST.replace("{{ .Parameters.host }}", "www.${DOMAIN}"))
    workspace.release("web")
    return workspace.build()


def yaml_limit(workspace: Workspace) -> Outcome:
    workspace.release("web", f"parameters:\n  host: {'[' * 200}{']' * 200}")
    return workspace.build()


KINDS = [
    ambiguous_installation,
    ambiguous_package,
    assumed_chart_version,
    bad_index,
    bad_project,
    broken_journal,
    chart_failed,
    corrupt_chart,
    duplicate_cluster,
    duplicate_key,
    duplicate_override,
    foreign_staging,
    helm_failed,
    ignored_config,
    interrupted_output,
    invalid_name,
    literal_secret,
    missing_parameter,
    missing_project,
    no_repository,
    no_releases,
    not_a_package,
    other_file_system,
    package_limit,
    outdated_values,
    several_providers,
    suspended_provider,
    symlinked_output,
    template_too_large,
    unknown_cluster,
    unknown_variable,
    unknown_kind,
    unknown_module_override,
    unknown_revision,
    unknown_version,
    unread_values,
    unreadable_output,
    unreadable_revision,
    unreadable_source,
    unset_variable,
    unsupported_function,
    unused_context,
    unwritable_output,
    unwritable_state,
    usage,
    unknown_release,
    variable_in_manifest,
    yaml_limit,
]


@pytest.mark.parametrize("provoke", KINDS, ids=lambda provoke: provoke.__name__)
def test_a_problem_of_each_kind_is_reported(
    provoke: Provoke, workspace: Workspace, snapshot: SnapshotAssertion
) -> None:
    outcome = provoke(workspace)
    assert outcome.text.replace(str(workspace.root), "<root>") == snapshot
    assert f"[{provoke.__name__.replace('_', '-')}]: " in outcome.err
    assert (outcome.exit == 0) == ("error[" not in outcome.err)
    if outcome.exit and provoke is not other_file_system:
        assert not [path for path in files_below(workspace.output) if not path.startswith(STAGING)]


def test_every_documented_code_has_a_reviewed_message() -> None:
    rows = re.findall(r"^\| (`.*?`) \|", (ROOT / "docs/errors.md").read_text(encoding="utf-8"), re.MULTILINE)
    documented = {code for row in rows for code in re.findall(r"`([a-z-]+)`", row)}
    reviewed = (*(HERE / "__snapshots__").glob("*.ambr"), *(HERE / "mistakes").glob("*.yaml"))
    texts = "".join(path.read_text(encoding="utf-8") for path in reviewed)
    shown = set(re.findall(r"(?:error|warning|note)\[([a-z-]+)\]: ", texts))
    assert documented == shown | IN_UNIT_TESTS.keys()
    for test in IN_UNIT_TESTS.values():
        module, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / "tests/unit" / module).read_text(encoding="utf-8")


def project(workspace: Workspace, text: str, *flags: str) -> Outcome:
    head = "apiVersion: kcd-gen/v1alpha1\nkind: Project\n"
    (workspace.root / "kcd-gen.yaml").write_text(f"{head}{text}\n", encoding="utf-8")
    return kcd_gen("build", *flags, directory=workspace.root)


def web_files() -> Mapping[str, bytes]:
    """Return the content of the package `WEB`."""
    return read_package_archive(package_content(WEB_MANIFEST, status_of(WEB_MANIFEST)), Subject("web"))


def with_files(workspace: Workspace, changed: Mapping[str, bytes], command: str = "build", *flags: str) -> Outcome:
    """Build a Release whose package has other files, or run another command on it."""
    write_layout(workspace.root / "packages", {WEB: gzipped(tarred({**web_files(), **changed}))})
    workspace.release("web")
    return workspace.run(command, "--offline", *flags)
