"""What a run may do on the network. Light to import: a build from the vendor layout needs no more than this."""

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

CONNECT_TIMEOUT = 10.0  # seconds for looking a name up and for connecting, all its addresses together
READ_TIMEOUT = 60.0  # seconds of silence before an answer or within one
# One line for each request (DEBUG) and for what it was for (INFO); never a query, header or body, which can be secret.
LOG = logging.getLogger("kubocd_gen.network")


class NetworkError(ProblemsError):
    """A registry or the way to it failed, not the sources: exit code 4."""

    def __init__(
        self, message: str, *, code: str, position: Position | None = None, hint: str | None = None, exit_code: int = 4
    ) -> None:
        super().__init__(Problem(code, message, position, hint, exit_code=exit_code))


def _say_nothing(_line: str) -> None:
    return


@dataclass(frozen=True, slots=True)
class Network:
    """What this run may do on the network, and how.

    `mirrors` leads from a registry's host to where its images are taken from instead: `mirror.example.com/quay` over
    HTTPS, `http://localhost:5000/quay` over plain HTTP. `progress` is given one line about what is waited for, by one
    thread at a time. `clear_text_hosts` are `host[:port]` that get credentials over plain HTTP, too; only the user adds
    to them, on the command line. `budget` counts the run's bytes and seconds.
    """

    offline: bool = False
    ca_file: Path | None = None  # PEM certificates that are trusted besides the system's
    mirrors: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = LIMITS
    progress: Callable[[str], None] = _say_nothing
    clear_text_hosts: frozenset[str] = frozenset()
    budget: Budget = field(default_factory=Budget, compare=False)

    def may_send_credentials(self, url: str) -> bool:
        """Return whether a request to `url` can carry credentials.

        Over HTTPS it can. Over plain HTTP, whoever is on the way could read them: only to loopback, and to hosts that
        the user named. What a Release, a mirror or an index says does not change that.
        """
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port or 80
        except ValueError:
            return False
        if "\\" in url or not url.isprintable():  # two readers could see two hosts in it
            return False
        if parts.scheme != "http":
            return parts.scheme == "https" and bool(host)
        return _is_loopback(host) or any(_split(name) == (host, port) for name in self.clear_text_hosts)


def _is_loopback(host: str) -> bool:
    """Names below `localhost` are left out: a resolver may ask the network about them."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _split(name: str) -> tuple[str, int]:
    parts = urlsplit(f"//{name}")
    return (parts.hostname or "").lower(), parts.port or 80
