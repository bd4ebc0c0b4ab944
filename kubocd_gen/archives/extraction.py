"""A package's files on disk: nothing outside the folder, and nothing over what is there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kubocd_gen.archives.chart_members import is_plain_path, read_chart_archive
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.diagnostics.quoting import shown
from kubocd_gen.files import SymlinkError, hint_of, made_directory

_NAMED = 3  # files that a message names


def unpacked(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of a package with those of its charts, each in `charts/<name>-<version>/`. Raises ProblemsError."""
    found = dict(files)
    for name, data in files.items():
        if not name.endswith(".tgz"):
            continue
        folder = f"charts/{name.removesuffix('.tgz')}"
        for member in read_chart_archive(data, describe=f"the chart {name}"):
            # As helm does it: the first folder is the chart's own.
            inner = member.path.partition("/")[2] or member.path
            found.setdefault(f"{folder}/{inner}", member.data)
    return found


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write `files` below `folder`, which is made.

    Raises ProblemsError where any is there already: then none is written.
    """
    for name in files:
        if not is_plain_path(name):
            raise ProblemsError(Problem("bad-archive", f"{shown(name)} is no path below a folder"))
    try:
        with made_directory(folder) as directory:
            there = [str(folder / name) for name in files if directory.status(name) is not None]
            if there:
                raise ProblemsError(_existing(there, folder))
            for name, data in files.items():
                if parent := name.rpartition("/")[0]:
                    directory.make(parent)
                directory.create(name, data, durable=False)
    except SymlinkError as error:
        message = f"refusing to write to {folder} through a symlink"
        raise ProblemsError(
            Problem("symlinked-output", message, position=Position(str(folder)), hint=hint_of(error))
        ) from error
    except OSError as error:
        message = f"cannot write to {folder}: {error.strerror} ({error.filename})"
        raise ProblemsError(Problem("unwritable-output", message)) from error


def _existing(there: list[str], folder: Path) -> Problem:
    more = f" and {len(there) - _NAMED} more" if len(there) > _NAMED else ""
    return Problem(
        "foreign-file",
        f"{', '.join(map(shown, there[:_NAMED]))}{more} {'exists' if len(there) == 1 else 'exist'} already",
        position=Position(str(folder)),
        hint="name a new or empty folder",
    )
