"""Find the credentials for a registry: in KuboCD's variables, then in the files and helpers of Docker and Podman.

oras-py also reads Docker's file, but it ignores $DOCKER_CONFIG, keys with a scheme or path, and identity tokens; it
continues without credentials if a helper fails, and has no timeout for helpers.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubocd_gen.budget.limits import LIMITS
from kubocd_gen.diagnostics.problems import Problem, ProblemsError, shown
from kubocd_gen.network.settings import NetworkError
from kubocd_gen.oci.descriptors import JsonSource
from kubocd_gen.oci.endpoints import DOCKER_HUB
from kubocd_gen.processes.children import running
from kubocd_gen.processes.single_flight import SingleFlight

HELPER_TIMEOUT = 30.0  # seconds; the helpers of cloud providers make requests, and some start Python
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# The key of Docker Hub in Docker's config.json, from the first version of its API, and the names it can have there.
_HUB_KEY = "https://index.docker.io/v1/"
_HUB_NAMES = {DOCKER_HUB, "index.docker.io", "registry-1.docker.io"}
# The hosts that a variable's name can stand for without ambiguity: addresses, and ASCII names without '-' and '_' whose
# last label has a letter (otherwise it could be a port).
_PLAIN_HOST = re.compile(
    r"(?:\[[0-9a-f:]+\]|[0-9]{1,3}(?:\.[0-9]{1,3}){3}|(?:[a-z0-9]+\.)*[0-9]*[a-z][a-z0-9]*)(?::[0-9]{1,5})?"
)
_NOT_FOUND = ("credentials not found", "no credentials server URL", "no credentials username", "not logged in")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user and secret, or a token. `source` is where they were found, for messages."""

    source: str
    user: str = ""
    secret: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)  # an OAuth2 refresh token, as Azure's registries issue
    registry_token: str = field(default="", repr=False)  # a bearer token, sent unchanged

    def basic(self) -> str:
        """Return the value of the Authorization header for HTTP basic authentication (RFC 7617)."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.secret}".encode()).decode()


def variable(registry: str) -> str:
    """Return the prefix of KuboCD's variables for a host, to which `_USER` and `_SECRET` are added."""
    return "KCD_OCI_" + re.sub(r"[^A-Z0-9]", "_", registry.upper())


def plain_http_advice(host: str) -> str:
    """Return the hint for a host that refused a request over plain HTTP, which is sent without credentials."""
    return f"use HTTPS, or allow credentials over plain HTTP with --allow-plain-http-credentials {host}"


