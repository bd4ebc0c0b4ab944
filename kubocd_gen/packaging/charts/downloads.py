"""Files over HTTP from Helm repositories, with the credentials that there are for their host."""

from __future__ import annotations

import base64
from collections.abc import Callable
from urllib.parse import urlsplit

from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.diagnostics.quoting import shown
from kubocd_gen.network.settings import NetworkError
from kubocd_gen.network.transport import Transport
from kubocd_gen.oci.credentials import plain_http_advice, variable

Credentials = Callable[[str], tuple[str, str] | None]
"""User and password for a host (`charts.example.com`, with a port where the URL has one), None where there are none."""


class Downloads:
    """Plain HTTP downloads of a run; safe to use from several threads."""

    def __init__(self, transport: Transport, credentials: Credentials) -> None:
        self._transport = transport
        self._credentials = credentials

    def get(self, url: str, *, what: str, limit: int) -> bytes:
        """The file at `url`, anonymously where that is enough.

        Raises ProblemsError: `missing-chart` where there is none, `registry-denied`, `registry-failed`, and what the
        transport raises; `what` opens the sentence, as in «the index of https://charts.example.com».
        """
        host = urlsplit(url).netloc
        answer = self._transport.request("GET", url, limit=limit, large=True)
        refused = answer.status in (401, 403)
        if refused and not self._transport.may_send_credentials(url):
            what = f"{what}, to which credentials are not sent over plain HTTP,"
            hint = plain_http_advice(host)
        elif refused and (credentials := self._credentials(host)):
            plain = ":".join(credentials).encode()
            headers = {"Authorization": f"Basic {base64.b64encode(plain).decode()}"}
            answer = self._transport.request("GET", url, headers=headers, limit=limit, large=True)
            hint = "the credentials that there are for this host do not open it"
        else:
            hint = f"set {variable(host)}_USER and {variable(host)}_SECRET, or log in with 'docker login'"
        if answer.status == 200:
            return answer.body
        said = f"{what} was not to be had: {shown(url)} answers {answer.status}"
        if answer.status in (401, 403):
            raise NetworkError(said, code="registry-denied", hint=hint)
        if answer.status in (404, 410):
            raise ProblemsError(Problem("missing-chart", said, hint="is the URL right?"))
        raise NetworkError(said, code="registry-failed")
