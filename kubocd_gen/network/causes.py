"""Error messages for failed exchanges, from the exceptions of urllib3, http.client, ssl and the operating system."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

import urllib3.exceptions as urllib3_errors

from kubocd_gen.diagnostics.problems import shown
from kubocd_gen.network.connections import ExpiredError
from kubocd_gen.network.exchange import SLOWEST
from kubocd_gen.network.hosts import PLAIN_HTTP, AttemptError
from kubocd_gen.network.settings import CONNECT_TIMEOUT

FAILURES = (
    ExpiredError,
    urllib3_errors.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,  # for a host name or URL that can't be requested
)
_NOT_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG"}


def cause_of(error: Exception, host: str, proxy: str | None, timeout: float, *, connected: bool) -> AttemptError:
    """Return the cause of `error` in an exchange with `host`; `connected` if the response's head has arrived."""
    chain = list(_chain(error))
    if isinstance(error, ExpiredError):
        # Not `broken`, which would charge the host nothing: a server that drips could do so five times per request.
        return AttemptError(host, f"{host} did not finish its response in time", hint=_SLOW)

    def found(*kinds: type[BaseException]) -> BaseException | None:
        return next((one for one in chain if isinstance(one, kinds)), None)

    if proxy and found(*_PROXY_FAILURES):
        return _of_proxy(chain, host, proxy)
    through = f" (through the proxy {_proxy_name(proxy)})" if proxy else ""
    if found(urllib3_errors.InvalidHeader):
        return AttemptError(host, f"{host} sent conflicting headers", passing=False)
    if found(urllib3_errors.LocationValueError):
        return AttemptError(host, f"the request to {host} has an invalid host name or header", passing=False)
    refusal = found(ssl.SSLError)
    if isinstance(refusal, ssl.SSLError) and not isinstance(refusal, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return _of_tls(refusal, host)
    if (unknown := found(socket.gaierror)) is not None:
        again = isinstance(unknown, socket.gaierror) and unknown.errno == socket.EAI_AGAIN
        return AttemptError(
            host,
            f"the host {host} could not be resolved" if again else f"the host {host} does not exist",
            hint="check the network connection" if again else "check the URL of the package and the DNS servers",
            passing=again,
            reached=False,
        )
    if found(ConnectionRefusedError):
        return AttemptError(host, f"{host} refused the connection", hint=_REACH, reached=False)
    if found(urllib3_errors.NewConnectionError):
        system = next((one for one in chain if isinstance(one, OSError) and one.strerror), None)
        reason = f": {system.strerror}" if system else ""
        reason = f" within {CONNECT_TIMEOUT:.0f} s" if found(TimeoutError) else reason
        return AttemptError(host, f"{host} could not be reached{reason}", hint=_REACH, reached=False)
    if found(urllib3_errors.ReadTimeoutError, TimeoutError):
        return AttemptError(host, f"{host}{through} sent no data for {timeout:.0f} s", hint=_REACH, broken=connected)
    return AttemptError(host, f"{host}{through} closed the connection unexpectedly", hint=_REACH, broken=connected)


# The request's own URL has been checked before, so an invalid location is the proxy's.
_PROXY_FAILURES = (urllib3_errors.ProxyError, urllib3_errors.LocationValueError)
_SLOW = f"run again later, or use a mirror: the host or the network sent less than {SLOWEST} bytes per second"
_REACH = "check that the registry is running and can be reached from here, directly or through the proxy"


def _of_tls(error: ssl.SSLError, host: str) -> AttemptError:
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "pass the CA certificate that signed it with --ca-file FILE"
        if "ostname" in error.verify_message or "IP address" in error.verify_message:
            hint = "check the URL: the certificate is for another host name"
        elif "expired" in error.verify_message:
            hint = "renew the host's certificate, or check the clock of this machine"
        return AttemptError(
            host, f"the certificate of {host} is not valid: {error.verify_message}", hint=hint, passing=False
        )
    if (error.reason or "") in _NOT_TLS:
        return AttemptError(
            host,
            f"{host} does not serve HTTPS",
            hint=PLAIN_HTTP,
            passing=False,
        )
    reason = (error.reason or "the connection was closed").lower().replace("_", " ")
    return AttemptError(host, f"the TLS handshake with {host} failed: {reason}", passing=False)


def _of_proxy(chain: list[BaseException], host: str, proxy: str) -> AttemptError:
    deepest = next((one for one in reversed(chain) if isinstance(one, OSError) and one.args), None)
    reason = str(deepest.strerror or deepest.args[0]) if deepest is not None else "the proxy's address is not valid"
    denied = reason.startswith("Tunnel connection failed: 4")
    return AttemptError(
        host,
        f"the proxy {_proxy_name(proxy)} could not connect to {host}: {shown(reason)}",
        hint="check the environment variables HTTPS_PROXY, HTTP_PROXY and NO_PROXY",
        passing=deepest is not None and not denied,
        reached=False,
    )


def _proxy_name(proxy: str) -> str:
    """Return the proxy's host: the rest of the address can contain a password."""
    try:
        name = urlsplit(proxy if "://" in proxy else f"//{proxy}").netloc.rpartition("@")[2]
    except ValueError:
        name = ""
    return shown(name) if name else "from the environment"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield `error` and its causes, which urllib3 also keeps in `reason` or in the arguments."""
    waiting, seen = [error], set()
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        causes = (*one.args, getattr(one, "reason", None), one.__cause__, one.__context__)
        waiting += [other for other in causes if isinstance(other, BaseException)]
