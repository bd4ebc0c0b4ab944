"""The one class through which kcd-gen changes what is below a directory that may be somebody else's: see `walk`."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from kubocd_gen.files.errors import SymlinkError, not_regular
from kubocd_gen.files.exchange import exchange
from kubocd_gen.files.walk import READ, OpenDirectory

STAGED = ".kcd-gen-"  # how the names of files begin that are not whole yet

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1 << 20
_DEEPEST = 50  # directories in each other that are copied


class Directory(OpenDirectory):
    """An open directory that is written to. Nothing outside of it is changed, whatever symlinks are in it."""

    def create(self, path: str, data: bytes, *, durable: bool = True) -> None:
        """Write a file that does not exist yet; if `durable`, have it on the disk (fsync)."""
        with self._above(path) as (above, name), os.fdopen(os.open(name, _CREATE, 0o666, dir_fd=above), "wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())

    def write(self, path: str, data: bytes, *, replace_symlink: bool = False, durable: bool = True) -> None:
        """Replace a regular file, or create it; see `replacing`."""
        with self.replacing(path, replace_symlink=replace_symlink, durable=durable) as file:
            file.write(data)

    @contextmanager
    def replacing(self, path: str, *, replace_symlink: bool = False, durable: bool = True) -> Iterator[BinaryIO]:
        """A file to write to that takes the place of `path` at the end: readers see the old or the new, or neither.

        The mode of a file that is there is kept; what is not a regular file is refused. A symlink is, too, unless it is
        to be replaced itself. If not `durable`, a power failure can leave an empty file.
        """
        with self._above(path) as (above, name):
            mode = self._mode_at(above, name, path, replace_symlink=replace_symlink)
            staged = f"{STAGED}{os.urandom(8).hex()}"
            try:
                with os.fdopen(os.open(staged, _CREATE, 0o666, dir_fd=above), "wb") as file:
                    yield file
                    if mode is not None:
                        os.fchmod(file.fileno(), mode)
                    file.flush()
                    if durable:
                        os.fsync(file.fileno())
                os.replace(staged, name, src_dir_fd=above, dst_dir_fd=above)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(staged, dir_fd=above)
                raise

    def make(self, path: str, *, mode: int = 0o777) -> list[str]:
        """Make the directory `path` and those above it; return the paths of those that were missing, from the top."""
        parts = path.split("/")
        made = []
        for depth in range(1, len(parts) + 1):
            at = "/".join(parts[:depth])
            if self.status(at) is None:
                with contextlib.suppress(FileExistsError):
                    self.make_one(at, mode=mode if depth == len(parts) else 0o777)
                    made.append(at)
        with self.subdirectory(path):  # raises for what is no directory
            return made

    def make_one(self, path: str, *, mode: int = 0o777) -> None:
        """Make the directory `path`, which must not exist, in one that does."""
        with self._above(path) as (above, name):
            os.mkdir(name, mode, dir_fd=above)

    def rename(self, source: str, target: str) -> None:
        """Move an entry, a symlink itself; a file at `target` is replaced."""
        with self._above(source) as (above, name), self._above(target) as (other, new):
            os.replace(name, new, src_dir_fd=above, dst_dir_fd=other)

    def exchange(self, one: str, other: str) -> bool:
        """Have two entries change places in one step; returns False, with nothing done, where the system can't."""
        with self._above(one) as first, self._above(other) as second:
            return exchange(first, second)

    def link_or_copy(self, source: str, target: str) -> None:
        """Give a file a second name, a symlink too; copy it, with its times, where there are no hard links."""
        with self._above(target) as (other, new), self._above(source) as (above, name):
            _link_or_copy(above, name, other, new)

    def copy_tree(self, source: str, target: str, without: Collection[str] = ()) -> None:
        """Make the directory `target` with the files of `source` under second names, symlinks as they are.

        Entries of `source` itself that are in `without` are left out.
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
        """Remove a file, a symlink itself."""
        with self._above(path) as (above, name):
            os.unlink(name, dir_fd=above)

    def remove_directory(self, path: str) -> None:
        """Remove an empty directory."""
        with self._above(path) as (above, name):
            os.rmdir(name, dir_fd=above)

    def remove(self, path: str) -> None:
        """Remove whatever is at `path`, a directory with all that is in it; no symlink in it is followed."""
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
        """Remove the directory `path` and those above it, below this one, as far as they are empty."""
        while path:
            try:
                self.remove_directory(path)
            except FileNotFoundError:
                pass  # the one above may be empty all the same
            except OSError:
                return
            path = path.rpartition("/")[0]

    def sync(self, *paths: str) -> None:
        """Have the names in these directories on the disk, as fsync has a file's content."""
        for path in paths:
            with self.subdirectory(path) as directory:
                os.fsync(directory.descriptor)

    def is_locked(self) -> bool:
        """Whether another process holds this directory."""
        with self.subdirectory("") as again:
            try:
                fcntl.flock(again.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                return isinstance(error, BlockingIOError)
            return False

    @contextmanager
    def locked(self, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold this directory for this process alone; no lock file is left in a checkout.

        Another process that holds it is waited for, after a call of `waiting`.
        """
        with self.subdirectory("") as again:  # a description of its own, which closing gives free
            try:
                fcntl.flock(again.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waiting:
                    waiting()
                fcntl.flock(again.descriptor, fcntl.LOCK_EX)
            except OSError as error:
                # NFS lends no lock on a directory; what is renamed into place is whole all the same.
                if error.errno not in (errno.EBADF, errno.ENOLCK, errno.ENOTSUP):
                    raise
            yield

    def _mode_at(self, above: int, name: str, path: str, *, replace_symlink: bool) -> int | None:
        """The mode of the regular file that is to be replaced, None if there is none. Raises for anything else."""
        try:
            status = os.stat(name, dir_fd=above, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if stat.S_ISLNK(status.st_mode):
            if replace_symlink:
                return None
            raise SymlinkError(self._name(path))
        if not stat.S_ISREG(status.st_mode):
            raise not_regular(self._name(path))
        return stat.S_IMODE(status.st_mode)


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
            if not stat.S_ISREG(os.fstat(source).st_mode):
                raise not_regular(name) from None
            shutil.copyfileobj(file, copy, _CHUNK)
            os.fchmod(copy.fileno(), stat.S_IMODE(status.st_mode))
            copy.flush()
            os.utime(copy.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
