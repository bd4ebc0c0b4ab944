"""The HelmReleases of suspended Releases, which a build keeps in the output after it has verified them.

While a Release is suspended, its HelmReleases are not compiled; those from an earlier build are kept. The written file
comes from the checkout and is untrusted, so its text is never copied: it is parsed, each document must be one that
kcd-gen writes for this Release, and the kept documents are emitted from the parsed values. The digest of the file must
be the one in the inventory. In a check, its HelmReleases must also be those of the revision where the branch started: a
pull request can change the file and the inventory, but not that revision.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubocd_gen.diagnostics.problems import Position, Problem, Problems, ProblemsError
from kubocd_gen.diagnostics.wording import dotted, quoted
from kubocd_gen.files.paths import display_path, shown_path
from kubocd_gen.model.compilation import Compilation, CompiledRelease, PackageSourceSpec, collecting
from kubocd_gen.model.delivery import SERVER, Delivery
from kubocd_gen.model.finishing import SUBSTITUTE, keeping_variables
from kubocd_gen.output.inventory import KUSTOMIZATION, parse_record, record_path
from kubocd_gen.output.journal import interrupted_paths
from kubocd_gen.output.tree import Tree
from kubocd_gen.pipeline.kept_sources import SOURCE_KINDS, RefusedError, check_chart, check_references, kept_source

if TYPE_CHECKING:  # few builds have suspended Releases; the functions import what they need of the others
    from kubocd_gen.budget.spending import Budget
    from kubocd_gen.git.revision import Checkout
    from kubocd_gen.model.project import Project
    from kubocd_gen.model.resources import Release

MAX_BYTES = 16 << 20
"""The limit of a written file, as of source files; a cluster accepts HelmReleases of at most 1.5 MiB."""

MAX_DOCUMENTS = 200
"""The limit of documents in a file, which has two sources and a HelmRelease per module."""

Document = Mapping[str, Any]

_API_VERSION = "helm.toolkit.fluxcd.io/v2"
_FIELDS = frozenset({"apiVersion", "kind", "metadata", "spec"})
_SOURCE_GROUPS = ("source.toolkit.fluxcd.io/", "source.extensions.fluxcd.io/")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_PRUNE = "kustomize.toolkit.fluxcd.io/prune"
_NO_BASE = ("git-missing", "no-repository", "unknown-revision")  # without these, only the inventory is compared

Kept = tuple[Document, ...] | None
"""The HelmReleases of a suspended Release, after the sources that are kept; None if they cannot be, an error."""


@dataclass(frozen=True, slots=True)
class Suspended:
    """A suspended Release, how its charts are delivered, and the image of its package."""

    release: Release
    delivery: Delivery = SERVER
    package: PackageSourceSpec | None = None

    @classmethod
    def of(cls, one: CompiledRelease) -> Suspended:
        """Return what is known of a compiled Release."""
        return cls(one.release, one.delivery, one.rendered.resolved.source)


def written_path(release: Release) -> str:
    """Return the path of the Release's Flux file, relative to the output."""
    return f"flux/{release.namespace}/{release.name}.yaml"


