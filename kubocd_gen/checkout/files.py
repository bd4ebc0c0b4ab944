"""The files that a checkout brings: read only inside of it, only if they are regular, and only up to a size.

The author of a pull request chooses where each path in a checkout leads: a symlink can lead to a file with credentials,
a FIFO never ends, and a project file can name any directory. So every file of a project is opened here. The user, whose
command line does not come with the checkout, allows what lies outside.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
from collections.abc import Iterable
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path

from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.files.paths import checkout_root

OUTSIDE = "outside-checkout"
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_LINKS = 40  # that one path can go through, as in Linux
_KIB, _MIB = 1 << 10, 1 << 20


@dataclass(frozen=True, slots=True)
class FileKind:
    """A kind of file with its size limit in bytes; `name` is how messages call one."""

    name: str
    limit: int


PROJECT = FileKind("a project file", _MIB)  # a cluster takes some 200 bytes: this is 5,000 of them
LOCK = FileKind("a lock", 4 * _MIB)  # a package takes some 400 bytes: this is 10,000 of them
CONFIGURATION = FileKind("a configuration file", _MIB)  # of CI, editors, Git, kustomize: people write these
SCHEMA = FileKind("a schema", 64 * _MIB)  # kcd-gen writes it, with the parameters of every package


class NotRegularError(OSError):
    """A directory, FIFO, device or socket where a file belongs."""

    def __init__(self) -> None:
        super().__init__(errno.EINVAL, "it is not a regular file")


class TooLargeError(OSError):
    """A file over the limit of its kind."""

    def __init__(self, kind: FileKind) -> None:
        size = f"{kind.limit // _MIB} MiB" if kind.limit % _MIB == 0 else f"{kind.limit // _KIB} KiB"
        super().__init__(errno.EFBIG, f"it is larger than {size}, the limit for {kind.name}")


@dataclass(frozen=True, slots=True)
class CheckoutFiles:
    """The files that a run can read: those of the checkout at `root`, and what the user allowed besides.

    All paths are without symlinks. An allowed one is a directory with all below it, or a file. Git's own directory
    (`.git`, which holds credentials in CI) is part of none of them.
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
        """Return the files of the checkout of a file or directory that the command line names, and that itself.

        Raises ProblemsError as `naming` does.
        """
        is_directory = os.path.isdir(path) and not os.path.islink(path)  # noqa: PTH112, PTH114 - these raise nothing
        absolute = path.absolute()
        above = [one for one in (absolute, *absolute.parents) if os.path.lexists(one / ".git") and one != absolute]
        found = cls.around(path if is_directory else absolute.parent, allowed)
        if not above and not os.path.lexists(found.root / ".git"):  # there is no checkout: its symlinks are the user's
            return replace(found, allowed=(*found.allowed, Path(os.path.realpath(path))))
        for checkout in above:  # as the name has them, before any symlink is followed
            found = cls(Path(os.path.realpath(checkout)), found.allowed)
            found.naming(path)
        if above:
            found = replace(found, root=Path(os.path.realpath(above[0])))
        return found.naming(path)

    def naming(self, *paths: Path) -> CheckoutFiles:
        """Return these files and those at `paths`, which the command line names.

        Raises ProblemsError `outside-checkout` if a symlink of the checkout leads one of them elsewhere: the user named
        the symlink, and not where the checkout has it lead.
        """
        added = []
        for path in paths:
            if (link := self._link_outside(path)) is not None:
                raise ProblemsError(self.refusal(f"the symlink '{link}'", Path(os.path.realpath(link))))
            real = Path(os.path.realpath(path))
            if not self.holds(real):
                added.append(real)
        return replace(self, allowed=(*self.allowed, *added)) if added else self

    def holds(self, real: Path) -> bool:
        """Whether a path without symlinks is one of these files, or could be."""
        for root in (self.root, *self.allowed):
            if real.is_relative_to(root):
                inside = real.relative_to(root).parts
                return not (inside and inside[0].casefold() == ".git")
        return False

    def require(self, path: Path, display: str) -> None:
        """Raise ProblemsError `outside-checkout` if `path`, which need not exist, leads to none of these files."""
        self._require(Path(os.path.realpath(path)), display)

    def refusal(self, what: str, real: Path, position: Position | None = None) -> Problem:
        """Return the error for a path that leads to `real`, which is none of these files."""
        if in_git_directory(real):
            return Problem(
                OUTSIDE,
                f"{what} is in Git's own directory '{real}'",
                position=position,
                hint="choose another path: kcd-gen neither reads nor writes there",
            )
        hint = "move it into the checkout"
        if os.path.isdir(real) or os.path.isfile(real) or not os.path.lexists(real):  # noqa: PTH112, PTH113
            directory = real.parent if os.path.isfile(real) else real  # noqa: PTH113 - these raise nothing
            hint += f", or allow it with --allow-outside {shlex.quote(str(directory))}"
        what = f"{what} leads to '{real}', outside the checkout '{self.root}'"
        return Problem(OUTSIDE, what, position=position, hint=hint)

    def open(self, path: Path, display: str) -> BufferedReader:
        """Open a file, which messages call `display`, without waiting for anything.

        What was opened is checked, not what the path led to before. Raises ProblemsError `outside-checkout`, and
        OSError (NotRegularError among others).
        """
        try:
            _require_regular(os.stat(path))  # noqa: PTH116 - a device is not even opened
            descriptor = os.open(path, _FLAGS)
        except NotRegularError:
            raise
        except OSError:
            self.require(path, display)  # what is wrong with a file elsewhere is not for its reader to know
            raise
        try:
            status = os.fstat(descriptor)
            _require_regular(status)
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

    def _link_outside(self, path: Path) -> Path | None:
        """Return the symlink of the checkout by which `path` leaves these files; None if there is none."""
        at, links = Path("/"), 0
        left = [*reversed(path.absolute().parts[1:])]
        while left:
            part = left.pop()
            if part == "..":
                at = at.parent
                continue
            below = at / part
            try:
                target = Path(os.readlink(below))  # noqa: PTH115 - it raises for what is not a symlink
            except OSError:
                at = below
                continue
            links += 1
            if links > _LINKS:
                return None  # opening it fails
            if self.holds(below) and not self.holds(Path(os.path.realpath(below))):
                return below
            if target.is_absolute():
                at = Path("/")
            left += [*reversed(target.parts[1:] if target.is_absolute() else target.parts)]
        return None


def in_git_directory(real: Path) -> bool:
    """Whether a path is `.git` or below it, in any spelling that some file system takes for that."""
    return any(part.casefold() == ".git" for part in real.parts)


def _require_regular(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):
        raise NotRegularError


def _opened_path(descriptor: int, path: Path, status: os.stat_result) -> Path:
    """Return the path of an open file, without symlinks. Raises OSError if `path` leads to another file by now."""
    try:
        return Path(os.readlink(f"/proc/self/fd/{descriptor}"))  # noqa: PTH115
    except OSError:  # no Linux, or no /proc
        real = Path(os.path.realpath(path))
        if not os.path.samestat(real.lstat(), status):
            raise OSError(errno.ESTALE, "it was replaced while being opened") from None
        return real
