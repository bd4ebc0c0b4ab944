"""Read, type and print the rendered packages: half of them in a copy of this process, if there are many."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from kubocd_gen.budget.spending import Tallies
from kubocd_gen.compiler.settings import Settings
from kubocd_gen.diagnostics.problems import Problem, Problems
from kubocd_gen.kube_yaml.emitter import emit_documents
from kubocd_gen.model.compilation import CompiledRelease, PackedContent, Summary, documents_text
from kubocd_gen.model.project import Cluster, Project
from kubocd_gen.model.resources import Config
from kubocd_gen.pipeline.flux_resources import compile_releases
from kubocd_gen.pipeline.rendering import PackageOutcome, read_packages
from kubocd_gen.processes.forked import Copy, CopyError, can_copy

_WORTH_A_COPY = 200  # Releases: a copy of the process costs some 20 ms
_PATIENCE = 20.0  # seconds, and times the time for this process's own half


class _Packed(NamedTuple):
    """A compiled Release as it comes from the copy."""

    key: str
    summary: Summary
    documents: bytes
    printed: bytes


class _Found(NamedTuple):
    """What the copy has found: Releases, problems, and the amounts that each Release has spent."""

    releases: list[_Packed]
    problems: list[Problem]
    spent: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Compiler:
    """Compiles Releases one after another."""

    project: Project
    cluster: Cluster
    settings: Settings
    configs: Sequence[Config]
    charts_path: str

    def compile(
        self, outcomes: Sequence[PackageOutcome], problems: Problems, tallies: Tallies
    ) -> list[CompiledRelease]:
        """Return the valid Releases. The problems of the others go to `problems`."""
        rendered = read_packages(outcomes, problems, tallies)
        return compile_releases(
            rendered, self.settings, self.configs, self.project, self.cluster, self.charts_path, problems
        )


def compile_outcomes(
    compiler: Compiler, outcomes: Sequence[PackageOutcome], problems: Problems, tallies: Tallies, *, jobs: int
) -> list[CompiledRelease]:
    """Return the valid Releases. The problems of the others go to `problems`."""
    if len(outcomes) < _WORTH_A_COPY or jobs < 2 or not can_copy():
        return compiler.compile(outcomes, problems, tallies)
    first, second = outcomes[: len(outcomes) // 2], outcomes[len(outcomes) // 2 :]
    budget = tallies.budget
    try:
        copying = Copy(lambda: _in_copy(compiler, second, Tallies(budget.copy())), budget.limits.cpu_time)
    except CopyError:
        return compiler.compile(outcomes, problems, tallies)
    with copying as copy:
        began = time.monotonic()
        compiled = [_printed(one) for one in compiler.compile(first, problems, tallies)]
        try:
            found = copy.result(_PATIENCE * (1 + time.monotonic() - began))
        except CopyError:
            return compiled + compiler.compile(second, problems, tallies)
    for key, amounts in found.spent.items():
        for name, amount in amounts.items():
            tallies.of(key).spend(name, amount)
    adding: Mapping[str, Callable[..., None]] = {
        "error": problems.error,
        "warning": problems.warning,
        "note": problems.note,
    }
    for problem in found.problems:
        adding[problem.severity](problem, release=problem.release)
    by_key = {one.one.resolved.release.key: one.one.resolved for one in second}
    for packed in found.releases:
        resolved = by_key[packed.key]
        content = PackedContent(resolved.release, resolved.package, packed.documents)
        compiled.append(CompiledRelease(packed.summary, compiler.cluster.delivery, content, printed=packed.printed))
    return compiled


def _in_copy(compiler: Compiler, outcomes: Sequence[PackageOutcome], tallies: Tallies) -> _Found:
    problems = Problems(compiler.cluster.name)
    packed = []
    for one in compiler.compile(outcomes, problems, tallies):
        text = documents_text(one.content.documents)
        if text is None:
            raise ValueError("a Release has values that JSON does not have")
        packed.append(_Packed(one.key, one.summary, text, _flux_file(one)))
    spent = {one.one.resolved.release.key: tallies.of(one.one.resolved.release.key).amounts for one in outcomes}
    return _Found(packed, list(problems.unordered()), spent)


def _printed(one: CompiledRelease) -> CompiledRelease:
    return replace(one, printed=_flux_file(one))


def _flux_file(one: CompiledRelease) -> bytes:
    return emit_documents(one.content.documents).encode()
