"""Comments on a change if the responses of the platform differ from its documentation."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from kubocd_gen.comments.comment import Comment, CommentError, github_thread, gitlab_thread
from tests.support.fault_server import FaultServer, reply

GITHUB = {"GITHUB_REPOSITORY": "acme/platform", "PULL_REQUEST": "7", "GITHUB_TOKEN": "s3cret"}
GITLAB = {"CI_MERGE_REQUEST_PROJECT_ID": "3", "CI_MERGE_REQUEST_IID": "8", "KCD_GEN_COMMENT_TOKEN": "s3cret"}
COMMENTS = "GET /repos/acme/platform/issues/7/comments"
NOTES = "GET /projects/3/merge_requests/8/notes"


def found(*pages: object) -> list[Comment]:
    with FaultServer() as server:
        server.script(COMMENTS, *(reply(200, json.dumps(page).encode()) for page in pages))
        return list(github_thread({**GITHUB, "GITHUB_API_URL": server.url}).comments())


def test_the_author_of_a_comment_is_compared_with_the_token_s_user() -> None:
    author = {"id": 1, "body": "a", "user": {"type": "User"}}
    comments = [
        author,
        {**author, "author_association": "CONTRIBUTOR"},
        {**author, "author_association": "MEMBER"},
        {**author, "user": {"type": "Bot"}},
        {**author, "user": None},
    ]
    assert [one.is_ours for one in found(comments)] == [False, False, True, True, False]


def test_an_entry_that_is_not_a_comment_is_skipped() -> None:
    assert [one.body for one in found([None, {}, {"id": "x"}, {"id": 2, "body": None, "user": 3}])] == [""]
    with pytest.raises(CommentError, match="not a list"):
        found({})


@pytest.mark.parametrize("body", [b"null", b"{}", b"[]", b"<html>", b'{"id": "5"}', b"[" * 100_000])
def test_an_unexpected_user_response_is_an_error(body: bytes) -> None:
    with FaultServer() as server:
        server.script("GET /user", reply(200, body))
        server.script(NOTES, reply(200, b"[]"))
        with pytest.raises(CommentError):
            list(gitlab_thread({**GITLAB, "CI_API_V4_URL": server.url}).comments())


def test_the_token_is_sent_only_to_the_platform() -> None:
    with FaultServer() as other, FaultServer() as server:
        other.script("GET /there", reply(200, b"[]"))
        server.script(COMMENTS, reply(302, b"", {"Location": f"{other.url}/there"}))
        assert list(github_thread({**GITHUB, "GITHUB_API_URL": server.url}).comments()) == []
    assert "authorization" in server.asked[0].headers
    assert "authorization" not in other.asked[0].headers


@pytest.mark.parametrize(
    "environment",
    [
        {**GITHUB, "PULL_REQUEST": ""},
        {**GITHUB, "PULL_REQUEST": "7/../../x"},
        {**GITHUB, "GITHUB_REPOSITORY": "acme/platform/x"},
        {**GITHUB, "GITHUB_TOKEN": ""},
    ],
)
def test_without_a_pull_request_or_a_token_nothing_is_sent(environment: Mapping[str, str]) -> None:
    with pytest.raises(CommentError):
        github_thread(environment)
