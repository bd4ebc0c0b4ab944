"""`kcd-gen init server`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from kubocd_gen.cli.colours import echo, paint_difference
from kubocd_gen.cli.command import Flag, command, options
from kubocd_gen.cli.options import ClusterOptions, OutputOptions
from kubocd_gen.cli.problems import collect_errors, print_problems
from kubocd_gen.cli.scaffolds import ScaffoldOptions, check_image, exit_code, heading
from kubocd_gen.diagnostics.problems import Problems, ProblemsError, printable
from kubocd_gen.scaffolding.files import write
from kubocd_gen.scaffolding.report import apply_steps, file_lines, image_step, list_steps
from kubocd_gen.scaffolding.server import Scaffold, Wish, plan
from kubocd_gen.server.flux_sync import FLUX_NAMESPACE
from kubocd_gen.server.placement import parse_source
from kubocd_gen.sources.project_file import check_namespace, load_project


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
        str | None,
        Flag(
            "The Flux source of the checkout, such as GitRepository/flux-system. [default: detected likewise]",
            metavar="KIND/NAME",
        ),
    ] = None
    flux_namespace: Annotated[str, Flag("The namespace of source-controller.", metavar="NS", show_default=True)] = (
        FLUX_NAMESPACE
    )
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
    findings = Problems()
    scaffold = None
    with collect_errors(findings):
        scaffold = _scaffold(options, findings)
        if scaffold and not options.dry_run:
            write(scaffold.files, force=options.force)
    if code := print_problems(findings, quiet=options.quiet):
        return code
    assert scaffold is not None
    if not options.quiet:
        for line in _report(scaffold, options):
            echo(paint_difference(printable(line)))
    return exit_code(scaffold.files, force=options.force)


def _scaffold(options: ServerOptions, findings: Problems) -> Scaffold | None:
    flags = options.flags()
    project = load_project(flags, Path.cwd())
    # Names must be unique among all clusters, also among those that are set up later.
    whole = project if flags.sources else load_project(replace(flags, clusters=(), output=None), Path.cwd())
    if options.flux_dir and len(project.clusters) > 1:
        raise ProblemsError.of("usage", "--flux-dir requires a single cluster", hint="choose one with --cluster")
    check_namespace("--flux-namespace", options.flux_namespace)
    check_image(options.image)
    source = parse_source(options.flux_source) if options.flux_source else None
    if options.flux_source and source is None:
        hint = "use KIND/NAME or KIND/NAMESPACE/NAME, such as GitRepository/flux-system"
        raise ProblemsError.of("usage", f"--flux-source '{options.flux_source}' is not a Flux source", hint=hint)
    wish = Wish(options.image, options.flux_dir, source, options.flux_namespace, options.containerfile)
    return plan(whole, project.clusters, wish, findings)


def _report(scaffold: Scaffold, options: ServerOptions) -> Iterator[str]:
    yield from file_lines(scaffold.files, force=options.force, dry_run=options.dry_run)
    yield ""
    yield heading(dry_run=options.dry_run)
    for placement in scaffold.placements.values():
        yield from (f"  {line}" for line in list_steps(placement, scaffold.root))
        yield from (f"  {line}; see --flux-dir" for line in apply_steps(placement, scaffold.root))
    yield "  kcd-gen build"
    yield f"  {image_step(options.image, one_cluster=len(scaffold.placements) == 1)}"
    yield "  git add -A, git commit, git push"
