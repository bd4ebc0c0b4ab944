"""Find the credentials for a registry: in KuboCD's variables, then in the files and helpers of Docker and Podman.

oras-py also reads Docker's file, but it ignores $DOCKER_CONFIG, keys with a scheme or path, and identity tokens; it
continues without credentials if a helper fails, and has no timeout for helpers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from kubocd_gen.diagnostics.problems import Problem, shown
from kubocd_gen.network.origins import canonical_host, spellings
from kubocd_gen.oci.auth_files import (
    INLINE,
    AuthFile,
    Credentials,
    Site,
    bad_credentials,
    locations,
    parse_auth_file,
    read_auth_file,
)
from kubocd_gen.oci.credential_helpers import ask_helper
from kubocd_gen.oci.mirrors import DOCKER_HUB
from kubocd_gen.processes.single_flight import SingleFlight

# The key of Docker Hub in Docker's config.json, from the first version of its API.
_HUB_KEY = "https://index.docker.io/v1/"
_RUN = Path("/run/containers")
# The hosts that a variable's name can stand for without ambiguity: addresses, and ASCII names without '-' and '_' whose
# last label has a letter (otherwise it could be a port).
_PLAIN_HOST = re.compile(
    r"(?:\[[0-9a-f:]+\]|[0-9]{1,3}(?:\.[0-9]{1,3}){3}|(?:[a-z0-9]+\.)*[0-9]*[a-z][a-z0-9]*)(?::[0-9]{1,5})?"
)


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

    def __init__(self, environment: Mapping[str, str] | None = None, run: Path = _RUN) -> None:
        self._environment = os.environ if environment is None else environment
        self._run = run
        self._lookups: SingleFlight[Site, Credentials | None] = SingleFlight(keep=True)
        self._files: SingleFlight[Path | str, AuthFile | None] = SingleFlight(keep=True)
        self._helpers: SingleFlight[tuple[str, str], Credentials | None] = SingleFlight(keep=True)
        self._found: dict[Site, Credentials] = {}
        self._deprecated: str | None = None  # the end of the warning about variables without a host, if they are set

    def find(self, registry: str, repository: str = "", scheme: str = "https") -> Credentials | None:
        """Return the credentials for a repository of the host `registry`, or None.

        Without `repository`, logins for namespaces are ignored. Call `Network.may_send_credentials` first, because
        this can run a credential helper. Raises ProblemsError `bad-credentials`.
        """
        site = Site(canonical_host(registry, scheme), scheme, repository)
        found = self._lookups.get(site, lambda: self._look_up(site, registry))
        if found is not None:
            self._found[site] = found
        return found

    def known(self, registry: str, repository: str = "", scheme: str = "https") -> Credentials | None:
        """Return what `find` returned before; nothing is looked up."""
        return self._found.get(Site(canonical_host(registry, scheme), scheme, repository))

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

    def _look_up(self, site: Site, written: str) -> Credentials | None:
        """Return the credentials; `written` is the host as in the sources, which helpers can know it by."""
        host = canonical_host(written, "")
        for name in dict.fromkeys((host, *spellings(site.host, site.scheme))):
            found = self._from_variables(variable(name))
            if found is not None and self._is_for(site, name, strict=name == host):
                return found
        if (found := self._from_variables("KCD_OCI")) is not None:
            named = self._environment.get("KCD_OCI_HOST")
            self._deprecated = "" if named else " and are ignored, because KCD_OCI_HOST is not set"
            if named and _is_named(site, named):
                return found
        shared = True
        for location in locations(self._environment, self._run):
            file = self._files.get(location, partial(self._read, location))
            if file is None:
                continue
            shared = shared and not file.has_namespaces(site)
            if (found := self._from_file(file, site, host)) is not None:
                return replace(found, shared=shared)
        return None

    def _is_for(self, site: Site, host: str, *, strict: bool) -> bool:
        """Return whether the variables with the name of `host`, a spelling of the site's host, are for it.

        Raises ProblemsError if that is ambiguous and `strict`.
        """
        name = variable(host)
        if named := self._environment.get(f"{name}_HOST"):
            return _is_named(site, named)
        if _PLAIN_HOST.fullmatch(host):
            return True
        if strict:
            raise bad_credentials(
                f"{name}_USER is for the host {_reading(name)}, but {shown(host)} has the same variable name",
                f"if it is for {shown(host)}, set {name}_HOST to this host",
            )
        return False

    def _from_variables(self, prefix: str) -> Credentials | None:
        user, secret = (self._environment.get(f"{prefix}_{end}") for end in ("USER", "SECRET"))
        if not user and not secret:
            return None
        if not user or not secret:
            given, missing = ("USER", "SECRET") if user else ("SECRET", "USER")
            raise bad_credentials(f"{prefix}_{given} is set, but not {prefix}_{missing}", "set both or neither")
        return Credentials(f"{prefix}_USER", user, secret)

    def _read(self, location: Path | str) -> AuthFile | None:
        if isinstance(location, Path):
            return read_auth_file(location)
        return parse_auth_file(location, os.fsencode(self._environment[INLINE]))

    def _from_file(self, file: AuthFile, site: Site, written: str) -> Credentials | None:
        """Try the helper for this host, then the entries of the file, then the helper for all hosts."""
        servers = [_HUB_KEY] if site.host == DOCKER_HUB else [written, site.host, *file.names(site)]
        helper = file.helper(site)
        if helper and (found := self._from_helper(helper, servers, file)):
            return found
        if found := file.find(site):
            return found
        default = file.default_helper if helper is None or helper else ""
        return self._from_helper(default, servers, file) if default else None

    def _from_helper(self, name: str, servers: list[str], file: AuthFile) -> Credentials | None:
        for server in dict.fromkeys(servers):
            ask = partial(ask_helper, name, server, file.name, self._environment)
            if (found := self._helpers.get((name, server), ask)) is not None:
                return found
        return None


def _reading(name: str) -> str:
    """Return the host that a variable's name stands for."""
    dotted = name.removeprefix("KCD_OCI_").strip("_").replace("_", ".").lower()
    ported = re.sub(r"\.([0-9]{1,5})\Z", r":\1", dotted)
    return ported if _PLAIN_HOST.fullmatch(ported) else dotted


def _is_named(site: Site, host: str) -> bool:
    """Return whether `host`, the value of a variable, is the site's host."""
    return site.is_host(re.sub(r"\A\s*(?:https://)?|/*\s*\Z", "", host, flags=re.IGNORECASE))
