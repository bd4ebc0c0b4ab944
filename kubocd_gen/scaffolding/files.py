"""Files that are the user's once they are written: planned in memory, compared with what is there, written whole."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kubocd_gen.checkout.files import CONFIGURATION, CheckoutFiles
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.files import hint_of, write_whole
from kubocd_gen.files.paths import display_path

Change = Literal["created", "updated", "unchanged", "different"]


@dataclass(frozen=True, slots=True)
class ScaffoldFile:
    """A file as it is to be, and as it is (None: not there). With `is_shared` it is added to, never replaced."""

    path: Path
    after: bytes
    before: bytes | None
    is_shared: bool = False

    @property
    def change(self) -> Change:
        if self.before is None:
            return "created"
        if self.before == self.after:
            return "unchanged"
        return "updated" if self.is_shared else "different"


@dataclass(frozen=True, slots=True)
class Addition:
    """Lines for a file that is somebody's, and not written in a way to which kcd-gen could add them."""

    path: Path
    where: str
    text: str


def write(files: Iterable[ScaffoldFile], *, force: bool) -> None:
    """Write what is new or added to, and with `force` what is different. Raises ProblemsError; each file is whole."""
    errors = []
    for file in files:
        if file.change == "unchanged" or (file.change == "different" and not force):
            continue
        try:
            write_whole(file.path, file.after, make=True)
        except OSError as error:
            errors.append(_unusable(file.path, "can't be written", error))
    if errors:
        raise ProblemsError(*errors)


def present(path: Path, root: Path) -> bytes | None:
    """What is at `path`, None where nothing is.

    Raises ProblemsError for what is no file, or lies elsewhere by a link.
    """
    if path.is_symlink() or not Path(os.path.realpath(path.parent)).is_relative_to(root):
        raise ProblemsError(
            Problem(
                "unusable-file",
                "this is a link, and what it leads to is not for kcd-gen to write",
                position=Position(display_path(path, Path.cwd())),
                hint="put a file in its place, or take it away",
            )
        )
    try:
        return CheckoutFiles(root).read(path, display_path(path, Path.cwd()), CONFIGURATION)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ProblemsError(_unusable(path, "can't be read", error)) from error


def path_below(path: Path, root: Path) -> str:
    """`path` relative to the checkout, posix, "" for the checkout itself. Raises ProblemsError `outside-checkout`."""
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(root):
        raise ProblemsError(
            Problem(
                "outside-checkout",
                f"{display_path(path, Path.cwd())} is not in the checkout {root}",
                hint="Flux applies directories of one checkout; put the output and Flux's directory into the project's",
            )
        )
    relative = real.relative_to(root).as_posix()
    return "" if relative == "." else relative


def _unusable(path: Path, what: str, error: OSError) -> Problem:
    position = Position(display_path(path, Path.cwd()))
    message = f"the file {what}: {error.strerror or error}"
    return Problem("unusable-file", message, position=position, hint=hint_of(error))
