from __future__ import annotations

import base64
import json
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.oci import credentials
from kubocd_gen.oci.credentials import Credentials, CredentialStore, variable
from tests.support.processes import gone

HOST = "registry.example.com"


def entry(user: str = "alice", secret: str = "s:1") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{secret}".encode()).decode()}


def store(directory: Path, config: Any = None, **environment: str) -> CredentialStore:
    """Create a store with the Docker config `config`; helpers are found in `directory`."""
    if config is not None:
        (directory / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    path = f"{directory}{os.pathsep}{os.defpath}"
    return CredentialStore({"PATH": path, "DOCKER_CONFIG": str(directory), "FOLDER": str(directory), **environment})


def helper(directory: Path, name: str, script: str) -> None:
    path = directory / f"docker-credential-{name}"
    path.write_text(f'#!/bin/sh\nread server\necho "$1 $server" >> $FOLDER/calls\n{script}\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture(autouse=True)
def helpers_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


def calls(directory: Path) -> list[str]:
    file = directory / "calls"
    return file.read_text().splitlines() if file.exists() else []


def found(one: CredentialStore, host: str = HOST) -> tuple[str, str]:
    got = one.find(host)
    assert got is not None
    return got.user, got.secret


def failure(one: CredentialStore, host: str = HOST) -> str:
    with pytest.raises(ProblemsError) as caught:
        one.find(host)
    assert (caught.value.problem.code, caught.value.problem.exit_code) == ("bad-credentials", 4)
    text = f"{caught.value.problem.message} -- {caught.value.problem.hint}"
    assert text.isprintable()
    assert "s3cret" not in text
    return text


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("quay.io", "KCD_OCI_QUAY_IO"),
        ("localhost:5000", "KCD_OCI_LOCALHOST_5000"),
        ("my-registry.example.com", "KCD_OCI_MY_REGISTRY_EXAMPLE_COM"),
        ("a/b", "KCD_OCI_A_B"),
        ("[::1]:5000", "KCD_OCI____1__5000"),
    ],
)
def test_the_variable_name_of_a_host(host: str, name: str) -> None:
    assert variable(host) == name


def test_sources_of_credentials_have_an_order_of_precedence(tmp_path: Path) -> None:
    config = {"auths": {HOST: entry("file", "3")}}
    old = {"KCD_OCI_USER": "old", "KCD_OCI_SECRET": "2", "KCD_OCI_HOST": HOST}
    new = {"KCD_OCI_REGISTRY_EXAMPLE_COM_USER": "new", "KCD_OCI_REGISTRY_EXAMPLE_COM_SECRET": "1"}
    both = store(tmp_path, config, **old, **new)
    assert found(both) == ("new", "1")
    assert both.warnings() == ()
    deprecated = store(tmp_path, config, **old)
    assert found(deprecated) == ("old", "2")
    assert [one.code for one in deprecated.warnings()] == ["deprecated-variable"]
    assert found(store(tmp_path, config)) == ("file", "3")
    assert store(tmp_path, config).find("other.example.com") is None


def test_variables_without_a_host_apply_to_the_named_host_only(tmp_path: Path) -> None:
    old = {"KCD_OCI_USER": "old", "KCD_OCI_SECRET": "2"}
    unnamed = store(tmp_path, **old)
    assert unnamed.find(HOST) is None
    assert [one.message for one in unnamed.warnings()] == [
        "KCD_OCI_USER and KCD_OCI_SECRET are deprecated and are ignored, because KCD_OCI_HOST is not set"
    ]
    one = store(tmp_path, **old, KCD_OCI_HOST=HOST)
    assert found(one) == ("old", "2")
    assert one.find("evil.example.com") is None


# Both hosts of a pair have the same variable name; the name is interpreted as the first one.
TWINS = [
    ("registry.example.com", "registry-example.com"),
    ("registry.example.com", "registry.example-com"),
    ("registry.example.com", "registry_example.com"),
    ("registry.example.com", "registry.example\u00e9com"),
    ("registry.example.com:5000", "registry-example.com:5000"),
    ("registry.example.com:5000", "registry.example.com-5000"),
    ("registry.example.com:5000", "registry.example.com.5000"),
    ("10.1.2.3:5000", "10-1.2.3:5000"),
    ("10.1.2.3:5000", "10.1.2.3.5000"),
    ("localhost:5000", "localhost.5000"),
    ("[0:0:0:0:0:0:0:1]:5000", "[0:0:0:0:0:0:0.1]:5000"),
    ("[::ffff:1:2:3:4]", "[::ffff:1.2.3.4]"),
]


