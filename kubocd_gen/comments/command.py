"""`kcd-gen-ci`, for the scripts of the GitHub Action and the GitLab component.

    kcd-gen-ci base github|gitlab           print the commit to compare with; nothing outside of a merge request
    kcd-gen-ci comment github|gitlab FILE   create or update the comment with the content of FILE

An empty FILE means that nothing changes, a missing FILE that the diff failed. If commenting fails, the command prints a
warning and exits with 0, because the log has all results.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from kubocd_gen.comments.base import BASES
from kubocd_gen.comments.comment import CommentError, Thread, comment_body, marker, put_comment
from kubocd_gen.comments.github import github_thread
from kubocd_gen.comments.gitlab import gitlab_thread
from kubocd_gen.diagnostics.annotations import Annotation
from kubocd_gen.diagnostics.ci_formats import github_lines
from kubocd_gen.diagnostics.problems import ProblemsError, printable
from kubocd_gen.git.repository import find_repository
from kubocd_gen.processes.children import drop_relative_entries

_THREADS: dict[str, Callable[[Mapping[str, str]], Thread]] = {"github": github_thread, "gitlab": gitlab_thread}
_USAGE = "usage: kcd-gen-ci base github|gitlab\n       kcd-gen-ci comment github|gitlab FILE\n"


def main() -> None:
    """Run the console script. Exit codes: 0 success, 1 the base commit is not available, 2 usage error."""
    drop_relative_entries()
    sys.exit(run(sys.argv[1:]))


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
        base = BASES[kind](find_repository(Path.cwd(), offline=True), os.environ)
    except ProblemsError as error:
        sys.stderr.write(f"error: {printable(error.problem.message)}\n")
        return 1
    if base is not None:
        sys.stdout.write(f"{base}\n")
    return 0


def _comment(kind: str, file: Path) -> None:
    try:
        text = file.read_text(encoding="utf-8", errors="replace") if file.exists() else None
        mark = marker(os.environ.get("KCD_GEN_COMMENT_NAME", "").strip())
        thread = _THREADS[kind](os.environ)
        outcome = put_comment(thread, mark, comment_body(text, mark), create=bool(text and text.strip()))
        sys.stdout.write(f"{outcome}\n")
    except CommentError as error:
        message = f"could not comment: {error}"
        if kind == "github":
            sys.stdout.writelines(f"{line}\n" for line in github_lines([Annotation("warning", "comment", message)]))
        else:
            sys.stderr.write(f"warning: {printable(message)}\n")
