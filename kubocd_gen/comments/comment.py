"""One comment per project, identified by its first line, an HTML comment that is not displayed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

LIMIT = 65_536  # characters; GitHub's limit (GitLab's is a million)
_NOTHING = "### What this change does\n\nThis change does not affect the compiled output.\n"
_UNKNOWN = (
    "### What this change does\n\nUnknown: the sources could not be compiled before or after the change. See the log.\n"
)


class CommentError(Exception):
    """Commenting failed; the message gives the reason and contains no secrets."""


@dataclass(frozen=True, slots=True)
class Comment:
    """An existing comment. `is_ours` is false if its author could be an outsider, whose comment must not be updated."""

    id: int
    body: str
    is_ours: bool


class Thread(Protocol):
    """The comments of one pull or merge request. Each method raises CommentError."""

    def comments(self) -> Iterator[Comment]:
        """Yield all comments, oldest first."""

    def create(self, body: str) -> None:
        """Add a comment."""

    def update(self, id_: int, body: str) -> None:
        """Replace the body of a comment."""


def marker(name: str) -> str:
    """Return the first line of the comment called `name`; each project in a repository has its own comment."""
    return f"<!-- kcd-gen diff {hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:16]} -->"


def comment_body(text: str | None, mark: str) -> str:
    """Return the whole comment; `text` is the output of diff, None if it failed. Raises CommentError if too long."""
    body = f"{mark}\n{_UNKNOWN if text is None else text if text.strip() else _NOTHING}"
    if len(body) > LIMIT:
        raise CommentError(f"the comment has {len(body)} characters, which exceeds GitHub's limit of {LIMIT}")
    return body


def put_comment(thread: Thread, mark: str, body: str, *, create: bool) -> str:
    """Update the comment that begins with `mark`; if there is none, create it if `create` is set.

    Returns what was done, for the log. Raises CommentError.
    """
    for one in thread.comments():
        if one.is_ours and one.body.startswith(mark):
            if one.body.replace("\r\n", "\n").rstrip() == body.rstrip():
                return "the comment is up to date"
            thread.update(one.id, body)
            return "updated the comment"
    if not create:
        return "nothing to comment on"
    thread.create(body)
    return "created a comment"
