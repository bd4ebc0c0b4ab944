from __future__ import annotations

import base64
import json
import os
import signal
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.oci import auth_files, credential_helpers
from kubocd_gen.oci.auth_files import Credentials
from kubocd_gen.oci.credentials import CredentialStore, variable
from tests.support.processes import gone

HOST = "registry.example.com"


def entry(user: str = "alice", secret: str = "s:1") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{secret}".encode()).decode()}


def store(directory: Path, config: Any = None, **environment: str) -> CredentialStore:
    """Create a store with the Docker config `config`; helpers are found in `directory`."""
    if config is not None:
        (directory / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    path = f"{directory}{os.pathsep}{os.defpath}"
    own = {"PATH": path, "HOME": str(directory), "DOCKER_CONFIG": str(directory), "FOLDER": str(directory)}
    return CredentialStore({**own, **environment}, directory / "run")


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


def login(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


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


@pytest.mark.parametrize("key", [f"{HOST}/team", f"{HOST}/v1/team", f"{HOST}:5000", f"x.{HOST}", "example.com", ""])
def test_keys_of_other_registries_are_ignored(key: str, tmp_path: Path) -> None:
    assert store(tmp_path, {"auths": {key: entry()}}).find(HOST) is None


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io"])
def test_every_key_of_docker_hub_is_accepted(key: str, tmp_path: Path) -> None:
    assert found(store(tmp_path, {"auths": {key: entry()}}), "docker.io") == ("alice", "s:1")


def test_a_helper_is_called_with_the_key_of_docker_hub(tmp_path: Path) -> None:
    helper(tmp_path, "x", """echo '{"Username": "u", "Secret": "p"}'""")
    assert found(store(tmp_path, {"credsStore": "x"}), "docker.io") == ("u", "p")
    assert calls(tmp_path) == ["get https://index.docker.io/v1/"]


def test_logins_are_found_where_podman_and_docker_store_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("os.geteuid", lambda: 1234)
    home, run = tmp_path / "home", tmp_path / "run"
    variables = {"HOME": str(home), "XDG_RUNTIME_DIR": str(tmp_path / "runtime")}
    # From the lowest precedence to the highest; each is found although all before it exist.
    login(home / ".dockercfg", {f"https://{HOST}/v1/": entry("dockercfg")})
    assert found(CredentialStore(variables, run)) == ("dockercfg", "s:1")
    login(home / ".docker/config.json", {"auths": {HOST: entry("docker")}})
    assert found(CredentialStore(variables, run)) == ("docker", "s:1")
    login(home / ".config/containers/auth.json", {"auths": {HOST: entry("config")}})
    assert found(CredentialStore(variables, run)) == ("config", "s:1")
    login(tmp_path / "runtime/containers/auth.json", {"auths": {HOST: entry("runtime")}})
    assert found(CredentialStore(variables, run)) == ("runtime", "s:1")
    variables["DOCKER_AUTH_CONFIG"] = json.dumps({"auths": {HOST: entry("inline")}})
    assert found(CredentialStore(variables, run)) == ("inline", "s:1")
    variables["REGISTRY_AUTH_FILE"] = str(tmp_path / "auth.json")
    assert found(CredentialStore(variables, run)) == ("inline", "s:1")  # the file does not exist yet
    login(tmp_path / "auth.json", {"auths": {HOST: entry("file")}})
    assert found(CredentialStore(variables, run)) == ("file", "s:1")


def test_variables_move_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("os.geteuid", lambda: 1234)
    login(tmp_path / "run/1234/auth.json", {"auths": {HOST: entry("uid")}})
    login(tmp_path / "xdg/containers/auth.json", {"auths": {HOST: entry("xdg")}})
    login(tmp_path / "docker/config.json", {"auths": {HOST: entry("docker")}})
    run, elsewhere = tmp_path / "run", {"HOME": "/nowhere", "XDG_RUNTIME_DIR": "/nowhere"}
    assert found(CredentialStore({"HOME": "/nowhere"}, run)) == ("uid", "s:1")
    assert CredentialStore(elsewhere, run).find(HOST) is None
    assert found(CredentialStore({**elsewhere, "XDG_CONFIG_HOME": str(tmp_path / "xdg")}, run)) == ("xdg", "s:1")
    assert found(CredentialStore({**elsewhere, "DOCKER_CONFIG": str(tmp_path / "docker")}, run)) == ("docker", "s:1")
    monkeypatch.setattr("sys.platform", "darwin")
    assert CredentialStore({"HOME": "/nowhere"}, run).find(HOST) is None
    login(tmp_path / ".config/containers/auth.json", {"auths": {HOST: entry("mac")}})
    mac = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": "/nowhere"}
    assert found(CredentialStore(mac, run)) == ("mac", "s:1")


def test_without_home_the_user_s_directory_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    login(tmp_path / ".docker/config.json", {"auths": {HOST: entry()}})
    monkeypatch.setattr(auth_files, "_home_of_user", lambda: str(tmp_path))
    assert found(CredentialStore({}, tmp_path / "run")) == ("alice", "s:1")
    monkeypatch.setattr(auth_files, "_home_of_user", lambda: "")
    assert CredentialStore({}, tmp_path / "run").find(HOST) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("/builds/project.tmp/DOCKER_AUTH_CONFIG", "DOCKER_AUTH_CONFIG is not valid JSON"),
        ('{"auths": 5}', "'auths' in DOCKER_AUTH_CONFIG is not an object"),
        ('{"auths": {"registry.example.com": {"auth": "s3cret!"}}}', "in DOCKER_AUTH_CONFIG is not 'user:password'"),
    ],
)
def test_an_invalid_inline_configuration_is_an_error(value: str, text: str, tmp_path: Path) -> None:
    shown = failure(store(tmp_path, DOCKER_AUTH_CONFIG=value))
    assert text in shown
    assert "set it to JSON" in shown


