"""`kcd-gen lock`, `vendor` and `cache` as a user runs them, with packages from a layout instead of a registry."""

from __future__ import annotations

import json
import re
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
import yaml
from syrupy.assertion import SnapshotAssertion

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.helm import process
from kubocd_gen.oci.descriptors import MANIFEST_TYPE
from kubocd_gen.pipeline.helm_lock import minor
from tests.support.charts import commit_all, git
from tests.support.images import chart_archive, package_layer, write_layout
from tests.support.workspace import WEB, WEB_MANIFEST, Outcome, Workspace, files_below, kcd_gen, status_of

OTHER = "registry.example.com/demo/other:2.0.0"
LOCK = "kcd-gen.lock"


def lock(workspace: Workspace, *flags: str) -> Outcome:
    return workspace.run("lock", "--offline", *flags)


def locked(workspace: Workspace) -> dict[str, dict[str, object]]:
    packages: dict[str, dict[str, object]] = yaml.safe_load((workspace.root / LOCK).read_text())["packages"]
    return packages


@pytest.fixture
def web(workspace: Workspace) -> Workspace:
    """One Release of one package, locked."""
    workspace.release("web")
    workspace.package()
    assert lock(workspace).exit == 0
    return workspace


def move(workspace: Workspace, *, chart: str = "1.0.0", content: str = "other") -> None:
    """Move the tag of `WEB` to another image, with the content of the chart of that version changed."""
    archive = chart_archive(
        {"main/Chart.yaml": f"apiVersion: v2\nname: main\nversion: {chart}\n# {content}\n".encode()}
    )
    status = status_of(WEB_MANIFEST).replace("1.0.0", chart)
    workspace.layers[WEB] = package_layer(WEB_MANIFEST, status, {f"main-{chart}.tgz": archive})
    write_layout(workspace.root / "packages", workspace.layers)


def test_a_lock_pins_every_package_once(web: Workspace) -> None:
    web.release("again")
    web.release("other", package=OTHER)
    web.package(reference=OTHER)
    outcome = lock(web)
    assert outcome.exit == 0
    assert [line.rpartition(" ")[0] for line in outcome.out.splitlines()] == [f"Locked {OTHER}"]
    assert list(locked(web)) == [OTHER, WEB]
    assert lock(web).out == "kcd-gen.lock is up to date\n"


def test_an_unused_package_is_removed_from_the_lock(web: Workspace) -> None:
    web.release("web", package=OTHER)
    web.package(reference=OTHER)
    assert lock(web).out.splitlines()[-1] == f"Removed {WEB}"
    assert list(locked(web)) == [OTHER]


def test_removing_most_packages_must_be_confirmed(web: Workspace) -> None:
    (web.root / "sources/default-web.yaml").unlink()
    (web.root / "sources/keep.yaml").write_text("")
    refused = lock(web)
    assert (refused.exit, "error[mass-removal]" in refused.err) == (1, True)
    assert list(locked(web)) == [WEB]
    assert lock(web, "--allow-removals", "1").out.splitlines()[-1] == f"Removed {WEB}"
    assert not locked(web)


def test_another_tag_of_the_same_package_is_no_removal(web: Workspace) -> None:
    newer = WEB.replace("1.0.0", "1.0.1")
    web.release("web", package=newer)
    web.package(reference=newer)
    assert lock(web).exit == 0
    assert list(locked(web)) == [newer]


def test_an_unreadable_source_keeps_every_pin(web: Workspace) -> None:
    before = (web.root / LOCK).read_bytes()
    web.source("default-web.yaml", "apiVersion: kubocd.kubotal.io/v1alpha1\nkind: [")
    assert lock(web).exit == 1
    assert (web.root / LOCK).read_bytes() == before


def test_a_pin_is_kept_until_an_update_is_requested(web: Workspace) -> None:
    before = locked(web)
    move(web, chart="1.0.1")
    assert lock(web).out == "kcd-gen.lock is up to date\n"
    assert locked(web) == before
    outcome = lock(web, "--update", "web")
    assert outcome.exit == 0
    moved, removed, added = outcome.out.splitlines()
    assert moved.startswith(f"Moved {WEB} sha256:")
    assert (removed, added) == ("  - chart main 1.0.0", "  + chart main 1.0.1")
    assert locked(web) != before