def kept_documents(data: bytes, path: str, suspended: Suspended, budget: Budget | None = None) -> tuple[Document, ...]:
    """Return the HelmReleases in `data`, the written file of a suspended Release, and the sources that are kept.

    Other sources of the Release are skipped because they are compiled. Raises ProblemsError `suspended-output` for a
    document that kcd-gen does not write for this Release, and for invalid YAML.
    """
    from kubocd_gen.kube_yaml.locations import find_position
    from kubocd_gen.kube_yaml.parser import YamlError
    from kubocd_gen.kube_yaml.reader import read_documents

    release = suspended.release
    if len(data) > MAX_BYTES:
        raise _refused(release, f"the file is larger than {MAX_BYTES >> 20} MiB", Position(path))
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _refused(release, "the file is not UTF-8", Position(path, line)) from None
    found: dict[tuple[str, str], Document] = {}
    try:
        for number, document in enumerate(read_documents(text, path, budget=budget)):
            if problem := document.error or next((fault.error for fault in document.faults), None):
                raise _refused(release, problem.problem.message, problem.problem.position)
            try:
                if number >= MAX_DOCUMENTS:
                    raise RefusedError(f"the file contains more than {MAX_DOCUMENTS} documents")
                one = _checked(document.value, suspended)
                identity = (one["kind"], one["metadata"]["name"])
                if identity in found:
                    raise RefusedError(f"{identity[0]} {quoted(identity[1])} is duplicated", "metadata", "name")
            except RefusedError as error:
                keys = error.keys
                position = find_position(text, path, number, keys) if keys else Position(path, document.line)
                raise _refused(release, str(error), position, error.hint) from None
            found[identity] = one
    except YamlError as error:
        raise _refused(release, error.problem.message, error.problem.position) from error
    kept = tuple(one for one in found.values() if "spec" in one)
    try:
        check_references(kept)
    except RefusedError as error:
        raise _refused(release, str(error), Position(path), error.hint) from None
    return kept


def check_record(data: bytes | None, digest: str | None, path: str, release: Release) -> None:
    """Raise ProblemsError `suspended-output` if the SHA-256 of the written file is not the recorded one.

    `data` is None if there is no file, `digest` is None if it is not known. CRLF line breaks are accepted, because Git
    can convert them.
    """
    if digest is None:
        return
    if data is None:
        raise _refused(release, "the file was removed after kcd-gen wrote it", Position(path))
    if digest not in (hashlib.sha256(one).hexdigest() for one in (data, data.replace(b"\r\n", b"\n"))):
        raise _refused(release, "the file was changed after kcd-gen wrote it", Position(path))


def differences(old: Sequence[Document], new: Sequence[Document]) -> Iterator[str]:
    """Yield a clause for each document that differs: `HelmRelease 'web-main' was changed`."""
    from kubocd_gen.compiler.value_changes import same

    before, after = ({(one["kind"], one["metadata"]["name"]): one for one in side} for side in (old, new))
    for identity in sorted({*before, *after}):
        kind, name = identity
        if identity not in before:
            yield f"{kind} {quoted(name)} was added"
        elif identity not in after:
            yield f"{kind} {quoted(name)} was removed"
        elif not same(before[identity], after[identity]):
            yield f"{kind} {quoted(name)} was changed"


def _refused(release: Release, message: str, position: Position | None, hint: str | None = None) -> ProblemsError:
    """Return the error for a written file whose HelmReleases cannot be kept."""
    return ProblemsError.of(
        "suspended-output",
        f"cannot keep the HelmReleases of the suspended Release {release.key}: {message}",
        position,
        hint or "restore the file from Git (git checkout REVISION -- FILE), or remove 'suspended' and build",
    )


def _checked(value: Any, suspended: Suspended) -> Document:
    """Return the document as kcd-gen writes it, or only the identity of a source that is compiled."""
    from kubocd_gen.compiler.flux_objects import helm_release

    release = suspended.release
    if not isinstance(value, dict):
        raise RefusedError("a document is not a map")
    api_version, kind = value.get("apiVersion"), value.get("kind")
    metadata = value.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(name := metadata.get("name"), str):
        raise RefusedError("a document has no name in its metadata", "metadata")
    if kind in SOURCE_KINDS and str(api_version).startswith(_SOURCE_GROUPS):
        return kept_source(value, release, suspended.delivery, suspended.package)
    if (api_version, kind) != (_API_VERSION, "HelmRelease"):
        raise RefusedError(
            f"expected a HelmRelease of {_API_VERSION}, not {quoted(kind)} of {quoted(api_version)}", "kind"
        )
    if unknown := sorted(value.keys() - _FIELDS):
        raise RefusedError(f"unexpected field {quoted(unknown[0])}", unknown[0])
    if not _belongs(name, release):
        message = f"the name {quoted(name)} is neither '{release.name}' nor '{release.name}-MODULE'"
        raise RefusedError(message, "metadata", "name")
    spec = _spec(value.get("spec"), suspended)
    annotations = metadata.get("annotations")
    protected = isinstance(annotations, dict) and annotations.get(_PRUNE) == "disabled"
    expected = helm_release(release, name, spec, protected=protected)
    if isinstance(annotations, dict) and SUBSTITUTE in annotations:
        expected = dict(keeping_variables(expected))
    for key in sorted({*metadata, *expected["metadata"]}):
        if metadata.get(key) != expected["metadata"].get(key):
            raise RefusedError(f"metadata.{key} is not what kcd-gen writes for {release.key}", "metadata", key)
    return expected


