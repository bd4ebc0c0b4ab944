"""Authenticate after a 401 response, with HTTP basic authentication or the token protocol of the distribution registry.

oras-py's implementations of both are not used: they have no timeouts, parse only challenges with quoted values, send
credentials to any realm, never renew tokens, and share them between scopes.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from kubocd_gen.budget.limits import LIMITS, over_limit
from kubocd_gen.diagnostics.problems import ProblemsError, shown
from kubocd_gen.network.exchange import Answer, AnswerTooLargeError, parse_challenges, public
from kubocd_gen.network.origins import canonical_host
from kubocd_gen.network.reasons import NO_REASON, Reason
from kubocd_gen.network.settings import LOG, NetworkError
from kubocd_gen.network.transport import Transport
from kubocd_gen.oci.auth_files import Credentials
from kubocd_gen.oci.credentials import CredentialStore
from kubocd_gen.oci.descriptors import JsonSource
from kubocd_gen.oci.endpoints import Endpoint

LIFETIME = 60.0  # seconds; the default of the token protocol
_LONGEST_LIFETIME = 3600.0  # seconds
_EARLY = 5.0  # seconds; a token is renewed this long before it expires, because the request takes time
_ANY = ""  # no scope
_TOKEN = re.compile(r"[\x21-\x7e]{1,65536}")  # the characters that are safe in a header


class Tokens:
    """The Authorization headers of a run, by host and scope; safe to use from several threads."""

    def __init__(
        self,
        transport: Transport,
        store: CredentialStore,
        limit: int = LIMITS.token,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport, self._store, self._limit, self._clock = transport, store, limit, clock
        self._lock = threading.Lock()
        self._locks: dict[tuple[str, str], threading.Lock] = {}
        self._fields: dict[tuple[str, str], tuple[str, float]] = {}  # header and expiry time
        self._useless: dict[tuple[str, str], str] = {}  # headers that were new when a registry refused them
        self._reasons: dict[tuple[str, str], Reason] = {}  # why a token service refused access, by repository

    def known(self, endpoint: Endpoint, scope: str) -> str | None:
        """Return a valid header if there is one, without a request."""
        for key in (_key(endpoint, scope), _key(endpoint, _ANY)):
            field, end = self._fields.get(key, ("", 0.0))
            if field and self._clock() < end:
                return field
        return None

    def answer(
        self, endpoint: Endpoint, scope: str, refusal: Answer, refused: str | None, timeout: float | None
    ) -> str | None:
        """Return the header to repeat a request with after `refusal`, or None if there are no other credentials.

        `refused` is the header of the refused request. Raises ProblemsError if the token protocol fails.
        """
        key = _key(endpoint, scope)
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:  # waiting threads use the header of the first one
            known = self.known(endpoint, scope)
            if known is not None and known != refused:
                return known
            if refused is not None and self._useless.get(key) == refused:
                return None
            field, lifetime = self._new(endpoint, scope, refusal, timeout)
            if field is None or field == refused:
                return None
            # A password for the whole host is reused, so that its other repositories need no second request.
            if field.startswith("Basic ") and self._is_shared(endpoint):
                key = _key(endpoint, _ANY)
            self._fields[key] = field, self._clock() + lifetime
            return field

    def give_up(self, endpoint: Endpoint, scope: str, refused: str) -> None:
        """Record that a registry refused a new header, so that `answer` does not log in again with the same result."""
        self._useless[_key(endpoint, scope)] = refused

    def reason(self, endpoint: Endpoint) -> Reason:
        """Return why a token service refused access to the repository; NO_REASON if it did not."""
        return self._reasons.get(_key(endpoint, endpoint.repository), NO_REASON)

    def _is_shared(self, endpoint: Endpoint) -> bool:
        found = self._store.known(endpoint.registry, endpoint.repository, endpoint.scheme)
        return found is not None and found.shared

    def _new(self, endpoint: Endpoint, scope: str, refusal: Answer, timeout: float | None) -> tuple[str | None, float]:
        challenges = parse_challenges(refusal.headers.get("www-authenticate", ""))
        offered = {challenge.scheme: challenge.parameters for challenge in reversed(challenges)}
        credentials = None
        if self._transport.may_send_credentials(endpoint.url()):
            credentials = self._store.find(endpoint.registry, endpoint.repository, endpoint.scheme)
        if credentials is not None and credentials.registry_token:
            return f"Bearer {_usable(credentials.registry_token, endpoint.host)}", _LONGEST_LIFETIME
        bearer = offered.get("bearer")
        if bearer is not None and bearer.get("realm"):
            realm = _checked_realm(bearer["realm"], endpoint)
            if not self._transport.may_send_credentials(realm):
                credentials = None  # they could be read in transit
            wanted = bearer.get("scope") or scope
            if "push" in scope and "push" not in wanted:
                wanted = scope
            return self._token(endpoint, realm, bearer.get("service", ""), wanted, credentials, timeout)
        if "basic" in offered and credentials is not None and credentials.secret:
            return credentials.basic(), float("inf")
        return None, 0.0

    def _token(
        self,
        endpoint: Endpoint,
        realm: str,
        service: str,
        scope: str,
        credentials: Credentials | None,
        timeout: float | None,
    ) -> tuple[str | None, float]:
        def ask(method: str, url: str, headers: Mapping[str, str], data: bytes | None) -> dict[str, Any]:
            try:
                answer = self._transport.request(
                    method, url, headers=headers, data=data, limit=self._limit, timeout=timeout
                )
            except AnswerTooLargeError:
                what = f"the response of the token service {urlsplit(realm).netloc} of {endpoint} is larger"
                raise ProblemsError(over_limit(what, "token", self._limit)) from None
            return _read_token_answer(answer, urlsplit(realm).netloc, endpoint)

        wanted = {"service": service, "scope": scope}
        headers = {"Accept": "application/json"}
        try:
            if credentials is not None and credentials.identity_token:
                form = {
                    "grant_type": "refresh_token",
                    "client_id": "kcd-gen",
                    **wanted,
                    "refresh_token": credentials.identity_token,
                }
                headers["Content-Type"] = "application/x-www-form-urlencoded"
                given = ask("POST", realm, headers, urlencode(form).encode())
            else:
                if credentials is not None:
                    headers["Authorization"] = credentials.basic()
                query = urlencode({name: value for name, value in wanted.items() if value})
                given = ask("GET", f"{realm}{'&' if '?' in realm else '?'}{query}", headers, None)
        except _RefusedError as refused:
            self._reasons[_key(endpoint, endpoint.repository)] = refused.reason
            return None, 0.0
        token = given.get("token") or given.get("access_token")
        if not isinstance(token, str):
            raise _no_token(urlsplit(realm).netloc, endpoint, "no token")
        lifetime = given.get("expires_in")
        if isinstance(lifetime, bool) or not isinstance(lifetime, (int, float)) or not lifetime > 0:
            lifetime = LIFETIME
        usable = _usable(token, urlsplit(realm).netloc)
        identity = "anonymous" if credentials is None else credentials.source
        LOG.info("got a token from %s for %s, as %s", urlsplit(realm).netloc, scope, identity)
        return f"Bearer {usable}", max(0.0, min(lifetime, _LONGEST_LIFETIME) - _EARLY)


class _RefusedError(Exception):
    """The token service refused the credentials, or anonymous access."""

    def __init__(self, reason: Reason) -> None:
        super().__init__()
        self.reason = reason


def _read_token_answer(answer: Answer, host: str, endpoint: Endpoint) -> dict[str, Any]:
    if answer.status in (401, 403):
        raise _RefusedError(answer.reason)
    if answer.status != 200:
        text = f": {answer.reason}" if answer.reason.text else ""
        raise _no_token(host, endpoint, f"{answer.status}{text}")
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise _no_token(host, endpoint, "a compressed response, which was not requested")
    try:
        return JsonSource("the response", "registry-failed").read(answer.body)
    except ProblemsError:
        raise _no_token(host, endpoint, "a response that is not valid JSON") from None


def _checked_realm(realm: str, endpoint: Endpoint) -> str:
    """Return the token service's URL if it is safe to send credentials to: it uses HTTPS, or is the registry itself.

    Raises NetworkError.
    """
    try:
        parts, own = urlsplit(realm), urlsplit(endpoint.url())
        usable = parts.scheme == "https" or (parts.scheme == own.scheme == "http" and parts.hostname == own.hostname)
        usable = usable and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or '"' in realm or "@" in parts.netloc or not realm.isprintable():
        raise NetworkError(
            f"{endpoint.host} has an unsafe token service: {shown(public(realm))} is neither HTTPS nor the registry",
            code="registry-failed",
            hint="check the URL and the configuration of the registry; the token service received no credentials",
        )
    return realm


def _usable(token: str, host: str) -> str:
    if not _TOKEN.fullmatch(token):
        raise NetworkError(f"the token for {host} contains characters that are not allowed", code="registry-failed")
    return token


def _no_token(host: str, endpoint: Endpoint, what: str) -> NetworkError:
    return NetworkError(
        f"the token service {host} of {endpoint} returned {what}",
        code="registry-failed",
        hint="check the URL, and whether a proxy responds instead of the token service",
    )


def _key(endpoint: Endpoint, scope: str) -> tuple[str, str]:
    return f"{endpoint.scheme}://{canonical_host(endpoint.host, endpoint.scheme)}", scope