@pytest.mark.parametrize("flags", [["--update"], ["--update", "--check"]], ids=["update", "check"])
def test_a_tag_with_the_same_digest_has_not_moved(web: Workspace, flags: list[str]) -> None:
    outcome = lock(web, *flags)
    assert (outcome.exit, outcome.out) == (0, "kcd-gen.lock is up to date\n")


def test_check_reports_missing_pins_and_writes_nothing(web: Workspace) -> None:
    before = (web.root / LOCK).read_bytes()
    assert lock(web, "--check").exit == 0
    web.release("web", package=OTHER)
    outcome = lock(web, "--check")
    assert (outcome.exit, outcome.out) == (
        3,
        f"Missing {OTHER}\nUnused {WEB}\nkcd-gen.lock is out of date; run 'kcd-gen lock'\n",
    )
    assert (web.root / LOCK).read_bytes() == before


def test_check_with_update_reports_moved_tags(web: Workspace) -> None:
    assert lock(web, "--check", "--update").exit == 0
    move(web, chart="1.0.1")
    outcome = lock(web, "--check", "--update")
    assert outcome.exit == 3
    assert outcome.out.startswith(f"Would move {WEB} sha256:")
    assert "run 'kcd-gen lock --update'" in outcome.out


def test_check_of_one_cluster_ignores_packages_of_others(workspace: Workspace) -> None:
    workspace.release("web")
    workspace.release("other", package=OTHER)
    workspace.package()
    workspace.package(reference=OTHER)
    (workspace.root / "kcd-gen.yaml").write_text(
        "apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {vendor: packages}\nclusters:\n"
        "- {name: one, sources: [sources/default-web.yaml], output: one}\n"
        "- {name: two, sources: [sources/default-other.yaml], output: two}\n"
    )
    for command in ("lock", "lock --check", "lock --check --cluster one"):
        assert kcd_gen(*command.split(), directory=workspace.root).exit == 0
    (workspace.root / LOCK).unlink()
    assert kcd_gen("lock", "--check", "--cluster", "one", directory=workspace.root).exit == 3


def test_another_helm_version_makes_the_lock_stale_and_is_reported(web: Workspace) -> None:
    path = web.root / LOCK
    path.write_text(re.sub("helm: .*", "helm: '3.0'", path.read_text()))
    checked = lock(web, "--check")
    assert checked.exit == 3
    assert checked.out.startswith(f"Would record helm {minor(process.helm_version(process.find_helm()))}, was 3.0")
    assert lock(web).out.endswith(", was 3.0\n")
    assert lock(web, "--check").exit == 0


def test_vendor_respects_the_limits_of_the_project(web: Workspace) -> None:
    (web.root / "packages").rename(web.root / "elsewhere")
    run = ("--source", "sources", "--output", "output", "--vendor", "elsewhere", "--offline")
    assert kcd_gen("vendor", *run, "--limit", "layer=100", directory=web.root).exit != 0
    assert kcd_gen("vendor", *run, directory=web.root).exit == 0


def test_the_json_report_lists_moved_tags(web: Workspace) -> None:
    (web.root / LOCK).unlink()
    report = json.loads(lock(web, "--format", "json").out)
    assert (report["command"], report["diagnostics"]) == ("lock", [])
    (change,) = report["packages"]
    assert (change["package"], change["old"], change["new"]) == (WEB, None, locked(web)[WEB]["digest"])


def test_a_build_uses_the_lock_and_a_second_build_is_identical(web: Workspace) -> None:
    assert web.build("--locked").exit == 0
    before = files_below(web.output)
    assert web.build("--locked").exit == 0
    assert files_below(web.output) == before