def test_the_longest_matching_namespace_is_used(tmp_path: Path) -> None:
    auths = {
        HOST: entry("host"),
        f"{HOST}/team": entry("team"),
        f"{HOST}/team/a": entry("repository"),
        f"https://{HOST}/other": entry("url"),  # a URL is for its host, whatever its path
        "b.example.com/team": entry("b"),
    }
    one = store(tmp_path, {"auths": auths})

    def user(host: str, repository: str) -> str | None:
        got = one.find(host, repository)
        return None if got is None else got.user

    assert user(HOST, "team/a") == "repository"
    assert user(HOST, "team/a/b") == "repository"
    assert user(HOST, "team/ab") == "team"
    assert user(HOST, "team") == "team"
    assert user(HOST, "teams/a") == "host"
    assert user(HOST, "other/a") == "host"
    assert user(HOST, "") == "host"
    assert user("b.example.com", "team/x") == "b"
    assert user("b.example.com", "teamx") is None
    assert user("b.example.com", "") is None


def test_a_login_for_a_namespace_of_docker_hub(tmp_path: Path) -> None:
    one = store(tmp_path, {"auths": {"docker.io/acme": entry("acme"), "https://index.docker.io/v1/": entry("hub")}})
    assert [getattr(one.find("docker.io", name), "user", None) for name in ("acme/x", "library/x")] == ["acme", "hub"]


def test_a_file_with_any_match_precedes_a_longer_match_in_the_next(tmp_path: Path) -> None:
    login(tmp_path / "auth.json", {"auths": {HOST: entry("first")}})
    one = store(tmp_path, {"auths": {f"{HOST}/team": entry("second")}}, REGISTRY_AUTH_FILE=str(tmp_path / "auth.json"))
    got = one.find(HOST, "team/a")
    assert got is not None
    assert (got.user, got.shared) == ("first", True)


def test_credentials_of_a_host_with_namespaces_are_not_shared(tmp_path: Path) -> None:
    one = store(tmp_path, {"auths": {f"{HOST}/team": entry("team"), HOST: entry("host"), "b.example.com": entry()}})
    assert [getattr(one.find(HOST, name), "shared", None) for name in ("team/a", "x")] == [False, False]
    assert getattr(one.find("b.example.com", "x"), "shared", None) is True


@pytest.mark.parametrize(
    ("key", "host", "scheme", "expected"),
    [
        (f"{HOST}:443", HOST, "https", True),
        (HOST, f"{HOST}:443", "https", True),
        (f"https://{HOST}:443/v2/", HOST, "https", True),
        (f"HTTPS://{HOST.upper()}", HOST, "https", True),
        (f"{HOST}:80", HOST, "http", True),
        (HOST, f"{HOST}:80", "http", True),
        (f"{HOST}:443", HOST, "http", False),
        (f"{HOST}:80", HOST, "https", False),
        (HOST, f"{HOST}:80", "https", False),
        ("[::1]:443", "[::1]", "https", True),
        ("[::1]:5000", "[::1]", "https", False),
    ],
)
def test_hosts_are_compared_as_origins(key: str, host: str, scheme: str, *, expected: bool, tmp_path: Path) -> None:
    assert (store(tmp_path, {"auths": {key: entry()}}).find(host, "", scheme) is not None) == expected