def _belongs(name: str, release: Release) -> bool:
    """Return whether some version of the Release's package can produce a HelmRelease of that name."""
    of_release = name == release.name or name.startswith(f"{release.name}-")
    return of_release and len(name) <= 253 and _NAME.fullmatch(name) is not None


def _spec(spec: Any, suspended: Suspended) -> dict[str, Any]:
    from kubocd_gen.compiler.flux_objects import typed_spec

    if not isinstance(spec, dict):
        raise RefusedError("a HelmRelease has no spec", "spec")
    typed, violations = typed_spec("helmrelease-v2", spec)
    for violation in violations:
        raise RefusedError(f"{dotted(('spec', *violation.path))} {violation.message}", "spec", *violation.path)
    check_chart(typed, suspended.release, suspended.delivery)
    return typed


@dataclass(frozen=True, slots=True)
class Written:
    """An output, on disk or in a Git revision, from which the Flux files of suspended Releases are read.

    `read` returns the content of a file of the output, or None if it does not exist. `name` returns the name of a file
    in messages. `moving` are the paths that an interrupted build was writing, whose content is unknown. `fetch` gets
    files of a revision in one request, if a partial clone lacks them. Values in the files are counted against `budget`.
    """

    read: Callable[[str], bytes | None]
    name: Callable[[str], str]
    moving: frozenset[str] = frozenset()
    fetch: Callable[[Iterable[str]], None] = lambda _: None
    budget: Budget | None = None

    def prepare(self, releases: Iterable[Release]) -> None:
        """Get the files of these Releases, if they have to be fetched."""
        self.fetch(path for one in releases for path in (written_path(one), record_path(one.namespace, one.name)))

    def documents(self, suspended: Suspended) -> tuple[Document, ...] | None:
        """Return the written documents to keep, None if there is no file. Raises ProblemsError `suspended-output`."""
        path = written_path(suspended.release)
        data = self.read(path)
        return None if data is None else kept_documents(data, self.name(path), suspended, self.budget)

    def recorded_documents(self, suspended: Suspended) -> tuple[Document, ...]:
        """Return the written documents to keep after verifying the file's digest; nothing if there is no file."""
        release = suspended.release
        record, path = record_path(release.namespace, release.name), written_path(release)
        data = self.read(path)  # once, because the file that is verified must be the one that is kept
        found = () if data is None else kept_documents(data, self.name(path), suspended, self.budget)
        if path not in self.moving:
            digest = parse_record(record, self.read(record) or b"").get(path)
            check_record(data, digest, self.name(path), release)
        return found


def on_disk(root: Path, project: Project) -> Written:
    """Return the output in `root`, of a cluster of the project, on disk."""
    tree = Tree(root)

    def read(path: str) -> bytes | None:
        status = tree.file(path)
        if status is None:
            return None
        return tree.read(path) if status.st_size <= MAX_BYTES else bytes(MAX_BYTES + 1)

    return Written(
        read,
        lambda path: display_path(root / path, project.root),
        interrupted_paths(root),
        budget=project.budget,
    )


def in_revision(checkout: Checkout, directory: str, budget: Budget) -> Written:
    """Return the output in `directory`, relative to the repository's root, of a Git revision."""
    prefix = f"{directory}/" if directory not in ("", ".") else ""

    def read(path: str) -> bytes | None:
        return checkout.read(f"{prefix}{path}", most=MAX_BYTES)

    return Written(
        read,
        lambda path: f"{checkout.tree.revision.name}:{prefix}{path}",
        fetch=lambda paths: checkout.fetch(f"{prefix}{path}" for path in paths),
        budget=budget,
    )