def test_a_build_with_lock_and_vendor_layout_imports_no_client(web: Workspace) -> None:
    import subprocess
    import sys

    program = (
        "import sys; from kubocd_gen.cli.commands import cli\n"
        "code = cli(['build', '--locked', '--source', 'sources', '--output', 'output', '--vendor', 'packages'],"
        " standalone_mode=False)\n"
        "assert code == 0\n"
        "assert not {'requests', 'urllib3', 'oras', 'ssl'} & sys.modules.keys(), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=web.root, check=True)


def test_diff_compares_helm_with_the_lock_like_build(web: Workspace) -> None:
    git(web.root, "init", "--quiet", "--initial-branch=main")
    commit_all(web.root)
    flags = ("--source", "sources", "--vendor", "packages", "--offline")
    assert kcd_gen("diff", *flags, "--locked", directory=web.root).text == "exit 0\n"
    path = web.root / LOCK
    path.write_text(re.sub("helm: .*", "helm: '3.0'", path.read_text()))
    warned = kcd_gen("diff", *flags, directory=web.root)
    assert (warned.exit, "warning[other-helm]: " in warned.err) == (0, True)
    refused = kcd_gen("diff", *flags, "--locked", directory=web.root)
    assert (refused.exit, "error[other-helm]: " in refused.err) == (1, True)


def test_a_build_is_reported_even_if_the_version_of_helm_cannot_be_determined(web: Workspace) -> None:
    failing = ProblemsError.of("helm-failed", "helm version failed")
    with mock.patch.object(process, "helm_version", side_effect=failing):
        outcome = web.build("--format", "json")
    report = json.loads(outcome.out)
    assert outcome.exit == 1
    assert [one["code"] for one in report["diagnostics"]] == ["helm-failed"]
    assert report["releases"]


def test_vendor_creates_a_layout_that_a_build_can_use(web: Workspace) -> None:
    assert web.build().exit == 0
    before = files_below(web.output)
    # The cache is filled as from a registry: the layout itself is the source.
    outcome = kcd_gen(
        "vendor", "--source", "sources", "--output", "output", "--vendor", "packages", "--offline", directory=web.root
    )
    assert (outcome.exit, outcome.out) == (0, "1 package in packages\n")
    assert web.build("--locked").exit == 0
    assert files_below(web.output) == before


def test_git_merges_the_locks_of_two_branches(workspace: Workspace) -> None:
    names = [f"registry.example.com/demo/{name}:1.0.0" for name in "abcdefgh"]
    for name in names:
        workspace.package(reference=name)

    def git(*arguments: str) -> int:
        identity = ("-c", "user.name=x", "-c", "user.email=x@example.com")
        return subprocess.run(["git", *identity, *arguments], cwd=workspace.root, capture_output=True).returncode

    def branch(name: str, *packages: str) -> None:
        assert git("checkout", "-b", name, "main") == 0
        for package in packages:
            workspace.release(package[-7], package=package)
        assert lock(workspace).exit == 0
        git("add", "sources", LOCK)
        assert git("commit", "-m", name) == 0

    assert git("init", "-b", "main") == 0
    assert git("commit", "--allow-empty", "-m", "nothing") == 0
    branch("base", names[1], names[4], names[6])
    git("branch", "-f", "main", "base")
    branch("one", names[0], names[2])
    branch("two", names[5], names[7])
    branch("three", names[3])
    assert git("checkout", "main") == 0
    assert git("merge", "one") == git("merge", "two") == 0
    assert lock(workspace, "--check").exit == 0
    assert list(locked(workspace)) == [name for name in names if name != names[3]]
    # Adjacent lines: both branches add between the same two packages.
    assert git("merge", "three") == 1
    outcome = workspace.build()
    assert "error[bad-lock]: the lock file has an unresolved merge conflict" in outcome.err
    assert git("checkout", "--ours", LOCK) == 0
    assert lock(workspace).exit == 0
    assert list(locked(workspace)) == names


def test_pin_digest_writes_the_digest_into_the_output(web: Workspace) -> None:
    cluster = "clusters: [{name: prod, sources: [sources], output: output}]\npackages: {vendor: packages}\n"
    head = "apiVersion: kcd-gen/v1alpha1\nkind: Project\n"
    (web.root / "kcd-gen.yaml").write_text(f"{head}pinDigest: true\n{cluster}")
    assert kcd_gen("build", "--offline", directory=web.root).exit == 0
    documents = list(yaml.safe_load_all((web.output / "flux/default/web.yaml").read_text()))
    (repository,) = (one for one in documents if one["kind"] == "OCIRepository")
    assert repository["spec"]["ref"] == {"tag": "1.0.0", "digest": locked(web)[WEB]["digest"]}


def test_the_cache_command_works_on_an_empty_cache(tmp_path: Path) -> None:
    assert kcd_gen("cache", "dir", directory=tmp_path).out == f"{tmp_path}/.cache/kcd-gen\n"
    assert kcd_gen("cache", "list", directory=tmp_path).out == "0 blobs, 0 B\n"
    assert kcd_gen("cache", "prune", directory=tmp_path).out == "Removed 0 blobs, 0 B\n"
    assert kcd_gen("cache", "verify", directory=tmp_path).out == "All blobs are valid\n"
    assert kcd_gen("cache", "prune", "--unused-for", "soon", directory=tmp_path).exit == 2


def cosign(workspace: Workspace, script: str) -> str:
    """Install a cosign that runs `script` and records its arguments; not every machine has the real one."""
    path = workspace.root / "cosign"
    path.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > arguments\n{script}\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def signed(workspace: Workspace, verify: str) -> Workspace:
    repository, _, tag = WEB.rpartition(":")
    workspace.release("web")
    workspace.source(
        "default-web.yaml",
        f"""\
        apiVersion: kubocd.kubotal.io/v1alpha1
        kind: Release
        metadata: {{name: web, namespace: default}}
        spec:
          package:
            repository: {repository}
            tag: {tag}
            verify: {verify}
        """,
    )
    workspace.package()
    return workspace


def verify(workspace: Workspace, *flags: str) -> Outcome:
    return workspace.run("lock", "--verify", *flags)


KEYLESS = "{provider: cosign, matchOIDCIdentity: [{issuer: '^https://a$', subject: '^b$'}, {issuer: c, subject: d}]}"


def test_a_signature_is_verified_by_digest_for_the_signer_of_the_release(workspace: Workspace) -> None:
    signed(workspace, KEYLESS)
    assert verify(workspace, "--cosign", cosign(workspace, "exit 0")).exit == 0
    arguments = (workspace.root / "arguments").read_text().splitlines()
    digest = locked(workspace)[WEB]["digest"]
    assert arguments[-1] == f"registry.example.com/demo/web@{digest}"
    assert "--certificate-identity-regexp=^b$" in arguments
    assert "--certificate-oidc-issuer-regexp=^https://a$" in arguments


def test_a_signature_is_read_from_the_mirror_and_never_offline(workspace: Workspace) -> None:
    signed(workspace, KEYLESS)
    (workspace.root / "kcd-gen.yaml").write_text(
        "apiVersion: kcd-gen/v1alpha1\nkind: Project\n"
        "clusters: [{name: one, sources: [sources], output: output}]\n"
        "packages: {vendor: packages, mirrors: {registry.example.com: 'http://mirror.example.com/far'}}\n"
    )
    flags = ("lock", "--verify", "--cosign", cosign(workspace, "exit 0"))
    assert kcd_gen(*flags, "--offline", directory=workspace.root).exit == 4
    assert not (workspace.root / "arguments").exists()
    assert kcd_gen(*flags, directory=workspace.root).exit == 0
    arguments = (workspace.root / "arguments").read_text().splitlines()
    assert arguments[-1].startswith("mirror.example.com/far/demo/web@sha256:")
    assert "--allow-http-registry" in arguments


def test_one_of_several_signers_is_enough(workspace: Workspace) -> None:
    signed(workspace, KEYLESS)
    second = 'case "$*" in *identity-regexp=d*) exit 0;; esac; echo "Error: no" >&2; exit 1'
    assert verify(workspace, "--cosign", cosign(workspace, second)).exit == 0


def test_a_key_that_the_cluster_has_in_a_secret_is_given_by_a_flag(workspace: Workspace) -> None:
    signed(workspace, "{provider: cosign, secretRef: {name: keys}}")
    flags = ("--cosign", cosign(workspace, "exit 0"), "--cosign-key", "cosign.pub")
    assert verify(workspace, *flags).exit == 0
    arguments = (workspace.root / "arguments").read_text().splitlines()
    assert arguments[arguments.index("--key") + 1] == "cosign.pub"


def test_a_check_can_verify_what_is_pinned(workspace: Workspace) -> None:
    signed(workspace, KEYLESS)
    assert lock(workspace).exit == 0
    assert workspace.run("lock", "--check", "--verify", "--cosign", cosign(workspace, "exit 0")).exit == 0
    assert workspace.run("lock", "--check", "--verify", "--cosign", cosign(workspace, "exit 1")).exit == 1


def test_without_verify_no_signature_is_requested(workspace: Workspace) -> None:
    signed(workspace, KEYLESS)
    assert lock(workspace, "--cosign", cosign(workspace, "exit 1")).exit == 0


# One problem of each code, caused by the function of its name.


def bad_lock(web: Workspace) -> Outcome:
    text = (web.root / LOCK).read_text()
    digest = str(locked(web)[WEB]["layer"]["digest"])  # type: ignore[index]
    (web.root / LOCK).write_text(text.replace(digest, f"sha256:{'0' * 64}"))
    return web.build()


def not_locked(web: Workspace) -> Outcome:
    (web.root / LOCK).write_text("apiVersion: kcd-gen/v1alpha1\nkind: Lock\npackages: {}\n")
    return web.build("--locked")


def missing_lock(web: Workspace) -> Outcome:
    (web.root / LOCK).unlink()
    return web.run("vendor", "--offline")


def moved_tag(web: Workspace) -> Outcome:
    move(web)
    return web.build()


def changed_chart(web: Workspace) -> Outcome:
    move(web)
    return lock(web, "--update")


def unknown_package(web: Workspace) -> Outcome:
    return lock(web, "--update", "webb")


def other_helm(web: Workspace) -> Outcome:
    text = (web.root / LOCK).read_text()
    (web.root / LOCK).write_text(
        "".join("helm: '3.1'\n" if line[:5] == "helm:" else f"{line}\n" for line in text.splitlines())
    )
    return web.build("--locked")


def unwritable_lock(web: Workspace) -> Outcome:
    (web.root / LOCK).unlink()
    (web.root / LOCK).symlink_to("missing/kcd-gen.lock")
    return lock(web)


def missing_cosign(web: Workspace) -> Outcome:
    return verify(signed(web, KEYLESS), "--cosign", "./cosign")


def bad_signature(web: Workspace) -> Outcome:
    return verify(signed(web, KEYLESS), "--cosign", cosign(web, 'echo "Error: no matching signatures" >&2; exit 10'))


def unknown_key(web: Workspace) -> Outcome:
    return verify(signed(web, "{secretRef: {name: keys}}"), "--cosign", cosign(web, "exit 0"))


def unsupported_verification(web: Workspace) -> Outcome:
    return verify(signed(web, "{provider: notation}"), "--cosign", cosign(web, "exit 0"))


def unreadable_cache(web: Workspace) -> Outcome:
    (web.root / ".cache/kcd-gen/blobs").mkdir(parents=True)
    (web.root / ".cache/kcd-gen/blobs/sha256").touch()
    return kcd_gen("cache", "list", directory=web.root)


def unwritable_cache(web: Workspace) -> Outcome:
    (web.root / f".cache/kcd-gen/blobs/sha256/00/{'0' * 64}").mkdir(parents=True)
    return kcd_gen("cache", "prune", "--unused-for", "0d", directory=web.root)


def varying_function(web: Workspace) -> Outcome:
    web.package(WEB_MANIFEST.replace("{{ .Parameters.host }}", "{{ .Parameters.host | default (randAlphaNum 8) }}"))
    web.release("web", "parameters: {host: '{{ now | unixEpoch }}s'}\n")
    assert lock(web, "--update", "--allow-chart-change").exit == 0
    assert "[varying-function]" not in web.build().err
    return web.build("--locked")


PROBLEMS = [
    bad_lock,
    not_locked,
    missing_lock,
    moved_tag,
    changed_chart,
    unknown_package,
    other_helm,
    unwritable_lock,
    missing_cosign,
    bad_signature,
    unknown_key,
    unsupported_verification,
    varying_function,
    unreadable_cache,
    unwritable_cache,
]


@pytest.mark.parametrize("provoke", PROBLEMS, ids=lambda provoke: provoke.__name__)
def test_a_problem_of_each_kind_is_reported(
    provoke: Callable[[Workspace], Outcome], web: Workspace, snapshot: SnapshotAssertion
) -> None:
    outcome = provoke(web)
    text = outcome.text.replace(str(web.root), "<root>")
    assert re.sub(r"helm \S+ is in use", "helm <version> is in use", text) == snapshot
    assert f"[{provoke.__name__.replace('_', '-')}]: " in outcome.err
    assert MANIFEST_TYPE not in outcome.err
