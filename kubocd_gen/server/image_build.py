"""Build the image of `kcd-gen image` from charts and a base, publish it, pin its digest, and list its charts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kubocd_gen.checkout.files import CONFIGURATION, CheckoutFiles
from kubocd_gen.diagnostics.problems import Position, Problem, Problems, ProblemsError
from kubocd_gen.files.directory import check_replaceable, write_whole
from kubocd_gen.files.paths import display_path, hint_of
from kubocd_gen.kustomize.pinned_image import read_pinned
from kubocd_gen.model.compilation import Compilation
from kubocd_gen.oci.base_image import Base, read_base
from kubocd_gen.oci.base_store import BaseStore
from kubocd_gen.oci.reference import LayoutImage, RegistryImage
from kubocd_gen.output.chart_list import ChartList, chart_list_content, next_list, parse_chart_list
from kubocd_gen.pipeline.server_image import charts_of
from kubocd_gen.server.container import IMAGE_NAME
from kubocd_gen.server.image import Recipe, ServerImage, server_image
from kubocd_gen.server.image_publication import ImageTarget, Transfer
from kubocd_gen.server.kustomization import with_pinned

Change = Literal["pushed", "written", "unchanged"]


@dataclass(frozen=True, slots=True)
class Pin:
    """The content of a kustomization.yaml, or of the chart list next to it, before and after pinning the image.

    `before` is None if the file is missing or not readable. `what` is pinned, for messages.
    """

    path: Path
    before: str | None
    after: str
    what: str = "digest cannot be written to the kustomization"

    @property
    def is_current(self) -> bool:
        return self.before == self.after


@dataclass(frozen=True, slots=True)
class ListedCharts:
    """The chart list before and after pinning an image.

    `fetched` are the keys of the Releases whose HelmRepository a build changes, because the image is the first that
    has their charts.
    """

    pin: Pin
    fetched: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Published:
    """The result of publishing an image. `transfers` is empty if the image existed already."""

    change: Change
    transfers: tuple[Transfer, ...]


def make_image(
    compilation: Compilation,
    base_name: RegistryImage | LayoutImage,
    base: BaseStore,
    recipe: Recipe,
    platforms: tuple[str, ...],
    problems: Problems,
) -> tuple[Base, ServerImage]:
    """Return the base, without the content of its layers, and the image. Warnings and notes are added to `problems`.

    Raises ProblemsError for an invalid or unreadable base.
    """
    read = read_base(base, str(base_name), platforms)
    if isinstance(base_name, RegistryImage) and base_name.digest is None:
        problems.warning(
            Problem(
                "unpinned-base",
                f"the base '{base_name}' is not pinned by digest, so the image changes when its tag moves",
                hint=f"pin the digest: --base {base_name}@{read.top.digest}",
            )
        )
    attestations = [label for label, why in read.dropped if why == "attestation"]
    others = [label for label, why in read.dropped if why == "other"]
    if attestations:
        problems.note(_omitted(f"{len(attestations)} attestations of the base", "they apply to other digests"))
    if others:
        problems.note(_omitted(", ".join(others), "only platforms of Linux are supported"))
    served = {name: data for one in compilation.releases for name, data in one.charts().items()}
    return read, server_image(read, served, recipe)


def plan_pin(
    path: Path, repository: str | None, digest: str, problems: Problems, files: CheckoutFiles | None = None
) -> Pin | None:
    """Return the new content of the kustomization at `path`, or None with a note if it is missing or has no entry.

    Reading it is restricted to `files`; without them, it is a path that the command line names.

    Raises ProblemsError `outside-checkout`, and `bad-kustomization` if the entry can't be changed. Call this before
    the image is pushed.
    """
    display = display_path(path, Path.cwd())
    entry = f"images: [{{name: {IMAGE_NAME}, newName: {repository}, digest: '{digest}'}}]"
    try:
        before = (files or CheckoutFiles.of_named(path)).read(path, display, CONFIGURATION).decode()
    except FileNotFoundError:
        problems.note(
            Problem(
                "unpinned-image",
                f"the digest is not pinned because '{display}' does not exist",
                hint=f"create it with 'kcd-gen init server', or add to your own kustomization: {entry}",
            )
        )
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not valid UTF-8"
        message = f"cannot read the kustomization: {reason}"
        raise ProblemsError.of("bad-kustomization", message, position=Position(display)) from error
    if read_pinned(before, display) is None:
        message = f"the digest is not pinned because the kustomization has no image '{IMAGE_NAME}'"
        problems.note(Problem("unpinned-image", message, position=Position(display), hint=f"add {entry}"))
        return None
    return Pin(path, before, with_pinned(before, display, repository, digest))


def plan_list(path: Path, pin: Pin, digest: str, compilation: Compilation, files: CheckoutFiles) -> ListedCharts:
    """Return the new content of the chart list at `path`, next to the kustomization of `pin`.

    A list that does not belong to the digest in the kustomization is replaced. Raises ProblemsError `outside-checkout`,
    and `bad-kustomization` if the file can't be replaced. Call this before the image is pushed.
    """
    display = display_path(path, Path.cwd())
    pinned = read_pinned(pin.before or "", display_path(pin.path, Path.cwd()))
    data = None
    exists = True
    try:
        data = files.read(path, display, CONFIGURATION)
    except FileNotFoundError:
        exists = False
    except OSError:
        pass  # too large, or not a regular file
    try:
        check_replaceable(path)
    except OSError as error:
        message = f"cannot replace the chart list: {error.strerror or error}"
        raise ProblemsError.of("bad-kustomization", message, position=Position(display), hint=hint_of(error)) from error
    known = parse_chart_list(data) if data is not None else None
    previous = known if known and pinned and known.image == pinned.digest else None
    # Without a digest, a tag or a list, no image was deployed from this file.
    first = not exists and pinned is not None and pinned.digest is None and pinned.new_tag is None
    charts = charts_of(compilation.releases)
    made = next_list(previous, digest, charts, first=first)
    before = None if data is None else data.decode(errors="replace").replace("\r\n", "\n")
    listed = Pin(path, before, chart_list_content(made), "charts cannot be listed")
    return ListedCharts(listed, tuple(_fetched(previous, made, charts)))


def _fetched(previous: ChartList | None, made: ChartList, charts: Mapping[str, str]) -> Iterator[str]:
    for key, digest in charts.items():
        before = previous.since(key, digest) if previous else None
        if before != made.since(key, digest):
            yield key


def publish(image: ServerImage, base: BaseStore, target: ImageTarget, done: Change) -> Published:
    """Publish the image to `target` unless it exists there; `done` is the change to report. Raises ProblemsError."""
    current = target.current()
    if current is not None and current.digest == image.descriptor.digest:
        return Published("unchanged", ())
    return Published(done, tuple(target.publish(image, base)))


def write_pin(pin: Pin) -> None:
    """Write the file if it changes. Raises ProblemsError."""
    if pin.is_current:
        return
    try:
        write_whole(pin.path, pin.after.encode())
    except OSError as error:
        position = Position(display_path(pin.path, Path.cwd()))
        message = f"the image was pushed, but its {pin.what}: {error.strerror}"
        raise ProblemsError.of("bad-kustomization", message, position=position, hint=hint_of(error)) from error


def _omitted(parts: str, reason: str) -> Problem:
    return Problem("base-part-left-out", f"omitting {parts}: {reason}")
