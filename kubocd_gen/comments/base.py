"""The commit that a pull or merge request is compared with, fetched if the checkout does not have it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.git.repository import Repository

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def github_base(repository: Repository, environment: Mapping[str, str]) -> str | None:
    """Return the base commit by BASE_SHA and HEAD_SHA, the two sides of the pull request.

    GitHub checks out a merge of both sides: what the pull request changes is what differs from its first parent. A
    shallow clone knows only the name of that parent. Raises ProblemsError `git-failed`.
    """
    base = _given(environment, "BASE_SHA")
    if base is None:
        return None
    parents = repository.parents("HEAD")
    if len(parents) == 2 and parents[1] == environment.get("HEAD_SHA"):
        base = parents[0]
    _fetched(repository, base)
    return repository.merge_base(base, "HEAD") or base


def gitlab_base(repository: Repository, environment: Mapping[str, str]) -> str | None:
    """Return the base commit by GitLab's variables; None outside of a merge request.

    A pipeline of merged results has both sides checked out. Any other has the branch, which is compared with the commit
    at which it left the target branch. Raises ProblemsError `git-failed`.
    """
    base = _given(environment, "CI_MERGE_REQUEST_TARGET_BRANCH_SHA", "CI_MERGE_REQUEST_DIFF_BASE_SHA")
    if base is not None:
        _fetched(repository, base)
    return base


BASES: dict[str, Callable[[Repository, Mapping[str, str]], str | None]] = {"github": github_base, "gitlab": gitlab_base}


def _given(environment: Mapping[str, str], *names: str) -> str | None:
    for name in names:
        if value := environment.get(name):
            if not _COMMIT.fullmatch(value):
                raise ProblemsError(Problem("unknown-revision", f"{name} is '{value}', not the id of a commit"))
            return value
    return None


def _fetched(repository: Repository, commit: str) -> None:
    if not repository.has_commit(commit):
        repository.fetch_commit(commit)
