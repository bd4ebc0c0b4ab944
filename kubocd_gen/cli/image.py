"""`kcd-gen image`."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kubocd_gen import __version__
from kubocd_gen.cli.colours import echo, paint
from kubocd_gen.cli.options import (
    flags_of,
    format_option,
    jobs_option,
    option,
    progress_option,
    quiet_option,
    source_options,
)
from kubocd_gen.cli.problems import say_problems
from kubocd_gen.cli.progress import progress
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError, printable
from kubocd_gen.diagnostics.text import problem_report
from kubocd_gen.files.paths import display_path
from kubocd_gen.server.places import CONTENT_ROOT, FOLDER, IMAGE_NAME

if TYPE_CHECKING:
    from kubocd_gen.model.project import Project
    from kubocd_gen.oci.base_store import BaseStore
    from kubocd_gen.oci.image_reference import LayoutImage, RegistryImage
    from kubocd_gen.oci.registry import Registry
    from kubocd_gen.server.image import ServerImage
    from kubocd_gen.server.imaging import Pin, Published
    from kubocd_gen.server.publishing import ImageTarget, Way

DIFFERENT = 3
_WAYS: dict[Way, str] = {"copied": "copied", "mounted": "mounted", "there": "there already"}


@dataclass(slots=True)
class _Outcome:
    """How far it came. `there` is what the image's name stands for, known with --check."""

    cluster: str | None = None
    name: str | None = None
    base: str | None = None
    base_digest: str | None = None
    image: ServerImage | None = None
    published: Published | None = None
    pin: Pin | None = None
    there: str | None = None


@click.command()
@source_options
@option("--base", required=True, metavar="REF", help="The image to put the charts on; oci:DIR[:NAME] for a layout's.")
@option("--push", metavar="REF", help="Where to push the image, as REGISTRY/REPOSITORY:TAG.")
@option(
    "--output",
    type=click.Path(readable=False),
    metavar="LAYOUT",
    help="Write it into this OCI image layout, DIR or DIR:NAME, and push nothing.",
)
@option("--check", is_flag=True, help="Change nothing; exit 3 where the image is not what the sources compile to.")
@option("--platform", "platforms", multiple=True, metavar="OS/ARCH", help="Of the base's, only this one; repeatable.")
@option("--no-nginx", is_flag=True, help="The base serves by itself: add the charts alone, and change nothing else.")
@option("--content-root", default=CONTENT_ROOT, show_default=True, metavar="DIR", help="With --no-nginx: where hr/ is.")
@option(
    "--kustomization",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=f"Where to write the digest. [default: {FOLDER}/kustomization.yaml in the cluster's output]",
)
@option("--insecure", is_flag=True, help="Push over plain HTTP, and read a base in that registry so.")
@option("--helm", metavar="PATH", help="The helm binary to use, instead of the one installed beside kcd-gen.")
@format_option
@jobs_option
@quiet_option
@option("--debug", is_flag=True, help="Print tracebacks, and keep what helm is given in .kcd-gen-debug/.")
@progress_option
def image(**given: Any) -> int:
    """Make the image of the server of the charts: a base image with nginx, the charts, and nginx's configuration.

    No container engine is needed. The same base and charts make the same image, byte for byte; of a base for several
    platforms all are kept. Only what the registry lacks is pushed, and then the digest is written to the
    kustomization.yaml that runs it, so that one commit moves releases and charts together.

    \b
    kcd-gen image --base docker.io/nginxinc/nginx-unprivileged:1.28-alpine@sha256:… \\
                  --push registry.example.com/platform/charts:prod
    kcd-gen image --base oci:bases/nginx --output charts.oci     # no registry; skopeo and buildah read it
    kcd-gen image --base … --push … --check                      # in CI: is the pushed image up to date?
    """
    findings = Problems()
    outcome = _Outcome()
    try:
        _image(given, findings, outcome)
    except ProblemsError as error:
        findings.error(error)
    differences = list(_differences(outcome)) if given["check"] else []
    if given["format_"] == "json":
        click.echo(json.dumps(_report(outcome, list(findings), differences), indent=1))
    elif not any(one.severity == "error" for one in findings):
        for line in [*differences, *_lines(outcome, differences, given)]:
            if differences or not given["quiet"]:
                echo(paint("changed", printable(line)) if line in differences else printable(line))
    return say_problems(findings, quiet=given["quiet"]) or (DIFFERENT if differences else 0)


