"""What a build would change in an output folder, worked out in memory and without writing anything.

A plan is read in four ways: `write` carries it out, `--check` asks whether it is clean, a diff shows its contents, and
a report lists its resources.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.output.documents import Change, ResourceChange, resource_changes
from kubocd_gen.output.inventory import (
    RECORDS,
    SHARED_RECORD,
    Record,
    may_list,
    read_records,
    record_content,
    record_path,
    released,
)
from kubocd_gen.output.journal import interrupted_paths
from kubocd_gen.output.tree import Tree


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file as compiled. `path` is posix and relative to the output root, as in `flux/default/podinfo1.yaml`."""

    path: str
    content: bytes


@dataclass(frozen=True, slots=True)
class ReleaseOutput:
    """All files of one Release: `flux/<namespace>/<name>.yaml` and what lies directly in `hr/<namespace>/<name>/`.

    `keep` says that what is already written stays, where `files` does not replace it: the Release failed, or it
    is suspended.
    """

    namespace: str
    name: str
    files: tuple[OutputFile, ...]
    keep: bool = False

    @property
    def record(self) -> str:
        return record_path(self.namespace, self.name)


SharedFiles = Callable[[Sequence[str]], Sequence[OutputFile]]
"""What the files of no one Release, directly in `flux/`, are where these are all others in `flux/`, sorted by path."""


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file, its content on disk (None: not there) and the content that it gets (None: it is removed).

    `edited` says that what is on disk is not what kcd-gen wrote there: somebody has changed it since.
    """

    path: str
    change: Change
    before: bytes | None
    after: bytes | None
    edited: bool = False

    @property
    def is_record(self) -> bool:
        """Whether this is a record of ownership, which no one reads but kcd-gen."""
        return self.path.startswith(f"{RECORDS}/")


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of every file that is kcd-gen's, records of ownership included, sorted by path.

    The inputs are kept, so that the plan can be made again when the output may have changed since.
    """

    root: Path
    releases: tuple[ReleaseOutput, ...]
    shared: SharedFiles
    complete: bool
    changes: tuple[FileChange, ...]

    @property
    def is_clean(self) -> bool:
        """Whether the output is already what it should be."""
        return all(change.change == "unchanged" for change in self.changes)

    @property
    def create(self) -> tuple[FileChange, ...]:
        return self._with("created")

    @property
    def update(self) -> tuple[FileChange, ...]:
        return self._with("updated")

    @property
    def unchanged(self) -> tuple[FileChange, ...]:
        return self._with("unchanged")

    @property
    def remove(self) -> tuple[FileChange, ...]:
        return self._with("removed")

    def resources(self) -> dict[tuple[str, str], tuple[ResourceChange, ...]]:
        """What becomes of each Release's resources, by its namespace and name; removed Releases are included."""
        found = {}
        for change in self.changes:
            folder, _, rest = change.path.partition("/")
            namespace, _, file = rest.partition("/")
            if folder == "flux" and file:
                found[namespace, file.removesuffix(".yaml")] = resource_changes(
                    change.path, _text(change.before), _text(change.after)
                )
        return found

    def removed_releases(self) -> dict[tuple[str, str], str]:
        """The Releases of an earlier build that are gone, by namespace and name, each with the Flux text that goes."""
        flux = {change.path: change.before or b"" for change in self.remove}
        found = {}
        for record in flux:
            if record.startswith(f"{RECORDS}/") and record != SHARED_RECORD:
                namespace, name = released(record)
                found[namespace, name] = flux.get(f"flux/{namespace}/{name}.yaml", b"").decode(errors="replace")
        return found

    def _with(self, kind: Change) -> tuple[FileChange, ...]:
        return tuple(change for change in self.changes if change.change == kind)


