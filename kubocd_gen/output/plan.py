"""Compute what a build would change in an output directory, without writing anything.

A plan has four uses: `write` carries it out, `--check` checks that it has no changes, a diff shows the changes, and a
report lists the resources.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.output.inventory import (
    NAMESPACES,
    RECORDS,
    SHARED_RECORD,
    Record,
    may_list,
    read_records,
    record_content,
    record_path,
    release_of,
)
from kubocd_gen.output.journal import interrupted_paths
from kubocd_gen.output.known import KnownOutput
from kubocd_gen.output.resource_changes import Change, ResourceChange, resource_changes
from kubocd_gen.output.tree import Tree

Content = bytes | Callable[[], bytes]
"""The content of a file, or a function that returns it: most files do not change, and are not read or printed."""


def loaded(content: Content) -> bytes:
    """Return the content of a file."""
    return content if isinstance(content, bytes) else content()


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A compiled file. `path` is a POSIX path relative to the output root, such as `flux/default/podinfo1.yaml`.

    `known` are its SHA-256, in hexadecimal digits, and its size in bytes, if they are known without its content.
    """

    path: str
    source: Content
    known: tuple[str, int] | None = None

    @property
    def content(self) -> bytes:
        """The content of the file."""
        return loaded(self.source)

    @property
    def sha256(self) -> str:
        """Its SHA-256 in hexadecimal digits."""
        return self.known[0] if self.known else _sha256(self.content)

    @property
    def size(self) -> int:
        """Its size in bytes."""
        return self.known[1] if self.known else len(self.content)


@dataclass(frozen=True, slots=True)
class ReleaseOutput:
    """All files of one Release: `flux/<namespace>/<name>.yaml` and the files in `hr/<namespace>/<name>/`.

    If `keep` is set, existing files that are not in `files` are kept, because the Release failed or is suspended.
    """

    namespace: str
    name: str
    files: tuple[OutputFile, ...]
    keep: bool = False

    @property
    def record(self) -> str:
        """The path of the Release's inventory record."""
        return record_path(self.namespace, self.name)


SharedFiles = Callable[[Sequence[str], bool | None], Sequence[OutputFile]]
"""Returns the files directly in `flux/`, which Releases share, given the sorted paths of all other files in `flux/`.

The second argument is whether `flux/kustomization.yaml` lists `flux/namespaces.yaml`; None if it does so only if the
function also returns this file, which depends on the sources.
"""


@dataclass(frozen=True, slots=True)
class FileChange:
    """A change of one file: `old` is its content on disk (None: missing), `new` the new one (None: removed).

    `edited` is set if the file was changed after kcd-gen wrote it. `sha256` is the digest of the new content.
    """

    path: str
    change: Change
    old: Content | None
    new: Content | None
    edited: bool = False
    sha256: str | None = None

    @property
    def before(self) -> bytes | None:
        """The content on disk; None if there is no file."""
        return None if self.old is None else loaded(self.old)

    @property
    def after(self) -> bytes | None:
        """The new content; None if the file is removed."""
        return None if self.new is None else loaded(self.new)

    @property
    def is_record(self) -> bool:
        """Whether this file is part of the inventory, which only kcd-gen reads."""
        return self.path.startswith(f"{RECORDS}/")


@dataclass(frozen=True, slots=True)
class Plan:
    """The change of every file that kcd-gen owns, including the inventory, sorted by path.

    The inputs are kept because the plan is computed again if the output can have changed.
    """

    root: Path
    releases: tuple[ReleaseOutput, ...]
    shared: SharedFiles
    complete: bool
    changes: tuple[FileChange, ...]
    known: KnownOutput

    @property
    def pending(self) -> tuple[FileChange, ...]:
        """The changes that a write makes."""
        return tuple(change for change in self.changes if change.change != "unchanged")

    @property
    def is_clean(self) -> bool:
        """Whether the output is up to date."""
        return not self.pending

    def with_change(self, kind: Change) -> tuple[FileChange, ...]:
        return tuple(change for change in self.changes if change.change == kind)

    def resources(self) -> dict[tuple[str, str], tuple[ResourceChange, ...]]:
        """Return the changes of each Release's resources by namespace and name, including removed Releases."""
        found = {}
        for change in self.changes:
            top, _, rest = change.path.partition("/")
            namespace, _, file = rest.partition("/")
            if top == "flux" and file:
                release = namespace, file.removesuffix(".yaml")
                found[release] = resource_changes(change.path, change.before, change.after)
        return found

    def namespaces(self) -> tuple[ResourceChange, ...]:
        """Return the changes of the Namespaces."""
        found = (resource_changes(one.path, one.before, one.after) for one in self.changes if one.path == NAMESPACES)
        return next(found, ())

    def removed_releases(self) -> dict[tuple[str, str], str]:
        """Return the removed Releases by namespace and name, each with the removed Flux YAML."""
        flux = {change.path: change.before or b"" for change in self.with_change("removed")}
        found = {}
        for record in flux:
            if record.startswith(f"{RECORDS}/") and record != SHARED_RECORD:
                namespace, name = release_of(record)
                found[namespace, name] = flux.get(f"flux/{namespace}/{name}.yaml", b"").decode(errors="replace")
        return found


