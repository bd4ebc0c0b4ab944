"""Who we are to a registry: KuboCD's variables, then the files and helpers of Docker and Podman.

oras-py reads Docker's file, too, but not from $DOCKER_CONFIG, nor with keys that carry a scheme or path; it goes on
without credentials when a helper fails, waits for a helper for ever, and does not know identity tokens. Hence our own.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubocd_gen.budget.limits import LIMITS
from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.diagnostics.quoting import shown
from kubocd_gen.network.settings import NetworkError
from kubocd_gen.oci.descriptors import parse_object
from kubocd_gen.oci.endpoints import DOCKER_HUB
from kubocd_gen.processes.children import running

HELPER_TIMEOUT = 30.0  # seconds; those of clouds ask over the network, some of them through a program of Python
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Docker's key for its Hub since the days of its first API, and what stands in files for it.
_HUB_KEY = "https://index.docker.io/v1/"
_HUB_NAMES = {DOCKER_HUB, "index.docker.io", "registry-1.docker.io"}
# The hosts that a variable's name is read as, one for each name: addresses, and ASCII names without '-' and '_' whose
# last label has a letter (else it could be a port).
_PLAIN_HOST = re.compile(
    r"(?:\[[0-9a-f:]+\]|[0-9]{1,3}(?:\.[0-9]{1,3}){3}|(?:[a-z0-9]+\.)*[0-9]*[a-z][a-z0-9]*)(?::[0-9]{1,5})?"
)
_NOT_FOUND = ("credentials not found", "no credentials server URL", "no credentials username", "not logged in")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user and secret, or a token; `source` is where they come from, for messages."""

    source: str
    user: str = ""
    secret: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)  # a refresh token of OAuth2, as Azure's registries give
    registry_token: str = field(default="", repr=False)  # a bearer token as it is

    def basic(self) -> str:
        """The value of an Authorization field of HTTP's basic authentication (RFC 7617)."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.secret}".encode()).decode()


def variable(registry: str) -> str:
    """The name that KuboCD derives from a host for its variables, without their ends `_USER` and `_SECRET`."""
    return "KCD_OCI_" + re.sub(r"[^A-Z0-9]", "_", registry.upper())


def plain_http_advice(host: str) -> str:
    """The hint for a host that refuses a request over plain HTTP, which carried no credentials for that reason."""
    return f"use HTTPS; or let credentials be sent over plain HTTP with --allow-plain-http-credentials {host}"


class CredentialStore:
    """The credentials of a run: each registry's are looked up once, when it asks for them.

    A name of a variable can stand for several hosts, and whoever writes the sources chooses the host: `a.b.com` and
    `a-b.com` have two owners and one `KCD_OCI_A_B_COM`. So a `_` in a name is read as a dot, or as the colon before a
    port; for any other host `KCD_OCI_<NAME>_HOST` must name it. So no name is ever used for two hosts.

    `environment` is os.environ but for tests.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = os.environ if environment is None else environment
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._found: dict[str, Credentials | ProblemsError | None] = {}
        self._deprecated: str | None = None  # what is wrong with the variables that name no host

    def find(self, registry: str) -> Credentials | None:
        """What is there for the host `registry`, None where there is nothing. Raises ProblemsError `bad-credentials`.

        Ask `Network.may_send_credentials` first: the look-up can run a credential helper.
        """
        registry = _lower(registry)
        with self._lock:
            lock = self._locks.setdefault(registry, threading.Lock())
        with lock:  # one helper a registry at a time, but not one registry after the other
            if registry not in self._found:
                try:
                    self._found[registry] = self._look_up(registry)
                except ProblemsError as error:
                    self._found[registry] = error
            found = self._found[registry]
        if isinstance(found, ProblemsError):
            raise found
        return found

    def known(self, registry: str) -> Credentials | None:
        """What `find` has found before; nothing is looked up."""
        found = self._found.get(_lower(registry))
        return found if isinstance(found, Credentials) else None

    def warnings(self) -> tuple[Problem, ...]:
        """A warning if the variables without a host are set and were looked at."""
        if self._deprecated is None:
            return ()
        return (
            Problem(
                "deprecated-variable",
                f"KCD_OCI_USER and KCD_OCI_SECRET are deprecated{self._deprecated}",
                hint="put the host into their names, as in KCD_OCI_QUAY_IO_USER and KCD_OCI_QUAY_IO_SECRET;"
                " or name the one host that they are for, as in KCD_OCI_HOST=quay.io",
            ),
        )

    def _look_up(self, registry: str) -> Credentials | None:
        if (found := self._from_variables(variable(registry))) is not None and self._is_for(registry):
            return found
        if (found := self._from_variables("KCD_OCI")) is not None:
            host = self._environment.get("KCD_OCI_HOST")
            self._deprecated = "" if host else ", and not used: nothing says which host they are for"
            if host and _is_named(registry, host):
                return found
        for path in self._files():
            if (config := _read_config(path)) is not None and (found := self._from_config(config, path, registry)):
                return found
        return None

    def _is_for(self, registry: str) -> bool:
        """Whether the variables of the host's name are for this host. Raises ProblemsError if nothing says so."""
        name = variable(registry)
        if host := self._environment.get(f"{name}_HOST"):
            return _is_named(registry, host)
        if not _PLAIN_HOST.fullmatch(registry):
            raise _bad(
                f"{name}_USER is read as that of {_reading(name)}, and {shown(registry)} would have the same name",
                f"if it is for {shown(registry)}, set {name}_HOST to that",
            )
        return True

    def _from_variables(self, prefix: str) -> Credentials | None:
        user, secret = (self._environment.get(f"{prefix}_{end}") for end in ("USER", "SECRET"))
        if not user and not secret:
            return None
        if not user or not secret:
            given, missing = ("USER", "SECRET") if user else ("SECRET", "USER")
            raise _bad(f"{prefix}_{given} is set, but not {prefix}_{missing}", "set both, or neither")
        return Credentials(f"{prefix}_USER", user, secret)

    def _files(self) -> Iterator[Path]:
        """Docker's file, then the two places of Podman's."""
        home = self._environment.get("HOME")
        folder = self._environment.get("DOCKER_CONFIG") or (f"{home}/.docker" if home else None)
        if folder:
            yield Path(folder) / "config.json"
        if file := self._environment.get("REGISTRY_AUTH_FILE"):
            yield Path(file)
        if folder := self._environment.get("XDG_RUNTIME_DIR"):
            yield Path(folder) / "containers/auth.json"

    def _from_config(self, config: Mapping[str, Any], path: Path, registry: str) -> Credentials | None:
        """A helper for this registry, an entry in the file, then the helper for all; as specific as they are."""
        server = _HUB_KEY if registry == DOCKER_HUB else registry
        if helper := _entry(_mapping(config, "credHelpers", path), registry):
            if not isinstance(helper, str):
                raise _bad(f"{path} has something else than the name of a helper for {registry}", _SYNTAX)
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
            raise _bad(f"{path} names {shown(name)}, which is no name of a credential helper", _SYNTAX)
        status, output = _run(program, server, path, self._environment)
        if status != 0:
            said = output.decode("utf-8", "replace").strip()
            if any(text in said for text in _NOT_FOUND):
                return None
            # What a helper prints when it fails is meant for people; what it prints when it works is a secret.
            reason = f": {shown(said)}" if said else ""
            raise _bad(f"the credential helper {program} fails with status {status}{reason}", _try(program, server))
        try:
            answer = json.loads(output)
            user, secret = answer["Username"], answer["Secret"]
        except (ValueError, TypeError, KeyError, RecursionError):
            user = secret = None
        if not isinstance(user, str) or not isinstance(secret, str):
            raise _bad(f"the credential helper {program} answers without a user and secret", _try(program, server))
        if not secret:
            return None
        if user == "<token>":
            return Credentials(program, identity_token=secret)
        return Credentials(program, user, secret)


