"""The HTTP transport to registries and Helm repositories. No server can block a build or exhaust the machine.

urllib3 transfers the bytes. Retries, redirects, limits and the resumption of interrupted downloads are implemented
here, with kcd-gen's own rules, and disabled in urllib3.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import SplitResult, urlsplit

from kubocd_gen.budget.limits import LIMITS
from kubocd_gen.budget.spending import BudgetExceededError
from kubocd_gen.diagnostics.problems import shown
from kubocd_gen.network.exchange import (
    NO_REGISTRY,
    SLOWEST,
    Answer,
    AnswerTooLargeError,
    Body,
    Exchange,
    Spool,
    drain,
    follow,
    next_fields,
    no_registry,
    public,
    range_start,
    retry_after,
    sized,
    split_url,
    status_text,
    strong_etag,
)
from kubocd_gen.network.hosts import CONNECTIONS, LAST_WAIT, AttemptError, Host, RunTime, exhausted, interrupted
from kubocd_gen.network.origins import origin
from kubocd_gen.network.proxies import proxy_for
from kubocd_gen.network.reasons import Reason, read_reason, secrets_of
from kubocd_gen.network.settings import CONNECT_TIMEOUT, LOG, READ_TIMEOUT, Network, NetworkError
from kubocd_gen.processes.timing import report

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

    from kubocd_gen.network.connections import Deadline

T = TypeVar("T")

REDIRECTS = 5
_MESSAGE = 64 * 1024  # bytes of an error response's body that are read
_PASSING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
_LASTING = {HTTPStatus.NOT_IMPLEMENTED, HTTPStatus.HTTP_VERSION_NOT_SUPPORTED}  # of the server errors
_REASON_WAIT = 2.0  # seconds for the body of an error that is retried
_MOVED = {301, 302, 303, 307, 308}
_SAME_METHOD = {307, 308}  # RFC 9110, 15.4; all clients repeat other redirected requests as GET, without the body
_BUSY = "run again later, or log in: many registries have higher limits for authenticated users"
_REDIRECTED = (
    "use the address that it redirects to: clients follow a redirected upload only on the same host, with 307 or 308"
)
_FAILING = "run again later, or contact the registry's operator"


class Transport:
    """The connections of a run. Thread-safe.

    Tests replace `clock` (monotonic seconds), `now` (seconds since 1970), `sleep` and `chance` (random, from 0 to 1).
    """

    def __init__(
        self,
        network: Network,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
        chance: Callable[[], float] = random.random,
        now: Callable[[], float] = time.time,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._network = network
        self._clock, self._chance, self._now = clock, chance, now
        self._closed = threading.Event()
        self._sleep = sleep or self._closed.wait
        self._environment = os.environ if environment is None else environment
        self._lock = threading.Lock()
        self._hosts: dict[str, Host] = {}
        self._managers: dict[tuple[bool, str | None], PoolManager] = {}  # by whether they use TLS, and by proxy
        self._run = RunTime(network.budget, clock)

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: Body | None = None,
        limit: int = LIMITS.manifest,
        timeout: float | None = None,
        size: int | None = None,
        into: Spool | None = None,
        large: bool = False,
        probe: bool = False,
    ) -> Answer:
        """Return the final response, whatever its status, after redirects and up to five attempts.

        `limit` is the body's maximum size in bytes, `timeout` the longest time without data in seconds. `size` is the
        body's exact length, which replaces `limit`. It is passed by callers that verify a digest, so an interrupted
        download can be resumed even if the server sends no ETag. Without `size`, the response must arrive completely
        within `timeout`, unless it can be `large`. The body of a 200 is written `into` a Spool, if given, and is empty
        in the response. With `probe`, a server error without Retry-After is returned, and not retried. Credentials in
        `headers` are sent only to the origin of `url`. Raises NetworkError (`registry-failed`, `offline`, `run-limit`)
        and AnswerTooLargeError.
        """
        received = bytearray() if into is None else into
        most, small = limit if size is None else size, size is None and not large
        wait = timeout or READ_TIMEOUT
        exchange = Exchange(method, url, headers or {}, data, most, wait, size, probe, small, received)
        return self.retrying(lambda: self._attempt(exchange))

    def attempt(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: Body | None = None,
        limit: int = LIMITS.manifest,
        timeout: float | None = None,
        probe: bool = False,
    ) -> Answer:
        """Make one attempt of `request`, as a step of an operation that `retrying` repeats as a whole.

        Raises AttemptError as well.
        """
        wait = timeout or READ_TIMEOUT
        with self._run:
            return self._attempt(Exchange(method, url, headers or {}, data, limit, wait, probe=probe))

    def retrying(self, attempt: Callable[[], T]) -> T:
        """Call `attempt` again while it raises an AttemptError that may be temporary, and return its result.

        Raises NetworkError.
        """
        with self._run:
            return self._retrying(attempt)

    def _retrying(self, attempt: Callable[[], T]) -> T:
        failing: dict[str, Host] = {}
        recovered, tries = False, 0
        try:
            while True:
                tries += 1
                started = self._clock()
                try:
                    result = attempt()
                except AttemptError as trouble:
                    host = self._host(trouble.host)
                    if not trouble.passing:
                        raise NetworkError(trouble.text, code="registry-failed", hint=trouble.hint) from None
                    if trouble.host not in failing:
                        failing[trouble.host] = host
                        began = started if trouble.began is None else trouble.began
                        host.begin(self._clock() if trouble.broken else began)
                    wait = host.pause(trouble, tries, self._chance())
                    self._report(f"{trouble.text}; retrying in {wait:.1f} s (attempt {tries + 1})")
                    self._wait(wait, trouble.host)
                else:
                    recovered = True
                    return result
        finally:
            for host in failing.values():
                host.end(recovered=recovered)

    def may_send_credentials(self, url: str) -> bool:
        """Return whether a request to `url` can carry credentials; see `Network`."""
        return self._network.may_send_credentials(url)

    def close(self) -> None:
        """Abort transfers and refuse new ones. Waiting threads get a NetworkError immediately."""
        self._closed.set()
        with self._lock:
            for manager in self._managers.values():
                manager.clear()

    def _attempt(self, exchange: Exchange) -> Answer:
        """Make one attempt: send the request and follow redirects."""
        url, headers = exchange.url, dict(exchange.headers)
        exchange.tries += 1
        for _ in range(REDIRECTS + 1):
            parts = split_url(url, exchange.url)
            answer, location = self._hop(exchange, url, parts, headers)
            if location is None:
                return answer
            target = follow(url, location)
            destination = split_url(target, url)
            elsewhere = origin(destination) != origin(parts)
            if exchange.method not in ("GET", "HEAD") and (elsewhere or answer.status not in _SAME_METHOD):
                what = f"redirected a {exchange.method} request to {shown(public(target))} ({answer.status})"
                raise no_registry(parts.netloc, what, _REDIRECTED)
            if (parts.scheme, destination.scheme) == ("https", "http"):
                raise no_registry(parts.netloc, f"redirected from HTTPS to plain HTTP at {destination.netloc}")
            if elsewhere:
                headers.pop("Authorization", None)
            url = target
        raise no_registry(urlsplit(exchange.url).netloc, f"redirected more than {REDIRECTS} times")

    def _hop(
        self, exchange: Exchange, url: str, parts: SplitResult, headers: Mapping[str, str]
    ) -> tuple[Answer, str | None]:
        """Return one host's response and the location that it redirects to, if any."""
        from urllib3.util import Timeout

        from kubocd_gen.network.causes import FAILURES, cause_of
        from kubocd_gen.network.connections import Deadline

        host = self._host(parts.netloc)
        self._check(host)
        self._wait(host.hold(), host.name)
        with host.slots:
            self._check(host)
            began = self._clock()
            left, connect, silence = host.left(), CONNECT_TIMEOUT, exchange.timeout
            if left is not None:  # requests are failing: limit this one to the time left
                connect, silence = min(connect, max(1.0, left)), min(silence, max(LAST_WAIT, left))
            proxy = proxy_for(url)
            connected, status, exchange.fetched = False, "no response", 0
            most = connect + silence + len(exchange.data or b"") / SLOWEST
            with Deadline(most, self._run.left(), self._closed.is_set) as deadline:
                try:
                    response = self._manager(parts.scheme, proxy).urlopen(
                        exchange.method,
                        url,
                        headers=next_fields(exchange, headers),
                        body=exchange.data,
                        timeout=Timeout(connect=connect, read=silence),
                        redirect=False,
                        retries=False,
                        preload_content=False,
                        decode_content=False,
                    )
                    connected, status = True, str(response.status)
                    host.answered()
                    deadline.begin(silence)
                    try:
                        return self._read(exchange, response, parts.netloc, url, deadline, headers)
                    finally:
                        response.close()
                except AttemptError as trouble:
                    trouble.began = began
                    raise
                except FAILURES as error:
                    if self._closed.is_set():
                        raise interrupted() from None
                    if not self._run.left():
                        raise exhausted(host.name, self._run.error()) from None
                    # Not assigned to a variable: its traceback would keep the failed socket alive.
                    raise _since(began, cause_of(error, parts.netloc, proxy, silence, connected=connected)) from None
                finally:
                    seconds, asked = self._clock() - began, (exchange.method, public(url))
                    LOG.debug("%s %s: %s (%d bytes) in %.3f s", *asked, status, exchange.fetched, seconds)
                    report(LOG, " ".join(asked), began, seconds, (status, f"{exchange.fetched} bytes"))

    def _read(
        self,
        exchange: Exchange,
        response: BaseHTTPResponse,
        host: str,
        url: str,
        deadline: Deadline,
        sent: Mapping[str, str],
    ) -> tuple[Answer, str | None]:
        status = response.status
        headers = {name.lower(): response.headers[name] for name in response.headers}
        if exchange.method == "HEAD":  # no body follows, so the connection can be reused
            response.release_conn()
        asked = retry_after(headers.get("retry-after"), self._now())
        failing = status >= HTTPStatus.INTERNAL_SERVER_ERROR and status not in _LASTING
        if status in _PASSING or (failing and (asked is not None or not exchange.probe)):
            deadline.begin(min(_REASON_WAIT, exchange.timeout))
            reason = self._reason(exchange, response, host, sent)
            text = f"{host} returned {status_text(status)}{f': {reason}' if reason.text else ''}"
            busy = status == HTTPStatus.TOO_MANY_REQUESTS or "TOOMANYREQUESTS" in reason.codes
            raise AttemptError(host, text, hint=_BUSY if busy else _FAILING, retry_after=asked)
        if status in _MOVED and (location := headers.get("location")):
            return Answer(status, headers, b"", url), location
        if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and exchange.received:
            exchange.start_over()
            exchange.continues = False
            raise AttemptError(host, f"{host} could not resume the download", broken=True)
        if status == HTTPStatus.PARTIAL_CONTENT:
            if not exchange.received:
                raise no_registry(host, "returned a partial response to a full request")
            if range_start(headers.get("content-range")) != len(exchange.received):
                exchange.start_over()
                exchange.continues = False
                raise AttemptError(host, f"{host} resumed the download at the wrong offset", broken=True)
            status = HTTPStatus.OK
        elif status != HTTPStatus.OK:
            taken = bytearray()
            if exchange.method != "HEAD":
                drain(response, taken, _MESSAGE, lambda length: self._fetched(exchange, host, length))
            body = bytes(taken[:_MESSAGE])
            return Answer(status, headers, body, url, read_reason(body, secrets_of(sent, exchange.data))), None
        else:
            exchange.start_over()
        exchange.etag = strong_etag(headers.get("etag"))
        if exchange.method == "HEAD":
            return Answer(status, headers, b"", url), None
        declared = headers.get("content-length", "")
        length = len(exchange.received) + int(declared) if declared.isascii() and declared.isdigit() else 0

        def came(length: int) -> None:
            self._fetched(exchange, host, length)
            seconds = length / SLOWEST
            if not exchange.small:
                deadline.extend(seconds, exchange.timeout)
            if exchange.tries > 1:
                self._host(host).earn(seconds)

        if length > exchange.limit or not drain(response, exchange.received, exchange.limit, came):
            message = f"{host} returned more than {sized(exchange.limit)}"
            error = AnswerTooLargeError(message, code="registry-failed", hint=NO_REGISTRY)
            error.media_type = headers.get("content-type", "").lower()
            raise error
        closing = not declared and "chunked" not in headers.get("transfer-encoding", "").lower()
        if closing and len(exchange.received) < (1 if exchange.size is None else exchange.size):
            # Only the end of the connection marks the end of the body, and it came too early.
            raise AttemptError(host, f"{host} closed the connection unexpectedly", broken=True)
        return Answer(status, headers, bytes(exchange.received), url), None

    def _reason(self, exchange: Exchange, response: BaseHTTPResponse, host: str, sent: Mapping[str, str]) -> Reason:
        """Return the reason in the body of an error response; NO_REASON if the body does not arrive."""
        from kubocd_gen.network.causes import FAILURES

        taken = bytearray()
        if exchange.method != "HEAD":
            with suppress(*FAILURES):
                drain(response, taken, _MESSAGE, lambda length: self._fetched(exchange, host, length))
        return read_reason(bytes(taken[:_MESSAGE]), secrets_of(sent, exchange.data))

    def _manager(self, scheme: str, proxy: str | None) -> PoolManager:
        from kubocd_gen.network.connections import new_manager, tls_context

        tls = scheme == "https" or (proxy or "").lower().startswith("https:")
        with self._lock:
            if (tls, proxy) not in self._managers:
                # Only for TLS, because loading the certificates takes 50 ms.
                context = tls_context(self._network.ca_file, self._environment) if tls else None
                self._managers[tls, proxy] = new_manager(proxy, CONNECTIONS, context)
            return self._managers[tls, proxy]

    def _host(self, name: str) -> Host:
        with self._lock:
            return self._hosts.setdefault(name, Host(name, self._clock))

    def _fetched(self, exchange: Exchange, host: str, length: int) -> None:
        exchange.fetched += length
        try:
            self._network.budget.spend("fetched", length)
        except BudgetExceededError as error:
            raise exhausted(host, error) from None

    def _check(self, host: Host) -> None:
        if self._network.offline:
            message = f"{host.name} is needed, but network access is disabled"
            raise NetworkError(message, code="offline", hint="remove --offline, or vendor the packages")
        if self._closed.is_set():
            raise interrupted()
        host.check()
        if not self._run.left():
            raise exhausted(host.name, self._run.error())

    def _wait(self, seconds: float, host: str) -> None:
        if seconds > self._run.left():
            raise exhausted(host, self._run.error())
        if seconds > 0:
            self._sleep(seconds)
        if self._closed.is_set():
            raise interrupted()

    def _report(self, line: str) -> None:
        with self._lock:
            self._network.progress(line)


def _since(began: float, trouble: AttemptError) -> AttemptError:
    trouble.began = began
    return trouble