def read_kept(compilation: Compilation, project: Project, problems: Problems, *, compare: bool) -> Mapping[str, Kept]:
    """Return the kept HelmReleases of each suspended Release, by its key. Errors go to `problems`.

    With `compare`, the HelmReleases must be those of the revision where the branch started.
    """
    suspended = [Suspended.of(one) for one in compilation.releases if one.summary.suspended]
    if not suspended:
        return {}
    root = compilation.cluster.output
    written = on_disk(root, project)
    taken = {
        (namespace, name): one.key
        for one in compilation.releases
        for kind, namespace, name in one.summary.resources
        if kind == "HelmRelease"
    }
    kept: dict[str, Kept] = {}
    with ExitStack() as close:
        base = _at_base(root, project, problems, close) if compare else None
        if base is not None:
            base.prepare(one.release for one in suspended)
        for one in suspended:
            release = one.release
            kept[release.key] = None
            with collecting(problems, release):
                found = written.recorded_documents(one)
                _refuse_taken(found, release, taken, written)
                if base is not None:
                    _refuse_changed(found, one, base, written)
                kept[release.key] = found
    return kept


def _at_base(root: Path, project: Project, problems: Problems, close: ExitStack) -> Written | None:
    """Return the output in `root` as of the revision where the current branch started; `close` ends its reading.

    Returns None, with a note, if there is no Git, no repository, no commit, or the clone is too shallow. Raises
    ProblemsError if Git fails otherwise.
    """
    from kubocd_gen.git.repository import find_repository
    from kubocd_gen.git.revision import open_revision

    try:
        existing = next(path for path in (root, *root.absolute().parents) if path.is_dir())
        repository = find_repository(existing, offline=project.offline)
        output = Path(os.path.realpath(root))
        if not output.is_relative_to(repository.top):  # through a symlink, which is an error when it is planned
            raise ProblemsError.of("no-repository", "the output is outside the repository")
        directory = output.relative_to(repository.top).as_posix()
        if repository.ignored_by(f"{directory}/{KUSTOMIZATION}"):
            raise ProblemsError.of("no-repository", "Git ignores the output")
        nothing = Path(os.devnull)  # no file of the revision is checked out
        revision = open_revision(repository, repository.base(), nothing, project.budget)
        return in_revision(close.enter_context(revision), directory, project.budget)
    except ProblemsError as error:
        if error.problem.code not in _NO_BASE:
            raise
        message = f"HelmReleases of suspended Releases are only compared with .kcd-gen/: {error.problem.message}"
        position = Position(display_path(root, project.root))
        problems.note(Problem("suspended-output", message, position=position, hint=error.problem.hint))
        return None


def _refuse_taken(
    found: tuple[Document, ...], release: Release, taken: dict[tuple[str, str], str], written: Written
) -> None:
    """Raise ProblemsError if another Release has a HelmRelease of the same name; add the names to `taken`."""
    for name in (one["metadata"]["name"] for one in found if one["kind"] == "HelmRelease"):
        other = taken.setdefault((release.namespace, name), release.key)
        if other != release.key:
            message = f"the HelmRelease '{name}' belongs to {other}"
            raise _refused(release, message, Position(written.name(written_path(release))))


def _refuse_changed(found: tuple[Document, ...], suspended: Suspended, base: Written, written: Written) -> None:
    """Raise ProblemsError if the documents are not those of the base revision."""
    release = suspended.release
    path = written_path(release)
    for difference in differences(base.recorded_documents(suspended), found):
        revision = base.name(path).partition(":")[0]
        hint = (
            f"restore the file: git checkout {revision} -- {shown_path(written.name(path))}; "
            "merge changes of a Release before suspending it"
        )
        raise _refused(release, f"{difference} since {revision}", Position(written.name(path)), hint)
