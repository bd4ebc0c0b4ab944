"""Compare suspended Releases: add the written HelmReleases to both sides of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from kubocd_gen.diagnostics.problems import Problems, ProblemsError
from kubocd_gen.model.compilation import Compilation, CompiledRelease
from kubocd_gen.pipeline.kept_releases import Written
from kubocd_gen.pipeline.suspended import Document

Documents = Sequence[Document]


def with_written(
    old: Compilation | None,
    new: Compilation | None,
    outputs: tuple[Written | None, Written | None],
    findings: Problems,
) -> tuple[Compilation | None, Compilation | None, frozenset[str]]:
    """Return both sides with the written HelmReleases of suspended Releases, and the Releases where these are unknown.

    `outputs` are None for a side without a readable output. A Release that becomes suspended keeps the HelmReleases
    that the old side has written, regardless of its sources, so the new side is compared with those. HelmReleases that
    the new side cannot keep are an error in `findings`.
    """
    sides = [{one.release.key: one for one in side.releases} if side else {} for side in (old, new)]
    found: tuple[dict[str, Documents], dict[str, Documents]] = {}, {}
    unknown = set[str]()
    for key in sorted({*sides[0], *sides[1]}):
        before, after = sides[0].get(key), sides[1].get(key)
        if not any(one is not None and one.release.suspended for one in (before, after)):
            continue
        first = _old(before, outputs[0]) if before else ()
        second: Documents | None = ()
        if after is not None and after.release.suspended:
            second = _new(after, outputs[1], findings)
            if second is None and first is not None and outputs[0] is not None:
                second = ()  # the file was removed
        if first is None or second is None:
            unknown.add(key)
            continue
        if before is not None:
            found[0][key] = first
        if after is not None and after.release.suspended:
            found[1][key] = second
    return _with(old, found[0]), _with(new, found[1]), frozenset(unknown)


def _old(one: CompiledRelease, output: Written | None) -> Documents | None:
    """Return the HelmReleases that the old side has written; none if its file is invalid; None if not known."""
    try:
        written = output.helm_releases(one.release) if output else None
    except ProblemsError as error:
        if error.problem.code != "suspended-output":
            raise
        return ()
    if written is None and not one.release.suspended:
        return [document for document in one.documents if document["kind"] == "HelmRelease"]
    return () if written is None and output else written


def _new(one: CompiledRelease, output: Written | None, findings: Problems) -> Documents | None:
    try:
        return output.helm_releases(one.release) if output else None
    except ProblemsError as error:
        findings.error(error, release=one.release.key)
        return None


def _with(compilation: Compilation | None, written: Mapping[str, Documents]) -> Compilation | None:
    """Return the compilation with the HelmReleases of some Releases replaced."""
    if compilation is None or not written:
        return compilation
    releases = tuple(
        replace(one, documents=(*_sources(one), *written[one.release.key])) if one.release.key in written else one
        for one in compilation.releases
    )
    return replace(compilation, releases=releases)


def _sources(one: CompiledRelease) -> Documents:
    return [document for document in one.documents if document["kind"] != "HelmRelease"]
