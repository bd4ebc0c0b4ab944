"""One comment, found again by its first line: a comment of HTML, which readers don't see."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

LIMIT = 65_536  # characters, of GitHub; GitLab takes a million
_NOTHING = "### What this change does\n\nNothing: what the sources compile to is what it was before.\n"
_UNKNOWN = "### What this change does\n\nThat can't be told: one side of it could not be compiled. The log says why.\n"


class CommentError(Exception):
    """The comment can't be made; the text says why, without a secret."""


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment that is there. `is_ours`: nobody from outside can have written it."""

    id: int
    body: str
    is_ours: bool


class Thread(Protocol):
    """The comments of one pull or merge request. Each method raises CommentError."""

    def comments(self) -> Iterator[Comment]:
        """All comments, the oldest first."""

    def create(self, body: str) -> None:
        """Add a comment."""

    def update(self, id_: int, body: str) -> None:
        """Replace the text of a comment."""


def marker(name: str) -> str:
    """The first line of the comment that is called `name`: of several projects in a repository each has its own."""
    return f"<!-- kcd-gen diff {hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:16]} -->"


def comment_body(said: str | None, mark: str) -> str:
    """The whole comment; `said` is what diff printed, None where it failed. Raises CommentError for one too long."""
    body = f"{mark}\n{_UNKNOWN if said is None else said if said.strip() else _NOTHING}"
    if len(body) > LIMIT:
        raise CommentError(f"it would have {len(body)} characters, and GitHub takes {LIMIT}")
    return body


def put_comment(thread: Thread, mark: str, body: str, *, create: bool) -> str:
    """Say `body` in the comment with the mark, in a new one where there is none and `create`. Returns what was done."""
    for one in thread.comments():
        if one.is_ours and one.body.startswith(mark):
            if one.body.replace("\r\n", "\n").rstrip() == body.rstrip():
                return "the comment says it already"
            thread.update(one.id, body)
            return "the comment was updated"
    if not create:
        return "there is nothing to comment on"
    thread.create(body)
    return "a comment was made"