def _reading(name: str) -> str:
    """The host that a variable's name is read as."""
    dotted = name.removeprefix("KCD_OCI_").strip("_").replace("_", ".").lower()
    ported = re.sub(r"\.([0-9]{1,5})\Z", r":\1", dotted)
    return ported if _PLAIN_HOST.fullmatch(ported) else dotted


def _lower(host: str) -> str:
    """Without case, which hosts do not have. Some letters become ASCII in lower case: those stay what they are."""
    return host.lower() if host.isascii() else host


def _is_named(registry: str, host: str) -> bool:
    """Whether a variable's `host`, as a user writes it, is this registry."""
    name = host.strip().lower().removeprefix("https://").rstrip("/")
    return name in (_HUB_NAMES if registry == DOCKER_HUB else {registry})


def _run(program: str, server: str, path: Path, environment: Mapping[str, str]) -> tuple[int, bytes]:
    """A helper's exit status, and its output, or where it fails what it says. Raises ProblemsError."""
    try:
        with running([program, "get"], environment, talk=True) as process:
            output, errors = process.communicate(server.encode(), timeout=HELPER_TIMEOUT)
    except subprocess.TimeoutExpired:
        hint = f"{_try(program, server)}; it may be waiting for a password or a browser"
        raise _bad(f"the credential helper {program} does not end within {HELPER_TIMEOUT:.0f} s", hint) from None
    except FileNotFoundError:
        hint = f"install it, or take it out of {path}"
        raise _bad(f"the credential helper {program} that {path} names is not installed", hint) from None
    except OSError as error:
        raise _bad(f"the credential helper {program} can't be run: {error.strerror}", _try(program, server)) from None
    return process.returncode, output if process.returncode == 0 else output + errors


