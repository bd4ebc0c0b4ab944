"""The two sides of a comparison: projects in Git revisions, in directories, and in the working tree."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from kubocd_gen.checkout.files import CheckoutFiles
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError
from kubocd_gen.files.paths import FilePath, fixed_part, shown_path
from kubocd_gen.git.repository import Revision, find_repository
from kubocd_gen.git.revision import Checkout, open_revision
from kubocd_gen.model.project import STDIN, Cluster, Flags, Project
from kubocd_gen.packages.lock import Lock
from kubocd_gen.pipeline.kustomizations import surroundings
from kubocd_gen.pipeline.namespaces import find_beside_outputs
from kubocd_gen.pipeline.packages import project_lock
from kubocd_gen.pipeline.suspended import Written, in_revision, on_disk
from kubocd_gen.processes.children import scratch
from kubocd_gen.sources.project_file import load_project, project_path, read_project
from kubocd_gen.sources.project_paths import check_paths

_UNREAD = Path("output")  # a placeholder if no output is given by flags; it is neither read nor written


@dataclass(frozen=True, slots=True)
class Side:
    """A project on one side, with its lock. `output` returns the written output of a cluster, None if unknown.

    `named` returns a problem of this side with the name of the revision instead of temporary paths.
    """

    project: Project
    lock: Lock | None
    output: Callable[[Cluster], Written | None]
    named: Callable[[Problem], Problem] = lambda problem: problem


@dataclass(frozen=True, slots=True)
class Ends:
    """What is compared: by default, the base of the branch and the working tree.

    `old` and `new` are revisions; without `new`, the new side is the working tree. With `from_fork`, the old side is
    the merge base of both. `directory` is another directory with the project: the old side, instead of a revision.
    """

    old: str | None = None
    new: str | None = None
    from_fork: bool = False
    directory: Path | None = None


def parse_range(text: str) -> Ends | None:
    """Return the ends of `A..B` or `A...B`, in which an empty end is HEAD; None for other strings."""
    for dots in ("...", ".."):
        old, found, new = text.partition(dots)
        if found:
            return Ends(old or "HEAD", new or "HEAD", from_fork=dots == "...")
    return None


@dataclass(frozen=True, slots=True)
class Sides:
    """The two sides, and the names of what they are; `old` is None if there is no project. `until` is a revision."""

    revision: Revision
    until: Revision | None
    old: Side | None
    new: Side


@contextmanager
def both_sides(flags: Flags, directory: Path, ends: Ends) -> Iterator[Sides]:
    """Yield both sides of a comparison.

    The files of revisions are in temporary directories, which are deleted when the context ends. Raises ProblemsError
    for errors of Git, project files and locks; problems in files of a revision name the revision.
    """
    unread = bool(flags.sources) and flags.output is None
    if STDIN in flags.sources:
        hint = "build each of them to a directory, or use a project file"
        raise ProblemsError.of("usage", "standard input has no revisions to compare", hint=hint)
    if flags.sources:
        flags = replace(flags, output=flags.output or _UNREAD)
    path = None if flags.sources else project_path(flags, directory).absolute()
    flags = replace(flags, project=path)
    now = load_project(flags, directory)
    new = Side(now, project_lock(now), _no_output if unread else partial(_output_on_disk, now))
    if ends.directory is not None:
        yield Sides(Revision(shown_path(ends.directory), ""), None, _directory_side(ends.directory, flags, now), new)
        return
    repository = find_repository(now.root, offline=flags.offline)
    until = None if ends.new is None else repository.revision(ends.new)
    revision = repository.base() if ends.old is None else repository.revision(ends.old)
    if ends.from_fork and until is not None:
        fork = repository.merge_base(revision.commit, until.commit)
        if fork is None:
            message = f"'{ends.old}' and '{ends.new}' have no common commit"
            raise ProblemsError.of("unknown-revision", message, hint=f"compare them directly: {ends.old}..{ends.new}")
        revision = replace(revision, commit=fork)
    with ExitStack() as stack:

        def side_of(one: Revision) -> Side | None:
            temporary = Path(os.path.realpath(stack.enter_context(scratch("kcd-gen-revision-"))))
            checkout = stack.enter_context(open_revision(repository, one, temporary, now.budget))
            try:
                side = _revision_side(checkout, flags, directory, path, now)
            except ProblemsError as error:
                raise ProblemsError(*(_name_revision(one, checkout) for one in error.problems)) from error
            return replace(side, output=_no_output) if side is not None and unread else side

        surroundings(now, Problems())  # found once, in the working tree, for all sides
        find_beside_outputs(now)
        old = side_of(revision)
        if until is not None:
            there = side_of(until)
            if there is None:
                what = f"the project file '{path.name}'" if path else "none of the sources"
                message = f"'{ends.new}' does not have {what}" if path else f"'{ends.new}' has {what}"
                raise ProblemsError.of("missing-project", message, hint="compare revisions that have the project")
            new = there
        yield Sides(revision, until, old, new)


def _directory_side(start: Path, flags: Flags, now: Project) -> Side:
    """Return the side of the project in another directory, with a file of the same name."""
    if not start.is_dir():
        hint = "pass a directory, such as another checkout of the repository"
        raise ProblemsError.of("usage", f"--from: '{shown_path(start)}' is not a directory", hint=hint)
    name = flags.project.name if flags.project else None
    if name and not (start / name).is_file():
        hint = "pass the directory that contains the project file"
        raise ProblemsError.of("missing-project", f"'{shown_path(start)}' has no file '{name}'", hint=hint)
    project = load_project(replace(flags, project=start.absolute() / name if name else None), start.absolute())
    project = replace(project, budget=now.budget)
    return Side(project, project_lock(project), partial(_output_on_disk, project))


def _revision_side(checkout: Checkout, flags: Flags, directory: Path, path: Path | None, now: Project) -> Side | None:
    """Return the side of a revision; None if it has no project."""
    top = checkout.repository.top
    start = _inside(top, path.parent if path else directory, "the project")
    root = checkout.directory / start
    root.mkdir(parents=True, exist_ok=True)
    # Blobs of vendored packages are read from the working tree.
    files = CheckoutFiles(checkout.directory, (*now.files.allowed, top))
    if path is None:
        located = [_locate(top, directory, source) for source in flags.sources]
        # A source can be missing in the revision; if the flag is wrong, the working tree's side reports it.
        inside = [source for source, elsewhere in located if not elsewhere and checkout.exists(source)]
        if not inside:
            return None
        outside = [source for source, elsewhere in located if elsewhere]
        sources = (*(os.path.relpath(one or ".", start or ".") for one in inside), *outside)
        output = os.path.relpath(directory / (flags.output or _UNREAD), top)  # excluded from the sources
        old = read_project(replace(flags, sources=sources, output=checkout.directory / output), root, files)
    else:
        file = f"{start}/{path.name}".lstrip("/")
        if not checkout.has(file):
            return None
        checkout.take_sources([file])
        old = read_project(replace(flags, project=checkout.directory / file, clusters=(), output=None), root, files)
        chosen = [one for one in old.clusters if not flags.clusters or one.name in flags.clusters]
        inside, clusters = [], []
        for cluster in chosen:
            located = [_locate(top, top / start, source) for source in cluster.sources]
            inside += [source for source, elsewhere in located if not elsewhere]
            clusters.append(_with_sources(cluster, located, start))
        old = replace(old, clusters=tuple(clusters))
    origin = f"{checkout.tree.revision.name}:{start}{'/' if start else ''}"
    old = replace(old, origin=origin, vendor=_old_vendor(checkout, old, directory))
    lock = f"{start}/{old.lock_path.name}".lstrip("/")
    # All sides share one budget, and the Flux Kustomizations outside of the sources.
    old = replace(old, budget=now.budget, surroundings=now.surroundings)
    check_paths(old, outputs=False)  # nothing is written to its outputs
    checkout.take_sources([*inside, *([lock] if checkout.has(lock) else [])])
    if any(cluster.rendered for cluster in old.clusters):
        checkout.take_everything()
    named = partial(_name_revision, checkout=checkout)
    return Side(old, project_lock(old), partial(_output_in_revision, checkout, old), named)


def _no_output(_cluster: Cluster) -> Written | None:
    return None


def _output_on_disk(project: Project, cluster: Cluster) -> Written | None:
    return on_disk(cluster.output, project)


def _output_in_revision(checkout: Checkout, project: Project, cluster: Cluster) -> Written | None:
    """Return the output in the revision, or None if it has none or the output is outside the repository."""
    output = Path(os.path.normpath(cluster.output))
    if not output.is_relative_to(checkout.directory):
        return None
    directory = output.relative_to(checkout.directory).as_posix()
    real, _ = checkout.tree.real(f"{directory}/flux")
    return in_revision(checkout, directory, project.budget) if checkout.tree.kind(real) == "directory" else None


def _locate(top: Path, directory: Path, source: str) -> tuple[str, bool]:
    """Return a source relative to the repository's root and False, or its absolute path and True if it is outside.

    A source outside the repository is not part of any revision, so both sides read its current files, if the user
    allows that. Raises ProblemsError `no-repository` if the source contains the repository.
    """
    path = Path(os.path.normpath(directory / source))
    holds_repository = top.is_relative_to(os.path.realpath(directory / fixed_part(source)))
    if holds_repository or path.is_relative_to(top) or _resolved(path).is_relative_to(top):
        return _inside(top, directory / source, f"the source '{source}'"), False
    return str(path), True


def _with_sources(cluster: Cluster, located: Sequence[tuple[str, bool]], start: str) -> Cluster:
    """Return a cluster of the revision with sources relative to the directory that has the revision's files."""
    sources = [one if elsewhere else os.path.relpath(one or ".", start or ".") for one, elsewhere in located]
    pairs = list(zip(cluster.sources, sources, strict=True))
    if all(os.path.normpath(before) == after for before, after in pairs):
        return cluster  # unchanged, because the clusters of both sides are compared for equality
    places = {after: cluster.places[before] for before, after in pairs}
    return replace(cluster, sources=tuple(sources), places=places)


