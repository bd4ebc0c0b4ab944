"""Which requests the container's nginx answers, and which it refuses."""

from __future__ import annotations

import gzip
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nginx import Nginx, run_nginx
from tests.support.requests import CHART_PATH, INDEX, INDEX_PATH, REQUESTS, ask, check_all, request, write_content


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_content(tmp_path_factory.mktemp("content"))


@pytest.fixture(scope="module")
def nginx(content: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with run_nginx(content, tmp_path_factory.mktemp("nginx")) as running:
        yield running


def test_the_requests_of_the_table(nginx: Nginx) -> None:
    check_all(nginx.port, REQUESTS)


def test_compressed_yaml_has_the_same_content(nginx: Nginx) -> None:
    answer = ask(nginx.port, request(INDEX_PATH, "Accept-Encoding: gzip"))
    assert answer.header("content-encoding") == "gzip"
    assert answer.header("transfer-encoding") == "chunked"
    size, _, body = answer.body.partition(b"\r\n")
    assert gzip.decompress(body[: int(size, 16)]) == INDEX


@pytest.mark.parametrize("path", [INDEX_PATH, CHART_PATH])
@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_a_conditional_request_for_an_unchanged_file_gets_304(nginx: Nginx, path: str, coding: str) -> None:
    accept = f"Accept-Encoding: {coding}"
    first = ask(nginx.port, request(path, accept))
    tag, modified = first.header("etag"), first.header("last-modified")
    for condition in (
        f"If-None-Match: {tag}",
        f'If-None-Match: "other", {tag}',
        "If-None-Match: *",
        f"If-Modified-Since: {modified}",
    ):
        for method in ("GET", "HEAD"):
            again = ask(nginx.port, request(path, accept, condition, method=method))
            assert (again.status, again.body) == (304, b""), condition
            assert again.header("cache-control") == "no-cache"
            assert (again.header("etag") or "").removeprefix("W/") == (tag or "").removeprefix("W/")
    for condition in ('If-None-Match: "other"', "If-Modified-Since: Mon, 13 Nov 2023 22:13:20 GMT"):
        assert ask(nginx.port, request(path, accept, condition)).status == 200


def test_a_changed_file_has_a_new_etag(nginx: Nginx, content: Path) -> None:
    path = content / "hr/default/changing/index.yaml"
    path.parent.mkdir()
    tags = []
    for number, data in enumerate((b"a: 1\n", b"a: 2\n", b"a: 33\n")):
        (path.parent / "new").write_bytes(data)
        os.utime(path.parent / "new", (0, 1_700_000_000 + min(number, 1)))
        (path.parent / "new").replace(path)
        answer = ask(nginx.port, request("/hr/default/changing/index.yaml"))
        assert answer.body == data
        tags.append(answer.header("etag"))
    assert len(set(tags)) == 3  # of the same size, with the same time


def test_each_request_is_logged_as_a_line_of_json(nginx: Nginx) -> None:
    strange = request('/hr/\xff"\\\x7f', 'User-Agent: "\\\x1b[31m\xff{}')
    ask(nginx.port, request(f"{INDEX_PATH}?logged=1", "User-Agent: Helm/3.17"))
    ask(nginx.port, request("/logged", method="DELETE"))
    ask(nginx.port, strange)
    ask(nginx.port, request("/healthz?logged"))
    ask(nginx.port, request("/readyz?logged"))
    ask(nginx.port, request("/logged-last"))
    lines = wait_for_line(nginx, "/logged-last")
    records = [json.loads(line) for line in lines]  # every line, including those of the whole table
    assert not any("healthz?" in record["uri"] or "readyz?" in record["uri"] for record in records)
    first = next(record for record in records if "logged=1" in record["uri"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", first.pop("time"))
    assert re.fullmatch(r"[0-9a-f]{32}", first.pop("request_id"))
    assert isinstance(first.pop("duration"), float)
    assert first == {
        "client": "127.0.0.1",
        "method": "GET",
        "uri": f"{INDEX_PATH}?logged=1",
        "status": 200,
        "bytes": len(INDEX),
        "user_agent": "Helm/3.17",
    }
    assert [record["status"] for record in records if record["uri"] == "/logged"] == [405]
    assert b"\x1b" not in nginx.log.read_bytes()


def wait_for_line(nginx: Nginx, text: str) -> list[str]:
    """Return the lines of the log once one contains `text`: nginx logs after it has answered."""
    for _ in range(100):
        lines = nginx.log.read_text(encoding="ascii").splitlines()
        if any(text in line for line in lines):
            return lines
        time.sleep(0.02)
    raise AssertionError(f"not logged: {text}")
