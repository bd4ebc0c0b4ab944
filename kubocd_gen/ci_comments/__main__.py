"""`python -m kubocd_gen.ci_comments github|gitlab FILE`: what to say is in FILE, where to say it in the environment.

An empty FILE says that nothing differs, one that is not there that it could not be told. A comment that can't be made
is a warning, never a failure: what the run found is in its log.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from kubocd_gen.ci_comments.comment import CommentError, Thread, comment_body, marker, put_comment
from kubocd_gen.ci_comments.github import github_thread
from kubocd_gen.ci_comments.gitlab import gitlab_thread
from kubocd_gen.ci_formats.findings import Finding
from kubocd_gen.ci_formats.github import github_lines
from kubocd_gen.diagnostics import printable

_THREADS: dict[str, Callable[[Mapping[str, str]], Thread]] = {"github": github_thread, "gitlab": gitlab_thread}


def main(arguments: list[str]) -> int:
    """Exit status 0 unless the arguments are wrong."""
    if len(arguments) != 2 or arguments[0] not in _THREADS:
        sys.stderr.write("usage: python -m kubocd_gen.ci_comments github|gitlab FILE\n")
        return 2
    kind, path = arguments
    try:
        file = Path(path)
        said = file.read_text(encoding="utf-8", errors="replace") if file.exists() else None
        mark = marker(os.environ.get("KCD_GEN_COMMENT_NAME", "").strip())
        thread = _THREADS[kind](os.environ)
        done = put_comment(thread, mark, comment_body(said, mark), create=bool(said and said.strip()))
        sys.stdout.write(f"{done}\n")
    except CommentError as error:
        message = f"no comment was made: {error}"
        if kind == "github":
            sys.stdout.writelines(f"{line}\n" for line in github_lines([Finding("warning", "comment", message)]))
        else:
            sys.stderr.write(f"warning: {printable(message)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
