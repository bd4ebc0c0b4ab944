"""Which files Git's ignore and attribute rules leave out, of the repository itself or in the same syntax elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.git.process import Done, run
from kubocd_gen.git.repository import Repository
from kubocd_gen.git.setup import Setup, for_own_store, for_questions
from kubocd_gen.processes.children import scratch


@dataclass(frozen=True, slots=True)
class Match:
    """A path, and the rule that matches it: the file with the rule, its line, and the pattern."""

    path: str
    file: str
    line: int
    pattern: str


def ignored_paths(repository: Repository, paths: Sequence[str]) -> list[Match]:
    """Return the `paths`, relative to the repository, that Git ignores. Tracked files are not ignored.

    Raises ProblemsError `git-failed`.
    """
    location = (f"--git-dir={repository.store}", f"--work-tree={repository.top}")
    return list(_ignored(for_questions(), location, repository.top, paths))


def in_lfs(repository: Repository, paths: Sequence[str]) -> list[str]:
    """Return the `paths` that Git would store as pointers of Git LFS. Raises ProblemsError `git-failed`."""
    location = (f"--git-dir={repository.store}", f"--work-tree={repository.top}")
    given = _joined(paths)
    arguments = ("check-attr", "-z", "--stdin", "filter")
    done = _checked(
        run(for_questions(), *location, *arguments, name="check-attr", directory=repository.top, given=given)
    )
    fields = done.stdout.decode("utf-8", "surrogateescape").split("\0")
    found = zip(*[iter(fields[:-1])] * 3, strict=False)
    return [path.removeprefix("./") for path, _, value in found if value == "lfs"]


def ignored_by_rules(rules: Mapping[str, bytes], paths: Sequence[str], environment: Mapping[str, str]) -> list[Match]:
    """Return the `paths` that rules in the syntax of `.gitignore` ignore; `rules` are by directory, "" for the root.

    Git itself evaluates them, in an empty repository. `file` of a match is the directory of its rules. Raises
    ProblemsError `git-failed`.
    """
    with scratch("kcd-gen-rules-") as directory:
        top = Path(os.path.realpath(directory))
        store = top / "store"
        tree = top / "tree"
        tree.mkdir()
        for name, content in rules.items():
            (tree / name).mkdir(parents=True, exist_ok=True)
            (tree / name / ".gitignore").write_bytes(content)
        setup = for_own_store(environment)
        _checked(run(setup, "init", "--quiet", "--bare", "--template=", "--", str(store), name="init"))
        location = (f"--git-dir={store}", f"--work-tree={tree}", "-c", f"core.excludesFile={os.devnull}")
        return [
            Match(one.path, one.file.removesuffix(".gitignore").removesuffix("/"), one.line, one.pattern)
            for one in _ignored(setup, location, tree, paths, "--no-index")
        ]


def _ignored(setup: Setup, location: Iterable[str], top: Path, paths: Sequence[str], *options: str) -> Iterator[Match]:
    given = _joined(paths)
    arguments = (*location, "check-ignore", "--verbose", "-z", "--stdin", *options)
    done = run(setup, *arguments, name="check-ignore", directory=top, given=given)
    if done.status != 1:  # nothing is ignored
        _checked(done)
    fields = done.stdout.decode("utf-8", "surrogateescape").split("\0")
    for file, line, pattern, path in zip(*[iter(fields[:-1])] * 4, strict=False):
        if not pattern.startswith("!"):
            yield Match(path.removeprefix("./"), file, int(line), pattern)


def _joined(paths: Sequence[str]) -> bytes:
    return "".join(f"./{path}\0" for path in paths).encode("utf-8", "surrogateescape")


def _checked(done: Done) -> Done:
    if done.status:
        raise ProblemsError.of("git-failed", f"git failed to evaluate ignored files: {done.reason}")
    return done
