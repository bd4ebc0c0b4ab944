"""Reading the files of a checkout: only inside of it, only regular files, and only up to a size limit.

The author of a pull request controls where each path in a checkout leads: a symlink can lead to a file with
credentials, a FIFO never ends, and a project file can name any directory. So every file of a project is opened here.
Only the user can allow paths outside of the checkout, on the command line.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path

from kubocd_gen.budget.limits import KIB, MIB
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.files.paths import checkout_root, resolve, shown_path

OUTSIDE = "outside-checkout"
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


@dataclass(frozen=True, slots=True)
class FileKind:
    """A kind of file with its size limit in bytes. `name` is its name in messages, with an article."""

    name: str
    limit: int


PROJECT = FileKind("a project file", MIB)  # some 5,000 clusters
LOCK = FileKind("a lock", 4 * MIB)  # some 10,000 packages
CONFIGURATION = FileKind("a configuration file", MIB)  # of CI, editors, Git and kustomize, written by hand
SCHEMA = FileKind("a schema", 64 * MIB)  # generated, with the parameters of every package


class NotRegularError(OSError):
    """A directory, FIFO, device or socket was found instead of a file."""

    def __init__(self, path: Path) -> None:
        super().__init__(errno.EINVAL, "it is not a regular file", str(path.absolute()))


class TooLargeError(OSError):
    """A file exceeds the size limit of its kind."""

    def __init__(self, kind: FileKind) -> None:
        size = f"{kind.limit // MIB} MiB" if kind.limit % MIB == 0 else f"{kind.limit // KIB} KiB"
        super().__init__(errno.EFBIG, f"it is larger than {size}, the limit for {kind.name}")


@dataclass(frozen=True, slots=True)
class CheckoutFiles:
    """The files that a run can read: those of the checkout at `root`, and those that the user allowed.

    All paths are real paths, without symlinks. Each of `allowed` is a file, or a directory with everything below it.
    Git's own directory (`.git`, which holds credentials in CI) is always excluded.
    """

    root: Path
    allowed: tuple[Path, ...] = ()

    @classmethod
    def around(cls, directory: Path, allowed: Iterable[Path] = ()) -> CheckoutFiles:
        """Return the files of the checkout that `directory` is in; without Git, those of `directory` itself."""
        root = checkout_root(directory) or Path(os.path.realpath(directory))
        return cls(root, tuple(Path(os.path.realpath(one)) for one in allowed))

    @classmethod
    def of_named(cls, path: Path, allowed: Iterable[Path] = ()) -> CheckoutFiles:
        """Return the files of the checkout that contains `path`, which the command line names, and `path` itself.

        Raises ProblemsError as `naming` does.
        """
        is_directory = os.path.isdir(path) and not os.path.islink(path)  # noqa: PTH112, PTH114 - these raise nothing
        absolute = path.absolute()
        above = [one for one in (absolute, *absolute.parents) if os.path.lexists(one / ".git") and one != absolute]
        found = cls.around(path if is_directory else absolute.parent, allowed)
        if not above and not os.path.lexists(found.root / ".git"):  # not in a checkout: the symlinks are the user's own
            return replace(found, allowed=(*found.allowed, Path(os.path.realpath(path))))
        for checkout in above:  # checkouts in the path as given, before symlinks are followed
            found = cls(Path(os.path.realpath(checkout)), found.allowed)
            found.naming(path)
        if above:
            found = replace(found, root=Path(os.path.realpath(above[0])))
        return found.naming(path)

    def naming(self, *paths: Path) -> CheckoutFiles:
        """Return these files and those at `paths`, which the command line names.

        Raises ProblemsError `outside-checkout` if a symlink in the checkout leads outside: the user named the symlink,
        but the checkout controls its target.
        """
        added = []
        for path in paths:
            if (symlink := self._symlink_outside(path)) is not None:
                raise ProblemsError(
                    self.refusal(f"the symlink '{shown_path(Path(symlink))}'", Path(os.path.realpath(symlink)))
                )
            real = Path(os.path.realpath(path))
            if not self.holds(real):
                added.append(real)
        return replace(self, allowed=(*self.allowed, *added)) if added else self

    def holds(self, real: Path) -> bool:
        """Return whether a real path, which need not exist, is one of these files."""
        for root in (self.root, *self.allowed):
            if real.is_relative_to(root):
                return not in_git_directory(real.relative_to(root))
        return False

    def require(self, path: Path, display: str) -> None:
        """Raise ProblemsError `outside-checkout` if `path`, which need not exist, is not one of these files."""
        self._require(Path(os.path.realpath(path)), display)

    def refusal(self, what: str, real: Path, position: Position | None = None) -> Problem:
        """Return the error for a path that leads to `real`, which is not one of these files."""
        if in_git_directory(real):
            hint = "choose another path: kcd-gen neither reads nor writes there"
            return Problem(OUTSIDE, f"{what} is in Git's own directory '{real}'", position, hint)
        hint = "move it into the checkout"
        if os.path.isdir(real) or os.path.isfile(real) or not os.path.lexists(real):  # noqa: PTH112, PTH113
            directory = real.parent if os.path.isfile(real) else real  # noqa: PTH113 - these raise nothing
            hint += f", or allow it with --allow-outside {shlex.quote(str(directory))}"
        what = f"{what} leads to '{real}', outside the checkout '{self.root}'"
        return Problem(OUTSIDE, what, position=position, hint=hint)

    def open(self, path: Path, display: str) -> BufferedReader:
        """Open a file, whose name in messages is `display`, without blocking.

        The opened file is checked, not the path, which can change meanwhile. Raises ProblemsError `outside-checkout`,
        and OSError, including NotRegularError.
        """
        try:
            _require_regular(os.stat(path), path)  # noqa: PTH116 - before opening: opening a device can have effects
            descriptor = os.open(path, _FLAGS)
        except NotRegularError:
            raise
        except OSError:
            self.require(path, display)  # don't reveal why a file outside can't be read
            raise
        try:
            status = os.fstat(descriptor)
            _require_regular(status, path)
            self._require(_opened_path(descriptor, path, status), display)
            return os.fdopen(descriptor, "rb")
        except BaseException:
            os.close(descriptor)
            raise

    def read(self, path: Path, display: str, kind: FileKind) -> bytes:
        """Return the content of a file. Raises as `open` does, and TooLargeError."""
        with self.open(path, display) as file:
            size = os.fstat(file.fileno()).st_size
            if size > kind.limit:
                raise TooLargeError(kind)
            data = file.read(kind.limit + 1)  # the file can grow meanwhile
        if len(data) > kind.limit:
            raise TooLargeError(kind)
        return data

    def _require(self, real: Path, display: str) -> None:
        if not self.holds(real):
            raise ProblemsError(self.refusal("the path", real, Position(display)))

    def _symlink_outside(self, path: Path) -> Path | None:
        """Return the symlink in the checkout through which `path` leaves these files; None if there is none."""
        symlinks: list[Path] = []
        with suppress(OSError):  # opening the path fails, too
            resolve(path.absolute(), lambda symlink, _: symlinks.append(symlink))
        leaving = (one for one in symlinks if self.holds(one) and not self.holds(Path(os.path.realpath(one))))
        return next(leaving, None)


def in_git_directory(path: Path) -> bool:
    """Return whether a path is `.git` or below it, in any case, because some file systems ignore case."""
    return any(part.casefold() == ".git" for part in path.parts)


def _require_regular(status: os.stat_result, path: Path) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path.absolute()))
    if not stat.S_ISREG(status.st_mode):
        raise NotRegularError(path)


def _opened_path(descriptor: int, path: Path, status: os.stat_result) -> Path:
    """Return the real path of an open file. Raises OSError if `path` refers to another file by now."""
    try:
        return Path(os.readlink(f"/proc/self/fd/{descriptor}"))  # noqa: PTH115
    except OSError:  # not Linux, or no /proc
        real = Path(os.path.realpath(path))
        if not os.path.samestat(real.lstat(), status):
            raise OSError(errno.ESTALE, "it was replaced while being opened") from None
        return real
