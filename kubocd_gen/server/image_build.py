"""Build the image of `kcd-gen image` from a cluster's charts and a base, publish it, and pin its digest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kubocd_gen.checkout.files import CONFIGURATION, CheckoutFiles
from kubocd_gen.diagnostics.problems import Position, Problem, Problems, ProblemsError
from kubocd_gen.files.directory import write_whole
from kubocd_gen.files.paths import display_path, hint_of
from kubocd_gen.model.compilation import Compilation
from kubocd_gen.oci.base_image import Base, read_base
from kubocd_gen.oci.base_store import BaseStore
from kubocd_gen.oci.reference import LayoutImage, RegistryImage
from kubocd_gen.server.container import IMAGE_NAME
from kubocd_gen.server.image import Recipe, ServerImage, server_image
from kubocd_gen.server.image_publication import ImageTarget, Transfer
from kubocd_gen.server.kustomization import read_pinned, with_pinned

Change = Literal["pushed", "written", "unchanged"]


@dataclass(frozen=True, slots=True)
class Pin:
    """The content of a kustomization.yaml before and after pinning the image's digest."""

    path: Path
    before: str
    after: str

    @property
    def is_current(self) -> bool:
        return self.before == self.after


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


def publish(image: ServerImage, base: BaseStore, target: ImageTarget, done: Change) -> Published:
    """Publish the image to `target` unless it exists there; `done` is the change to report. Raises ProblemsError."""
    current = target.current()
    if current is not None and current.digest == image.descriptor.digest:
        return Published("unchanged", ())
    return Published(done, tuple(target.publish(image, base)))


def write_pin(pin: Pin) -> None:
    """Write the kustomization if it changes. Raises ProblemsError."""
    if pin.is_current:
        return
    try:
        write_whole(pin.path, pin.after.encode())
    except OSError as error:
        position = Position(display_path(pin.path, Path.cwd()))
        message = f"the image was pushed, but its digest cannot be written to the kustomization: {error.strerror}"
        raise ProblemsError.of("bad-kustomization", message, position=position, hint=hint_of(error)) from error


def _omitted(parts: str, reason: str) -> Problem:
    return Problem("base-part-left-out", f"omitting {parts}: {reason}")