def _old_vendor(checkout: Checkout, old: Project, directory: Path) -> Path | None:
    """Return the vendor layout of the revision, or of the working tree if it is not committed or is outside."""
    if old.vendor is None:
        return None
    vendor = directory / old.vendor
    top, base = checkout.repository.top, checkout.directory
    if not Path(os.path.normpath(vendor)).is_relative_to(base):
        base = top
        if vendor.is_relative_to(old.root):  # it has `..` components, relative to the project file
            vendor = top / old.root.relative_to(checkout.directory) / vendor.relative_to(old.root)
    real = _resolved(vendor)
    if not real.is_relative_to(base):
        return vendor
    inside = real.relative_to(base).as_posix()
    return checkout.directory / inside if checkout.take_layout(inside) else top / inside


def _resolved(path: Path) -> Path:
    """Resolve the symlinks in `path`, except in its last component."""
    return Path(os.path.normpath(Path(os.path.realpath(path.parent)) / path.name))


def _inside(top: Path, path: Path, what: str) -> str:
    """Return `path` relative to the repository's root, "" for the root. Its last component can be a symlink or a glob.

    Raises ProblemsError `no-repository` for a path outside the repository; `what` is the subject of the message.
    """
    fixed = os.path.normpath(path)
    if not Path(fixed).is_relative_to(top):
        fixed = os.path.join(os.path.realpath(os.path.dirname(fixed)), os.path.basename(fixed))  # noqa: PTH118, PTH119, PTH120
    if not Path(fixed).is_relative_to(top):
        raise ProblemsError.of(
            "no-repository",
            f"{what} is outside the Git repository '{top}'",
            hint="move it into the repository, or compare a project inside a repository",
        )
    inside = os.path.relpath(fixed, top)
    return "" if inside == "." else inside


def _name_revision(problem: Problem, checkout: Checkout) -> Problem:
    """Return the problem with the name of the revision instead of the temporary directory that has its files."""
    name = checkout.tree.revision.name

    def shown(text: str) -> str:
        for directory in (str(checkout.directory), shown_path(checkout.directory)):
            text = text.replace(f"{directory}/", f"{name}:").replace(directory, name)
        return text

    position = problem.position
    if position is not None:
        path: str = position.path
        if isinstance(path, FilePath) and path.absolute.is_relative_to(checkout.directory):
            path = str(path.absolute)
        position = replace(position, path=shown(path)) if shown(path) != path else position
    hint = problem.hint and shown(problem.hint)
    return replace(problem, message=shown(problem.message), hint=hint, position=position)
