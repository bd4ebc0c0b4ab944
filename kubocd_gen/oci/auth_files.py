"""Read the files in which Docker and Podman keep logins: containers-auth.json(5), and `config.json` of Docker."""

from __future__ import annotations

import base64
import binascii
import os
import pwd
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubocd_gen.budget.limits import LIMITS
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.network.settings import NetworkError
from kubocd_gen.oci.descriptors import JsonSource
from kubocd_gen.oci.mirrors import is_host
from kubocd_gen.oci.reference import is_below

INLINE = "DOCKER_AUTH_CONFIG"  # the variable with the content of a file, of Docker 28.3 and of GitLab's runners
_SYNTAX = "run 'docker login' to write a valid file"
_INLINE_SYNTAX = 'set it to JSON such as {"auths": {"registry.example.com": {"auth": "<user:password in base64>"}}}'
_SCHEME = re.compile(r"\s*https?://", re.IGNORECASE)
_CONTAINERS = "containers/auth.json"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user and secret, or a token. `source` is where they were found, for messages."""

    source: str
    user: str = ""
    secret: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)  # an OAuth2 refresh token, as Azure's registries issue
    registry_token: str = field(default="", repr=False)  # a bearer token, sent unchanged
    shared: bool = True  # all repositories of the host have these credentials; False if it has logins for namespaces

    def basic(self) -> str:
        """Return the value of the Authorization header for HTTP basic authentication (RFC 7617)."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.secret}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Site:
    """A repository to which credentials are sent. `repository` is empty if it is not a registry, but a web server."""

    host: str  # canonical; see `canonical_host`
    scheme: str
    repository: str = ""

    def is_host(self, name: str) -> bool:
        """Return whether `name` is this host, in any spelling."""
        return is_host(name, self.host, self.scheme)


@dataclass(frozen=True, slots=True)
class AuthFile:
    """The content of a file. `name` is its path, or the variable that contains it."""

    name: str
    entries: Mapping[str, Any]
    helpers: Mapping[str, Any]
    default_helper: str = ""
    legacy: bool = False  # ~/.dockercfg, whose keys are URLs of hosts

    def helper(self, site: Site) -> str | None:
        """Return the helper for the host: None if the file has none, and "" if the host must not use the default."""
        for key in _exact_first(site.host, self.helpers):
            if site.is_host(_host_of(key)):
                name = self.helpers[key]
                if name is not None and not isinstance(name, str):
                    raise self._invalid(f"the credential helper for {site.host} in {self.name} is not a string")
                return name or ""
        return None

    def names(self, site: Site) -> list[str]:
        """Return the spellings of the host in this file, for helpers: `docker login` adds an empty entry."""
        return [key for key in self.entries if site.is_host(_host_of(key)) and not self._namespace(key)]

    def has_namespaces(self, site: Site) -> bool:
        """Return whether repositories of the host have logins of their own."""
        return any(self._namespace(key) and site.is_host(_host_of(key)) for key in self.entries)

    def find(self, site: Site) -> Credentials | None:
        """Return the login for the repository, for the longest of its namespaces, or for its host.

        Raises ProblemsError `bad-credentials`.
        """
        keys = [key for key in _exact_first(site.host, self.entries) if site.is_host(_host_of(key))]
        # The sort is stable: of several spellings of the host, the exact one comes first.
        for key in sorted(keys, key=lambda key: len(self._namespace(key)), reverse=True):
            if is_below(site.repository, self._namespace(key)) and (found := self._decoded(key)) is not None:
                return found
        return None

    def _namespace(self, key: str) -> str:
        """Return the namespace or repository that a key is for, by containers-auth.json(5); "" if it is for a host.

        In a key with a scheme, and in one that old clients wrote, the path is that of an API.
        """
        path = key.partition("/")[2].strip("/")
        return "" if self.legacy or _SCHEME.match(key) or path in ("v1", "v2") else path

    def _invalid(self, message: str) -> NetworkError:
        return bad_credentials(message, syntax_advice(self.name))

    def _decoded(self, key: str) -> Credentials | None:
        entry = self.entries[key]
        if entry is None:
            return None
        if not isinstance(entry, dict):
            raise self._invalid(f"the entry for {_host_of(key)} in {self.name} is not an object")
        fields = {name: value for name, value in entry.items() if isinstance(value, str)}
        user, secret = fields.get("username", ""), fields.get("password", "")
        # `base64` breaks lines, and Go, in which the other clients are written, ignores that.
        if encoded := "".join(fields.get("auth", "").split()):
            try:
                user, colon, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
            except (binascii.Error, ValueError):
                colon = ""
            if not colon:
                # Neither the value nor the cause is shown, because it is a secret.
                text = f"the entry for {_host_of(key)} in {self.name} is not 'user:password' in base64"
                raise self._invalid(text) from None
            secret = secret.strip("\0")
        identity, token = fields.get("identitytoken", ""), fields.get("registrytoken", "")
        if not (identity or token or (user and secret)):
            return None
        return Credentials(self.name, user, secret, identity, token)


