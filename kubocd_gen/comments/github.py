"""The comments of a pull request on GitHub."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kubocd_gen.comments.comment import Comment, CommentError
from kubocd_gen.comments.rest import Api

_INSIDERS = ("OWNER", "MEMBER", "COLLABORATOR")


@dataclass(frozen=True, slots=True)
class _PullRequest:
    api: Api
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
    return _PullRequest(Api(base, environment["GITHUB_TOKEN"]), repository, number)
