"""Build and publish package images from manifests: read, check, fetch charts, assemble, publish.

Each manifest is processed as far as possible, to report all problems at once. If any manifest has an error, nothing is
published.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from kubocd_gen.archives.chart import Chart
from kubocd_gen.budget.limits import LIMITS, Limits
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError, has_errors
from kubocd_gen.files.paths import display_path
from kubocd_gen.helm.engine import Helm
from kubocd_gen.oci.descriptors import CONFIG_TYPE, CONTENT_TYPE, MANIFEST_TYPE, Descriptor
from kubocd_gen.oci.endpoints import Access
from kubocd_gen.oci.layout_writer import LayoutWriter, tag_exists
from kubocd_gen.oci.reference import Reference, parse_reference
from kubocd_gen.oci.registry import Registry
from kubocd_gen.packaging.assembly import Assembled, assemble
from kubocd_gen.packaging.charts import Charts
from kubocd_gen.packaging.directory import Packed
from kubocd_gen.packaging.manifest_file import Authored, read_authored
from kubocd_gen.pipeline.rendering import template_of, template_problem

Change = Literal["pushed", "written", "unchanged"]
One = TypeVar("One")
Made = TypeVar("Made")


class Target(Protocol):
    """A destination for package images; safe to use from several threads."""

    def tagged(self, reference: Reference) -> Descriptor | None:
        """Return the manifest that the tag points to, or None. Raises ProblemsError."""

    def publish(self, reference: Reference, image: Assembled, *, move: bool) -> Change:
        """Publish the image with the tag; an existing tag is moved only if `move`. Raises ProblemsError."""

    def describe(self) -> str:
        """Return the name of the destination for messages, as in "X already exists in …"."""


class RegistryTarget:
    """The registry in each package's reference."""

    def __init__(self, registry: Registry, *, insecure: bool) -> None:
        self._registry = registry
        self._access = Access(insecure=insecure, setting="flag")

    def tagged(self, reference: Reference) -> Descriptor | None:
        """Return the manifest that the tag points to, or None. Raises ProblemsError."""
        return self._registry.has_manifest(reference, self._access)

    def publish(self, reference: Reference, image: Assembled, *, move: bool) -> Change:
        """Push the missing blobs, then the manifest, so that a pulled image is always complete."""
        if not move:
            check_tag(self, reference, image, move=move)  # again, because pushing takes time
        self._registry.push_blob(reference, image.config, self._access)
        self._registry.push_blob(reference, image.layer, self._access)
        self._registry.push_manifest(reference, image.manifest, MANIFEST_TYPE, self._access)
        return "pushed"

    def describe(self) -> str:
        """Return "the registry"; its host is in the reference."""
        return "the registry"


class LayoutTarget:
    """An OCI image layout, where images are named by their full reference."""

    def __init__(self, writer: LayoutWriter) -> None:
        self._writer = writer

    def tagged(self, reference: Reference) -> Descriptor | None:
        """Return the manifest with this name in the layout, or None. Raises ProblemsError."""
        return self._writer.tagged(reference)

    def publish(self, reference: Reference, image: Assembled, *, move: bool) -> Change:
        """Write the blobs, then add the name of the manifest to the index."""
        self._writer.put_blob(image.config, CONFIG_TYPE)
        self._writer.put_blob(image.layer, CONTENT_TYPE)
        self._writer.put_blob(image.manifest, MANIFEST_TYPE)
        self._writer.tag(reference, image.descriptor, move=move)
        return "written"

    def describe(self) -> str:
        """Return the layout's directory."""
        return self._writer.describe()


def check_tag(target: Target, reference: Reference, image: Assembled, *, move: bool) -> bool:
    """Return whether the image is published already.

    Raises ProblemsError `tag-exists` if the tag points to another image, unless `move`.
    """
    existing = target.tagged(reference)
    if existing is None or existing.digest == image.digest:
        return existing is not None
    if not move:
        raise ProblemsError(tag_exists(reference, target.describe(), existing.digest, image.descriptor))
    return False


@dataclass(frozen=True, slots=True)
class Published:
    """The outcome for a manifest. `image` is None if it has an error, `change` is None if it was not published."""

    path: str
    reference: Reference | None = None
    image: Assembled | None = field(default=None, repr=False)
    change: Change | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """What to package: manifests, the prefix of their references, and the time of the images (SOURCE_DATE_EPOCH)."""

    files: Sequence[Path]
    prefix: str
    source_date: int | None
    move_tags: bool
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    limits: Limits = LIMITS
    jobs: int = 8
    allow_outside: Sequence[Path] = ()  # directories outside the checkout where local charts are allowed


