"""The notes of a merge request on GitLab."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kubocd_gen.comments.comment import Comment, CommentError
from kubocd_gen.comments.rest import Api


@dataclass(frozen=True, slots=True)
class _MergeRequest:
    api: Api
    path: str  # /projects/<id>/merge_requests/<number>/notes

    def comments(self) -> Iterator[Comment]:
        me = self.api.call("GET", "/user")
        if not (isinstance(me, dict) and isinstance(me.get("id"), int)):
            raise CommentError("GitLab did not return the user of the token")
        for item in self.api.pages(f"{self.path}?sort=asc&order_by=created_at"):
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
    return _MergeRequest(
        Api(base, environment["KCD_GEN_COMMENT_TOKEN"]), f"/projects/{project}/merge_requests/{number}/notes"
    )
