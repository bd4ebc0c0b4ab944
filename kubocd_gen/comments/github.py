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
            user = item["user"] if isinstance(item.get("user"), dict) else {}  # null of an account that is gone
            # Whoever can see a public repository can write a comment that begins as ours does. Bots act with a token.
            ours = user.get("type") == "Bot" or item.get("author_association") in _INSIDERS
            yield Comment(item["id"], str(item.get("body") or ""), ours)

    def create(self, body: str) -> None:
        self.api.call("POST", f"/repos/{self.repository}/issues/{self.number}/comments", body)

    def update(self, id_: int, body: str) -> None:
        self.api.call("PATCH", f"/repos/{self.repository}/issues/comments/{id_}", body)


def github_thread(environment: Mapping[str, str]) -> _PullRequest:
    """From GITHUB_API_URL, GITHUB_REPOSITORY and, of the action, GITHUB_TOKEN and PULL_REQUEST.

    Raises CommentError where they do not say where a comment would go.
    """
    repository, number = environment.get("GITHUB_REPOSITORY", ""), environment.get("PULL_REQUEST", "")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository) or not re.fullmatch(r"[0-9]+", number):
        raise CommentError("this is no run for a pull request")
    if not environment.get("GITHUB_TOKEN"):
        raise CommentError("there is no token")
    base = environment.get("GITHUB_API_URL") or "https://api.github.com"
    return _PullRequest(Api(base, environment["GITHUB_TOKEN"]), repository, number)