def plan_output(
    root: Path,
    releases: Sequence[ReleaseOutput],
    shared: SharedFiles,
    *,
    complete: bool,
    known: KnownOutput | None = None,
) -> Plan:
    """Compare the compiled files with the output at `root`, which can be missing. Nothing is written or locked.

    Files that are `known` are not read.

    If `complete` is False (a source could not be read), nothing is removed. Otherwise the files of Releases that are
    not in `releases` are removed; those of a Release with `keep` never are.

    Raises ProblemsError `foreign-file` for a file that would be overwritten but was not written by kcd-gen, and the
    errors of `Tree` for symlinks and unreadable directories.
    """
    tree, known = Tree(root), known or KnownOutput(None)
    expected = {one.record: _expected(one) for one in releases if not one.keep and one.files}
    records = read_records(tree, known, {path: (one.listed, one.file.sha256) for path, one in expected.items()})
    kept = _kept(tree, records, releases, complete=complete)
    wanted: dict[str, OutputFile] = {}

    def want(record: str, files: Sequence[OutputFile], listed: Record) -> None:
        for file in files:
            if not may_list(record, file.path) or file.path in wanted:
                raise ValueError(f"{file.path} is not a path for {record}, or is given twice")
            wanted[file.path] = file
        if listed:
            content = record_content(listed)
            wanted[record] = OutputFile(record, content, (_sha256(content), len(content)))

    for release in releases:
        likely = expected.get(release.record)
        if likely and records.get(release.record) is likely.listed:  # it was written by an earlier run
            wanted.update((file.path, file) for file in release.files)
            wanted[release.record] = likely.file
            continue
        stays = {path: digest for path, digest in records.get(release.record, {}).items() if path in kept}
        want(release.record, release.files, stays | {file.path: file.sha256 for file in release.files})
    files = shared(_flux({*wanted, *kept}), None)
    want(SHARED_RECORD, files, dict.fromkeys(file.path for file in files))
    written = {path: digest for record in records.values() for path, digest in record.items()}
    recorded = frozenset[str]().union(records, written)
    # The written content of shared files is derived from the other records, because a merge of branches that added
    # Releases does not count as an edit.
    listed = _flux({path for record, paths in records.items() if record != SHARED_RECORD for path in paths})
    before = shared(listed, NAMESPACES in written)
    written |= {file.path: file.sha256 for file in before if file.path in written}
    removable = recorded - wanted.keys() - kept if complete else frozenset[str]()
    moving = interrupted_paths(root)  # it is unknown which of two builds wrote these
    written = {path: digest for path, digest in written.items() if path not in moving}
    changes = _compare(tree, wanted, removable, known, owned=recorded | moving, written=written)
    return Plan(root, tuple(releases), shared, complete, changes, known)


class _Expected(NamedTuple):
    """The record of a Release of which nothing else stays in the output."""

    listed: Record
    file: OutputFile


def _expected(release: ReleaseOutput) -> _Expected:
    listed = {file.path: file.sha256 for file in release.files}
    content = record_content(listed)
    return _Expected(listed, OutputFile(release.record, content, (_sha256(content), len(content))))


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
    tree: Tree,
    wanted: Mapping[str, OutputFile],
    removable: frozenset[str],
    known: KnownOutput,
    *,
    owned: frozenset[str],
    written: Record,
) -> tuple[FileChange, ...]:
    changes: list[FileChange] = []
    errors: dict[tuple[str, str], Problem] = {}  # a symlink or directory can block many files; report it once
    paths = sorted(wanted.keys() | removable)
    known.keep(paths)
    for path in paths:
        after = wanted.get(path)
        try:
            status = tree.file(path)
            if status is not None and after is not None and known.is_unchanged(path, status, after.sha256):
                read = partial(_read_again, tree.root, path)
                changes.append(FileChange(path, "unchanged", read, read, sha256=after.sha256))
            else:
                changes += _compare_one(tree, path, status, after, known, owned, written.get(path))
        except ProblemsError as error:
            errors[error.problem.code, str(error.problem.position)] = error.problem
    if errors:
        raise ProblemsError(*errors.values())
    return tuple(changes)


def _compare_one(
    tree: Tree,
    path: str,
    status: os.stat_result | None,
    after: OutputFile | None,
    known: KnownOutput,
    owned: frozenset[str],
    written: str | None,
) -> list[FileChange]:
    new = after.sha256 if after else None
    if status is None:
        return [] if after is None else [FileChange(path, "created", None, after.source, sha256=new)]
    if path not in owned and (after is None or status.st_size != after.size):
        raise ProblemsError(_foreign(tree, path))
    read = partial(_read_again, tree.root, path)
    before: Content = read
    digest = known.sha256(path, status)
    if digest is None or digest != new:  # a write replaces the file, and reports compare with what it was
        before = tree.read(path)
        digest = _sha256(before)
        known.note(path, status, digest)
    if digest == new:  # accepted even without a record, which repairs the inventory after a merge or a deletion
        return [FileChange(path, "unchanged", read, read, sha256=new)]
    if path not in owned:
        raise ProblemsError(_foreign(tree, path))
    edited = written is not None and digest != written
    kind: Change = "removed" if after is None else "updated"
    return [FileChange(path, kind, before, after.source if after else None, edited, new)]


def _read_again(root: Path, path: str) -> bytes:
    return Tree(root).read(path)


def _foreign(tree: Tree, path: str) -> Problem:
    error = tree.foreign(path)
    if not tree.has_directory(RECORDS):
        restore = f"if kcd-gen did create it, restore {RECORDS}/, which must be committed with the output"
        return replace(error, hint=f"{error.hint}; {restore}")
    return error


def _flux(paths: Iterable[str]) -> Sequence[str]:
    """Return the Flux files of Releases among `paths`, sorted."""
    return sorted(path for path in paths if path.startswith("flux/") and path.count("/") == 2)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
