"""`kcd-gen build`."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Required, TypedDict, Unpack

import click

from kubocd_gen.cli.command import Flag, command, options
from kubocd_gen.cli.console import DIFFERENCE, echo, json_text, print_problems
from kubocd_gen.cli.option_values import Report, complete_names, parse_helms
from kubocd_gen.cli.options import CommonBuildOptions, RemovalOptions, ReportOptions
from kubocd_gen.cli.profile_options import ProfileOptions
from kubocd_gen.cli.shard_options import ShardOptions, merged_shards
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError, has_errors, printable
from kubocd_gen.files.paths import checkout_root, shown_path

if TYPE_CHECKING:  # `--help` needs none of them
    from kubocd_gen.cli.tools import Outcome
    from kubocd_gen.model.compilation import Compilation
    from kubocd_gen.model.project import Project
    from kubocd_gen.pipeline.build import Built
    from kubocd_gen.pipeline.chart_push import PushedChart
    from kubocd_gen.pipeline.uncommitted import UncommittedFiles


@options
class BuildOptions(CommonBuildOptions, RemovalOptions, ReportOptions, ProfileOptions, ShardOptions):
    """`kcd-gen build`."""

    check: Annotated[bool, Flag("Write nothing; exit 3 if the output is out of date.")] = False
    full_diff: Annotated[bool, Flag("With --check: do not truncate long diffs.")] = False
    fail_on_change: Annotated[
        bool,
        Flag("Exit 3 if files were written or removed, or if the commit would not contain them; for pre-commit hooks."),
    ] = False
    fail_on_stale_image: Annotated[
        bool,
        Flag(
            "Exit 3 if the image that server/kustomization.yaml pins is not known to have the charts of all Releases."
        ),
    ] = False
    dry_run: Annotated[bool, Flag("Write nothing; print the changes that would be made.")] = False
    watch: Annotated[bool, Flag("Build again whenever an input changes, until Ctrl-C.")] = False
    releases: Annotated[
        tuple[str, ...],
        Flag(
            "Write only this Release, and leave all others as they are; repeatable.",
            name="--release",
            metavar="[NAMESPACE/]NAME",
            complete=complete_names("releases"),
        ),
    ] = ()
    push_charts: Annotated[
        bool, Flag("With 'delivery: oci': push the charts that the registry lacks, and record them in kcd-gen.lock.")
    ] = False
    compare_helm: Annotated[
        tuple[str, str] | None,
        Flag(
            "Write nothing; compile with both helm binaries (paths or names on the PATH); exit 3 if results differ.",
            metavar="A,B",
            parse=parse_helms,
        ),
    ] = None
    prune_outputs: Annotated[bool, Flag("Remove outputs to which no cluster of the project writes any more.")] = False

    @property
    def only_plan(self) -> bool:
        """Whether the command only plans and writes nothing."""
        return self.check or self.dry_run


@command(BuildOptions)
def build(options: BuildOptions) -> int:
    """Compile Releases into Flux resources and static Helm repositories.

    Writes flux/ (an OCIRepository, a HelmRepository and the HelmReleases of each Release) and hr/ (the charts, to be
    served at the repository URL). If there is any error, nothing is written.

    \b
    kcd-gen build                                            # every cluster of kcd-gen.yaml
    kcd-gen build --source clusters/prod --output deploy/prod --vendor packages
    kcd-gen build --keep-going --format json > report.json   # write what compiles; print a report
    kcd-gen build --check                                    # in CI: is the output up to date? shows a diff
    kcd-gen build --check --format github                    # the same, as pull request annotations
    kcd-gen build --check --report junit=report.xml          # also write a JUnit report
    kcd-gen build --check --report sarif=- | upload          # print a report; the text goes to standard error
    kcd-gen build --dry-run                                  # show what would change
    kcd-gen build --watch                                    # while you edit: build after each change
    kcd-gen build --push-charts                              # with 'delivery: oci': push the charts, then write
    kcd-gen build --release redis1                           # write one Release; the others stay as they are
    kcd-gen build --check --fail-on-stale-image              # … and does the pinned server image have the charts?
    kcd-gen build --compare-helm helm3,helm4                 # before an update of helm: do the results differ?
    kcd-gen build --fail-on-change                           # in a pre-commit hook: is everything committed?
    kcd-gen build --shard 3/7 --shard-file shards            # on one of 7 machines: compile a part of the Releases
    kcd-gen build --merge shards                             # … and write the output from the results of all parts
    """
    if options.shard or options.merge or options.shard_file:
        from kubocd_gen.cli.shards import misused, shard

        if problem := misused(options):
            return print_problems([problem])
        if options.shard:
            return shard(options)
    if options.watch:
        from kubocd_gen.cli.watch import build_on_change

        return build_on_change(options)
    if options.compare_helm is not None:
        from kubocd_gen.cli.compare_helm import compare_helm

        return compare_helm(options, options.compare_helm)
    if options.prints_report and options.format != "text":
        message = f"only one report can be written to standard output: --format {options.format} or --report FORMAT=-"
        return print_problems([Problem("usage", message)])
    if options.push_charts and options.only_plan:
        message = (
            f"--push-charts cannot be used with {'--check' if options.check else '--dry-run'}, which writes nothing"
        )
        hint = "push the charts in the run that writes the output"
        return print_problems([Problem("usage", message, hint=hint)])
    from kubocd_gen.cli.tools import Outcome
    from kubocd_gen.diagnostics.text import exit_code
    from kubocd_gen.pipeline.build import is_current
    from kubocd_gen.sources.project_file import messages_root

    refused = _refused_reports(options)
    outcome = Outcome((), list(refused.values()), None) if refused else built(options)
    root = messages_root(options.flags())
    uncommitted = None
    if options.fail_on_change and not has_errors(outcome.problems):
        uncommitted = _uncommitted(outcome, written=not options.only_plan)
        outcome = replace(outcome, problems=[*outcome.problems, *uncommitted.errors])
    stale = [one for one in outcome.problems if one.code == "stale-image"] if options.fail_on_stale_image else []
    fix_command = _fix_command() if options.check else ""
    outcome = _with_reports(outcome, [one for one in options.reports if one not in refused], root, fix_command)
    for line in _lines(outcome, options, root, fix_command):
        echo(line, err=options.prints_report)
    if options.format == "github":  # already printed all problems, and a CI runner shows both streams
        code = exit_code(outcome.problems)
    else:
        code = print_problems(outcome.problems, quiet=options.quiet, name_clusters=len(outcome.built) > 1)
    for line in _add_commands(uncommitted) if uncommitted else ():
        click.echo(printable(line), err=True)
        code = code or DIFFERENCE
    for one in stale if options.quiet else ():  # the reason for the exit code
        click.echo(printable(f"{one.position}: {one.message}"), err=True)
    differs = bool(stale) or (options.check and not all(map(is_current, outcome.built)))
    return code or (DIFFERENCE if differs else 0)


def built(options: BuildOptions, load: Callable[[], Project] | None = None) -> Outcome:
    """Build as the options say. `load` returns the project; by default, it is loaded with the flags."""
    from kubocd_gen.sources.project_file import load_project

    return run_pipeline(
        options,
        load or (lambda: load_project(options.flags(), Path.cwd())),
        allow_removals=options.allow_removals,
        only_plan=options.only_plan,
        compare_kept=options.check,
        report_version=options.format == "json",
        prune_outputs=None if options.releases else options.prune_outputs,
        releases=options.releases,
        push_charts=options.push_charts,
        merge=options.merge,
    )


def _uncommitted(outcome: Outcome, *, written: bool) -> UncommittedFiles:
    from kubocd_gen.pipeline.uncommitted import find_uncommitted

    return find_uncommitted(outcome.built, written=written)


def _refused_reports(options: BuildOptions) -> Mapping[Report, Problem]:
    """Return an error for each file of `--report` that cannot be replaced, before anything is built or written."""
    if not options.reports:
        return {}
    from kubocd_gen.cli.ci_formats import refused_reports

    return refused_reports(options.reports)


def _with_reports(outcome: Outcome, reports: Sequence[Report], root: Path, fix_command: str) -> Outcome:
    """Write the reports of `--report`. Return the outcome with the errors of writing them added."""
    if not reports:
        return outcome
    from kubocd_gen.cli.ci_formats import write_reports

    unwritten = Problems()
    for error in write_reports(reports, root, outcome.built, outcome.problems, fix_command=fix_command):
        unwritten.error(error)
    return replace(outcome, problems=[*outcome.problems, *unwritten])


def _lines(outcome: Outcome, options: BuildOptions, root: Path, fix_command: str) -> Iterator[str]:
    """Yield the lines of standard output."""
    from kubocd_gen.pipeline.report import build_report, text_report

    built, problems = outcome.built, outcome.problems
    if options.format == "json":
        yield json_text(build_report(built, outcome.helm_version, problems, pushed=outcome.pushed))
    elif options.format != "text":
        from kubocd_gen.cli.ci_formats import ci_report

        yield from ci_report(options.format, root, built, problems, fix_command=fix_command)
    elif options.check and not has_errors(problems):
        from kubocd_gen.cli.check_result import check_lines

        yield from check_lines(built, fix_command, full=options.full_diff, quiet=options.quiet)
    elif not options.quiet:
        for one in outcome.pushed:
            if one.change == "pushed" or options.verbose:
                yield printable(f"{'Pushed' if one.change == 'pushed' else 'Unchanged'} {one.reference}")
        yield from text_report(built, verbose=options.verbose > 0, written=not options.only_plan)


def _fix_command() -> str:
    """Return the command line of this run without the flags of a check and of the report format."""
    words = [
        word
        for word in sys.argv[1:]
        if word not in ("--check", "--full-diff", "--fail-on-change", "--fail-on-stale-image")
    ]
    for name in ("--format", "--report", "--profile"):
        while name in words:
            at = words.index(name)
            del words[at : at + 2]
    return shlex.join(
        ["kcd-gen", *(word for word in words if not word.startswith(("--format=", "--report=", "--profile=")))]
    )


def _add_commands(files: UncommittedFiles) -> Iterator[str]:
    """Yield what to do so that the commit contains the output and its sources; nothing if it does."""
    here = checkout_root(Path.cwd())
    added = []
    for output in files.outputs:
        name = shown_path(output)
        if checkout_root(output) in (here, None):
            added.append(name)
        else:  # for example in a submodule
            yield f"add the output to a commit: {shlex.join(['git', '-C', name, 'add', '.'])}"
    if added:
        yield f"add the output to the commit: {shlex.join(['git', 'add', *added])}"
    for path in files.untracked:
        name = shown_path(path)
        yield f"{name} is a source but not tracked by Git: add it, or move it out of the sources"
    for path in files.changed:
        yield f"{shown_path(path)} is a source with changes that are not staged: add or stash them"


def run_pipeline(options: CommonBuildOptions, load: Callable[[], Project], **settings: Unpack[_Settings]) -> Outcome:
    """Build the project that `load` returns; see `_run_pipeline`. If the state of earlier builds is in doubt, again."""
    from kubocd_gen.state.store import StateDoubtError

    try:
        return _run_pipeline(options, load, **settings)
    except StateDoubtError as error:
        import logging  # `--help` needs no log

        logging.getLogger(__name__).info("build again without the state of earlier builds: %s", error)
        settings.pop("merge", None)
        return _run_pipeline(options, load, **settings, fresh_state=True)


class _Settings(TypedDict, total=False):
    """The arguments of `_run_pipeline`."""

    allow_removals: Required[int]
    only_plan: bool
    compare_kept: bool
    report_version: bool
    prune_outputs: bool | None
    releases: Collection[str]
    push_charts: bool
    merge: Sequence[Path]


def _run_pipeline(
    options: CommonBuildOptions,
    load: Callable[[], Project],
    *,
    allow_removals: int,
    only_plan: bool = False,
    compare_kept: bool = False,
    report_version: bool = False,
    prune_outputs: bool | None = None,
    releases: Collection[str] = (),
    push_charts: bool = False,
    merge: Sequence[Path] = (),
    fresh_state: bool = False,
) -> Outcome:
    """Build the project that `load` returns. Errors are in the outcome; if `load` fails, nothing else is.

    More than `allow_removals` removed Releases are an error if they are all or most. With `only_plan`, nothing is
    written. With `compare_kept`, the HelmReleases of suspended Releases are compared with the base revision. With
    `report_version`, helm's version is determined even if the lock file does not need it. `prune_outputs` tells whether
    outputs that no cluster writes to are removed, or only reported; None ignores them. With `releases`, only these are
    written. With `push_charts`, charts are pushed before anything is written. `merge` are the files of all shards. With
    `fresh_state`, the state of earlier builds is replaced. Raises StateDoubtError.
    """
    from kubocd_gen.cli.tools import Outcome, tools
    from kubocd_gen.packages.cache import cache_directory
    from kubocd_gen.pipeline.build import build as run_build
    from kubocd_gen.pipeline.build import unknown_removals
    from kubocd_gen.pipeline.unknown_hosts import unknown_hosts_note

    problems = Problems()  # of the whole run; each cluster has its own in `built`
    built: Sequence[Built] = ()
    version = None
    pushed: list[PushedChart] = []
    with problems.collect():
        project = load()
        with (
            tools(options, project, problems, report_version=report_version) as tool,
            merged_shards(merge, quiet=options.quiet) as shards,
        ):

            def waiting(output: Path) -> None:
                tool.line.clear()
                if not options.quiet:
                    path = shown_path(output)
                    click.echo(printable(f"waiting for another kcd-gen process that writes to {path}"), err=True)

            def before_writing(compilations: Sequence[Compilation]) -> None:
                if all(one.cluster.delivery.mode != "oci" for one in compilations):
                    if push_charts:
                        hint = "set 'delivery: oci' and 'chartRepository' in the project file"
                        raise ProblemsError.of("usage", "--push-charts: no cluster delivers charts by OCI", hint=hint)
                    return
                from kubocd_gen.pipeline.chart_push import check_pushed, push_and_record  # few projects push charts

                if push_charts:
                    whole = not (releases or options.clusters or options.keep_going)
                    jobs = options.job_count
                    pushed.extend(push_and_record(project, compilations, tool.line, problems, jobs=jobs, prune=whole))
                else:
                    check_pushed(project, compilations, tool.lock, problems)

            compiled = run_build(
                project,
                tool.packages,
                tool.helm,
                jobs=options.job_count,
                keep_going=options.keep_going,
                allow_protected_removal=options.allow_protected_removal,
                allow_removals=allow_removals,
                releases=releases,
                only_plan=only_plan,
                compare_kept=compare_kept,
                before_writing=before_writing,
                waiting=waiting,
                state_cache=None if options.full else cache_directory(os.environ, project.cache),
                shards=shards,
                fresh_state=fresh_state,
            )
        if prune_outputs is not None and all(one.plan is not None for one in compiled):
            from kubocd_gen.pipeline.abandoned import report_abandoned

            report_abandoned(
                project,
                problems,
                prune=prune_outputs,
                only_plan=only_plan,
                allow_protected_removal=options.allow_protected_removal,
            )
        if (
            not options.clusters and not prune_outputs and not releases
        ):  # the Release can be in a cluster that was not built
            for warning in unknown_removals(compiled, options.allow_protected_removal):
                problems.warning(warning)
        for note in unknown_hosts_note(one.compilation for one in compiled):
            problems.note(note)
        built, version = compiled, tool.version()
    return Outcome(
        built, [*problems, *(diagnostic for one in built for diagnostic in one.diagnostics)], version, pushed
    )