@pytest.mark.parametrize(("plain", "twin"), TWINS)
def test_a_variable_applies_to_one_of_the_hosts_with_its_name(plain: str, twin: str, tmp_path: Path) -> None:
    name = variable(plain)
    variables = {f"{name}_USER": "alice", f"{name}_SECRET": "s3cret"}
    run = store(tmp_path, **variables)
    assert found(run, plain) == ("alice", "s3cret")
    assert variable(twin) == name
    assert f"set {name}_HOST" in failure(run, twin)
    named = store(tmp_path, **variables, **{f"{name}_HOST": twin})
    assert found(named, twin) == ("alice", "s3cret")
    assert named.find(plain) is None


@given(st.lists(st.from_regex(r"[a-c1]([a-c1.:\-]{0,6}[a-c1])?", fullmatch=True), min_size=2, max_size=6))
def test_no_variable_is_used_for_two_hosts(hosts: list[str]) -> None:
    for name in {variable(host) for host in hosts}:
        run = CredentialStore({f"{name}_USER": "u", f"{name}_SECRET": "p"})
        served = set()
        for host in hosts:
            with suppress(ProblemsError):
                if run.find(host) is not None:
                    served.add(host)
        assert len(served) <= 1


@pytest.mark.parametrize("given", ["USER", "SECRET"])
@pytest.mark.parametrize("prefix", ["KCD_OCI", "KCD_OCI_REGISTRY_EXAMPLE_COM"])
def test_a_user_without_a_secret_or_vice_versa_is_an_error(prefix: str, given: str, tmp_path: Path) -> None:
    text = failure(store(tmp_path, **{f"{prefix}_{given}": "s3cret"}))
    assert text.startswith(f"{prefix}_{given} is set, but not {prefix}_")


def test_empty_variables_are_ignored(tmp_path: Path) -> None:
    assert store(tmp_path, KCD_OCI_USER="", KCD_OCI_SECRET="").find(HOST) is None


@pytest.mark.parametrize("key", [HOST, f"https://{HOST}", f"http://{HOST}/", f"https://{HOST}/v2/", f"{HOST}/v1/"])
def test_keys_written_by_old_clients_are_accepted(key: str, tmp_path: Path) -> None:
    assert found(store(tmp_path, {"auths": {key: entry()}})) == ("alice", "s:1")


@pytest.mark.parametrize("key", [f"{HOST}/team", f"{HOST}:5000", f"x.{HOST}", "example.com", ""])
def test_keys_of_other_registries_are_ignored(key: str, tmp_path: Path) -> None:
    assert store(tmp_path, {"auths": {key: entry()}}).find(HOST) is None


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io"])
def test_every_key_of_docker_hub_is_accepted(key: str, tmp_path: Path) -> None:
    assert found(store(tmp_path, {"auths": {key: entry()}}), "docker.io") == ("alice", "s:1")


def test_a_helper_is_called_with_the_key_of_docker_hub(tmp_path: Path) -> None:
    helper(tmp_path, "x", """echo '{"Username": "u", "Secret": "p"}'""")
    assert found(store(tmp_path, {"credsStore": "x"}), "docker.io") == ("u", "p")
    assert calls(tmp_path) == ["get https://index.docker.io/v1/"]


def test_the_files_of_podman_have_the_lowest_precedence(tmp_path: Path) -> None:
    (tmp_path / "run/containers").mkdir(parents=True)
    (tmp_path / "run/containers/auth.json").write_text(json.dumps({"auths": {HOST: entry("run", "3")}}))
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {HOST: entry("file", "2")}}))
    locations = {"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json"), "XDG_RUNTIME_DIR": str(tmp_path / "run")}
    assert found(store(tmp_path, {"auths": {HOST: entry("docker", "1")}}, **locations)) == ("docker", "1")
    assert found(store(tmp_path, {"auths": {}}, **locations)) == ("file", "2")
    assert found(store(tmp_path, {}, XDG_RUNTIME_DIR=str(tmp_path / "run"))) == ("run", "3")


