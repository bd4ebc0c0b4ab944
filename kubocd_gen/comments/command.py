"""`kcd-gen-ci`, for the scripts of the GitHub Action and the GitLab component.

    kcd-gen-ci base github|gitlab           print the commit to compare with; nothing outside of a merge request
    kcd-gen-ci comment github|gitlab FILE   create or update the comment with the content of FILE

An empty FILE means that nothing changes, a missing FILE that the diff failed. If commenting fails, the command prints a
warning and exits with 0, because the log has all results. A base commit that the checkout does not have is fetched.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from kubocd_gen.comments.comment import CommentError, comment_body, github_thread, gitlab_thread, marker, put_comment
from kubocd_gen.diagnostics.annotations import Annotation
from kubocd_gen.diagnostics.ci_formats import github_lines
from kubocd_gen.diagnostics.problems import ProblemsError, printable
from kubocd_gen.git.repository import Repository, find_repository
from kubocd_gen.processes.children import drop_relative_entries, interruptible

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_USAGE = "usage: kcd-gen-ci base github|gitlab\n       kcd-gen-ci comment github|gitlab FILE\n"


def main() -> None:
    """Run the console script. Exit codes: 0 success, 1 the base commit is not available, 2 usage error."""
    drop_relative_entries()
    with interruptible():
        code = run(sys.argv[1:])
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run the command with `arguments` and return its exit code."""
    match arguments:
        case ["base", "github" | "gitlab" as kind]:
            return _base(kind)
        case ["comment", "github" | "gitlab" as kind, path]:
            _comment(kind, Path(path))
            return 0
    sys.stderr.write(_USAGE)
    return 2


def _base(kind: str) -> int:
    try:
        # Offline, because git must not fetch objects on demand; only a missing base commit is fetched.
        repository = find_repository(Path.cwd(), offline=True)
        base = (github_base if kind == "github" else gitlab_base)(repository, os.environ)
    except ProblemsError as error:
        sys.stderr.write(f"error: {printable(error.problem.message)}\n")
        return 1
    if base is not None:
        sys.stdout.write(f"{base}\n")
    return 0


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


def _comment(kind: str, file: Path) -> None:
    try:
        text = _text(file)
        mark = marker(os.environ.get("KCD_GEN_COMMENT_NAME", "").strip())
        thread = (github_thread if kind == "github" else gitlab_thread)(os.environ)
        outcome = put_comment(thread, mark, comment_body(text, mark), create=bool(text and text.strip()))
        sys.stdout.write(f"{outcome}\n")
    except CommentError as error:
        message = f"could not comment: {error}"
        if kind == "github":
            sys.stdout.writelines(f"{line}\n" for line in github_lines([Annotation("warning", "comment", message)]))
        else:
            sys.stderr.write(f"warning: {printable(message)}\n")


def _text(file: Path) -> str | None:
    """Return the content of the file; None if it does not exist. Raises CommentError."""
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CommentError(f"cannot read {file}: {error.strerror}") from None
