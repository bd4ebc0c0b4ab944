"""Download files from Helm repositories over HTTP, with the credentials for their host."""

from __future__ import annotations

import base64
from collections.abc import Callable
from urllib.parse import urlsplit

from kubocd_gen.diagnostics.problems import ProblemsError, shown
from kubocd_gen.network.settings import NetworkError
from kubocd_gen.network.transport import Transport
from kubocd_gen.oci.credentials import plain_http_advice, variable

Credentials = Callable[[str], tuple[str, str] | None]
"""Return user and password for a host (`charts.example.com`, with the port of the URL), or None."""


class Downloads:
    """The HTTP downloads of a run; safe to use from several threads."""

    def __init__(self, transport: Transport, credentials: Credentials) -> None:
        self._transport = transport
        self._credentials = credentials

    def get(self, url: str, *, what: str, limit: int) -> bytes:
        """Download the file at `url`; messages call it `what`. Credentials are sent only if the server requires them.

        Raises ProblemsError: `missing-chart` if there is no such file, `registry-denied`, `registry-failed`, and what
        the transport raises.
        """
        host = urlsplit(url).netloc
        answer = self._transport.request("GET", url, limit=limit, large=True)
        refused = answer.status in (401, 403)
        reason = ""
        if refused and not self._transport.may_send_credentials(url):
            reason = "; credentials are not sent over plain HTTP"
            hint = plain_http_advice(host)
        elif refused and (credentials := self._credentials(host)):
            plain = ":".join(credentials).encode()
            headers = {"Authorization": f"Basic {base64.b64encode(plain).decode()}"}
            answer = self._transport.request("GET", url, headers=headers, limit=limit, large=True)
            hint = "check the credentials for this host; the server does not accept them for this file"
        else:
            hint = f"set {variable(host)}_USER and {variable(host)}_SECRET, or log in with 'docker login'"
        if answer.status == 200:
            return answer.body
        message = f"cannot download {what}: {shown(url)} returned {answer.status}"
        if answer.status in (401, 403):
            raise NetworkError(f"{message}{reason}", code="registry-denied", hint=hint)
        if answer.status in (404, 410):
            raise ProblemsError.of("missing-chart", message, hint="check the URL")
        raise NetworkError(message, code="registry-failed")
