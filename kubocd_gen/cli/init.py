"""`kcd-gen init`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from kubocd_gen.cli.options import flags_of, option, project_options, quiet_option
from kubocd_gen.cli.problems import say_problems
from kubocd_gen.diagnostics import Findings, KcdError, KcdErrors, printable
from kubocd_gen.output.drift import difference
from kubocd_gen.project import check_namespace, load_project
from kubocd_gen.scaffolding.files import ScaffoldFile, write
from kubocd_gen.server.flux_sync import FLUX_NAMESPACE
from kubocd_gen.server.placement import Placement, parse_source
from kubocd_gen.server.scaffolding import Scaffold, Wish, plan
from kubocd_gen.sources.discovery import display_path

DIFFERENT = 3
_REPOSITORY = re.compile(r"[a-zA-Z0-9.-]+(?::[0-9]+)?(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)+")


@click.group()
def init() -> None:
    """Write files to begin with, which are yours from then on."""


@init.command("server")
@project_options
@option("--image", metavar="REPOSITORY", help="Where the server's image will be pushed, without a tag.")
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
@option("--force", is_flag=True, help="Replace files that differ from what would be written.")
@option("--dry-run", is_flag=True, help="Write nothing; say what would be done.")
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
    findings = Findings()
    scaffold = None
    try:
        scaffold = _scaffold(given, findings)
        if scaffold and not given["dry_run"]:
            write(scaffold.files, force=given["force"])
    except (KcdError, KcdErrors) as error:
        findings.error(error)
    if code := say_problems(findings, quiet=given["quiet"]):
        return code
    assert scaffold is not None
    left = [file for file in scaffold.files if file.change == "different" and not given["force"]]
    if not given["quiet"]:
        for line in _report(scaffold, given):
            click.echo(printable(line))
    return DIFFERENT if left else 0


def _scaffold(given: Mapping[str, Any], findings: Findings) -> Scaffold | None:
    flags = flags_of(given)
    project = load_project(flags, Path.cwd())
    # Names are chosen among those of all clusters, so that one that is done later finds its own.
    whole = project if flags.sources else load_project(replace(flags, clusters=(), output=None), Path.cwd())
    if given["flux_dir"] and len(project.clusters) > 1:
        raise KcdError("--flux-dir is one cluster's; choose it with --cluster", code="usage")
    check_namespace("--flux-namespace", given["flux_namespace"])
    if given["image"] and not _REPOSITORY.fullmatch(given["image"]):
        hint = "it is REGISTRY/REPOSITORY without a tag, such as registry.example.com/platform/charts"
        raise KcdError(f"--image '{given['image']}' is not the name of a repository", code="usage", hint=hint)
    source = parse_source(given["flux_source"]) if given["flux_source"] else None
    if given["flux_source"] and source is None:
        hint = "it is KIND/NAME or KIND/NAMESPACE/NAME, such as GitRepository/flux-system"
        raise KcdError(f"--flux-source '{given['flux_source']}' names no source of Flux", code="usage", hint=hint)
    wish = Wish(given["image"], given["flux_dir"], source, given["flux_namespace"], given["containerfile"])
    return plan(whole, project.clusters, wish, findings)


def _report(scaffold: Scaffold, given: Mapping[str, Any]) -> Iterator[str]:
    for file in scaffold.files:
        yield from _file(file, given)
    yield ""
    yield "Next:" if not given["dry_run"] else "Next, without --dry-run:"
    for name, placement in scaffold.placements.items():
        yield from _steps(name, placement, scaffold.root)
    chosen = "" if len(scaffold.placements) == 1 else " --cluster NAME"
    image = given["image"] or "REPOSITORY"
    yield "  kcd-gen build"
    yield f"  kcd-gen image{chosen} --base BASE --push {image}:TAG   # docs/image.md says which BASE"
    yield "  git add -A, git commit, git push"


def _file(file: ScaffoldFile, given: Mapping[str, Any]) -> Iterator[str]:
    path = display_path(file.path, Path.cwd())
    replaced = file.change == "different" and given["force"]
    if file.change in ("different", "updated"):
        yield from difference(file.before, file.after, path)
    said = {
        "created": "Created",
        "updated": "Updated",
        "unchanged": "Unchanged",
        "different": "Replaced" if replaced else "Left alone, for it differs (--force replaces it):",
    }[file.change]
    if given["dry_run"] and file.change != "unchanged" and (replaced or file.change != "different"):
        said = f"Would {said.lower().removesuffix('d')}"
    yield f"{said} {path}"


def _steps(cluster: str, placement: Placement, root: Path) -> Iterator[str]:
    file = display_path(root / placement.file, Path.cwd())
    if placement.list_file:
        yield f"  list {Path(placement.file).name} in {display_path(root / placement.list_file, Path.cwd())}"
    elif placement.sync is None:
        yield f"  kubectl apply -f {shlex.quote(file)}   # no Kustomization in the checkout applies it; see --flux-dir"
