"""Checks of the Releases in the cluster: being deleted, suspended, failing, or not in Git."""

from __future__ import annotations

from collections.abc import Iterator

from kubocd_gen.diagnostics.problems import Severity
from kubocd_gen.diagnostics.wording import quoted
from kubocd_gen.migration.findings import Finding, Situation
from kubocd_gen.migration.live import LiveObject


def owned_by(situation: Situation, release: LiveObject) -> list[LiveObject]:
    """Return the Flux objects that the Release owns, which are deleted with it."""
    return situation.owned.get((release.namespace, release.name), [])


def release_findings(situation: Situation) -> Iterator[Finding]:
    """Yield findings about the Releases in the cluster."""
    for key, live in situation.live.releases.items():
        compiled, owned = situation.in_git.get(key), owned_by(situation, live)

        def finding(severity: Severity, code: str, message: str, hint: str | None = None, key: str = key) -> Finding:
            return Finding(severity, code, "Release", (key,), message, hint)

        if live.deleting and owned:
            yield finding(
                "error",
                "release-deleting",
                "is being deleted, and only its finalizer protects what it owns: without it, everything is uninstalled",
                "keep the finalizer, stop the controller, and remove the ownerReferences with the command below",
            )
        elif live.deleting:
            yield finding("note", "release-deleting", "is being deleted (without owned objects)")
        if compiled is None:
            yield finding(
                "warning",
                "release-not-in-git",
                "is not in the sources and will not be migrated; deleting it later deletes what it owns",
                "add it to the sources, or remove it while the controller runs",
            )
        elif compiled.release.suspended:
            yield finding(
                "note",
                "release-suspended",
                "is suspended in Git, so its HelmReleases are not compiled: they stay unmanaged",
            )
        if by := live.kustomization:
            yield finding(
                "note",
                "release-applied",
                f"is applied by the Kustomization {quoted('/'.join(by))}, which creates it again after it is deleted",
                "exclude it from that Kustomization in step 5, not before step 3, but keep it in Git for kcd-gen",
            )
        if live.spec.get("protected") is True:
            yield finding(
                "note", "release-protected", "is protected: KuboCD's webhook rejects its deletion while it runs"
            )
        if live.status.get("phase") == "ERROR":
            yield finding("warning", "release-failing", "is in phase ERROR: the live objects can differ from it")
        if compiled and not compiled.release.suspended and live.spec.get("suspended") is True:
            yield finding(
                "warning",
                "release-suspended",
                "is suspended in the cluster but not in Git, so Flux resumes its HelmReleases",
            )
        image = live.spec.get("package")
        if compiled and isinstance(image, dict):
            live_image = f"{image.get('repository')}:{image.get('tag')}"
            if live_image != compiled.release.image:
                yield finding(
                    "warning",
                    "other-package",
                    f"has the package {quoted(live_image)} in the cluster and {quoted(compiled.release.image)} in Git",
                    "bring both to the same state while the controller runs, so the migration changes nothing",
                )
