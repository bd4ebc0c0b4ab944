"""Network settings of a run. Cheap to import: a build with vendored packages needs nothing else of this package."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from kubocd_gen.budget.limits import LIMITS, Limits
from kubocd_gen.budget.spending import Budget
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError

CONNECT_TIMEOUT = 10.0  # seconds to resolve a name and connect, for all its addresses together
READ_TIMEOUT = 60.0  # seconds without data, before or within a response
# One line for each request (DEBUG) and each operation (INFO). Never a query, header or body, which can be secret.
LOG = logging.getLogger("kubocd_gen.network")


class NetworkError(ProblemsError):
    """A failure of a registry or of the network, not of the sources. Its exit code is 4."""

    def __init__(
        self, message: str, *, code: str, position: Position | None = None, hint: str | None = None, exit_code: int = 4
    ) -> None:
        super().__init__(Problem(code, message, position, hint, exit_code=exit_code))


def _ignore(_line: str) -> None:
    return


@dataclass(frozen=True, slots=True)
class Network:
    """The network settings of a run.

    `mirrors` maps a registry, a namespace or a repository to its replacement: `mirror.example.com/quay` for HTTPS, or
    `http://localhost:5000/quay` for plain HTTP. `progress` is called with one line per wait, by one thread at a time.
    `clear_text_hosts` are `host[:port]` to which credentials can be sent over plain HTTP; only the user can add hosts,
    on the command line. `budget` counts the run's bytes and seconds.
    """

    offline: bool = False
    ca_file: Path | None = None  # PEM certificates that are trusted in addition to the system's
    mirrors: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = LIMITS
    progress: Callable[[str], None] = _ignore
    clear_text_hosts: frozenset[str] = frozenset()
    budget: Budget = field(default_factory=Budget, compare=False)

    def may_send_credentials(self, url: str) -> bool:
        """Return whether a request to `url` can carry credentials.

        Over HTTPS it can. Over plain HTTP, where they could be intercepted, only requests to loopback addresses and to
        hosts that the user named can. A Release, a mirror or an index can't change that.
        """
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port or 80
        except ValueError:
            return False
        if "\\" in url or not url.isprintable():  # parsers can disagree about its host
            return False
        if parts.scheme != "http":
            return parts.scheme == "https" and bool(host)
        return _is_loopback(host) or any(_split(name) == (host, port) for name in self.clear_text_hosts)


def _is_loopback(host: str) -> bool:
    """Return whether `host` is loopback. Names below `localhost` are not: a resolver can send them to the network."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _split(name: str) -> tuple[str, int]:
    parts = urlsplit(f"//{name}")
    return (parts.hostname or "").lower(), parts.port or 80
