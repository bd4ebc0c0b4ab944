"""`kcd-gen build --compare-helm`."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kubocd_gen.budget.watchdog import watched
from kubocd_gen.cli.console import DIFFERENCE, echo, json_text, paint_signed, print_problems
from kubocd_gen.cli.terminal import progress
from kubocd_gen.cli.tools import helm_of
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError
from kubocd_gen.diffing.helm_comparison import Compared, HelmSide, compare_helms, helm_lines, helm_report
from kubocd_gen.helm.process import helm_version, old_helm
from kubocd_gen.model.project import STDIN
from kubocd_gen.pipeline.packages import package_sources, project_lock
from kubocd_gen.sources.project_file import load_project

if TYPE_CHECKING:
    from kubocd_gen.cli.build import BuildOptions

_UNUSED = Path("output")  # a placeholder if no output is given by flags; it is neither read nor written


def compare_helm(options: BuildOptions, names: tuple[str, str]) -> int:
    """Compile with both helm binaries, print the differences, and return the exit code."""
    problems = Problems()
    helms, compared = None, Compared(None, ())
    with problems.collect():
        if refused := list(_refused(options)):
            raise ProblemsError(*refused)
        flags = options.flags_without_output(_UNUSED) if options.output is None else options.flags()
        project = load_project(flags, Path.cwd())
        with progress(wanted=not options.no_progress) as line, watched(project.budget):
            old, new = (helm_of(replace(options, helm=name), project.budget) for name in names)
            if old.pool.binary.resolve() == new.pool.binary.resolve():
                hint = "pass the helm in use, which 'kcd-gen version' shows, and another one"
                raise ProblemsError.of("usage", f"--compare-helm: both are '{old.pool.binary}'", hint=hint)
            with ThreadPoolExecutor(2) as pool:
                versions = list(pool.map(helm_version, (old.pool.binary, new.pool.binary)))
            if unsupported := [problem for version in versions if (problem := old_helm(version))]:
                raise ProblemsError(*unsupported)
            helms = HelmSide(old, versions[0]), HelmSide(new, versions[1])
            packages = package_sources(project, line, lock=project_lock(project), jobs=options.job_count)
            try:
                compared = compare_helms(
                    project,
                    packages,
                    *helms,
                    jobs=options.job_count,
                    releases=options.releases,
                    keep_going=options.keep_going,
                )
            finally:
                packages.close()
    every = [*problems, *compared.diagnostics]
    comparison = compared.comparison
    if options.format == "json":
        echo(json_text(helm_report(helms, comparison, every)))
    elif comparison is not None and not options.quiet:
        for text in helm_lines(comparison):
            echo(paint_signed(text))
    code = print_problems(every, quiet=options.quiet, name_clusters=comparison is not None and comparison.several)
    return code or (DIFFERENCE if comparison is not None and comparison.differs else 0)


def _refused(options: BuildOptions) -> Iterator[Problem]:
    """Yield an error for each flag that has no meaning when two helm binaries are compared."""
    unused = {
        "--helm": options.helm is not None,
        "--check": options.check,
        "--dry-run": options.dry_run,
        "--full-diff": options.full_diff,
        "--fail-on-change": options.fail_on_change,
        "--fail-on-stale-image": options.fail_on_stale_image,
        "--push-charts": options.push_charts,
        "--prune-outputs": options.prune_outputs,
        "--allow-removals": bool(options.allow_removals),
        "--allow-protected-removal": bool(options.allow_protected_removal),
        "--report": bool(options.reports),
    }
    for flag in (name for name, given in unused.items() if given):
        why = "it names both helm binaries" if flag == "--helm" else "it writes nothing and checks no output"
        yield Problem("usage", f"{flag} cannot be used with --compare-helm: {why}", hint=f"omit {flag}")
    if options.format not in ("text", "json"):
        message = f"--format {options.format} cannot be used with --compare-helm"
        yield Problem("usage", message, hint="use --format text or json")
    if STDIN in options.sources:
        message = "--source - cannot be used with --compare-helm, which reads the sources twice"
        yield Problem("usage", message, hint="write the manifests to a file")