@pytest.mark.parametrize(
    ("name", "host", "expected"),
    [
        ("REGISTRY_EXAMPLE_COM", f"{HOST}:443", True),
        ("REGISTRY_EXAMPLE_COM_443", HOST, True),
        ("REGISTRY_EXAMPLE_COM_443", f"{HOST}:443", True),
        ("REGISTRY_EXAMPLE_COM_80", HOST, False),
        ("REGISTRY_EXAMPLE_COM_443", f"{HOST}:80", False),
        ("MY_REGISTRY_443", "my-registry", False),
    ],
)
def test_variables_are_for_an_origin(name: str, host: str, *, expected: bool, tmp_path: Path) -> None:
    run = store(tmp_path, **{f"KCD_OCI_{name}_USER": "u", f"KCD_OCI_{name}_SECRET": "p"})
    assert (run.find(host) is not None) == expected


def test_a_variable_names_a_host_as_an_origin(tmp_path: Path) -> None:
    old = {"KCD_OCI_USER": "old", "KCD_OCI_SECRET": "2", "KCD_OCI_HOST": f" HTTPS://{HOST}:443/ "}
    assert found(store(tmp_path, **old)) == ("old", "2")


def test_a_helper_is_asked_for_each_spelling_of_the_host(tmp_path: Path) -> None:
    helper(
        tmp_path,
        "x",
        f"""[ $server = https://{HOST}:443 ] || {{ echo 'credentials not found'; exit 1; }}
echo '{{"Username": "u", "Secret": "p"}}'""",
    )
    config = {"credsStore": "x", "auths": {f"https://{HOST}:443": {}}}
    assert found(store(tmp_path, config), f"{HOST}:443") == ("u", "p")
    assert calls(tmp_path) == [f"get {HOST}:443", f"get {HOST}", f"get https://{HOST}:443"]


def test_an_empty_helper_turns_the_general_one_off(tmp_path: Path) -> None:
    assert store(tmp_path, {"credsStore": "none", "credHelpers": {HOST: ""}}).find(HOST) is None


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
        ({"auths": {HOST: {"auth": base64.b64encode(b"u:p\0\0").decode()}}}, Credentials("", "u", "p")),
        ({"auths": {HOST: {"auth": "YWxpY2U6\nb3Blbjpz\r\n ZXNhbWU=\n"}}}, Credentials("", "alice", "open:sesame")),
        ("", None),
        (" \n", None),
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
        ('{"credsStore": 5}', "'credsStore' in"),
        ('{"auths": {"registry.example.com": "x"}}', "is not an object"),
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


@pytest.mark.parametrize(
    "words",
    [
        "credentials not found in native keychain",
        "The specified item could not be found in the keychain.",
        "security: SecKeychainSearchCopyNext: The specified item could not be found in the keychain.",
        "error getting credentials - err: exit status 1, out: `errSecItemNotFound`",
        "Das angegebene Objekt wurde im Schluesselbund nicht gefunden. (-25300)",
        "Element not found.",
        "not logged in",
    ],
)
@pytest.mark.parametrize("stream", ["1", "2"])
def test_a_helper_without_credentials_is_not_an_error(words: str, stream: str, tmp_path: Path) -> None:
    helper(tmp_path, "x", f"cat >&{stream} <<'E'\n{words}\nE\nexit 44")
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


@pytest.mark.parametrize("how", ["sleep 600 &", "( trap '' HUP; sleep 600 ) &", "setsid sleep 600 &"])
def test_a_helper_can_leave_a_child_with_its_pipes(how: str, tmp_path: Path) -> None:
    helper(
        tmp_path,
        "x",
        f"""{how}
echo $! > '{tmp_path}/started'
echo '{{"Username": "u", "Secret": "p"}}'""",
    )
    try:
        assert found(store(tmp_path, {"credsStore": "x"})) == ("u", "p")
    finally:
        os.kill(int((tmp_path / "started").read_text()), signal.SIGKILL)


def test_the_output_of_a_helper_is_limited(tmp_path: Path) -> None:
    helper(tmp_path, "x", "head -c 50000000 /dev/zero | tr '\\0' a >&2; exit 3")
    assert failure(store(tmp_path, {"credsStore": "x"})).count("a") < 500


def test_a_helper_that_does_not_read_its_input(tmp_path: Path) -> None:
    path = tmp_path / "docker-credential-x"
    path.write_text("""#!/bin/sh\nexec <&-; echo '{"Username": "u", "Secret": "p"}'\n""")
    path.chmod(0o755)
    assert found(store(tmp_path, {"credsStore": "x"}), "h" * 200_000) == ("u", "p")


def test_a_helper_that_hangs_is_killed_with_its_child_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credential_helpers, "TIMEOUT", 1.0)
    helper(tmp_path, "x", f"sleep 600 & echo $! $$ >'{tmp_path}/started'; sleep 600")
    assert "docker-credential-x did not finish within" in failure(store(tmp_path, {"credsStore": "x"}))
    started = [int(number) for number in (tmp_path / "started").read_text().split()]
    assert len(started) == 2
    assert gone(started)