def test_the_docker_config_in_the_home_directory_is_the_default(tmp_path: Path) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text(json.dumps({"auths": {HOST: entry()}}))
    assert found(CredentialStore({"HOME": str(tmp_path)})) == ("alice", "s:1")
    assert CredentialStore({}).find(HOST) is None


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"auths": {HOST: {"username": "u", "password": "p"}}}, Credentials("", "u", "p")),
        ({"auths": {HOST: {"auth": "", "identitytoken": "t"}}}, Credentials("", identity_token="t")),
        ({"auths": {HOST: {"registrytoken": "t"}}}, Credentials("", registry_token="t")),
        ({"auths": {HOST: {}}}, None),
        ({"auths": {HOST: None}}, None),
        ({"auths": None, "credHelpers": None, "credsStore": None}, None),
        ({"auths": {HOST: {"username": "u"}}}, None),
        ({"credsStore": 5}, None),
        ({"auths": {HOST: {"auth": base64.b64encode(b"u:p\0\0").decode()}}}, Credentials("", "u", "p")),
    ],
)
def test_entries_of_a_docker_config_become_credentials(
    config: Any, expected: Credentials | None, tmp_path: Path
) -> None:
    got = store(tmp_path, config).find(HOST)
    if expected is None:
        assert got is None
        return
    assert got is not None
    assert got.source == str(tmp_path / "config.json")
    assert (got.user, got.secret, got.identity_token, got.registry_token) == (
        expected.user,
        expected.secret,
        expected.identity_token,
        expected.registry_token,
    )


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ("{", "is not valid JSON"),
        ("[]", "is not a JSON object"),
        ("[" * 100_000, "is nested too deeply"),
        ('{"auths": []' + " " * 10 + "}", ""),
        ('{"auths": [1]}', "'auths' in"),
        ('{"credHelpers": "x"}', "'credHelpers' in"),
        ('{"credHelpers": {"registry.example.com": 5}}', "is not a string"),
        ('{"auths": {"registry.example.com": {"auth": "s3cret!"}}}', "is not 'user:password' in base64"),
        ('{"auths": {"registry.example.com": {"auth": "YWxpY2U="}}}', "is not 'user:password' in base64"),
        ('{"auths": {"registry.example.com": {"auth": "/////w=="}}}', "is not 'user:password' in base64"),
        ('{"credsStore": "../../bin/sh"}', "'../../bin/sh'"),
        ('{"credsStore": "a\\u001b[2J"}', r"\x1b[2J"),
        ("{}" + " " * (4 << 20), "too large"),
    ],
)
def test_an_invalid_docker_config_is_an_error(config: str, text: str, tmp_path: Path) -> None:
    if not text:
        assert store(tmp_path, config).find(HOST) is None
        return
    assert text in failure(store(tmp_path, config))


def test_a_helper_of_one_registry_precedes_the_file_and_the_general_helper(tmp_path: Path) -> None:
    helper(tmp_path, "one", """echo '{"ServerURL": "x", "Username": "one", "Secret": "1"}'""")
    helper(tmp_path, "all", """echo '{"Username": "all", "Secret": "2"}'""")
    config = {"credsStore": "all", "credHelpers": {HOST: "one"}, "auths": {"b.example.com": entry("file", "3")}}
    one = store(tmp_path, config)
    assert found(one) == ("one", "1")
    assert found(one, "b.example.com") == ("file", "3")
    assert found(one, "c.example.com") == ("all", "2")
    assert found(one) == ("one", "1")
    assert calls(tmp_path) == [f"get {HOST}", "get c.example.com"]  # each is called once


def test_a_helper_can_return_an_identity_token(tmp_path: Path) -> None:
    helper(tmp_path, "x", """echo '{"Username": "<token>", "Secret": "t"}'""")
    got = store(tmp_path, {"credsStore": "x"}).find(HOST)
    assert got is not None
    assert (got.identity_token, got.secret, got.source) == ("t", "", "docker-credential-x")


def test_a_helper_without_credentials_is_not_an_error(tmp_path: Path) -> None:
    helper(tmp_path, "x", "echo 'credentials not found in native keychain'; exit 1")
    assert store(tmp_path, {"credsStore": "x"}).find(HOST) is None


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("echo 'the vault is locked' >&2; exit 3", "docker-credential-x failed with status 3: 'the vault is locked'"),
        ("printf '\\033[2J'; exit 1", r"\x1b[2J"),
        ("exit 1", "docker-credential-x failed with status 1 --"),
        ("echo s3cret", "docker-credential-x returned no user and secret"),
        ("echo '[]'", "docker-credential-x returned no user and secret"),
        ("""echo '{"Username": 1, "Secret": "s3cret"}'""", "docker-credential-x returned no user and secret"),
        ("printf '\\377'", "docker-credential-x returned no user and secret"),
    ],
)
def test_a_helper_that_fails_is_named(script: str, text: str, tmp_path: Path) -> None:
    helper(tmp_path, "x", script)
    one = store(tmp_path, {"credsStore": "x"})
    assert text in failure(one)
    failure(one)
    assert len(calls(tmp_path)) == 1


def test_a_helper_that_is_not_installed_is_named(tmp_path: Path) -> None:
    text = failure(store(tmp_path, {"credsStore": "none"}))
    assert "docker-credential-none in" in text
    assert "install it, or remove it from" in text


def test_a_helper_that_can_t_be_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "docker-credential-x").write_text("no program")
    (tmp_path / "docker-credential-x").chmod(0o755)
    assert "cannot run the credential helper docker-credential-x" in failure(store(tmp_path, {"credsStore": "x"}))


def test_a_helper_that_hangs_is_killed_with_its_child_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "HELPER_TIMEOUT", 1.0)
    helper(tmp_path, "x", f"sleep 600 & echo $! $$ >'{tmp_path}/started'; sleep 600")
    assert "docker-credential-x did not finish within" in failure(store(tmp_path, {"credsStore": "x"}))
    started = [int(number) for number in (tmp_path / "started").read_text().split()]
    assert len(started) == 2
    assert gone(started)
