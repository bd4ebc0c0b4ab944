"""`kcd-gen image`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click

from kubocd_gen import __version__
from kubocd_gen.cli.command import Flag, command, options
from kubocd_gen.cli.console import DIFFERENCE, PUBLISHED, command_line, echo, paint, print_json, print_problems
from kubocd_gen.cli.options import CompilingOptions, JsonOptions, QuietOptions, SourceOptions
from kubocd_gen.cli.profile_options import ProfileOptions
from kubocd_gen.cli.terminal import Progress
from kubocd_gen.cli.tools import tools
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError, has_errors, printable
from kubocd_gen.diagnostics.text import envelope
from kubocd_gen.files.paths import display_path, shown_path
from kubocd_gen.oci.reference import LayoutImage, RegistryImage, parse_image, parse_reference, split_layout
from kubocd_gen.output.chart_list import CHART_LIST
from kubocd_gen.server.container import CONTENT_ROOT, IMAGE_NAME, MANIFESTS

if TYPE_CHECKING:  # `--help` needs none of them
    from kubocd_gen.model.project import Cluster, Project
    from kubocd_gen.oci.base_store import BaseStore
    from kubocd_gen.oci.registry import Registry
    from kubocd_gen.server.image import ServerImage
    from kubocd_gen.server.image_build import ListedCharts, Pin, Published
    from kubocd_gen.server.image_publication import ImageTarget, Way

_TRANSFERS: dict[Way, str] = {"copied": "copied", "mounted": "mounted", "there": "already present"}


@dataclass(slots=True)
class _Outcome:
    """The results so far. `current_digest` is the digest of the image at the target, known with `--check`."""

    cluster: str | None = None
    name: str | None = None
    base: str | None = None
    base_digest: str | None = None
    image: ServerImage | None = None
    published: Published | None = None
    pin: Pin | None = None
    listed: ListedCharts | None = None
    current_digest: str | None = None


@options
class ImageOptions(SourceOptions, JsonOptions, QuietOptions, CompilingOptions, ProfileOptions):
    """`kcd-gen image`."""

    base: Annotated[str, Flag("The base image; oci:DIR[:NAME] for an OCI image layout.", metavar="REF")]
    push: Annotated[str | None, Flag("Push the image to this reference, REGISTRY/REPOSITORY:TAG.", metavar="REF")] = (
        None
    )
    output: Annotated[
        str | None,
        Flag(
            "Write the image to this OCI image layout, DIR or DIR:NAME, instead of pushing it.",
            metavar="LAYOUT",
            type=click.Path(readable=False),
        ),
    ] = None
    check: Annotated[bool, Flag("Write nothing; exit 3 if the image is out of date.")] = False
    platforms: Annotated[
        tuple[str, ...],
        Flag("Build only for this platform of the base image; repeatable.", name="--platform", metavar="OS/ARCH"),
    ] = ()
    no_nginx: Annotated[bool, Flag("Add only the charts, without an nginx configuration.")] = False
    content_root: Annotated[
        str, Flag("With --no-nginx: the directory of hr/ in the image.", metavar="DIR", show_default=True)
    ] = CONTENT_ROOT
    kustomization: Annotated[
        Path | None,
        Flag(
            f"The file to write the digest to. [default: {MANIFESTS}/kustomization.yaml in the cluster's output]",
            metavar="FILE",
        ),
    ] = None
    insecure: Annotated[bool, Flag("Use plain HTTP for the target registry.")] = False


@command(ImageOptions)
def image(options: ImageOptions) -> int:
    """Build the container image of the chart server: add the charts and an nginx configuration to a base image.

    No container engine is needed. The image is reproducible: the same base and charts give the same bytes. All
    platforms of the base image are kept. Only missing blobs are pushed. Then the digest is written to the
    kustomization.yaml that deploys the image, and the charts are listed in charts.list next to it. Run 'kcd-gen build'
    afterward, so one commit updates releases and charts together.

    \b
    kcd-gen image --base docker.io/nginxinc/nginx-unprivileged:1.28-alpine@sha256:… \\
                  --push registry.example.com/platform/charts:prod
    kcd-gen image --base oci:bases/nginx --output charts.oci     # to an OCI image layout, without a registry
    kcd-gen image --base … --push … --check                      # in CI: is the pushed image up to date?
    """
    problems = Problems()
    outcome = _Outcome()
    with problems.collect():
        _image(options, problems, outcome)
    differences = list(_differences(outcome)) if options.check else []
    if options.format == "json":
        print_json(_report(outcome, list(problems), differences))
    elif not has_errors(problems):
        for line in [*differences, *_lines(outcome, differences, options)]:
            if differences or not options.quiet:
                echo(paint("changed", printable(line)) if line in differences else printable(line))
    return print_problems(problems, quiet=options.quiet) or (DIFFERENCE if differences else 0)


def _image(options: ImageOptions, problems: Problems, outcome: _Outcome) -> None:
    from kubocd_gen.pipeline import compile_cluster
    from kubocd_gen.pipeline.unknown_hosts import unknown_hosts_note
    from kubocd_gen.server.image import Recipe
    from kubocd_gen.server.image_build import make_image, plan_list, plan_pin, publish, write_pin
    from kubocd_gen.sources.delivery_settings import no_server
    from kubocd_gen.sources.project_file import load_project, only_cluster

    if bool(options.push) == bool(options.output):
        hint = "use --push for a registry, or --output for an OCI image layout"
        raise ProblemsError.of("usage", "exactly one of --push REF and --output LAYOUT is required", hint=hint)
    base_name = parse_image(options.base)
    # Sources given by flags need an output, which is neither read nor written here.
    project = load_project(options.flags_without_output(Path.cwd() / "output"), Path.cwd())
    cluster = only_cluster(project, "an image is built for one cluster, but the project has several")
    if not cluster.delivery.has_server:
        raise ProblemsError(no_server(cluster))
    outcome.cluster, outcome.base = cluster.name, str(base_name)
    with tools(options, project, problems) as tool:
        registry = tool.packages.registry
        store = _store(base_name, registry, project, options)
        target, outcome.name = _target(base_name, registry, project, tool.line, options)
        # A layout has no name for annotations: its path is local.
        name = base_name.name if isinstance(base_name, RegistryImage) else None
        recipe = Recipe(cluster.name, name, root=_content_root(options), nginx=not options.no_nginx)
        compilation = compile_cluster(project, cluster, tool.packages, tool.helm, problems)
        for note in unknown_hosts_note([compilation]):
            problems.note(note)
        if has_errors(problems):
            return
        read, made = make_image(compilation, base_name, store, recipe, options.platforms, problems)
        outcome.base_digest, outcome.image = read.top.digest, made
        path = _kustomization(options, cluster)
        if path is not None and options.push:
            repository = str(outcome.name).rpartition(":")[0]
            files = None if options.kustomization else project.files
            digest = made.descriptor.digest
            outcome.pin = plan_pin(path, repository, digest, problems, files)
            charts = _chart_list(path, options, cluster)
            if outcome.pin is not None and charts is not None:
                outcome.listed = plan_list(charts, outcome.pin, digest, compilation, project.files)
        if options.check:
            current = target.current()
            outcome.current_digest = current.digest if current else None
            return
        outcome.published = publish(made, store, target, "pushed" if options.push else "written")
        for pin in _pins(outcome):
            write_pin(pin)


def _content_root(options: ImageOptions) -> str:
    root = options.content_root
    if root != CONTENT_ROOT and not options.no_nginx:
        raise ProblemsError.of("usage", "--content-root requires --no-nginx", hint="add --no-nginx")
    parts = root.removesuffix("/").split("/")
    if parts[0] or len(parts) < 2 or not {"", ".", ".."}.isdisjoint(parts[1:]):
        hint = f"use a path such as {CONTENT_ROOT}"
        raise ProblemsError.of("usage", f"--content-root '{root}' is not a normalized absolute path", hint=hint)
    return "/".join(parts)


def _store(base: RegistryImage | LayoutImage, registry: Registry, project: Project, options: ImageOptions) -> BaseStore:
    from kubocd_gen.checkout.files import CheckoutFiles
    from kubocd_gen.network.origins import canonical_host
    from kubocd_gen.oci.base_store import LayoutStore, RegistryStore
    from kubocd_gen.oci.endpoints import Access
    from kubocd_gen.oci.layout import OciLayout

    if isinstance(base, LayoutImage):
        files = CheckoutFiles.of_named(base.directory, project.files.allowed)
        layout = OciLayout(base.directory, display_path(base.directory, Path.cwd()), project.limits, files)
        return LayoutStore(layout, base, project.limits)
    hosts = (base.reference.registry, str(options.push).partition("/")[0])
    same = len({canonical_host(host, "http") for host in hosts}) == 1
    access = Access(insecure=options.insecure and same, setting="flag" if same else "base")
    return RegistryStore(registry, base, access, project.limits)


def _target(
    base: RegistryImage | LayoutImage, registry: Registry, project: Project, line: Progress, options: ImageOptions
) -> tuple[ImageTarget, str]:
    """Return the target of the image and the image's name there."""
    from kubocd_gen.network.origins import canonical_host
    from kubocd_gen.oci.endpoints import Access, find_endpoint
    from kubocd_gen.oci.layout_writer import LayoutWriter
    from kubocd_gen.packages.cache import cache_directory
    from kubocd_gen.server.image_publication import LayoutTarget, RegistryTarget

    if options.output:
        directory, name = split_layout(options.output)
        name = name or IMAGE_NAME
        return LayoutTarget(LayoutWriter(directory), name), f"oci:{directory}:{name}"
    assert options.push is not None  # checked by the caller
    reference = parse_reference(options.push)
    origin = None
    if isinstance(base, RegistryImage):
        access = Access(insecure=options.insecure, setting="flag")
        ours, theirs = (find_endpoint(one, access, project.mirrors) for one in (reference, base.reference))
        # A mirror can hold blobs that the registry itself lacks, which then cannot be mounted.
        same = canonical_host(ours.host, ours.scheme) == canonical_host(theirs.host, theirs.scheme)
        origin = theirs.repository if same and not ours.mirror_of and not theirs.mirror_of else None
    target = RegistryTarget(
        registry,
        reference,
        Access(insecure=options.insecure, setting="flag"),
        cache_directory(os.environ, project.cache),
        origin,
        line,
        options.job_count,
    )
    return target, str(reference)