def package(order: Order, target: Target, charts: Charts, helm: Helm, problems: Problems) -> list[Published]:
    """Build and publish the packages, and return the outcome of each manifest, in the order given.

    Problems are added to `problems`; if one is an error, nothing is published. Raises ProblemsError if helm can't run.
    """
    paths = [display_path(file, Path.cwd()) for file in order.files]
    authored = _each(
        lambda one: read_authored(one[0], one[1], order.environment, order.allow_outside),
        zip(order.files, paths, strict=True),
        order.jobs,
        problems,
    )
    references = _references(authored, order.prefix, problems)
    _check_templates([one for one in authored if one is not None], helm, problems)
    fetched = _fetch_all(authored, charts, order.jobs, problems)
    images = _each(
        lambda one: assemble(one[0], one[1], order.source_date, order.limits) if one[0] and one[1] else None,
        zip(authored, fetched, strict=True),
        1,
        problems,
    )
    outcomes = [Published(*one) for one in zip(paths, references, images, strict=True)]
    if has_errors(problems):
        return outcomes
    return _publish(outcomes, target, order, problems)


def _publish(outcomes: Sequence[Published], target: Target, order: Order, problems: Problems) -> list[Published]:
    ready = [(one.reference, one.image) for one in outcomes if one.reference and one.image]
    published = _each(lambda one: check_tag(target, one[0], one[1], move=order.move_tags), ready, order.jobs, problems)
    if None in published:
        return list(outcomes)
    changes = _each(
        lambda one: "unchanged" if one[1] else target.publish(*one[0], move=order.move_tags),
        zip(ready, published, strict=True),
        order.jobs,
        problems,
    )
    return [
        Published(one.path, one.reference, one.image, change) for one, change in zip(outcomes, changes, strict=True)
    ]


def _each(make: Callable[[One], Made], items: Iterable[One], jobs: int, problems: Problems) -> list[Made | None]:
    """Call `make` for each item on up to `jobs` threads; None if it raised. Problems are in the order of the items."""

    def outcome(item: One) -> Made | ProblemsError:
        try:
            return make(item)
        except ProblemsError as error:
            return error

    made: list[Made | None] = []
    pool = ThreadPoolExecutor(max(1, jobs))
    try:
        for result in pool.map(outcome, items):
            if isinstance(result, ProblemsError):
                problems.error(result)
                made.append(None)
            else:
                made.append(result)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # start nothing new after Ctrl-C
    return made


def _references(authored: Sequence[Authored | None], prefix: str, problems: Problems) -> list[Reference | None]:
    found: list[Reference | None] = []
    for one in authored:
        reference = None
        if one is not None:
            position = one.package.position("tag")
            try:
                reference = parse_reference(f"{prefix.rstrip('/')}/{one.package.name}:{one.package.tag}")
            except ProblemsError as error:
                problems.error(error.at(position))
            if reference is not None and reference in found:
                message = f"two manifests define the package '{one.package.label}'"
                hint = "change the name or the tag of one of them"
                problems.error(Problem("duplicate-package", message, position, hint))
        found.append(reference)
    return found


def _check_templates(authored: Sequence[Authored], helm: Helm, problems: Problems) -> None:
    """Parse all templates with one run of helm or, if there are errors, with one more run for each."""
    named = [(one.package, *pair) for one in authored for pair in one.package.templates()]
    trees = [source.tree for _, _, source in named if source.tree is not None]
    dumped = iter(helm.to_yaml(trees) if trees else ())
    templates = [
        template_of(package, source, source.text if source.tree is None else next(dumped))
        for package, _, source in named
    ]
    for (package_, label, source), errors in zip(named, helm.check(templates), strict=True):
        for error in errors:
            # KuboCD's controller supports functions that kcd-gen does not.
            report = problems.warning if error.code == "unsupported-function" else problems.error
            report(template_problem(package_, label, source, error))


def _fetch_all(
    authored: Sequence[Authored | None], charts: Charts, jobs: int, problems: Problems
) -> list[list[Chart] | None]:
    """Return the charts of each manifest's modules, None if one of them can't be fetched."""
    wanted = [(one, index) for one in authored if one is not None for index in range(len(one.sources))]

    def fetch(one: tuple[Authored, int]) -> Packed:
        manifest, index = one
        try:
            return charts.fetch(manifest.sources[index])
        except ProblemsError as error:  # its message contains the location in a registry or chart
            position = manifest.source_position(index)
            raise ProblemsError(*(replace(problem, position=position) for problem in error.problems)) from error

    got = _each(fetch, wanted, jobs, problems)
    for (manifest, index), packed in zip(wanted, got, strict=True):
        for warning in packed.warnings if packed else ():
            problems.warning(Problem("unlocked-dependency", warning, manifest.source_position(index)))
    parts = iter(got)
    found: list[list[Chart] | None] = []
    for one in authored:
        complete = [packed.chart for _ in (one.sources if one else ()) if (packed := next(parts)) is not None]
        found.append(complete if one and len(complete) == len(one.sources) else None)
    return found
