"""HTTP as kcd-gen speaks it to registries and Helm repositories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kubocd_gen.packages.network import Network
from kubocd_gen.packages.oci import JSON_LIMIT


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read to its end. Header names are in lower case; the body is never decoded."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    url: str = field(repr=False)  # after redirects; may carry a signature, so it is not for messages


class Transport:
    """The connections of a run; safe to use from several threads."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        limit: int = JSON_LIMIT,
        timeout: float | None = None,
    ) -> Answer:
        """The final answer, whatever its status: what passes was tried again. Raises NetworkError."""
        raise NotImplementedError

    def close(self) -> None:
        """Break off what is under way and open nothing more; waiting threads end with a NetworkError at once."""
        raise NotImplementedError
