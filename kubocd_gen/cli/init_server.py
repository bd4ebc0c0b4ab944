"""`kcd-gen init server`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from kubocd_gen.cli.colours import echo, paint_difference
from kubocd_gen.cli.options import flags_of, option, project_options, quiet_option
from kubocd_gen.cli.problems import say_problems
from kubocd_gen.cli.scaffolds import check_image, dry_run_option, exit_code, force_option, heading, image_option
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError, printable
from kubocd_gen.scaffolding.files import write
from kubocd_gen.scaffolding.report import apply_steps, file_lines, image_step, list_steps
from kubocd_gen.scaffolding.server import Scaffold, Wish, plan
from kubocd_gen.server.flux_sync import FLUX_NAMESPACE
from kubocd_gen.server.placement import parse_source
from kubocd_gen.sources.project_file import check_namespace, load_project


@click.command()
@project_options
@image_option
@option(
    "--flux-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The folder that Flux applies, for one cluster. [default: found by the Kustomizations in the checkout]",
)
@option(
    "--flux-source",
    metavar="KIND/NAME",
    help="What Flux takes the checkout from, such as GitRepository/flux-system. [default: found likewise]",
)
@option(
    "--flux-namespace", default=FLUX_NAMESPACE, show_default=True, metavar="NS", help="Where source-controller runs."
)
@option("--containerfile", is_flag=True, help="Also what buildah, podman or docker build the image from.")
@force_option
@dry_run_option
@quiet_option
def server(**given: Any) -> int:
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
    try:
        scaffold = _scaffold(given, findings)
        if scaffold and not given["dry_run"]:
            write(scaffold.files, force=given["force"])
    except ProblemsError as error:
        findings.error(error)
    if code := say_problems(findings, quiet=given["quiet"]):
        return code
    assert scaffold is not None
    if not given["quiet"]:
        for line in _report(scaffold, given):
            echo(paint_difference(printable(line)))
    return exit_code(scaffold.files, force=given["force"])


def _scaffold(given: Mapping[str, Any], findings: Problems) -> Scaffold | None:
    flags = flags_of(given)
    project = load_project(flags, Path.cwd())
    # Names are chosen among those of all clusters, so that one that is done later finds its own.
    whole = project if flags.sources else load_project(replace(flags, clusters=(), output=None), Path.cwd())
    if given["flux_dir"] and len(project.clusters) > 1:
        raise ProblemsError(Problem("usage", "--flux-dir is one cluster's; choose it with --cluster"))
    check_namespace("--flux-namespace", given["flux_namespace"])
    check_image(given["image"])
    source = parse_source(given["flux_source"]) if given["flux_source"] else None
    if given["flux_source"] and source is None:
        hint = "it is KIND/NAME or KIND/NAMESPACE/NAME, such as GitRepository/flux-system"
        raise ProblemsError(
            Problem("usage", f"--flux-source '{given['flux_source']}' names no source of Flux", hint=hint)
        )
    wish = Wish(given["image"], given["flux_dir"], source, given["flux_namespace"], given["containerfile"])
    return plan(whole, project.clusters, wish, findings)


def _report(scaffold: Scaffold, given: Mapping[str, Any]) -> Iterator[str]:
    yield from file_lines(scaffold.files, force=given["force"], dry_run=given["dry_run"])
    yield ""
    yield heading(dry_run=given["dry_run"])
    for placement in scaffold.placements.values():
        yield from (f"  {line}" for line in list_steps(placement, scaffold.root))
        yield from (f"  {line}; see --flux-dir" for line in apply_steps(placement, scaffold.root))
    yield "  kcd-gen build"
    yield f"  {image_step(given['image'], one_cluster=len(scaffold.placements) == 1)}"
    yield "  git add -A, git commit, git push"
