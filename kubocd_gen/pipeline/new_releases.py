"""Compile the Releases of a cluster that are not known: fetch packages, merge Contexts, render, and build resources."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING

from kubocd_gen.budget.spending import Tallies
from kubocd_gen.compiler.contexts import ContextTrees
from kubocd_gen.compiler.settings import Settings
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError
from kubocd_gen.helm.template import Functions
from kubocd_gen.model.compilation import CompiledRelease, Resolved
from kubocd_gen.model.package import Package
from kubocd_gen.model.resources import ContextRef, Release
from kubocd_gen.packages.known import KnownPackage
from kubocd_gen.pipeline.divided_work import Compiler, compile_outcomes
from kubocd_gen.pipeline.known_releases import KnownReleases, NewRelease
from kubocd_gen.pipeline.portability import refuse_varying, varies
from kubocd_gen.pipeline.rendering import (
    Texts,
    packages_of,
    render_packages,
    render_parameters,
    template_texts,
    written_templates,
)
from kubocd_gen.pipeline.resolution import report_unnamed, resolve, wanted_packages
from kubocd_gen.pipeline.secret_search import SecretSearch
from kubocd_gen.pipeline.source_warnings import (
    secrets_in_definitions,
    secrets_in_release,
    variables_in,
    warn_of_variables,
)
from kubocd_gen.pipeline.unknown_hosts import find_unknown_hosts
from kubocd_gen.processes.timing import timed
from kubocd_gen.sources.cluster_resources import ClusterResources

if TYPE_CHECKING:
    from kubocd_gen.pipeline.compile_run import CompileRun, Inspect

_log = logging.getLogger("kubocd_gen.pipeline")


class NewReleases:
    """The Releases of `resources`, which are compiled; `known` keeps the results."""

    def __init__(
        self,
        run: CompileRun,
        resources: ClusterResources,
        settings: Settings,
        known: KnownReleases | None,
        search: SecretSearch,
    ) -> None:
        self._run = run
        self._resources = resources
        self._settings = settings
        self._known = known
        self._search = search
        self._tallies = Tallies(run.project.budget)
        self._trees = ContextTrees(resources.contexts, resources.broken_contexts, run.project.budget)

    def compile(self, inspect: Inspect | None) -> tuple[list[CompiledRelease], frozenset[str]]:
        """Return the compiled Releases, and the unknown hosts that their templates ask for."""
        run, problems, helm, settings = self._run, self._run.problems, self._run.helm, self._settings
        with self._timed("resolve packages"):
            resolved = resolve(self._resources, settings, run.packages, problems, self._trees, self._tallies)
        warn_of_variables(resolved, problems)
        searched = self._warn_of_secrets()
        functions = Functions(settings.image_redirects, run.cluster.hosts)
        # Two helm runs that do not depend on each other:
        with self._timed("render parameters"), ThreadPoolExecutor(1) as background:
            texts = background.submit(template_texts, resolved, helm)
            parameters = render_parameters(resolved, functions, helm, problems, self._tallies)
            helm.prepare(written_templates(parameters))
        if run.project.locked:
            parameters = refuse_varying(parameters, texts.result(), problems)
        with self._timed("render packages"):
            outcomes = render_packages(parameters, texts.result(), functions, helm)
        with self._timed("build resources"):
            compiler = Compiler(run.project, run.cluster, settings, self._resources.configs, run.charts_path)
            # With `inspect`, the caller needs more of the Releases than what comes from a copy of the process.
            jobs = helm.pool.jobs if inspect is None else 1
            compiled = compile_outcomes(compiler, outcomes, problems, self._tallies, jobs=jobs)
        if inspect is not None:
            inspect(resolved, texts.result())
        stopped = {one.release for one in problems.unordered() if one.code == "unknown-host"}
        failed = [one for one in resolved if one.release.key in stopped]
        unknown = find_unknown_hosts(failed, texts.result(), functions, helm) if failed else frozenset()
        if self._known is not None and self._search.is_complete:
            self._keep(self._known, resolved, compiled, texts.result(), searched)
        return compiled, unknown

    def check_definitions(self) -> None:
        """Report the problems of Contexts and Configs that do not depend on a Release."""
        problems, before = self._run.problems, self._search.left
        complete = not report_unnamed(self._resources, self._trees, problems)
        found = list(secrets_in_definitions(self._resources, self._search))
        for problem in found:
            problems.warning(problem)
        if self._known is not None and complete and self._search.is_complete:
            self._known.keep_definitions(found, before - self._search.left)

    def _timed(self, phase: str) -> AbstractContextManager[list[str]]:
        return timed(_log, phase, self._run.cluster.name, level=logging.DEBUG)

    def _warn_of_secrets(self) -> dict[str, int]:
        """Warn of literal secrets in Releases. Returns how many characters were searched, by the Release's key."""
        searched = {}
        for release in self._resources.releases:
            before = self._search.left
            for problem in secrets_in_release(release, self._search):
                self._run.problems.warning(problem, release=release.key)
            searched[release.key] = before - self._search.left
        return searched

    def _keep(
        self,
        known: KnownReleases,
        resolved: Sequence[Resolved],
        compiled: Sequence[CompiledRelease],
        texts: Mapping[str, Texts],
        searched: Mapping[str, int],
    ) -> None:
        from kubocd_gen.pipeline.compile_run import problems_by_release

        found = problems_by_release(self._run.problems)
        requests = {
            release.key: request
            for release, _, request in wanted_packages(self._resources.releases, self._settings, Problems())
        }
        for request, fetched in self._run.packages.fetch_all(requests.values()).items():
            if not isinstance(fetched.package, ProblemsError):
                known.packages.note(request, fetched.package)
                if self._run.partial and fetched.origin is not None:  # the merge verifies the package again
                    known.packages.add(request, KnownPackage(fetched.package.digest, fetched.origin))
        of_packages: dict[str, list[Problem] | None] = {}  # None: the result depends on time or chance
        for reference, package in packages_of(resolved).items():
            of_packages[reference] = None if varies(package, texts[reference]) else _warnings(package)
        contexts = {one.release.key: one.contexts for one in resolved}
        for one in compiled:
            warnings = of_packages[one.package.reference]
            if warnings is None or varies(one.release):
                continue
            new = NewRelease(
                one,
                requests[one.key],
                contexts[one.key],
                self._optional(one.release),
                searched[one.key],
                self._tallies.of(one.key).amounts,
            )
            known.keep(new, [*found[one.key], *warnings])

    def _optional(self, release: Release) -> tuple[ContextRef, ...]:
        if release.skip_default_context:
            return ()
        return tuple(ContextRef(release.namespace, name) for name in self._settings.default_namespace_contexts)


def _warnings(package: Package) -> list[Problem]:
    return [replace(one, severity="warning") for one in variables_in(package)]
