"""Extract a package to disk: never outside the target directory, and never over existing files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kubocd_gen.archives.chart_members import is_plain_path, read_chart_archive
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError, shown
from kubocd_gen.files.directory import made_directory
from kubocd_gen.files.walk import SymlinkError, hint_of

_LISTED = 3  # files that a message lists


def unpacked(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files of a package, with each chart also unpacked to `charts/<name>-<version>/`.

    Raises ProblemsError.
    """
    found = dict(files)
    for name, data in files.items():
        if not name.endswith(".tgz"):
            continue
        directory = f"charts/{name.removesuffix('.tgz')}"
        for member in read_chart_archive(data, describe=f"the chart {name}"):
            # Like helm, drop the first directory: it is the chart's own.
            inner = member.path.partition("/")[2] or member.path
            found.setdefault(f"{directory}/{inner}", member.data)
    return found


def write_files(target: Path, files: Mapping[str, bytes]) -> None:
    """Write `files` below the directory `target`, which is created.

    Writes nothing and raises ProblemsError if any of the files exists already.
    """
    for name in files:
        if not is_plain_path(name):
            raise ProblemsError.of("bad-archive", f"{shown(name)} is not a valid relative path")
    try:
        with made_directory(target) as directory:
            existing = [str(target / name) for name in files if directory.status(name) is not None]
            if existing:
                raise ProblemsError(_file_exists(existing, target))
            for name, data in files.items():
                if parent := name.rpartition("/")[0]:
                    directory.make(parent)
                directory.create(name, data, durable=False)
    except SymlinkError as error:
        message = f"refusing to write to {target} through a symlink"
        raise ProblemsError.of(
            "symlinked-output", message, position=Position(str(target)), hint=hint_of(error)
        ) from error
    except OSError as error:
        message = f"cannot write to {target}: {error.strerror} ({error.filename})"
        raise ProblemsError.of("unwritable-output", message) from error


def _file_exists(existing: list[str], target: Path) -> Problem:
    more = f" and {len(existing) - _LISTED} more" if len(existing) > _LISTED else ""
    verb = "already exists" if len(existing) == 1 else "already exist"
    return Problem(
        "foreign-file",
        f"{', '.join(map(shown, existing[:_LISTED]))}{more} {verb}",
        position=Position(str(target)),
        hint="choose a new or empty directory",
    )