def plan_output(root: Path, releases: Sequence[ReleaseOutput], shared: SharedFiles, *, complete: bool) -> Plan:
    """Compare what was compiled with what lies below `root`, which need not exist; nothing is written or locked.

    `complete` is False when a source could not be read: then nothing is removed. A Release that is not in `releases`
    any more loses its files, one with `keep` never does.

    Raises ProblemsError `foreign-file` for a file in the way that kcd-gen did not write, and
    what `Tree` raises for links and unreadable folders.
    """
    tree = Tree(root)
    records = read_records(tree)
    kept = _kept(tree, records, releases, complete=complete)
    wanted: dict[str, bytes] = {}

    def want(record: str, files: Sequence[OutputFile], listed: Record) -> None:
        for file in files:
            if not may_list(record, file.path) or file.path in wanted:
                raise ValueError(f"{file.path} is not a path for {record}, or is given twice")
            wanted[file.path] = file.content
        if listed:
            wanted[record] = record_content(listed)

    for release in releases:
        stays = {path: digest for path, digest in records.get(release.record, {}).items() if path in kept}
        want(release.record, release.files, stays | {file.path: _sha256(file.content) for file in release.files})
    files = shared(_flux({*wanted, *kept}))
    want(SHARED_RECORD, files, dict.fromkeys(file.path for file in files))
    written = {path: digest for record in records.values() for path, digest in record.items()}
    recorded = frozenset[str]().union(records, written)
    # What shared files were when they were written follows from the other records, wherever those come from: a merge
    # of branches that added Releases is no edit.
    beside = _flux({path for record, paths in records.items() if record != SHARED_RECORD for path in paths})
    written |= {file.path: _sha256(file.content) for file in shared(beside) if file.path in written}
    removable = recorded - wanted.keys() - kept if complete else frozenset[str]()
    moving = interrupted_paths(root)  # of these it is not known which of two builds has written them
    known = {path: digest for path, digest in written.items() if path not in moving}
    changes = _compare(tree, wanted, removable, owned=recorded | moving, written=known)
    return Plan(root, tuple(releases), shared, complete, changes)


def _kept(
    tree: Tree, records: Mapping[str, Record], releases: Sequence[ReleaseOutput], *, complete: bool
) -> frozenset[str]:
    keeping = {release.record for release in releases if release.keep}
    written = {file.path for release in releases for file in release.files}
    return frozenset(
        path
        for record, paths in records.items()
        if not complete or record in keeping
        for path in paths.keys() - written
        if tree.file(path)
    )


def _compare(
    tree: Tree, wanted: dict[str, bytes], removable: frozenset[str], *, owned: frozenset[str], written: Record
) -> tuple[FileChange, ...]:
    changes: list[FileChange] = []
    errors: dict[tuple[str, str], Problem] = {}  # one link or folder in the way is the problem of many files
    for path in sorted(wanted.keys() | removable):
        try:
            changes += _compare_one(tree, path, wanted.get(path), owned, written.get(path))
        except ProblemsError as error:
            errors[error.problem.code, str(error.problem.position)] = error.problem
    if errors:
        raise ProblemsError(*errors.values())
    return tuple(changes)


def _compare_one(
    tree: Tree, path: str, after: bytes | None, owned: frozenset[str], written: str | None
) -> list[FileChange]:
    status = tree.file(path)
    if status is None:
        return [] if after is None else [FileChange(path, "created", None, after)]
    if path not in owned and (after is None or status.st_size != len(after)):
        raise ProblemsError(_foreign(tree, path))
    before = tree.read(path)
    if before == after:  # also where no record says so: merges and lost records are mended so
        return [FileChange(path, "unchanged", after, after)]
    if path not in owned:
        raise ProblemsError(_foreign(tree, path))
    edited = written is not None and _sha256(before) != written
    return [FileChange(path, "removed" if after is None else "updated", before, after, edited)]


def _foreign(tree: Tree, path: str) -> Problem:
    error = tree.foreign(path)
    if not tree.has_folder(RECORDS):
        restore = f"where kcd-gen did write it, restore {RECORDS}/, which belongs in Git with the output"
        return replace(error, hint=f"{error.hint}; {restore}")
    return error


def _flux(paths: Iterable[str]) -> Sequence[str]:
    """The Releases' own among `paths`, in the order in which they are listed."""
    return sorted(path for path in paths if path.startswith("flux/") and path.count("/") == 2)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _text(content: bytes | None) -> str | None:
    return None if content is None else content.decode(errors="replace")
