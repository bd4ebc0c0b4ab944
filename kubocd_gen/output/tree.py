"""Read the output directory without following symlinks. Nothing here writes."""

from __future__ import annotations

import errno
import os
import stat
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.files.directory import Directory, open_directory
from kubocd_gen.files.paths import display_path
from kubocd_gen.files.walk import Entry, SymlinkError

LARGEST_FILE = 1 << 30  # bytes; far above the largest chart that Flux accepts

_OPENED = 16  # directories kept open
_ADVICE = {
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM), "grant the user who runs kcd-gen access to it, or choose another output"
    ),
    errno.EROFS: "choose another output; this file system is read-only",
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free disk space and build again"),
    # overlayfs can't rename a directory of a lower layer
    errno.EXDEV: "replace the output with a copy (cp -a), or mount a volume there: it is in a layer of a container "
    "image",
    errno.ENOTDIR: "move or delete the file in this path, or choose another output: kcd-gen needs a directory here",
    errno.EISDIR: "move or delete this directory: kcd-gen needs a file here",
}


def output_position(path: Path) -> Position:
    """Return the position of a file or directory of the output for messages."""
    return Position(display_path(path, Path.cwd()))


def output_error(code: str, message: str, error: OSError, position: Position, then: str = "") -> ProblemsError:
    """Return the error for an operation on the output that failed with `error`; `then` is added to the hint."""
    if isinstance(error, SymlinkError):
        return ProblemsError.of(
            "symlinked-output",
            "refusing to write through a symlink",
            output_position(Path(error.filename)),
            "replace the symlink with its target, or set 'output' (--output) to the real directory",
        )
    advice = _ADVICE.get(error.errno or 0, "fix the cause and build again")
    return ProblemsError.of(code, f"{message}: {error.strerror or error}", position, f"{advice}{then}")


class Tree:
    """Reads an output directory. The state of directories is cached, so use one instance per plan or write.

    Every path is a POSIX path relative to the root. Reading raises ProblemsError: `symlinked-output` for a symlink in
    the path, `foreign-file` if a component of the path is not a directory, `other-file-system` if a directory is a
    mount point (files can't be moved there atomically), `unreadable-output` otherwise.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._directories: dict[str, bool] = {}
        self._listings: dict[str, Mapping[str, os.stat_result]] = {}
        self._opened: OrderedDict[str, Directory] = OrderedDict()  # least recently used first
        self._device: int | None = None

    def file(self, path: str) -> os.stat_result | None:
        """Return the state of the regular file `path`, or None if it does not exist.

        Raises ProblemsError `foreign-file` for a directory.
        """
        if not self.has_directory(path.rpartition("/")[0]):
            return None
        status = self._status(path)
        if status is None or stat.S_ISREG(status.st_mode):
            return status
        raise ProblemsError(self.foreign(path))

    def read(self, path: str, limit: int = LARGEST_FILE) -> bytes:
        """Return the content of the regular file `path`, of at most `limit` bytes."""
        directory, _, name = path.rpartition("/")
        try:
            return self._directory(directory).read(name, limit)
        except OSError as error:
            raise self._unreadable(path, error) from error

    def entries(self, directory: str) -> list[Entry]:
        """Return the entries of `directory` sorted by name, or an empty list if it does not exist."""
        if not self.has_directory(directory):
            return []
        try:
            return self._directory(directory).entries()
        except OSError as error:
            raise self._unreadable(directory, error) from error

    def has_directory(self, path: str) -> bool:
        """Return whether the directory `path` (the root: "") exists; no component of its path is a symlink then."""
        known = self._directories.get(path)
        if known is None:
            known = self._directories[path] = self._check_directory(path)
        return known

    def foreign(self, path: str) -> Problem:
        """Return the problem for a file or directory at `path` that was not created by kcd-gen."""
        position = output_position(self.root / path)
        return Problem(
            "foreign-file",
            f"refusing to overwrite '{position}': not created by kcd-gen",
            position=position,
            hint="move it out of the output, or delete it"
            if path
            else "choose another output: kcd-gen needs a directory here",
        )

    def _check_directory(self, path: str) -> bool:
        if path and not self.has_directory(path.rpartition("/")[0]):
            return False
        status = self._status(path)
        if status is None:
            return False
        if not stat.S_ISDIR(status.st_mode):
            raise ProblemsError(self.foreign(path))
        if self._device is None:
            self._device = status.st_dev
        if status.st_dev != self._device:
            raise ProblemsError.of(
                "other-file-system",
                f"this directory is on a different file system from the output '{output_position(self.root)}'",
                position=output_position(self.root / path),
                hint="unmount it, or mount the whole output; files can be moved only within one file system",
            )
        return True

    def _status(self, path: str) -> os.stat_result | None:
        directory, _, name = path.rpartition("/")
        try:
            status = self._listing(directory).get(name) if path else self._root_status()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(path, error) from error
        if status and stat.S_ISLNK(status.st_mode):
            raise self._unreadable(path, SymlinkError(str(self.root / path)))
        return status

    def _listing(self, directory: str) -> Mapping[str, os.stat_result]:
        """Return the status of each entry of a directory: one call for each directory costs less than for each file."""
        found = self._listings.get(directory)
        if found is None:
            found = self._listings[directory] = self._directory(directory).statuses()
        return found

    def _root_status(self) -> os.stat_result | None:
        try:
            return self._directory("").status()
        except NotADirectoryError:
            return os.lstat(self.root)  # the output is a file; raises if one of its parents is

    def _directory(self, path: str) -> Directory:
        """Return the open directory, from the cache of recently used ones if possible."""
        found = self._opened.get(path)
        if found is None:
            parent, _, name = path.rpartition("/")
            found = self._directory(parent).subdirectory(name) if path else open_directory(self.root)
            self._opened[path] = found
            if len(self._opened) > _OPENED:
                self._opened.popitem(last=False)
        else:
            self._opened.move_to_end(path)
        return found

    def _unreadable(self, path: str, error: OSError) -> ProblemsError:
        position = output_position(self.root / path)
        return output_error("unreadable-output", "cannot read the output", error, position)
