"""Which files of a checkout are read: files, directories with all below them, and globs, in a stable order."""

from __future__ import annotations

import codecs
import glob
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.diagnostics import KcdError, Position

SUFFIXES = (".yaml", ".yml", ".json")
"""What kubectl takes from a directory."""

MAX_SOURCE_BYTES = 16 * 1024 * 1024
"""A file of manifests; etcd takes objects of 1.5 MiB, so that this is a file of ten of the largest."""


Places = Mapping[str, Callable[[], Position]]
"""Where the project file names each source; found when a message needs it."""

NOWHERE: Places = {}

_BLOCK = 1024 * 1024
_ATTEMPTS = 3
_SETTLED = 0.02  # seconds; several ticks of the clock that file systems take times from


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A text file of the checkout. `path` is how messages name it: relative to the project's root if it lies below."""

    path: str
    text: str


def find_files(
    sources: Sequence[str], root: Path, ignore: Sequence[Path], places: Places = NOWHERE
) -> tuple[list[Path], list[KcdError]]:
    """The files that `sources` name, each once, sorted by path; and the sources and directories that can't be read.

    A source is a file, a directory (read with all below it) or a glob, relative to `root`. Of a directory and a glob
    the files that kubectl would read are taken. Hidden files and directories below a source, and the directories of
    `ignore`, are passed over. A source that names nothing is an error, where `places` says that the
    project file names it.
    """
    ignored = {os.path.realpath(path) for path in ignore}
    found: dict[str, Path] = {}  # by real path, so that a link to a file of the tree does not read it twice
    errors: list[KcdError] = []
    for source in sources:
        place = root / source
        if os.path.lexists(place):
            files = _walk(place, root, ignored, frozenset(), errors)
        else:
            matches = sorted(glob.glob(source, root_dir=root, recursive=True))  # noqa: PTH207 (Path.glob follows no links)
            if not matches:
                errors.append(_missing(source, places))
            files = (
                file
                for match in matches
                for file in _walk(root / match, root, ignored, frozenset(), errors)
                if file.name.endswith(SUFFIXES)
            )
        for file in files:
            found.setdefault(os.path.realpath(file), file)
    return sorted(found.values()), errors


def _missing(source: str, places: Places) -> KcdError:
    return KcdError(
        f"the source '{source}' does not exist",
        code="missing-source",
        position=places[source]() if source in places else None,
        hint="a source is a file, a directory or a glob such as 'clusters/*/releases', relative to the project's root",
    )


def _walk(path: Path, root: Path, ignored: set[str], above: frozenset[str], errors: list[KcdError]) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    real = os.path.realpath(path)
    if real in ignored or real in above:  # `above`: a link to a directory that holds it
        return
    try:
        with os.scandir(path) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
    except OSError as error:
        errors.append(_unreadable("the directory can't be read", error, display_path(path, root)))
        return
    for name in names:
        below = path / name
        if name.endswith(SUFFIXES) or below.is_dir():
            yield from _walk(below, root, ignored, above | {real}, errors)


def _unreadable(what: str, error: OSError, display: str) -> KcdError:
    hint = None
    if isinstance(error, PermissionError):
        hint = "give the user who runs kcd-gen the right to read it, or leave it out of the cluster's sources"
    return KcdError(f"{what}: {error.strerror}", code="unreadable-source", position=Position(display), hint=hint)


def checkout_root(directory: Path) -> Path | None:
    """The Git checkout that `directory` lies in, without links; None where it lies in none."""
    real = Path(os.path.realpath(directory))
    return next((folder for folder in (real, *real.parents) if (folder / ".git").exists()), None)


def display_path(path: Path, root: Path) -> str:
    """`path` as messages and reports name it: relative to `root`, else to the current directory, else absolute."""
    absolute = path.absolute()
    for base in (root.absolute(), Path.cwd()):
        if absolute.is_relative_to(base):
            absolute = absolute.relative_to(base)
            break
    return os.fsencode(absolute.as_posix()).decode("utf-8", "replace")  # a name on disk can be any bytes


def read_source(path: Path, display: str, mentions: Sequence[bytes]) -> SourceFile | None:
    """The text of a file that mentions one of `mentions`; None for any other, which is not looked at further.

    Raises KcdError for a file that can't be read, is over the size limit, or is not UTF-8 (or UTF-16 with its mark).
    """
    try:
        if not path.is_file():
            reason = "a link that leads nowhere" if path.is_symlink() else "not a regular file"
            raise KcdError(f"this is {reason}", code="unreadable-source", position=Position(display))
        if path.stat().st_size > MAX_SOURCE_BYTES:
            if not _mentioned(path, mentions):
                return None
            raise KcdError(
                f"the file is larger than {MAX_SOURCE_BYTES // 2**20} MiB, the limit of a source file",
                code="unreadable-source",
                position=Position(display),
                hint="split it, or leave it out of the cluster's sources",
            )
        data = _read_at_rest(path, display)
    except OSError as error:
        raise _unreadable("the file can't be read", error, display) from error
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _decoded(data, "utf-16", display)
    if not any(mention in data for mention in mentions):
        return None
    return _decoded(data, "utf-8-sig", display)


def _read_at_rest(path: Path, display: str) -> bytes:
    """The content of a file that nobody writes meanwhile: half a file may well be YAML, of half the Releases.

    Who writes has just emptied it, or is between two halves, so that a file that changed a moment ago is looked at
    again a moment later.
    """
    for _ in range(_ATTEMPTS):
        with path.open("rb") as file:
            before = _state(os.fstat(file.fileno()))
            data = file.read(MAX_SOURCE_BYTES + 1)
        age = time.time() - path.stat().st_mtime
        if 0 <= age < _SETTLED:
            time.sleep(_SETTLED - age)
        if _state(path.stat()) == before and len(data) == before[0]:
            return data
    raise KcdError(
        "the file changed each time that it was read",
        code="unreadable-source",
        position=Position(display),
        hint="build again when nothing writes to it any more",
    )


def _state(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _mentioned(path: Path, mentions: Sequence[bytes]) -> bool:
    """Whether a large file mentions one of `mentions`, found without having it in memory.

    It is not mapped there, either: of a file that someone shortens meanwhile, that would end the process.
    """
    longest = max(map(len, mentions))
    with path.open("rb") as file:
        tail = b""
        while block := file.read(_BLOCK):
            data = tail + block
            if any(mention in data for mention in mentions):
                return True
            tail = data[-longest:]
    return False


def _decoded(data: bytes, encoding: str, display: str) -> SourceFile:
    try:
        return SourceFile(display, data.decode(encoding))
    except UnicodeDecodeError as error:
        before = data[: error.start].decode(encoding, "ignore")
        raise KcdError(
            f"the file is not {error.encoding.removesuffix('-sig').upper()} text",
            code="unreadable-source",
            position=Position(display, before.count("\n") + 1, len(before) - before.rfind("\n")),
            hint="save it as UTF-8",
        ) from error