class CredentialStore:
    """The credentials of a run; they are looked up once per registry, when the registry requires them.

    A variable's name can stand for several hosts, and the author of the sources chooses the host: `a.b.com` and
    `a-b.com` have different owners, but the same `KCD_OCI_A_B_COM`. Therefore a `_` in a name means a dot, or the colon
    before a port; any other host must be set in `KCD_OCI_<NAME>_HOST`. No variable is used for two hosts.

    `environment` is os.environ except in tests.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = os.environ if environment is None else environment
        self._lookups: SingleFlight[str, Credentials | None] = SingleFlight(keep=True)
        self._found: dict[str, Credentials] = {}
        self._deprecated: str | None = None  # the end of the warning about variables without a host, if they are set

    def find(self, registry: str) -> Credentials | None:
        """Return the credentials for the host `registry`, or None. Raises ProblemsError `bad-credentials`.

        Call `Network.may_send_credentials` first, because this can run a credential helper.
        """
        host = _lower(registry)
        found = self._lookups.get(host, lambda: self._look_up(host))
        if found is not None:
            self._found[host] = found
        return found

    def known(self, registry: str) -> Credentials | None:
        """Return what `find` returned before; nothing is looked up."""
        return self._found.get(_lower(registry))

    def warnings(self) -> tuple[Problem, ...]:
        """Return a warning if the variables without a host are set and were read."""
        if self._deprecated is None:
            return ()
        return (
            Problem(
                "deprecated-variable",
                f"KCD_OCI_USER and KCD_OCI_SECRET are deprecated{self._deprecated}",
                hint="add the host to their names, as in KCD_OCI_QUAY_IO_USER and KCD_OCI_QUAY_IO_SECRET,"
                " or set the host, as in KCD_OCI_HOST=quay.io",
            ),
        )

    def _look_up(self, registry: str) -> Credentials | None:
        if (found := self._from_variables(variable(registry))) is not None and self._is_for(registry):
            return found
        if (found := self._from_variables("KCD_OCI")) is not None:
            host = self._environment.get("KCD_OCI_HOST")
            self._deprecated = "" if host else " and are ignored, because KCD_OCI_HOST is not set"
            if host and _is_named(registry, host):
                return found
        for path in self._files():
            if (config := _read_config(path)) is not None and (found := self._from_config(config, path, registry)):
                return found
        return None

    def _is_for(self, registry: str) -> bool:
        """Return whether the variables with the host's name are for it. Raises ProblemsError if that is ambiguous."""
        name = variable(registry)
        if host := self._environment.get(f"{name}_HOST"):
            return _is_named(registry, host)
        if not _PLAIN_HOST.fullmatch(registry):
            raise _bad(
                f"{name}_USER is for the host {_reading(name)}, but {shown(registry)} has the same variable name",
                f"if it is for {shown(registry)}, set {name}_HOST to this host",
            )
        return True

    def _from_variables(self, prefix: str) -> Credentials | None:
        user, secret = (self._environment.get(f"{prefix}_{end}") for end in ("USER", "SECRET"))
        if not user and not secret:
            return None
        if not user or not secret:
            given, missing = ("USER", "SECRET") if user else ("SECRET", "USER")
            raise _bad(f"{prefix}_{given} is set, but not {prefix}_{missing}", "set both or neither")
        return Credentials(f"{prefix}_USER", user, secret)

    def _files(self) -> Iterator[Path]:
        """Yield the path of Docker's file, then the two paths of Podman's."""
        home = self._environment.get("HOME")
        directory = self._environment.get("DOCKER_CONFIG") or (f"{home}/.docker" if home else None)
        if directory:
            yield Path(directory) / "config.json"
        if file := self._environment.get("REGISTRY_AUTH_FILE"):
            yield Path(file)
        if directory := self._environment.get("XDG_RUNTIME_DIR"):
            yield Path(directory) / "containers/auth.json"

    def _from_config(self, config: Mapping[str, Any], path: Path, registry: str) -> Credentials | None:
        """Try the helper for this registry, then the entry in the file, then the helper for all registries."""
        server = _HUB_KEY if registry == DOCKER_HUB else registry
        if helper := _entry(_mapping(config, "credHelpers", path), registry):
            if not isinstance(helper, str):
                raise _bad(f"the credential helper for {registry} in {path} is not a string", _SYNTAX)
            if found := self._from_helper(helper, server, path):
                return found
        entry = _entry(_mapping(config, "auths", path), registry)
        if isinstance(entry, dict) and (found := _from_entry(entry, path, registry)):
            return found
        helper = config.get("credsStore")
        return self._from_helper(helper, server, path) if helper and isinstance(helper, str) else None

    def _from_helper(self, name: str, server: str, path: Path) -> Credentials | None:
        program = f"docker-credential-{name}"
        if not _HELPER.fullmatch(name):
            raise _bad(f"{path} has an invalid credential helper: {shown(name)}", _SYNTAX)
        status, output = _run(program, server, path, self._environment)
        if status != 0:
            message = output.decode("utf-8", "replace").strip()
            if any(text in message for text in _NOT_FOUND):
                return None
            # The output of a failing helper is a message for users; that of a successful one is a secret.
            reason = f": {shown(message)}" if message else ""
            raise _bad(f"the credential helper {program} failed with status {status}{reason}", _try(program, server))
        try:
            answer = json.loads(output)
            user, secret = answer["Username"], answer["Secret"]
        except (ValueError, TypeError, KeyError, RecursionError):
            user = secret = None
        if not isinstance(user, str) or not isinstance(secret, str):
            raise _bad(f"the credential helper {program} returned no user and secret", _try(program, server))
        if not secret:
            return None
        if user == "<token>":
            return Credentials(program, identity_token=secret)
        return Credentials(program, user, secret)


