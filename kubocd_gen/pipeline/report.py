"""The report of a build, as JSON (`schemas/kcd-gen/report-v1alpha1.json`) and as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from kubocd_gen import __version__
from kubocd_gen.diagnostics.problems import Problem, printable
from kubocd_gen.diagnostics.text import envelope
from kubocd_gen.model.compilation import CompiledRelease
from kubocd_gen.model.resources import Release
from kubocd_gen.output.resource_changes import ResourceChange
from kubocd_gen.pipeline.build import Built
from kubocd_gen.pipeline.namespaces import emitted_namespaces, namespaces_of

if TYPE_CHECKING:
    from kubocd_gen.pipeline.chart_push import PushedChart

_VERBS = {"created": "Created", "updated": "Updated", "removed": "Removed", "unchanged": "Unchanged"}


def build_report(
    built: Sequence[Built],
    helm_version: str | None,
    diagnostics: Sequence[Problem],
    *,
    command: str = "build",
    pushed: Sequence[PushedChart] = (),
) -> dict[str, Any]:
    """Return the JSON report of a command that compiles. `diagnostics` are those of all clusters."""
    releases = [entry for one in built for entry in _releases(one)]
    counts = {change: sum(_files(one)[change] for one in built) for change in _VERBS}
    body = {
        "command": command,
        "version": {"kcd-gen": __version__, "helm": helm_version},
        "summary": {
            "releases": sum(len(one.compilation.releases) + len(one.compilation.failed) for one in built),
            "compiled": sum(len(one.compilation.releases) for one in built),
            "failed": sum(len(one.compilation.failed) for one in built),
            "written": counts["created"] + counts["updated"],
            "unchanged": counts["unchanged"],
            "removed": counts["removed"],
        },
        "releases": releases,
        **({"charts": [asdict(one) for one in pushed]} if pushed else {}),
        "namespaces": [entry for one in built for entry in _namespaces(one)],
    }
    return envelope("Report", body, diagnostics)


def text_report(built: Sequence[Built], *, verbose: bool, written: bool = True) -> Iterator[str]:
    """Yield the lines of the text report, in the controller's words; with `verbose`, also unchanged resources.

    If not `written`, the lines show what a build would do.
    """
    yield from changed_resources(built, verbose=verbose, written=written)
    yield from (_summary(one, several=len(built) > 1, written=written) for one in built)


def changed_resources(built: Sequence[Built], *, verbose: bool, written: bool = True) -> Iterator[str]:
    """Yield the lines of the text report about resources."""
    for one in built:
        if one.plan is None:
            continue
        yield from _namespace_lines(one, several=len(built) > 1, verbose=verbose, written=written)
        # The content of unchanged files is read only if it is needed.
        plan = one.plan if verbose else replace(one.plan, changes=one.plan.pending)
        for (namespace, name), changes in sorted(plan.resources().items()):
            shown = [change for change in changes if verbose or change.change != "unchanged"]
            if shown:
                yield printable(f"{namespace}/{name}" if len(built) == 1 else f"{one.cluster.name}: {namespace}/{name}")
            for change in shown:
                yield _change_line(change, written=written)


def short_summary(built: Sequence[Built], *, written: bool = True) -> str:
    """Return one line about all clusters, with the numbers of compiled Releases and of changed files."""
    compiled = sum(len(one.compilation.releases) for one in built)
    total = compiled + sum(len(one.compilation.failed) for one in built)
    line = f"{compiled} of {total} Release{'' if total == 1 else 's'} compiled"
    if len(built) > 1:
        line += f" for {len(built)} clusters"
    if all(one.plan is None for one in built):
        return f"{line}; nothing was written"
    counts = [_files(one) for one in built]
    changed = sum(one["created"] + one["updated"] for one in counts)
    removed = sum(one["removed"] for one in counts)
    would = "" if written else "would be "
    files = "1 file" if changed == 1 else f"{changed} files"
    return f"{line}; {files} {would}written" + (f", {removed} {would}removed" if removed else "")


def _namespace_lines(one: Built, *, several: bool, verbose: bool, written: bool) -> Iterator[str]:
    changes = one.plan.namespaces() if one.plan else ()
    shown = [change for change in changes if verbose or change.change != "unchanged"]
    if shown:
        title = "namespaces that nothing else creates"
        yield printable(f"{one.cluster.name}: {title}") if several else title
    existing = one.compilation.existing_namespaces or {}
    for change in shown:
        line = _change_line(change, written=written)
        if change.change == "removed":
            creator = existing.get(change.name)
            line += printable(f" (created by {creator})") if creator else " (Flux keeps it in the cluster)"
        yield line


def _change_line(change: ResourceChange, *, written: bool) -> str:
    verb = _VERBS[change.change]
    if not written and change.change != "unchanged":
        verb = f"Would {verb.lower().removesuffix('d')}"
    return printable(f'  {verb} {change.kind} "{change.name}"')


def _summary(one: Built, *, several: bool, written: bool) -> str:
    compilation, counts = one.compilation, _files(one)
    name = printable(f"{one.cluster.name}: ") if several else ""
    total = len(compilation.releases) + len(compilation.failed)
    compiled = f"{name}{len(compilation.releases)} of {total} Release{'' if total == 1 else 's'} compiled"
    if one.plan is None:
        return f"{compiled}; nothing was written"
    changed = counts["created"] + counts["updated"]
    files = "1 file" if changed == 1 else f"{changed} files"
    verb = "written" if written else "would be written"
    return f"{compiled}; {files} {verb}, {counts['removed']} removed, {counts['unchanged']} unchanged"


def _files(one: Built) -> dict[str, int]:
    """Return the number of created, updated, unchanged and removed output files, without inventory files."""
    counts = dict.fromkeys(_VERBS, 0)
    for change in one.plan.changes if one.plan else ():
        if not change.is_record:
            counts[change.change] += 1
    return counts


def _namespaces(one: Built) -> Iterator[dict[str, Any]]:
    """Yield the namespaces of a cluster's Releases, and those that were removed from the output, sorted."""
    changes = {change.name: change for change in one.plan.namespaces()} if one.plan else {}
    existing = one.compilation.existing_namespaces
    names = namespaces_of(one.compilation) | changes.keys()
    emitted = {*emitted_namespaces(names, existing)}
    for name in sorted(names):
        change = changes[name].change if name in changes else None
        yield {
            "cluster": one.cluster.name,
            "name": name,
            "emitted": name in emitted and change != "removed",
            "createdBy": (existing or {}).get(name),
            "change": change,
        }