def _image(given: Mapping[str, Any], findings: Problems, outcome: _Outcome) -> None:
    from kubocd_gen.oci.image_reference import parse_image

    if bool(given["push"]) == bool(given["output"]):
        raise ProblemsError(Problem("usage", "say where the image goes: --push REF, or --output LAYOUT"))
    base_name = parse_image(given["base"])
    project = _project(given)
    cluster = project.clusters[0]
    outcome.cluster, outcome.base = cluster.name, str(base_name)
    with progress(wanted=not given["no_progress"]) as line:
        from kubocd_gen.oci.registry import Registry
        from kubocd_gen.pipeline.packages import network
        from kubocd_gen.server.image import Recipe
        from kubocd_gen.server.imaging import make_image, plan_pin, publish, write_pin

        registry = Registry(network(project, line))
        try:
            store = _store(base_name, registry, project, given)
            target, outcome.name = _target(base_name, registry, project, line, given)
            recipe = Recipe(
                cluster.name, _known_name(base_name), root=_content_root(given), nginx=not given["no_nginx"]
            )
            compilation = _compiled(project, line, given, findings)
            if any(one.severity == "error" for one in findings):
                return
            platforms = tuple(given["platforms"])
            read, made = make_image(compilation, base_name, store, recipe, platforms, findings)
            outcome.base_digest, outcome.image = read.top.digest, made
            path = _kustomization(given, project)
            if path is not None and given["push"]:
                repository = str(outcome.name).rpartition(":")[0]
                files = None if given["kustomization"] else project.files
                outcome.pin = plan_pin(path, repository, made.descriptor.digest, findings, files)
            if given["check"]:
                there = target.current()
                outcome.there = there.digest if there else None
                return
            outcome.published = publish(made, store, target, "pushed" if given["push"] else "written")
            if outcome.pin is not None:
                write_pin(outcome.pin)
            for warning in registry.warnings():
                findings.warning(warning)
        finally:
            registry.close()


def _project(given: Mapping[str, Any]) -> Project:
    """The project with the one cluster whose charts it is about. Raises ProblemsError."""
    from kubocd_gen.sources.project_file import load_project

    flags = flags_of({**given, "output": None})
    if flags.sources:
        flags = replace(flags, output=Path.cwd() / "output")  # of which nothing is read or written
    project = load_project(flags, Path.cwd())
    if len(project.clusters) > 1:
        names = ", ".join(cluster.name for cluster in project.clusters)
        hint = f"choose it with --cluster: {names}"
        raise ProblemsError(Problem("usage", "an image is of one cluster, and the project has several", hint=hint))
    return project


def _content_root(given: Mapping[str, Any]) -> str:
    root: str = given["content_root"]
    if root != CONTENT_ROOT and not given["no_nginx"]:
        raise ProblemsError(
            Problem("usage", "--content-root is for --no-nginx: nginx's configuration says where hr/ is")
        )
    parts = root.removesuffix("/").split("/")
    if parts[0] or len(parts) < 2 or not {"", ".", ".."}.isdisjoint(parts[1:]):
        hint = f"such as {CONTENT_ROOT}"
        raise ProblemsError(Problem("usage", f"--content-root '{root}' is no absolute path in an image", hint=hint))
    return "/".join(parts)


def _store(
    base: RegistryImage | LayoutImage, registry: Registry, project: Project, given: Mapping[str, Any]
) -> BaseStore:
    from kubocd_gen.checkout.files import CheckoutFiles
    from kubocd_gen.oci.access import Access
    from kubocd_gen.oci.base_store import LayoutStore, RegistryStore
    from kubocd_gen.oci.image_reference import LayoutImage
    from kubocd_gen.oci.layout import OciLayout

    if isinstance(base, LayoutImage):
        files = CheckoutFiles.of_named(base.folder, project.files.allowed)
        layout = OciLayout(base.folder, display_path(base.folder, Path.cwd()), project.limits, files)
        return LayoutStore(layout, base, project.limits)
    insecure = given["insecure"] and str(given["push"]).partition("/")[0] == base.reference.registry
    return RegistryStore(registry, base, Access(insecure=insecure), project.limits)


