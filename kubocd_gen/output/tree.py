"""The output folder as it is on disk: read without following links, and never changed from here."""

from __future__ import annotations

import errno
import os
import stat
from collections import OrderedDict
from pathlib import Path

from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.files import Directory, Entry, SymlinkError, open_directory
from kubocd_gen.files.paths import display_path

LARGEST_FILE = 1 << 30  # bytes: far above a chart that Flux takes

_OPENED = 16  # folders kept open
_ADVICE = {
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM), "give the user who runs kcd-gen the right to it, or choose another output"
    ),
    errno.EROFS: "the disk can only be read; choose another output",
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room on the disk and build again"),
    # overlayfs renames no folder that comes from a layer below
    errno.EXDEV: "the output is in a layer of a container image; replace it by a copy (cp -a), or mount a volume there",
    errno.ENOTDIR: "a file stands where a folder is needed; move it away, or choose another output",
    errno.EISDIR: "a folder stands where a file is needed; move it away",
}


def place(path: Path) -> Position:
    """A file or folder of the output, as messages name it."""
    return Position(display_path(path, Path.cwd()))


def advice(error: OSError) -> str:
    """The way out of what the operating system says."""
    return _ADVICE.get(error.errno or 0, "remove the cause and build again")


def refused_symlink(error: SymlinkError) -> Problem:
    """The error for a symlink on the way to something in the output."""
    return Problem(
        "symlinked-output",
        "this is a symbolic link; kcd-gen writes only where no link leads elsewhere",
        position=place(Path(error.filename)),
        hint="replace the link by what it points to, or set 'output' (--output) to the real folder",
    )


class Tree:
    """Reads below an output root. Folders are looked at once, so an instance serves one plan or one write.

    Every path is relative to the root and posix. Reading raises ProblemsError: `symlinked-output` where a link stands
    in the path, `foreign-file` where a folder is expected and something else stands, `other-file-system` where a folder
    is a mount of its own (files could not be moved into place there in one step), `unreadable-output` else.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders: dict[str, bool] = {}
        self._opened: OrderedDict[str, Directory] = OrderedDict()  # the last ones, which are asked again soon
        self._device: int | None = None

    def file(self, path: str) -> os.stat_result | None:
        """Return the state of the regular file `path`, None if there is none.

        Raises ProblemsError `foreign-file` for a directory.
        """
        if not self.has_folder(path.rpartition("/")[0]):
            return None
        status = self._status(path)
        if status is None or stat.S_ISREG(status.st_mode):
            return status
        raise ProblemsError(self.foreign(path))

    def read(self, path: str, limit: int = LARGEST_FILE) -> bytes:
        """The content of the regular file `path`, of at most `limit` bytes."""
        folder, _, name = path.rpartition("/")
        try:
            return self._directory(folder).read(name, limit)
        except OSError as error:
            raise ProblemsError(self._unreadable(path, error)) from error

    def entries(self, folder: str) -> list[Entry]:
        """What lies in `folder`, sorted by name; nothing where it does not exist."""
        if not self.has_folder(folder):
            return []
        try:
            return self._directory(folder).entries()
        except OSError as error:
            raise ProblemsError(self._unreadable(folder, error)) from error

    def has_folder(self, path: str) -> bool:
        """Whether the folder `path` (the root: "") exists; also True tells that no link leads there."""
        known = self._folders.get(path)
        if known is None:
            known = self._folders[path] = self._look_at(path)
        return known

    def foreign(self, path: str) -> Problem:
        """The error for something at `path` that kcd-gen did not write and that stands in its way."""
        return Problem(
            "foreign-file",
            "this is in the way: kcd-gen did not write it and leaves it alone",
            position=place(self.root / path),
            hint="move it out of the output, or delete it",
        )

    def _look_at(self, path: str) -> bool:
        if path and not self.has_folder(path.rpartition("/")[0]):
            return False
        status = self._status(path)
        if status is None:
            return False
        if not stat.S_ISDIR(status.st_mode):
            raise ProblemsError(self.foreign(path))
        if self._device is None:
            self._device = status.st_dev
        if status.st_dev != self._device:
            raise ProblemsError(
                Problem(
                    "other-file-system",
                    f"this is on another file system than {place(self.root)}, so no file can be moved there at once",
                    position=place(self.root / path),
                    hint="unmount it, or mount the whole output, so that all of it is on one file system",
                )
            )
        return True

    def _status(self, path: str) -> os.stat_result | None:
        folder, _, name = path.rpartition("/")
        try:
            status = self._directory(folder).status(name) if path else self._root_status()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ProblemsError(self._unreadable(path, error)) from error
        if status and stat.S_ISLNK(status.st_mode):
            raise ProblemsError(refused_symlink(SymlinkError(str(self.root / path))))
        return status

    def _root_status(self) -> os.stat_result | None:
        try:
            return self._directory("").status()
        except NotADirectoryError:
            return os.lstat(self.root)  # of a file in the output's place; raises where one is in that of a folder above

    def _directory(self, path: str) -> Directory:
        """The folder, open: not looked for again as long as it is one of the last that were asked for."""
        found = self._opened.get(path)
        if found is None:
            above, _, name = path.rpartition("/")
            found = self._directory(above).subdirectory(name) if path else open_directory(self.root)
            self._opened[path] = found
            if len(self._opened) > _OPENED:
                self._opened.popitem(last=False)
        else:
            self._opened.move_to_end(path)
        return found

    def _unreadable(self, path: str, error: OSError) -> Problem:
        if isinstance(error, SymlinkError):
            return refused_symlink(error)
        return Problem(
            "unreadable-output",
            f"the output can't be read: {error.strerror}",
            position=place(self.root / path),
            hint=advice(error),
        )
