"""What a run may do on the network. Light to import: a build from the vendor layout needs no more than this."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kubocd_gen.diagnostics import KcdError
from kubocd_gen.limits import LIMITS, Limits

CONNECT_TIMEOUT = 10.0  # seconds for looking a name up and for connecting, all its addresses together
READ_TIMEOUT = 60.0  # seconds of silence before an answer or within one


class NetworkError(KcdError):
    """A registry or the way to it failed, not the sources."""

    exit_code = 4


def _say_nothing(_line: str) -> None:
    return


@dataclass(frozen=True, slots=True)
class Network:
    """What this run may do on the network, and how.

    `mirrors` leads from a registry's host to where its images are taken from instead: `mirror.example.com/quay` over
    HTTPS, `http://localhost:5000/quay` over plain HTTP. `progress` is given one line about what is waited for, by one
    thread at a time.
    """

    offline: bool = False
    ca_file: Path | None = None  # PEM certificates that are trusted besides the system's
    mirrors: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = LIMITS
    progress: Callable[[str], None] = _say_nothing
