"""`kcd-gen init server`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from kubocd_gen.cli.colours import echo, paint_difference
from kubocd_gen.cli.command import Flag, command, options
from kubocd_gen.cli.options import ClusterOptions, OutputOptions
from kubocd_gen.cli.problems import errors_into, say_problems
from kubocd_gen.cli.scaffolds import ScaffoldOptions, check_image, exit_code, heading
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError, printable
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
            "The folder that Flux applies, for one cluster. [default: found by the Kustomizations in the checkout]",
            metavar="DIR",
        ),
    ] = None
    flux_source: Annotated[
        str | None,
        Flag(
            "What Flux takes the checkout from, such as GitRepository/flux-system. [default: found likewise]",
            metavar="KIND/NAME",
        ),
    ] = None
    flux_namespace: Annotated[str, Flag("Where source-controller runs.", metavar="NS", show_default=True)] = (
        FLUX_NAMESPACE
    )
    containerfile: Annotated[bool, Flag("Also what buildah, podman or docker build the image from.")] = False


@command(ServerOptions)
def server(options: ServerOptions) -> int:
    """Write what runs the server of the charts in each cluster, and has Flux apply it before the releases.

    In the output's folder `server`: Kubernetes manifests, named after the cluster's repositoryURL. In the folder that
    Flux applies: two Kustomizations. At the root of the checkout: lines of .sourceignore. Files that you have changed
    are shown and left alone, with exit code 3; --force replaces them.

    \b
    kcd-gen init server --image registry.example.com/platform/charts
    kcd-gen init server --cluster prod --flux-dir clusters/prod --dry-run
    """
    findings = Problems()
    scaffold = None
    with errors_into(findings):
        scaffold = _scaffold(options, findings)
        if scaffold and not options.dry_run:
            write(scaffold.files, force=options.force)
    if code := say_problems(findings, quiet=options.quiet):
        return code
    assert scaffold is not None
    if not options.quiet:
        for line in _report(scaffold, options):
            echo(paint_difference(printable(line)))
    return exit_code(scaffold.files, force=options.force)


def _scaffold(options: ServerOptions, findings: Problems) -> Scaffold | None:
    flags = options.flags()
    project = load_project(flags, Path.cwd())
    # Names are chosen among those of all clusters, so that one that is done later finds its own.
    whole = project if flags.sources else load_project(replace(flags, clusters=(), output=None), Path.cwd())
    if options.flux_dir and len(project.clusters) > 1:
        raise ProblemsError(Problem("usage", "--flux-dir is one cluster's; choose it with --cluster"))
    check_namespace("--flux-namespace", options.flux_namespace)
    check_image(options.image)
    source = parse_source(options.flux_source) if options.flux_source else None
    if options.flux_source and source is None:
        hint = "it is KIND/NAME or KIND/NAMESPACE/NAME, such as GitRepository/flux-system"
        raise ProblemsError(
            Problem("usage", f"--flux-source '{options.flux_source}' names no source of Flux", hint=hint)
        )
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