def _kustomization(options: ImageOptions, cluster: Cluster) -> Path | None:
    """Return the kustomization that deploys the image; None if it would be in the output and there is none."""
    if options.kustomization:
        return options.kustomization
    return None if options.sources else cluster.output / MANIFESTS / "kustomization.yaml"


def _chart_list(kustomization: Path, options: ImageOptions, cluster: Cluster) -> Path | None:
    """Return the chart list next to the kustomization; None if a build would not find it."""
    path = cluster.output / CHART_LIST
    found = not options.sources and kustomization.absolute() == (path.parent / "kustomization.yaml").absolute()
    return path if found else None


def _pins(outcome: _Outcome) -> Iterator[Pin]:
    """Yield the files that the image's digest and charts are written to."""
    if outcome.pin is not None:
        yield outcome.pin
    if outcome.listed is not None:
        yield outcome.listed.pin


def _differences(outcome: _Outcome) -> Iterator[str]:
    """Yield what `--check` has found to be out of date."""
    if outcome.image is None:
        return
    digest = outcome.image.descriptor.digest
    if outcome.pin is not None and not outcome.pin.is_current:
        yield f"{shown_path(outcome.pin.path)} is out of date: it should contain {outcome.name}@{digest}"
    if outcome.current_digest != digest:
        yield f"{outcome.name} is {outcome.current_digest or 'missing'}, expected {digest}"
    if outcome.listed is not None and not outcome.listed.pin.is_current:
        yield f"{shown_path(outcome.listed.pin.path)} is out of date: it should list the charts of {digest}"