def _releases(one: Built) -> Iterator[dict[str, Any]]:
    """Yield the entries of the Releases of a cluster, also of those that were removed, sorted by key."""
    changes = one.plan.resources() if one.plan else {}
    found = {compiled.key: _compiled(compiled, changes) for compiled in one.compilation.releases}
    for key in one.compilation.failed:
        found[key] = {"status": "failed"} | _broken(one.compilation.broken.get(key))
    for (namespace, name), removed in changes.items():
        found.setdefault(f"{namespace}/{name}", {"status": "removed", "resources": _resources(removed)})
    for key in sorted(found, key=lambda key: key.split("/")):
        namespace, _, name = key.partition("/")
        defaults: dict[str, Any] = {
            "cluster": one.cluster.name,
            "namespace": namespace,
            "name": name,
            "status": None,
            "package": None,
            "digest": None,
            "source": None,
            "resources": [],
            "description": "",
            "contexts": [],
            "roles": [],
            "dependencies": [],
            "usage": {},
            "protected": False,
            "suspended": False,
        }
        yield defaults | found[key]


def _compiled(one: CompiledRelease, changes: Mapping[tuple[str, str], Sequence[ResourceChange]]) -> dict[str, Any]:
    summary = one.summary
    return {
        "status": "suspended" if summary.suspended else "compiled",
        "package": summary.image,
        "digest": summary.digest,
        "source": asdict(summary.origin) if summary.origin else None,
        "resources": _resources(changes.get((summary.namespace, summary.name), ())),
        "description": summary.description,
        "contexts": list(summary.contexts),
        "roles": list(summary.roles),
        "dependencies": list(summary.dependencies),
        "usage": dict(summary.usage),
        "protected": summary.protected,
        "suspended": summary.suspended,
    }


def _broken(release: Release | None) -> dict[str, Any]:
    """Return what is known of a Release that failed; None is one that was not admitted."""
    if release is None:
        return {}
    return {
        "package": release.image,
        "description": release.description,
        "roles": sorted({*release.roles}),
        "dependencies": sorted({*release.dependencies}),
        "protected": bool(release.protected),
        "suspended": release.suspended,
    }


def _resources(changes: Sequence[ResourceChange]) -> list[dict[str, str]]:
    return [asdict(change) for change in changes]
