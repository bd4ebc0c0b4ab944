"""`kcd-gen init` and `kcd-gen init server`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from kubocd_gen.cli.command import Flag, command, group, option_group, options
from kubocd_gen.cli.console import DIFFERENCE, echo, paint_difference, print_json, print_problems
from kubocd_gen.cli.option_values import parse_chart_repository, parse_flux_source, parse_namespace
from kubocd_gen.cli.options import ClusterOptions, JsonOptions, OutputOptions, PathOptions, QuietOptions
from kubocd_gen.diagnostics.problems import Problems, ProblemsError, printable
from kubocd_gen.diagnostics.text import envelope
from kubocd_gen.model.delivery import FLUX_NAMESPACE, FluxSource, Mode
from kubocd_gen.scaffolding.install_source import InstallSource, install_source

if TYPE_CHECKING:  # `--help` needs none of them
    from kubocd_gen.scaffolding.repository import RepositoryPlan
    from kubocd_gen.scaffolding.server import ServerPlan

AnyPlan = TypeVar("AnyPlan", "RepositoryPlan", "ServerPlan")
_REPOSITORY = re.compile(r"[a-zA-Z0-9.-]+(?::[0-9]+)?(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)+")


def _repository(word: str) -> str:
    """Parse `--image`. Raises ValueError."""
    if not _REPOSITORY.fullmatch(word):
        hint = "use REGISTRY/REPOSITORY without a tag, such as registry.example.com/platform/charts"
        raise ValueError(f"'{word}' is not a valid repository name; {hint}")
    return word


def _cluster_name(word: str) -> str:
    """Parse `--cluster-name`. Raises ValueError."""
    from kubocd_gen.server.flux_roots import name_of

    if name_of(word) != word:
        hint = "use at most 40 lowercase letters, digits, and '-' between them"
        raise ValueError(f"'{word}' is not a valid cluster name; {hint}")
    return word


@option_group
class ScaffoldOptions(JsonOptions, QuietOptions):
    """Options of a command that writes files for the user to edit."""

    image: Annotated[
        str | None,
        Flag(
            "The repository that the server's image will be pushed to, without a tag.",
            metavar="REPOSITORY",
            parse=_repository,
        ),
    ] = None
    force: Annotated[bool, Flag("Replace existing files that differ.")] = False
    dry_run: Annotated[bool, Flag("Write nothing; print the changes that would be made.")] = False


def _run(
    options: ScaffoldOptions,
    plan: Callable[[Problems], AnyPlan | None],
    report: Callable[[AnyPlan], Iterator[str]],
    steps: Callable[[AnyPlan], list[str]],
) -> int:
    """Write the files that `plan` returns, and print the report. Return the exit code: 3 if a file was kept.

    `report` returns the lines of the report and `steps` what the user must do next.
    """
    from kubocd_gen.scaffolding.files import write
    from kubocd_gen.scaffolding.report import scaffold_report

    problems = Problems()
    planned = None
    with problems.collect():
        planned = plan(problems)
        if planned and not options.dry_run:
            write(planned.files, force=options.force)
    code = print_problems(problems, quiet=options.quiet)
    left: list[str] = steps(planned) if planned and not code else []
    if options.format == "json":
        done = None if code else planned
        body = scaffold_report(done, left, force=options.force, dry_run=options.dry_run)
        print_json(envelope("Scaffold", body, list(problems)))
    if code:
        return code
    assert planned is not None
    if not options.quiet and options.format == "text":
        for line in report(planned):
            echo(paint_difference(printable(line)))
        if left:
            for line in ("", _heading(options), *(f"  {step}" for step in left)):
                echo(printable(line))
    return DIFFERENCE if any(file.change == "different" for file in planned.files) and not options.force else 0


def _heading(options: ScaffoldOptions) -> str:
    return "Next, without --dry-run:" if options.dry_run else "Next:"


@options
class InitOptions(ScaffoldOptions, PathOptions):
    """`kcd-gen init`."""

    ci: Annotated[
        Literal["github", "gitlab", "none"] | None,
        Flag("The CI system. [default: detected from the repository's files and remote]"),
    ] = None
    install_from: Annotated[
        InstallSource | None,
        Flag(
            "Where the hook and CI install kcd-gen from, pinned: git+URL@COMMIT, WHEEL-URL#sha256=DIGEST, or "
            "'--index-url URL kcd-gen==VERSION'. Without it, neither a hook nor a CI file is written.",
            metavar="SOURCE",
            parse=install_source,
        ),
    ] = None
    delivery: Annotated[
        Mode | None,
        Flag("How charts reach Flux, for a new project file: a server (default), Git, a registry, or packages."),
    ] = None
    chart_repository: Annotated[
        str | None,
        Flag("The registry of the charts, for --delivery oci.", metavar="oci://URL", parse=parse_chart_repository),
    ] = None
    no_server: Annotated[bool, Flag("Do not write the chart server's manifests.")] = False
    cluster_name: Annotated[
        str | None,
        Flag(
            "The name of a cluster that cannot be named after a directory. [default: default]",
            metavar="NAME",
            parse=_cluster_name,
        ),
    ] = None


@group(InitOptions)
def init(options: InitOptions) -> int:
    """Write the files that a repository needs to use kcd-gen. From then on they are yours to edit.

    Detects Releases, Contexts and Configs in the Git checkout, the directories that Flux applies, and the CI system.
    Writes the project file, a pre-commit hook, the CI file, .gitattributes, VS Code settings, Flux Kustomizations, and
    the manifests of the chart server. An existing project file is kept and used. For other existing files that differ,
    the diff is shown, nothing is changed, and the exit code is 3; --force replaces them.

    \b
    kcd-gen init --dry-run
    kcd-gen init --delivery git                                  # without a chart server
    kcd-gen init --image registry.example.com/platform/charts
    kcd-gen init --install-from git+https://HOST/PATH@COMMIT     # with a hook and a CI file
    """
    from kubocd_gen.scaffolding.report import next_lines
    from kubocd_gen.scaffolding.repository import RepositoryRequest, plan_repository

    def plan(problems: Problems) -> RepositoryPlan | None:
        with_server = not options.no_server
        request = RepositoryRequest(
            options.ci,
            options.image,
            with_server,
            options.cluster_name,
            options.delivery,
            options.chart_repository,
            options.install_from,
        )
        return plan_repository(Path.cwd(), request, problems, options.allow_outside)

    return _run(
        options,
        plan,
        lambda planned: _init_report(planned, options),
        lambda planned: list(next_lines(planned, image=options.image)),
    )


def _init_report(planned: RepositoryPlan, options: InitOptions) -> Iterator[str]:
    from kubocd_gen.scaffolding.report import file_lines, found_lines

    yield "Found:"
    yield from (f"  {line}" for line in found_lines(planned))
    yield ""
    if planned.has_only_packages:
        yield "Nothing to write: this repository has packages, and no Releases to compile"
    yield from file_lines(planned.files, force=options.force, dry_run=options.dry_run)


@options
class ServerOptions(OutputOptions, ClusterOptions, ScaffoldOptions):
    """`kcd-gen init server`."""

    flux_dir: Annotated[
        Path | None,
        Flag(
            "The directory that Flux applies, for one cluster. [default: detected from the Flux Kustomizations]",
            metavar="DIR",
        ),
    ] = None
    flux_source: Annotated[
        FluxSource | None,
        Flag(
            "The Flux source of the checkout, such as GitRepository/flux-system. "
            "[default: detected from the Flux Kustomizations]",
            metavar="KIND/NAME",
            parse=parse_flux_source,
        ),
    ] = None
    flux_namespace: Annotated[
        str, Flag("The namespace of source-controller.", metavar="NS", parse=parse_namespace, show_default=True)
    ] = FLUX_NAMESPACE
    containerfile: Annotated[bool, Flag("Also write a Containerfile for buildah, podman or docker.")] = False


@command(ServerOptions)
def server(options: ServerOptions) -> int:
    """Write the manifests of the chart server for each cluster, and make Flux apply them before the releases.

    Writes Kubernetes manifests named after the cluster's repositoryURL into `server` in the output, two Kustomizations
    into the directory that Flux applies, and lines into .sourceignore at the root of the checkout. For files that you
    have changed, the diff is shown, nothing is changed, and the exit code is 3; --force replaces them.

    \b
    kcd-gen init server --image registry.example.com/platform/charts
    kcd-gen init server --cluster prod --flux-dir clusters/prod --dry-run
    """
    from kubocd_gen.scaffolding.report import file_lines

    return _run(
        options,
        lambda problems: _plan(options, problems),
        lambda planned: file_lines(planned.files, force=options.force, dry_run=options.dry_run),
        lambda planned: _server_steps(planned, options),
    )


init.add_command(server)


def _plan(options: ServerOptions, problems: Problems) -> ServerPlan | None:
    from kubocd_gen.scaffolding.server import ServerRequest, plan_server
    from kubocd_gen.sources.project_file import load_project

    flags = options.flags()
    project = load_project(flags, Path.cwd())
    # Names must be unique among all clusters, also among those that are set up later.
    whole = project if flags.sources else load_project(replace(flags, clusters=(), output=None), Path.cwd())
    if options.flux_dir and len(project.clusters) > 1:
        raise ProblemsError.of("usage", "--flux-dir requires a single cluster", hint="choose one with --cluster")
    request = ServerRequest(
        options.image, options.flux_dir, options.flux_source, options.flux_namespace, options.containerfile
    )
    return plan_server(whole, project.clusters, request, problems)


def _server_steps(planned: ServerPlan, options: ServerOptions) -> list[str]:
    from kubocd_gen.scaffolding.report import application_steps, apply_steps, image_step, list_steps

    placements = planned.placements.values()
    steps = [step for placement in placements for step in list_steps(placement, planned.root)]
    if all(file.change == "unchanged" for file in planned.files):
        return steps
    for placement in placements:
        steps += [f"{line}; see --flux-dir" for line in apply_steps(placement, planned.root)]
    return [
        *steps,
        *application_steps(planned.applications),
        f"kcd-gen build{' --push-charts' if planned.pushes else ''}",
        *([image_step(options.image, one_cluster=planned.one_cluster)] if planned.has_server else ()),
        "git add -A, git commit, git push",
    ]