def _reading(name: str) -> str:
    """Return the host that a variable's name stands for."""
    dotted = name.removeprefix("KCD_OCI_").strip("_").replace("_", ".").lower()
    ported = re.sub(r"\.([0-9]{1,5})\Z", r":\1", dotted)
    return ported if _PLAIN_HOST.fullmatch(ported) else dotted


def _lower(host: str) -> str:
    """Return the host in lowercase if it is ASCII; some other letters, such as U+212A, would become ASCII."""
    return host.lower() if host.isascii() else host


def _is_named(registry: str, host: str) -> bool:
    """Return whether `host`, the value of a variable, is this registry."""
    name = host.strip().lower().removeprefix("https://").rstrip("/")
    return name in (_HUB_NAMES if registry == DOCKER_HUB else {registry})


def _run(program: str, server: str, path: Path, environment: Mapping[str, str]) -> tuple[int, bytes]:
    """Return a helper's exit status and output, including its errors if it failed. Raises ProblemsError."""
    try:
        with running([program, "get"], environment, talk=True) as process:
            output, errors = process.communicate(server.encode(), timeout=HELPER_TIMEOUT)
    except subprocess.TimeoutExpired:
        hint = f"{_try(program, server)}; it may be waiting for a password or a browser"
        raise _bad(f"the credential helper {program} did not finish within {HELPER_TIMEOUT:.0f} s", hint) from None
    except FileNotFoundError:
        hint = f"install it, or remove it from {path}"
        raise _bad(f"the credential helper {program} in {path} is not installed", hint) from None
    except OSError as error:
        raise _bad(f"cannot run the credential helper {program}: {error.strerror}", _try(program, server)) from None
    return process.returncode, output if process.returncode == 0 else output + errors


def _read_config(path: Path) -> dict[str, Any] | None:
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            data = file.read(LIMITS.manifest + 1)
    except OSError as error:
        raise _bad(f"cannot read {path}: {error.strerror}", "run kcd-gen as its owner") from None
    if len(data) > LIMITS.manifest:
        raise _bad(f"{path} is too large for a credentials file", _SYNTAX)
    try:
        return JsonSource(str(path), "bad-credentials").read(data)
    except ProblemsError as error:
        raise _bad(error.problem.message, _SYNTAX) from None


def _mapping(config: Mapping[str, Any], key: str, path: Path) -> dict[str, Any]:
    value = config.get(key) or {}
    if not isinstance(value, dict):
        raise _bad(f"'{key}' in {path} is not an object", _SYNTAX)
    return value


def _entry(entries: Mapping[str, Any], registry: str) -> Any:
    """Return the entry for a host. Old clients wrote keys with a scheme, and with the path of an API."""
    if registry in entries:
        return entries[registry]
    names = _HUB_NAMES if registry == DOCKER_HUB else {registry}
    return next((value for key, value in entries.items() if _key_host(key) in names), None)


def _key_host(key: str) -> str | None:
    host, _, path = key.lower().removeprefix("https://").removeprefix("http://").partition("/")
    return host if path.strip("/") in ("", "v1", "v2") else None  # other paths are Podman's keys for one repository


def _from_entry(entry: Mapping[str, Any], path: Path, registry: str) -> Credentials | None:
    fields = {name: value for name, value in entry.items() if isinstance(value, str)}
    user, secret = fields.get("username", ""), fields.get("password", "")
    if encoded := fields.get("auth"):
        try:
            user, colon, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            colon = ""
        if not colon:
            # Neither the value nor the cause is shown, because it is a secret.
            raise _bad(f"the entry for {registry} in {path} is not 'user:password' in base64", _SYNTAX) from None
        secret = secret.strip("\0")
    identity, token = fields.get("identitytoken", ""), fields.get("registrytoken", "")
    if not (identity or token or (user and secret)):
        return None
    return Credentials(str(path), user, secret, identity, token)


_SYNTAX = "run 'docker login' to write a valid file"


def _try(program: str, server: str) -> str:
    return f"run the helper to see its error: echo {server} | {program} get"


def _bad(message: str, hint: str) -> NetworkError:
    return NetworkError(message, code="bad-credentials", hint=hint)
