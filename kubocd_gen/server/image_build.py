"""`kcd-gen image`: put a cluster's charts on a base image, publish that, and write its digest where it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kubocd_gen.checkout.files import CONFIGURATION, CheckoutFiles
from kubocd_gen.diagnostics.problems import Position, Problem, Problems, ProblemsError
from kubocd_gen.files import hint_of, write_whole
from kubocd_gen.files.paths import display_path
from kubocd_gen.model.compilation import Compilation
from kubocd_gen.oci.base_image import Base, read_base
from kubocd_gen.oci.base_store import BaseStore
from kubocd_gen.oci.image_reference import LayoutImage, RegistryImage
from kubocd_gen.server.image import Recipe, ServerImage, server_image
from kubocd_gen.server.image_publication import ImageTarget, Transfer
from kubocd_gen.server.kustomization import read_pinned, with_pinned
from kubocd_gen.server.layout import IMAGE_NAME

Change = Literal["pushed", "written", "unchanged"]


@dataclass(frozen=True, slots=True)
class Pin:
    """A kustomization.yaml before and after the image's digest is in it."""

    path: Path
    before: str
    after: str

    @property
    def is_current(self) -> bool:
        return self.before == self.after


@dataclass(frozen=True, slots=True)
class Published:
    """What became of an image. `transfers` are empty where it was there already."""

    change: Change
    transfers: tuple[Transfer, ...]


def make_image(
    compilation: Compilation,
    base_name: RegistryImage | LayoutImage,
    base: BaseStore,
    recipe: Recipe,
    platforms: tuple[str, ...],
    findings: Problems,
) -> tuple[Base, ServerImage]:
    """The base, without its layers, and the image that is made of it. What is worth knowing goes to `findings`.

    Raises ProblemsError: what is wrong with the base.
    """
    read = read_base(base, str(base_name), platforms)
    if isinstance(base_name, RegistryImage) and base_name.digest is None:
        findings.warning(
            Problem(
                "unpinned-base",
                f"the base {base_name} is what its tag stands for now; another one makes another image",
                hint=f"name it by digest, too: --base {base_name}@{read.top.digest}",
            )
        )
    attestations = [label for label, why in read.dropped if why == "attestation"]
    others = [label for label, why in read.dropped if why == "other"]
    if attestations:
        findings.note(_dropped(f"{len(attestations)} attestations of the base", "they are about other digests"))
    if others:
        findings.note(_dropped(", ".join(others), "only images for Linux get layers"))
    served = {name: data for one in compilation.releases for name, data in one.charts().items()}
    return read, server_image(read, served, recipe)


def plan_pin(
    path: Path, repository: str | None, digest: str, findings: Problems, files: CheckoutFiles | None = None
) -> Pin | None:
    """What the kustomization at `path` will say; None, and a note, where it has no entry for the image, or is missing.

    It is one of `files`, or named by the command line.

    Raises ProblemsError: `outside-checkout`, and `bad-kustomization` where the entry can't be changed, before anything
    is pushed.
    """
    display = display_path(path, Path.cwd())
    said = f"images: [{{name: {IMAGE_NAME}, newName: {repository}, digest: '{digest}'}}]"
    try:
        before = (files or CheckoutFiles.of_named(path)).read(path, display, CONFIGURATION).decode()
    except FileNotFoundError:
        findings.note(
            Problem(
                "unpinned-image",
                f"there is no {display}, so that the digest is written nowhere",
                hint=f"'kcd-gen init server' makes one; in another one write {said}",
            )
        )
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        message = f"the kustomization can't be read: {reason}"
        raise ProblemsError(Problem("bad-kustomization", message, position=Position(display))) from error
    if read_pinned(before, display) is None:
        what = f"it names no image {IMAGE_NAME}, so that the digest is written nowhere"
        findings.note(Problem("unpinned-image", what, position=Position(display), hint=f"add {said}"))
        return None
    return Pin(path, before, with_pinned(before, display, repository, digest))


def publish(image: ServerImage, base: BaseStore, target: ImageTarget, done: Change) -> Published:
    """Put the image where it belongs, unless it is there. Raises ProblemsError."""
    there = target.current()
    if there is not None and there.digest == image.descriptor.digest:
        return Published("unchanged", ())
    return Published(done, tuple(target.publish(image, base)))


def write_pin(pin: Pin) -> None:
    """Write the kustomization, where it changes. Raises ProblemsError."""
    if pin.is_current:
        return
    try:
        write_whole(pin.path, pin.after.encode())
    except OSError as error:
        position = Position(display_path(pin.path, Path.cwd()))
        what = f"the image is pushed, but its digest can't be written here: {error.strerror}"
        raise ProblemsError(Problem("bad-kustomization", what, position=position, hint=hint_of(error))) from error


def _dropped(what: str, why: str) -> Problem:
    return Problem("base-part-left-out", f"left out: {what}; {why}")