def _lines(outcome: _Outcome, differences: list[str], options: ImageOptions) -> Iterator[str]:
    if outcome.image is None:
        return
    name = f"{outcome.name} {outcome.image.descriptor.digest}"
    if differences:
        yield f"run: {command_line('--check')}"
    elif options.check:
        yield f"{name} is up to date"
    elif outcome.published is not None:
        counts = Counter(one.way for one in outcome.published.transfers)
        layers = ", ".join(f"{counts[way]} {label}" for way, label in _TRANSFERS.items() if counts[way])
        yield f"{PUBLISHED[outcome.published.change]} {name}{f' (layers: {layers})' if layers else ''}"
        for pin in _pins(outcome):
            change = "Unchanged" if pin.is_current else "Created" if pin.before is None else "Updated"
            yield f"{change} {shown_path(pin.path)}"
        if outcome.listed is not None and (count := len(outcome.listed.fetched)):
            charts = "a Release" if count == 1 else f"{count} Releases"
            yield f"run 'kcd-gen build' and commit everything together: Flux then fetches the new charts of {charts}"


def _report(outcome: _Outcome, problems: list[Problem], differences: list[str]) -> dict[str, Any]:
    """Return the JSON report, described by schemas/kcd-gen/image-v1alpha1.json."""
    made, published, pin = outcome.image, outcome.published, outcome.pin
    failed = has_errors(problems)
    checked = "different" if differences else "unchanged"
    body = {
        "version": {"kcd-gen": __version__},
        "status": "failed" if failed else published.change if published else checked,
        "cluster": outcome.cluster,
        "base": {"name": outcome.base, "digest": outcome.base_digest} if outcome.base else None,
        "name": outcome.name,
        "digest": made.descriptor.digest if made else None,
        "there": outcome.current_digest,
        "platforms": [
            {"platform": one.label, "digest": one.descriptor.digest} for one in (made.platforms if made else ())
        ],
        "layers": [
            {"digest": one.descriptor.digest, "size": one.descriptor.size, "way": one.way}
            for one in (published.transfers if published else ())
        ],
        "kustomization": _file_report(pin),
        "charts": _file_report(outcome.listed.pin if outcome.listed else None),
    }
    return envelope("ServerImage", body, problems)


def _file_report(pin: Pin | None) -> dict[str, Any] | None:
    return {"path": display_path(pin.path, Path.cwd()), "current": pin.is_current} if pin else None
