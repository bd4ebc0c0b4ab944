"""Fetching from an untrusted server: credentials, redirects, protocols, limits."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import SplitResult

import pytest

from kubocd_gen.budget.limits import LIMITS, moved
from kubocd_gen.budget.spending import Budget
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.git.fetch import FetchTooLargeError, fetch_commit
from kubocd_gen.network.settings import Network
from kubocd_gen.packaging.git import Git
from kubocd_gen.packaging.manifest_file import GitChart
from tests.support.charts import chart_files, git, git_repository, serve
from tests.support.fault_server import FaultServer, reply
from tests.support.git_traps import RecordingGit, look_like_a_repository

HEADER = f"Basic {base64.b64encode(b'alice:s3cret').decode()}"
SMART = {"Content-Type": "application/x-git-upload-pack-advertisement"}
# The first response of a server with Git protocol version 2; a POST request follows.
ADVERTISEMENT = (
    b"001e# service=git-upload-pack\n0000"
    b"000eversion 2\n0015agent=git/2.39.5\n0013ls-refs=unborn\n0012fetch=shallow\n0000"
)


@pytest.fixture
def servers() -> Iterator[tuple[FaultServer, FaultServer]]:
    """Start two servers; the first redirects requests for a repository to the second."""
    with FaultServer() as first, FaultServer() as second:
        location = f"{second.url}/r.git/info/refs?service=git-upload-pack"
        first.script("GET /r.git/info/refs", reply(302, fields={"Location": location}))
        second.script("GET /r.git/info/refs", reply(200, ADVERTISEMENT, SMART))
        yield first, second


def fetch(
    url: str,
    store: Path,
    logins: Mapping[str, tuple[str, str]] | None = None,
    network: Network | None = None,
    **variables: str,
) -> str:
    """The error of a fetch."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(store.parent), **variables}
    git = Git(network or Network(), lambda url: (logins or {}).get(url.netloc), environment)
    with pytest.raises(ProblemsError) as caught:
        git.fetch(GitChart(url, "refs/heads/main", ""), store)
    return f"{caught.value.problem.code}: {caught.value.problem.message} ({caught.value.problem.hint})"


def no_login(_url: SplitResult) -> tuple[str, str] | None:
    return None


def fields(server: FaultServer) -> list[str | None]:
    return [one.headers.get("authorization") for one in server.asked]


def test_an_authorization_header_does_not_follow_a_redirect(
    servers: tuple[FaultServer, FaultServer], tmp_path: Path
) -> None:
    first, second = servers
    message = fetch(f"{first.url}/r.git", tmp_path / "store", {first.host: ("alice", "s3cret")})
    assert fields(first) == [HEADER]
    assert second.asked == []
    assert "source.git.url" in message
    assert "s3cret" not in message
    assert HEADER not in message


@pytest.mark.parametrize("scope", ["http", "http.{url}/", "http.{url}/r.git"])
def test_a_header_of_the_user_s_configuration_does_not_follow_a_redirect(
    servers: tuple[FaultServer, FaultServer], tmp_path: Path, scope: str
) -> None:
    first, second = servers
    section = scope.format(url=first.url)
    (tmp_path / ".gitconfig").touch()
    for key, value in (("extraHeader", f"Authorization: {HEADER}"), ("followRedirects", "true")):
        git(tmp_path, "config", "--file", ".gitconfig", f"{section}.{key}", value)
    fetch(f"{first.url}/r.git", tmp_path / "store")
    assert fields(first) == [HEADER]
    assert second.asked == []
    (tmp_path / ".gitconfig").unlink()
    fetch(
        f"{first.url}/r.git",
        tmp_path / "store",
        GIT_CONFIG_COUNT="1",
        GIT_CONFIG_KEY_0=f"{section}.extraHeader",
        GIT_CONFIG_VALUE_0=f"Authorization: {HEADER}",
    )
    assert fields(first) == [HEADER] * 2
    assert second.asked == []


def test_without_credentials_a_redirect_is_followed(servers: tuple[FaultServer, FaultServer], tmp_path: Path) -> None:
    first, second = servers
    fetch(f"{first.url}/r.git", tmp_path / "store", {"other.example.com": ("alice", "s3cret")})
    assert [one.method for one in second.asked] == ["GET", "POST"]
    assert fields(first) + fields(second) == [None] * 3


def test_credentials_are_sent_over_plain_http_only_to_this_machine(tmp_path: Path) -> None:
    logins = dict.fromkeys(("git.example.com", "127.0.0.1.example.com", "github.com"), ("alice", "s3cret"))
    with FaultServer() as proxy:
        proxy.script("GET *", reply(401, fields={"WWW-Authenticate": "Basic"}))
        for host in logins:
            message = fetch(
                f"http://{host}/r.git", tmp_path / host, logins, http_proxy=proxy.url, GITHUB_TOKEN="ghs_secret"
            )
            assert "https:// in source.git.url" in message
        assert proxy.asked
        assert not any(field and "secret" in base64.b64decode(field[6:]).decode() for field in fields(proxy))


