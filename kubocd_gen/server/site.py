"""The site of `kcd-gen serve`: the output as the container serves it, and a page about it."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from urllib.parse import parse_qs

from kubocd_gen.files.paths import shown_path
from kubocd_gen.server.answers import answer
from kubocd_gen.server.catalog import CatalogReader
from kubocd_gen.server.http import Request, Response, plain
from kubocd_gen.server.page import LastBuild, page

# Suffixes that can't be registered in the public DNS, so an attacker can't point them to this machine.
_PRIVATE = (".localhost", ".svc", ".local", ".internal", ".test")


class Site:
    """The served output and the result of its last build. One thread can change them while others answer requests."""

    def __init__(self, output: Path, *, address: str, only_here: bool) -> None:
        self.output = output
        self.built: LastBuild | None = None
        self._address = address
        self._only_here = only_here
        self._catalogs = CatalogReader()

    def answer(self, request: Request) -> Response:
        """Return the response to a request."""
        host = request.fields.get("host") or self._address
        if self._only_here and not _is_private(host):
            # Prevents DNS rebinding: a web page could read the charts by resolving its own name to our address.
            reason = f"refusing the host '{host}' because this server is only for this machine"
            return plain(421, text=f"{reason}; use http://{self._address}/, or serve with another --host")
        return answer(request, self.output, self._page)

    def _page(self, request: Request) -> Response:
        query = parse_qs(request.target.partition("?")[2], errors="replace", max_num_fields=None)
        made = page(
            self._catalogs.read(self.output),
            name=shown_path(self.output),
            host=request.fields.get("host") or self._address,
            query=query.get("q", [""])[0],
            built=self.built,
        )
        fields = (
            ("Content-Type", "text/html; charset=utf-8"),
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", made.policy),
            ("Referrer-Policy", "no-referrer"),
        )
        return Response(200, fields, made.html.encode("utf-8", "replace"))


def _is_private(host: str) -> bool:
    """Return whether a Host field is an IP address or a name that can't be in the public DNS."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    if "." not in name or name.endswith(_PRIVATE):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