def _target(
    base: RegistryImage | LayoutImage, registry: Registry, project: Project, line: Any, given: Mapping[str, Any]
) -> tuple[ImageTarget, str]:
    """Where the image goes, and its name there."""
    from kubocd_gen.oci.access import Access
    from kubocd_gen.oci.image_reference import RegistryImage, split_layout
    from kubocd_gen.oci.layout_writer import LayoutWriter
    from kubocd_gen.oci.reference import parse_reference
    from kubocd_gen.packages.cache import cache_folder
    from kubocd_gen.server.publishing import LayoutTarget, RegistryTarget

    if given["output"]:
        folder, name = split_layout(given["output"])
        name = name or IMAGE_NAME
        return LayoutTarget(LayoutWriter(folder), name), f"oci:{folder}:{name}"
    reference = parse_reference(given["push"])
    origin = None
    if isinstance(base, RegistryImage) and base.reference.registry == reference.registry:
        # What a mirror holds, the registry itself may not.
        origin = base.reference.repository if reference.registry not in project.mirrors else None
    target = RegistryTarget(
        registry,
        reference,
        Access(insecure=given["insecure"]),
        cache_folder(os.environ, project.cache),
        origin,
        line,
        given["jobs"] or 4,
    )
    return target, str(reference)


def _known_name(base: RegistryImage | LayoutImage) -> str | None:
    """What others may know the base as; None for a folder."""
    from kubocd_gen.oci.image_reference import RegistryImage

    return base.name if isinstance(base, RegistryImage) else None


def _compiled(project: Project, line: Any, given: Mapping[str, Any], findings: Problems) -> Any:
    from kubocd_gen.budget.watchdog import watched
    from kubocd_gen.cli.compiling import helm_of
    from kubocd_gen.pipeline import compile_cluster
    from kubocd_gen.pipeline.packages import package_sources, project_lock

    helm, jobs = helm_of(given, project.budget)
    packages = package_sources(project, line, lock=project_lock(project), jobs=jobs)
    try:
        with watched(project.budget):
            compilation = compile_cluster(project, project.clusters[0], packages, helm, findings)
        for warning in packages.warnings():
            findings.warning(warning)
        return compilation
    finally:
        packages.close()


def _kustomization(given: Mapping[str, Any], project: Project) -> Path | None:
    """The file that names the image; None where there is no output that it could lie in."""
    if given["kustomization"]:
        path: Path = given["kustomization"]
        return path
    return None if given["sources"] else project.clusters[0].output / FOLDER / "kustomization.yaml"


def _differences(outcome: _Outcome) -> Iterator[str]:
    """What --check has found."""
    if outcome.image is None:
        return
    digest = outcome.image.descriptor.digest
    if outcome.pin is not None and not outcome.pin.is_current:
        yield f"{display_path(outcome.pin.path, Path.cwd())} names another image than {outcome.name}@{digest}"
    if outcome.there != digest:
        yield f"{outcome.name} is {outcome.there or 'not there'}, and the sources compile to {digest}"


def _lines(outcome: _Outcome, differences: list[str], given: Mapping[str, Any]) -> Iterator[str]:
    if outcome.image is None:
        return
    name = f"{outcome.name} {outcome.image.descriptor.digest}"
    if differences:
        yield f"run: {shlex.join(['kcd-gen', *(word for word in sys.argv[1:] if word != '--check')])}"
    elif given["check"]:
        yield f"{name} is what the sources compile to"
    elif outcome.published is not None:
        ways = Counter(one.way for one in outcome.published.transfers)
        layers = ", ".join(f"{ways[way]} {said}" for way, said in _WAYS.items() if ways[way])
        yield f"{outcome.published.change.capitalize()} {name}{f' (layers: {layers})' if layers else ''}"
        if outcome.pin is not None:
            change = "Unchanged" if outcome.pin.is_current else "Updated"
            yield f"{change} {display_path(outcome.pin.path, Path.cwd())}"


def _report(outcome: _Outcome, problems: list[Problem], differences: list[str]) -> dict[str, Any]:
    """The report, which schemas/kcd-gen/image-v1alpha1.json describes."""
    made, published, pin = outcome.image, outcome.published, outcome.pin
    failed = any(one.severity == "error" for one in problems)
    checked = "different" if differences else "unchanged"
    return {
        "apiVersion": "kcd-gen/v1alpha1",
        "kind": "ServerImage",
        "version": {"kcd-gen": __version__},
        "status": "failed" if failed else published.change if published else checked,
        "cluster": outcome.cluster,
        "base": {"name": outcome.base, "digest": outcome.base_digest} if outcome.base else None,
        "name": outcome.name,
        "digest": made.descriptor.digest if made else None,
        "there": outcome.there,
        "platforms": [
            {"platform": one.label, "digest": one.descriptor.digest} for one in (made.platforms if made else ())
        ],
        "layers": [
            {"digest": one.descriptor.digest, "size": one.descriptor.size, "way": one.way}
            for one in (published.transfers if published else ())
        ],
        "kustomization": {"path": display_path(pin.path, Path.cwd()), "current": pin.is_current} if pin else None,
        "diagnostics": [problem_report(one) for one in problems],
    }
