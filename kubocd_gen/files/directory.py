"""Directories and files that are changed through open directories, so that no symlink redirects a write; see `walk`.

`open_directory` opens a path that a user or a project names as a `Directory`, which has all operations on what is
below. `write_whole` writes a single file.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from kubocd_gen.files.paths import locate
from kubocd_gen.files.walk import READ, OpenDirectory, SymlinkError, not_regular, open_step

STAGED = ".kcd-gen-"  # prefix of files that are not yet complete

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1 << 20
_DEEPEST = 50  # nested directories that are copied
_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM)  # an old kernel, a file system, a sandbox
_IN_ONE_STEP = 2  # RENAME_EXCHANGE of Linux (renameat2(2)), and RENAME_SWAP of macOS (renameatx_np(2))


class Directory(OpenDirectory):
    """An open directory that can be written to. Symlinks in it never make a change outside of it."""

    def create(self, path: str, data: bytes, *, durable: bool = True) -> os.stat_result:
        """Write a file that does not exist yet, and return its status; if `durable`, flush it to disk (fsync)."""
        with self._above(path) as (above, name), os.fdopen(os.open(name, _CREATE, 0o666, dir_fd=above), "wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
            return os.fstat(file.fileno())

    def write(self, path: str, data: bytes, *, replace_symlink: bool = False, durable: bool = True) -> None:
        """Replace a regular file, or create it; see `replacing`."""
        with self.replacing(path, replace_symlink=replace_symlink, durable=durable) as file:
            file.write(data)

    @contextmanager
    def replacing(self, path: str, *, replace_symlink: bool = False, durable: bool = True) -> Iterator[BinaryIO]:
        """Open a new file that replaces `path` at the end of the block, in one step.

        The mode of an existing file is kept. Anything else than a regular file is refused, including a symlink unless
        `replace_symlink`. If not `durable`, a power failure can leave an empty file.
        """
        with self._above(path) as (above, name):
            status = self.replaceable(path, symlink=replace_symlink)
            staged = f"{STAGED}{os.urandom(8).hex()}"
            try:
                with os.fdopen(os.open(staged, _CREATE, 0o666, dir_fd=above), "wb") as file:
                    yield file
                    if status is not None:
                        os.fchmod(file.fileno(), stat.S_IMODE(status.st_mode))
                    file.flush()
                    if durable:
                        os.fsync(file.fileno())
                os.replace(staged, name, src_dir_fd=above, dst_dir_fd=above)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(staged, dir_fd=above)
                raise

    def replaceable(self, path: str, *, symlink: bool = False) -> os.stat_result | None:
        """Return the status of the regular file that a write to `path` would replace; None if there is none.

        Raises OSError for anything else, including a symlink unless `symlink`.
        """
        status = self.status(path)
        if status is None or stat.S_ISREG(status.st_mode):
            return status
        if not stat.S_ISLNK(status.st_mode):
            raise not_regular(self._name(path), status.st_mode)
        if not symlink:
            raise SymlinkError(self._name(path))
        return None

    def make(self, path: str, *, mode: int = 0o777) -> list[str]:
        """Create the directory `path` and its parents; return the paths of those that were missing, from the top."""
        parts = path.split("/")
        made = []
        for depth in range(1, len(parts) + 1):
            at = "/".join(parts[:depth])
            if self.status(at) is None:
                with contextlib.suppress(FileExistsError):
                    self.make_one(at, mode=mode if depth == len(parts) else 0o777)
                    made.append(at)
        os.close(self._open(parts, READ | os.O_DIRECTORY))  # raises if it is not a directory
        return made

    def make_one(self, path: str, *, mode: int = 0o777) -> None:
        """Create the directory `path`, which must not exist, in an existing directory."""
        with self._above(path) as (above, name):
            os.mkdir(name, mode, dir_fd=above)

    def rename(self, source: str, target: str) -> None:
        """Move an entry, without following a symlink; a file at `target` is replaced."""
        with self._above(source) as (above, name), self._above(target) as (other, new):
            os.replace(name, new, src_dir_fd=above, dst_dir_fd=other)

    def exchange(self, one: str, other: str) -> bool:
        """Exchange two entries in one step; return False, without any change, if the system can't."""
        with self._above(one) as first, self._above(other) as second:
            return exchange(first, second)

    def link_or_copy(self, source: str, target: str) -> None:
        """Create a hard link to a file or symlink, or a copy with its times if hard links are not supported."""
        with self._above(target) as (other, new), self._above(source) as (above, name):
            _link_or_copy(above, name, other, new)

    def copy_tree(self, source: str, target: str, without: Collection[str] = ()) -> None:
        """Create the directory `target` with hard links to the files of `source`; symlinks are kept as they are.

        Top-level entries of `source` that are in `without` are left out.
        """
        if source.count("/") > _DEEPEST:
            raise OSError(errno.ENAMETOOLONG, "nested too deeply", self._name(source))
        self.make_one(target)
        with self.subdirectory(source) as old, self.subdirectory(target) as new:
            for entry in old.entries():
                if entry.name in without:
                    continue
                if entry.is_directory:
                    self.copy_tree(f"{source}/{entry.name}", f"{target}/{entry.name}")
                else:
                    _link_or_copy(old.descriptor, entry.name, new.descriptor, entry.name)
            status = os.fstat(old.descriptor)
            os.fchmod(new.descriptor, stat.S_IMODE(status.st_mode))
            os.utime(new.descriptor, ns=(status.st_atime_ns, status.st_mtime_ns))

    def touch(self, path: str) -> None:
        """Set the times of a file to now."""
        with self._above(path) as (above, name):
            os.utime(name, dir_fd=above, follow_symlinks=False)

    def remove_file(self, path: str) -> None:
        """Remove a file, or a symlink itself."""
        with self._above(path) as (above, name):
            os.unlink(name, dir_fd=above)

    def remove_directory(self, path: str) -> None:
        """Remove an empty directory."""
        with self._above(path) as (above, name):
            os.rmdir(name, dir_fd=above)

    def remove(self, path: str) -> None:
        """Remove the entry at `path`, a directory recursively, without following symlinks."""
        status = self.status(path)
        if status is None:
            return
        with self._above(path) as (above, name):
            if stat.S_ISDIR(status.st_mode):
                try:
                    shutil.rmtree(name, dir_fd=above)
                except RecursionError:
                    raise OSError(errno.ENAMETOOLONG, "nested too deeply") from None
            else:
                os.unlink(name, dir_fd=above)

    def remove_empty(self, path: str) -> None:
        """Remove the directory `path` and its parents below this directory, as far as they are empty."""
        while path:
            try:
                self.remove_directory(path)
            except FileNotFoundError:
                pass  # its parent can still be empty
            except OSError:
                return
            path = path.rpartition("/")[0]

    def sync(self, *paths: str) -> None:
        """Flush the entries of these directories to disk (fsync)."""
        for path in paths:
            with self.subdirectory(path) as directory:
                os.fsync(directory.descriptor)

    def is_locked(self) -> bool:
        """Return whether another process has locked this directory."""
        with self.subdirectory("") as again:
            try:
                fcntl.flock(again.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                return isinstance(error, BlockingIOError)
            return False

    @contextmanager
    def locked(self, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Lock this directory for the duration of the block, without a lock file.

        If another process has locked it, call `waiting` and wait for it.
        """
        with self.subdirectory("") as again:  # a separate open file description, whose lock ends when it is closed
            try:
                fcntl.flock(again.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waiting:
                    waiting()
                fcntl.flock(again.descriptor, fcntl.LOCK_EX)
            except OSError as error:
                # NFS can't lock directories. Files are still complete, because they are renamed into place.
                if error.errno not in (errno.EBADF, errno.ENOLCK, errno.ENOTSUP):
                    raise
            yield


def _link_or_copy(above: int, name: str, other: int, new: str) -> None:
    try:
        os.link(name, new, src_dir_fd=above, dst_dir_fd=other, follow_symlinks=False)
    except OSError:
        status = os.stat(name, dir_fd=above, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=above), new, dir_fd=other)
            return
        source = os.open(name, READ, dir_fd=above)
        with os.fdopen(source, "rb") as file, os.fdopen(os.open(new, _CREATE, 0o600, dir_fd=other), "wb") as copy:
            mode = os.fstat(source).st_mode
            if not stat.S_ISREG(mode):
                raise not_regular(name, mode) from None
            shutil.copyfileobj(file, copy, _CHUNK)
            os.fchmod(copy.fileno(), stat.S_IMODE(status.st_mode))
            copy.flush()
            os.utime(copy.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))


def exchange(one: tuple[int, str], other: tuple[int, str]) -> bool:
    """Exchange two entries, each an open directory and a name in it. Symlinks are exchanged, not followed.

    Returns False, without any change, if the system does not support it. Raises OSError.
    """
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    try:
        call = libc.renameatx_np if sys.platform == "darwin" else libc.renameat2
    except AttributeError:  # a libc without it
        return False
    if not call(one[0], os.fsencode(one[1]), other[0], os.fsencode(other[1]), _IN_ONE_STEP):
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), one[1], None, other[1])


def open_directory(path: Path, *, follow_last: bool = False) -> Directory:
    """Open the directory at `path`; see `paths` for the symlinks that are followed. Raises OSError."""
    anchor, below = _located(path, follow_last)
    with anchor:
        return anchor.subdirectory(below, shown=path)


@contextmanager
def made_directory(path: Path, *, follow_last: bool = False, mode: int = 0o777) -> Iterator[Directory]:
    """Open the directory at `path`. It and its parents are created if missing, and removed again if the block raises.

    `mode` is the mode of the last directory. Raises OSError.
    """
    anchor, below = _located(path, follow_last)
    with anchor:
        made = anchor.make(below, mode=mode) if below else []
        try:
            with anchor.subdirectory(below, shown=path) as directory:
                yield directory
        except BaseException:
            for one in reversed(made):
                with contextlib.suppress(OSError):
                    anchor.remove_directory(one)
            raise


def make_directory(path: Path, *, follow_last: bool = False, mode: int = 0o777) -> None:
    """Create the directory at `path` and its parents. Raises OSError, also for a symlink that is not followed."""
    with made_directory(path, follow_last=follow_last, mode=mode):
        pass


def write_whole(path: Path, data: bytes, *, make: bool = False) -> None:
    """Replace or create the file at `path` in one step: readers see the old or the new content, never a part.

    The mode of an existing file is kept. With `make`, missing directories are created. Raises OSError, without any
    change, also if `path` is a symlink or not a regular file, or goes through a symlink in a checkout.
    """
    opened = made_directory if make else open_directory
    with opened(path.parent) as directory:
        directory.write(path.name, data)


def check_replaceable(path: Path) -> None:
    """Raise the OSError with which `write_whole` would refuse what is at `path` now. Nothing is changed."""
    with contextlib.suppress(FileNotFoundError), open_directory(path.parent) as directory:
        directory.replaceable(path.name)


def _located(path: Path, follow_last: bool) -> tuple[Directory, str]:
    """Open the directory from which symlinks are not followed; return it and the path below it."""
    anchor, below = locate(path, follow_last=follow_last)
    return Directory(open_step(anchor), anchor, anchor), below
