"""KuboCD's Releases in the cluster: being deleted, suspended, in error, or not in Git."""

from __future__ import annotations

from collections.abc import Iterator

from kubocd_gen.diagnostics.problems import Severity
from kubocd_gen.diagnostics.wording import quoted
from kubocd_gen.migration.findings import Finding, Situation
from kubocd_gen.migration.live import LiveObject


def owned_by(it: Situation, release: LiveObject) -> list[LiveObject]:
    """The Flux objects in the cluster that go when the Release goes."""
    return it.owned.get((release.namespace, release.name), [])


def release_findings(it: Situation) -> Iterator[Finding]:
    for key, live in it.live.releases.items():
        compiled, owned = it.in_git.get(key), owned_by(it, live)

        def told(severity: Severity, code: str, message: str, hint: str | None = None, key: str = key) -> Finding:
            return Finding(severity, code, "Release", (key,), message, hint)

        if live.deleting and owned:
            yield told(
                "error",
                "release-deleting",
                "is being deleted, and the finalizer alone holds what is owned: once that goes, all is uninstalled",
                "leave the finalizer, stop the controller, and take the ownerReferences away; the command is below",
            )
        elif live.deleting:
            yield told("note", "release-deleting", "is being deleted, and owns nothing any more")
        if compiled is None:
            yield told(
                "warning",
                "release-not-in-git",
                "is not among the sources, and would be left behind; whoever deletes it later deletes what it owns",
                "add it to the sources, or remove it while the controller runs",
            )
        elif compiled.release.suspended:
            yield told(
                "note",
                "release-suspended",
                "is suspended in Git, so that its HelmReleases are not compiled: they stay, in nobody's hands",
            )
        if by := live.kustomization:
            yield told(
                "note",
                "release-applied",
                f"is applied by the Kustomization {quoted('/'.join(by))}, which makes it again when it is deleted",
                "take it out of what that applies in step 5, not before the cure; in Git it stays, for kcd-gen",
            )
        if live.spec.get("protected") is True:
            yield told("note", "release-protected", "is protected: KuboCD's webhook refuses to delete it while it runs")
        if live.status.get("phase") == "ERROR":
            yield told("warning", "release-failing", "is in phase ERROR: what is live may not be what it asks for")
        if compiled and not compiled.release.suspended and live.spec.get("suspended") is True:
            yield told(
                "warning",
                "release-suspended",
                "is suspended in the cluster and not in Git, so that Flux goes on with its HelmReleases",
            )
        image = live.spec.get("package")
        if compiled and isinstance(image, dict):
            there = f"{image.get('repository')}:{image.get('tag')}"
            if there != compiled.release.image:
                yield told(
                    "warning",
                    "other-package",
                    f"has the package {quoted(there)} in the cluster and {quoted(compiled.release.image)} in Git",
                    "bring both to one state while the controller runs, so that nothing changes with the migration",
                )
