"""The commit that a pull or merge request is compared with, fetched if the checkout does not have it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.git.repository import Repository

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def github_base(repository: Repository, environment: Mapping[str, str]) -> str | None:
    """Return the base commit, from BASE_SHA and HEAD_SHA of the pull request; None if BASE_SHA is not set.

    GitHub checks out a merge of both commits, and the pull request changes what differs from its first parent. A
    shallow clone does not contain that parent, so it is fetched. Raises ProblemsError `git-failed` or
    `unknown-revision`.
    """
    base = _commit(environment, "BASE_SHA")
    if base is None:
        return None
    parents = repository.parents("HEAD")
    if len(parents) == 2 and parents[1] == environment.get("HEAD_SHA"):
        base = parents[0]
    _fetch_if_missing(repository, base)
    return repository.merge_base(base, "HEAD") or base


def gitlab_base(repository: Repository, environment: Mapping[str, str]) -> str | None:
    """Return the base commit, from GitLab's variables; None outside of a merge request.

    A merged results pipeline checks out a merge of both branches, which is compared with the target branch. Others
    check out the source branch, which is compared with the merge base. Raises ProblemsError `git-failed` or
    `unknown-revision`.
    """
    base = _commit(environment, "CI_MERGE_REQUEST_TARGET_BRANCH_SHA", "CI_MERGE_REQUEST_DIFF_BASE_SHA")
    if base is not None:
        _fetch_if_missing(repository, base)
    return base


BASES: dict[str, Callable[[Repository, Mapping[str, str]], str | None]] = {"github": github_base, "gitlab": gitlab_base}


def _commit(environment: Mapping[str, str], *names: str) -> str | None:
    """Return the commit in the first of the variables `names` that is set."""
    for name in names:
        if value := environment.get(name):
            if not _COMMIT.fullmatch(value):
                raise ProblemsError.of("unknown-revision", f"{name} is not a valid commit ID: '{value}'")
            return value
    return None


def _fetch_if_missing(repository: Repository, commit: str) -> None:
    if not repository.has_commit(commit):
        repository.fetch_commit(commit)