def _read_config(path: Path) -> dict[str, Any] | None:
    try:
        data = path.read_bytes() if path.is_file() else None
    except OSError as error:
        raise _bad(f"{path} can't be read: {error.strerror}", "let its owner run kcd-gen") from None
    if data is None:
        return None
    if len(data) > LIMITS.manifest:
        raise _bad(f"{path} is too large for a file of credentials", _SYNTAX)
    try:
        return parse_object(data, what=str(path), code="bad-credentials", position=None)
    except ProblemsError as error:
        raise _bad(error.problem.message, _SYNTAX) from None


def _mapping(config: Mapping[str, Any], key: str, path: Path) -> dict[str, Any]:
    value = config.get(key) or {}
    if not isinstance(value, dict):
        raise _bad(f"{path} has something else than a map in '{key}'", _SYNTAX)
    return value


def _entry(entries: Mapping[str, Any], registry: str) -> Any:
    """The entry for a host. Keys are hosts, or with a scheme, and a path of an API, as old clients wrote them."""
    if registry in entries:
        return entries[registry]
    names = _HUB_NAMES if registry == DOCKER_HUB else {registry}
    return next((value for key, value in entries.items() if _key_host(key) in names), None)


def _key_host(key: str) -> str | None:
    host, _, path = key.lower().removeprefix("https://").removeprefix("http://").partition("/")
    return host if path.strip("/") in ("", "v1", "v2") else None  # Podman's keys for one repository are not for all


def _from_entry(entry: Mapping[str, Any], path: Path, registry: str) -> Credentials | None:
    texts = {name: value for name, value in entry.items() if isinstance(value, str)}
    user, secret = texts.get("username", ""), texts.get("password", "")
    if encoded := texts.get("auth"):
        try:
            user, colon, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            colon = ""
        if not colon:
            # `from None`, and without the text: it is a secret, though a broken one.
            raise _bad(f"the entry for {registry} in {path} is not 'user:password' in base64", _SYNTAX) from None
        secret = secret.strip("\0")
    identity, token = texts.get("identitytoken", ""), texts.get("registrytoken", "")
    if not (identity or token or (user and secret)):
        return None
    return Credentials(str(path), user, secret, identity, token)


_SYNTAX = "'docker login' writes the file as it has to be"


def _try(program: str, server: str) -> str:
    return f"try it: echo {server} | {program} get"


def _bad(message: str, hint: str) -> NetworkError:
    return NetworkError(message, code="bad-credentials", hint=hint)
