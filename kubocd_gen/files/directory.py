"""A directory that is open: everything below it is reached component by component, and no symlink is followed.

Each operation opens the directories on its way anew, with `O_NOFOLLOW`, and then acts on a name in the last of them. So
a directory that is exchanged for a symlink, before the operation or during it, leads nowhere: the operation fails, or
acts on the directory that was there.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import weakref
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

from kubocd_gen.files.errors import SymlinkError, name_error, not_regular, refuse_component, too_large
from kubocd_gen.files.exchange import exchange

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A step on the way needs no right to read, where the system can open without it (Linux).
_STEP = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a FIFO without a writer must not hold us up
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
STAGED = ".kcd-gen-"  # how the names of files begin that are not whole yet

_CHUNK = 1 << 20
_DEEPEST = 50  # directories in each other that are copied


class Entry(NamedTuple):
    """A name in a directory, and what it is; a symlink is not a directory, wherever it leads."""

    name: str
    is_directory: bool
    is_symlink: bool
    is_file: bool


class Directory:
    """A directory by its open descriptor, which is closed with this object.

    Paths are relative to it and posix, `a/b`; "" is the directory itself where that makes sense. `..`, empty
    components, absolute paths and `.git` are refused. `path` is how messages name the directory, `real` its path
    without symlinks, `descriptor` for calls that take one. Every method raises OSError with the whole path as
    `filename`: SymlinkError where a symlink is where a directory or a file is needed.
    """

    def __init__(self, descriptor: int, path: Path, real: Path) -> None:
        self.path = path.absolute()
        self.real = real
        self.descriptor = descriptor
        self._close = weakref.finalize(self, os.close, descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def subdirectory(self, path: str, shown: Path | None = None) -> Directory:
        """Open a directory below this one, or this one again; `shown` is how messages are to name it."""
        descriptor = self._open(_parts(path), _OPEN)
        return Directory(descriptor, shown or self.path / path, self.real / path)

    def status(self, path: str = "") -> os.stat_result | None:
        """Return the status of what is at `path`, of a symlink itself; None if nothing is."""
        if not path:
            return os.fstat(self.descriptor)
        try:
            above, name = self._reach(path)
            try:
                return os.stat(name, dir_fd=above, follow_symlinks=False)
            except OSError as error:
                raise self._named(error, above, name, path) from None
            finally:
                self._leave(above)
        except FileNotFoundError:
            return None

    def entries(self, path: str = "") -> list[Entry]:
        """Return what is in the directory `path`, sorted by name."""
        with self.subdirectory(path) as directory, os.scandir(directory.descriptor) as entries:
            found = [
                Entry(one.name, one.is_dir(follow_symlinks=False), one.is_symlink(), one.is_file(follow_symlinks=False))
                for one in entries
            ]
        return sorted(found)

    def open_file(self, path: str) -> BufferedReader:
        """Open a regular file for reading."""
        return os.fdopen(self._open_file(path)[0], "rb")

    def read(self, path: str, limit: int) -> bytes:
        """Return the content of a regular file of at most `limit` bytes."""
        descriptor, size = self._open_file(path)
        try:
            if size > limit:
                raise too_large(self._name(path), limit)
            data = b""
            while len(data) < size and (more := os.read(descriptor, size - len(data))):
                data += more  # and no more than `size`, though the file may be growing
            return data
        finally:
            os.close(descriptor)

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
        parts = _parts(path)
        made = []
        for depth in range(1, len(parts) + 1):
            at = "/".join(parts[:depth])
            if self.status(at) is None:
                with contextlib.suppress(FileExistsError):
                    self.make_one(at, mode=mode if depth == len(parts) else 0o777)
                    made.append(at)
        os.close(self._open(parts, _STEP))  # raises for what is no directory
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

    def _name(self, path: str) -> str:
        return str(self.path / path) if path else str(self.path)

    def _open(self, parts: tuple[str, ...], flags: int) -> int:
        """A new descriptor of the directory that `parts` lead to."""
        if not parts:
            return os.open(".", flags & ~os.O_NOFOLLOW, dir_fd=self.descriptor)
        above = self.descriptor
        for depth, part in enumerate(parts, 1):
            try:
                below = os.open(part, flags if depth == len(parts) else _STEP, dir_fd=above)
            except OSError as error:
                raise name_error(error, above, part, self._name("/".join(parts[:depth]))) from None
            finally:
                if above != self.descriptor:
                    os.close(above)
            above = below
        return above

    def _open_file(self, path: str) -> tuple[int, int]:
        """A descriptor of a regular file, and its size."""
        above, name = self._reach(path)
        try:
            descriptor = os.open(name, _READ, dir_fd=above)
        except OSError as error:
            raise self._named(error, above, name, path) from None
        finally:
            self._leave(above)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise not_regular(self._name(path))
        return descriptor, status.st_size

    @contextmanager
    def _above(self, path: str) -> Iterator[tuple[int, str]]:
        """The descriptor of the directory that holds `path`, and the name there; errors get the whole path."""
        above, name = self._reach(path)
        try:
            yield above, name
        except OSError as error:
            if isinstance(error.filename, str) and error.filename.startswith("/"):
                raise  # has its whole path already
            named = self._named(error, above, name, path)
            if named is error:
                raise
            raise named from None
        finally:
            self._leave(above)

    def _reach(self, path: str) -> tuple[int, str]:
        """The descriptor of the directory that holds `path`, to be left with `_leave`, and the name there."""
        if not path:
            refuse_component(path, path)
        *above, name = _parts(path)
        return (self._open(tuple(above), _STEP) if above else self.descriptor), name

    def _leave(self, descriptor: int) -> None:
        if descriptor != self.descriptor:
            os.close(descriptor)

    def _named(self, error: OSError, descriptor: int, name: str, path: str) -> OSError:
        return name_error(error, descriptor, name, self._name(path))

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


def open_step(path: Path) -> int:
    """Open a directory as a place to start from, with no right to read it where the system can. Raises OSError."""
    return os.open(path, _STEP)


def _parts(path: str) -> tuple[str, ...]:
    parts = tuple(path.split("/")) if path else ()
    for part in parts:
        refuse_component(part, path)
    return parts


def _link_or_copy(above: int, name: str, other: int, new: str) -> None:
    try:
        os.link(name, new, src_dir_fd=above, dst_dir_fd=other, follow_symlinks=False)
    except OSError:
        status = os.stat(name, dir_fd=above, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=above), new, dir_fd=other)
            return
        source = os.open(name, _READ, dir_fd=above)
        with os.fdopen(source, "rb") as file, os.fdopen(os.open(new, _CREATE, 0o600, dir_fd=other), "wb") as copy:
            if not stat.S_ISREG(os.fstat(source).st_mode):
                raise not_regular(name) from None
            shutil.copyfileobj(file, copy, _CHUNK)
            os.fchmod(copy.fileno(), stat.S_IMODE(status.st_mode))
            copy.flush()
            os.utime(copy.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
