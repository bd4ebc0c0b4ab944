"""One comment for each project on a pull request on GitHub or a merge request on GitLab, through the REST API.

The comment is identified by its first line, an HTML comment that is not displayed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.network.hosts import AttemptError
from kubocd_gen.network.settings import Network
from kubocd_gen.network.transport import Transport

LIMIT = 65_536  # characters; GitHub's limit (GitLab's is a million)
_NOTHING = "### What this change does\n\nThis change does not affect the compiled output.\n"
_UNKNOWN = (
    "### What this change does\n\nUnknown: the sources could not be compiled before or after the change. See the log.\n"
)
_MAX_RESPONSE = 32 << 20  # bytes; 100 comments of maximum length take less
_PAGE = 100  # the largest page size of both platforms
_PAGES = 50
_INSIDERS = ("OWNER", "MEMBER", "COLLABORATOR")


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


def _transport() -> Transport:
    path = os.environ.get("KCD_GEN_CA_FILE")
    return Transport(Network(ca_file=Path(path) if path else None))


@dataclass(frozen=True, slots=True)
class _Api:
    """An API at the URL `base`: JSON over HTTP with a token."""

    base: str
    token: str = field(repr=False)
    transport: Transport = field(default_factory=_transport)

    def call(self, method: str, path: str, body: str | None = None) -> Any:
        """Send a request and return the JSON of the response; `body` is the body of a comment.

        Raises CommentError if there is no response, or one with a status other than success or without JSON.
        """
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps({"body": body}).encode()
        # POST is not retried: if only the response was lost, the comment exists already.
        send = self.transport.attempt if method == "POST" else self.transport.request
        try:
            response = send(method, f"{self.base}{path}", headers=headers, data=data, limit=_MAX_RESPONSE)
        except (ProblemsError, AttemptError) as error:
            raise CommentError(error.text if isinstance(error, AttemptError) else error.problem.message) from None
        try:
            content = json.loads(response.body)
        except (ValueError, RecursionError):
            content = None
        if 200 <= response.status < 300 and content is not None:
            return content
        message = str(content.get("message", ""))[:200] if isinstance(content, dict) else ""
        rights = "; check that the token has permission to comment" if response.status in (401, 403, 404) else ""
        raise CommentError(f"{method} {path} failed with status {response.status} {message}".rstrip() + rights)

    def pages(self, path: str, query: str = "") -> Iterator[dict[str, Any]]:
        """Yield the items of a list that have an `id`, from all pages; `query` ends with `&`."""
        for page in range(1, _PAGES + 1):
            items = self.call("GET", f"{path}?{query}per_page={_PAGE}&page={page}")
            if not isinstance(items, list):
                raise CommentError("the response is not a list of comments")
            yield from (item for item in items if isinstance(item, dict) and isinstance(item.get("id"), int))
            if len(items) < _PAGE:
                return


@dataclass(frozen=True, slots=True)
class _PullRequest:
    api: _Api
    repository: str
    number: str

    def comments(self) -> Iterator[Comment]:
        for item in self.api.pages(f"/repos/{self.repository}/issues/{self.number}/comments"):
            user = item["user"] if isinstance(item.get("user"), dict) else {}  # null for a deleted account
            # In a public repository, anyone can write a comment that begins with our mark. Bots act with a token.
            ours = user.get("type") == "Bot" or item.get("author_association") in _INSIDERS
            yield Comment(item["id"], str(item.get("body") or ""), ours)

    def create(self, body: str) -> None:
        self.api.call("POST", f"/repos/{self.repository}/issues/{self.number}/comments", body)

    def update(self, id_: int, body: str) -> None:
        self.api.call("PATCH", f"/repos/{self.repository}/issues/comments/{id_}", body)


def github_thread(environment: Mapping[str, str]) -> _PullRequest:
    """Return the pull request that the variables of the run and the action identify.

    These are GITHUB_API_URL and GITHUB_REPOSITORY, and the action's GITHUB_TOKEN and PULL_REQUEST. Raises CommentError
    if one of them is missing or invalid.
    """
    repository, number = environment.get("GITHUB_REPOSITORY", ""), environment.get("PULL_REQUEST", "")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository) or not re.fullmatch(r"[0-9]+", number):
        raise CommentError("this run is not for a pull request")
    if not environment.get("GITHUB_TOKEN"):
        raise CommentError("GITHUB_TOKEN is not set")
    base = environment.get("GITHUB_API_URL") or "https://api.github.com"
    return _PullRequest(_Api(base, environment["GITHUB_TOKEN"]), repository, number)


@dataclass(frozen=True, slots=True)
class _MergeRequest:
    api: _Api
    path: str  # /projects/<id>/merge_requests/<number>/notes

    def comments(self) -> Iterator[Comment]:
        me = self.api.call("GET", "/user")
        if not (isinstance(me, dict) and isinstance(me.get("id"), int)):
            raise CommentError("GitLab did not return the user of the token")
        for item in self.api.pages(self.path, "sort=asc&order_by=created_at&"):
            author = item["author"] if isinstance(item.get("author"), dict) else {}
            yield Comment(item["id"], str(item.get("body") or ""), author.get("id") == me["id"])

    def create(self, body: str) -> None:
        self.api.call("POST", self.path, body)

    def update(self, id_: int, body: str) -> None:
        self.api.call("PUT", f"{self.path}/{id_}", body)


def gitlab_thread(environment: Mapping[str, str]) -> _MergeRequest:
    """Return the merge request that the variables of the pipeline identify.

    These are CI_API_V4_URL, CI_MERGE_REQUEST_PROJECT_ID, CI_MERGE_REQUEST_IID and KCD_GEN_COMMENT_TOKEN. Raises
    CommentError if one of them is missing or invalid.
    """
    project, number = environment.get("CI_MERGE_REQUEST_PROJECT_ID", ""), environment.get("CI_MERGE_REQUEST_IID", "")
    if not (re.fullmatch(r"[0-9]+", project) and re.fullmatch(r"[0-9]+", number)):
        raise CommentError("this is not a merge request pipeline")
    if not environment.get("KCD_GEN_COMMENT_TOKEN"):
        raise CommentError("KCD_GEN_COMMENT_TOKEN is not set")
    base = environment.get("CI_API_V4_URL") or "https://gitlab.com/api/v4"
    api = _Api(base, environment["KCD_GEN_COMMENT_TOKEN"])
    return _MergeRequest(api, f"/projects/{project}/merge_requests/{number}/notes")
