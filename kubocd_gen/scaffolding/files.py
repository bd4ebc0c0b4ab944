"""Files that the user owns once written: planned in memory, compared with existing files, written atomically."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kubocd_gen.checkout.files import CONFIGURATION, CheckoutFiles
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.files.directory import write_whole
from kubocd_gen.files.paths import display_path, hint_of, shown_path

Change = Literal["created", "updated", "unchanged", "different"]


@dataclass(frozen=True, slots=True)
class ScaffoldFile:
    """The planned and the existing content of a file; `before` is None if it does not exist.

    If `is_shared`, the file has other content as well, and lines are added to it; it is never replaced.
    """

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
    """Lines that the user must add to an existing file, because kcd-gen can't edit its format safely."""

    path: Path
    where: str
    text: str


def write(files: Iterable[ScaffoldFile], *, force: bool) -> None:
    """Write new and extended files, and with `force` those that differ; each file is written atomically.

    Raises ProblemsError after trying all files.
    """
    errors = []
    for file in files:
        if file.change == "unchanged" or (file.change == "different" and not force):
            continue
        try:
            write_whole(file.path, file.after, make=True)
        except OSError as error:
            message = f"cannot write the file: {error.strerror or error}"
            errors.append(_unusable(file.path, message, hint_of(error)))
    if errors:
        raise ProblemsError(*errors)


def present(path: Path, root: Path) -> bytes | None:
    """Return the content of the file at `path`, or None if it does not exist.

    Raises ProblemsError `unusable-file` if it can't be read, is not a file, or a symlink leads out of the checkout.
    """
    if path.is_symlink() or not Path(os.path.realpath(path.parent)).is_relative_to(root):
        hint = "replace the symlink with a file, or remove it"
        raise ProblemsError(_unusable(path, "refusing to write to a symlink", hint))
    try:
        return CheckoutFiles(root).read(path, display_path(path, Path.cwd()), CONFIGURATION)
    except FileNotFoundError:
        return None
    except OSError as error:
        message = f"cannot read the file: {error.strerror or error}"
        raise ProblemsError(_unusable(path, message, hint_of(error))) from error


def path_below(path: Path, root: Path) -> str:
    """Return the posix path relative to the checkout, "" for its root. Raises ProblemsError `outside-checkout`."""
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(root):
        message = f"'{shown_path(path)}' is outside the checkout '{root}'"
        hint = "move the output and Flux's directory into the project's checkout, from which Flux applies them"
        raise ProblemsError.of("outside-checkout", message, hint=hint)
    relative = real.relative_to(root).as_posix()
    return "" if relative == "." else relative


def _unusable(path: Path, message: str, hint: str | None) -> Problem:
    return Problem("unusable-file", message, Position(display_path(path, Path.cwd())), hint)