def test_requests_to_this_machine_use_no_proxy(tmp_path: Path) -> None:
    with FaultServer() as proxy, FaultServer() as server:
        fetch(f"{server.url}/r.git", tmp_path / "store", {server.host: ("alice", "s3cret")}, http_proxy=proxy.url)
        assert fields(server) == [HEADER]
        assert proxy.asked == []


def test_a_repository_that_requires_a_login_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory, bare = tmp_path / "checkout", tmp_path / "www/r.git"
    directory.mkdir()
    git_repository(directory, chart_files())
    git(tmp_path, "clone", "--quiet", "--bare", str(directory), str(bare))
    git(bare, "update-server-info")
    recording = RecordingGit(tmp_path / "bin")
    monkeypatch.setenv("PATH", recording.path)
    with serve(tmp_path / "www", login=("alice", "s3cret")) as static:
        logins = {static.host: ("alice", "s3cret")}
        source = GitChart(f"{static.url}/r.git", "refs/heads/main", "")
        found = Git(Network(), lambda url: logins.get(url.netloc), dict(os.environ)).fetch(source, tmp_path / "store")
        found.copy("", tmp_path / "copy", lambda _: True, LIMITS)
        message = fetch(source.url, tmp_path / "other")
        assert "_USER and KCD_OCI_127_0_0_1_" in message
    assert (tmp_path / "copy/Chart.yaml").read_bytes() == chart_files()["Chart.yaml"]
    assert "s3cret" not in recording.said()
    assert HEADER.split()[1] not in recording.said()


def test_a_repository_in_the_checkout_runs_no_program(tmp_path: Path) -> None:
    look_like_a_repository(tmp_path / "hostile", tmp_path / "mark")
    (tmp_path / "hostile/refs/heads/main").write_text("0123456789" * 4 + "\n")
    (tmp_path / "hostile/HEAD").write_text("ref: refs/heads/main\n")
    config = tmp_path / "hostile/config"
    config.write_text(config.read_text().replace("worktree = .", "").replace("bare = false", "bare = true"))
    assert fetch(f"file://{tmp_path}/hostile", tmp_path / "store").startswith("git-failed")
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    ("url", "rewritten", "allowed"),
    [
        ("https://git.example.com/r", "ext::touch {mark}", False),
        ("https://git.example.com/r", "http://127.0.0.1:1/r", False),
        ("https://git.example.com/r", "file://{repository}", True),
        ("file:///nowhere", "ext::touch {mark}", False),
    ],
)
def test_a_url_with_another_protocol_is_refused(tmp_path: Path, url: str, rewritten: str, *, allowed: bool) -> None:
    mark, directory = tmp_path / "mark", tmp_path / "repository"
    directory.mkdir()
    git_repository(directory, chart_files())
    (tmp_path / ".gitconfig").write_text('[protocol "ext"]\n\tallow = always\n')
    target = rewritten.format(mark=mark, repository=directory)
    git(tmp_path, "config", "--file", ".gitconfig", f"url.{target}.insteadOf", url)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = fetch_commit(url, "refs/heads/main", tmp_path / "store", environment)
    assert (done.status == 0) == allowed
    assert allowed or "not allowed" in done.stderr
    assert not mark.exists()


def test_a_fetch_has_a_disk_limit(tmp_path: Path) -> None:
    directory = tmp_path / "repository"
    directory.mkdir()
    git_repository(directory, {"random": os.urandom(200_000)})
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    with pytest.raises(FetchTooLargeError):
        fetch_commit(f"file://{directory}", "refs/heads/main", tmp_path / "one", environment, most=100_000)
    run = Network(budget=Budget(moved(LIMITS, {"fetched": 300_000})))
    source = GitChart(f"file://{directory}", "refs/heads/main", "")
    Git(run, no_login, environment).fetch(source, tmp_path / "two")
    assert fetch(source.url, tmp_path / "three", network=run).startswith("run-limit: registries sent more")


def test_all_fetches_share_the_network_time_of_the_run(tmp_path: Path) -> None:
    git_repository(directory := tmp_path / "r", chart_files())
    chart = GitChart(f"file://{directory}", "refs/heads/main", "")
    charts = Git(Network(budget=Budget(moved(LIMITS, {"network-time": 60}))), no_login)
    charts.fetch(chart, tmp_path / "one")
    assert charts.begun is not None
    charts.begun -= 61
    with pytest.raises(ProblemsError) as caught:
        charts.fetch(chart, tmp_path / "two")
    assert caught.value.problem.code == "run-limit"
    assert "--limit network-time=" in str(caught.value.problem.hint)


def test_a_fetched_pack_is_not_unpacked(tmp_path: Path) -> None:
    git_repository(directory := tmp_path / "r", {"zeros": bytes(3_000_000)})
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = fetch_commit(f"file://{directory}", "refs/heads/main", tmp_path / "store", environment, most=50_000)
    assert done.status == 0