def locations(environment: Mapping[str, str], run: Path) -> Iterator[Path | str]:
    """Yield what can contain logins, in the order of Podman and skopeo; INLINE is a variable, all others are paths.

    `run` is the parent of the directories for users without XDG_RUNTIME_DIR, as in containers and CI jobs.
    """
    home = environment.get("HOME") or _home_of_user()
    if file := environment.get("REGISTRY_AUTH_FILE"):
        yield Path(file)
    if environment.get(INLINE):
        yield INLINE
    if directory := environment.get("XDG_RUNTIME_DIR"):
        yield Path(directory, _CONTAINERS)
    elif sys.platform == "linux":
        yield run / str(os.geteuid()) / "auth.json"
    if (directory := environment.get("XDG_CONFIG_HOME")) or home:
        yield Path(directory or f"{home}/.config", _CONTAINERS)
    if directory and home and sys.platform == "darwin":  # there, Podman does not read XDG_CONFIG_HOME
        yield Path(home, ".config", _CONTAINERS)
    if (directory := environment.get("DOCKER_CONFIG")) or home:
        yield Path(directory or f"{home}/.docker", "config.json")
    if home:
        yield Path(home, ".dockercfg")


def read_auth_file(path: Path) -> AuthFile | None:
    """Return the content of a file, or None if it does not exist. Raises ProblemsError `bad-credentials`."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            data = file.read(LIMITS.manifest + 1)
    except OSError as error:
        hint = "run kcd-gen as its owner, or set HOME to your own home directory"
        raise bad_credentials(f"cannot read {path}: {error.strerror}", hint) from None
    return parse_auth_file(str(path), data, legacy=path.name == ".dockercfg")


def parse_auth_file(name: str, data: bytes, *, legacy: bool = False) -> AuthFile:
    """Return the content `data`. Raises ProblemsError `bad-credentials`."""
    if len(data) > LIMITS.manifest:
        raise bad_credentials(f"{name} is too large for a credentials file", syntax_advice(name))
    if not data.strip():
        return AuthFile(name, {}, {})  # Docker accepts it, too
    try:
        content = JsonSource(name, "bad-credentials").read(data)
    except ProblemsError as error:
        raise bad_credentials(error.problem.message, syntax_advice(name)) from None
    if legacy:
        return AuthFile(name, content, {}, legacy=True)
    helper = content.get("credsStore") or ""
    if not isinstance(helper, str):
        raise bad_credentials(f"'credsStore' in {name} is not a string", syntax_advice(name))
    return AuthFile(name, _mapping(content, "auths", name), _mapping(content, "credHelpers", name), helper)


def syntax_advice(name: str) -> str:
    """Return the hint for an invalid file, or for an invalid variable."""
    return _INLINE_SYNTAX if name == INLINE else _SYNTAX


def bad_credentials(message: str, hint: str) -> NetworkError:
    """Return the error for credentials that are configured, but can't be used."""
    return NetworkError(message, code="bad-credentials", hint=hint)


def _mapping(content: Mapping[str, Any], key: str, name: str) -> dict[str, Any]:
    value = content.get(key) or {}
    if not isinstance(value, dict):
        raise bad_credentials(f"'{key}' in {name} is not an object", syntax_advice(name))
    return value


def _exact_first(host: str, keys: Mapping[str, Any]) -> list[str]:
    return sorted(keys, key=lambda key: key != host)


def _host_of(key: str) -> str:
    return _SCHEME.sub("", key).partition("/")[0].strip()


def _home_of_user() -> str:
    """Return the home directory in the user database, as the other clients do if HOME is not set; "" if none."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        return ""
