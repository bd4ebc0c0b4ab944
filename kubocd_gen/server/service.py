"""Parse the Service that a repositoryURL refers to. The server's manifests use its name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError, shown
from kubocd_gen.package_data import page
from kubocd_gen.schema.names import LABEL_HINT, is_label, is_subdomain

_PORT = 80  # of a URL without a port
_SERVICE = re.compile(r"[a-z]")  # RFC 1035, as the API server checks Services
_FORM = "use the URL of a Service, such as http://charts.kubocd.svc"
_OTHER_WAYS = f"serve hr/ at that URL yourself (see {page('serving')})"


@dataclass(frozen=True, slots=True)
class Service:
    """A Service in the cluster, and its port."""

    name: str
    namespace: str
    port: int


def service_of(url: str, position: Position | None = None) -> Service:
    """Return the Service of a URL such as `http://NAME.NAMESPACE.svc[.DOMAIN][:PORT]`.

    No other form is accepted: `http://charts.kubocd` reaches the same Service from a pod, but can't be distinguished
    from an external host. Raises ProblemsError `not-a-service` at `position`.
    """
    if not url.isprintable() or " " in url:  # urlsplit removes line breaks
        raise ProblemsError(_not_a_service(url, "is not a valid URL", _FORM, position))
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ProblemsError(_not_a_service(url, "is not a valid URL", _FORM, position)) from None
    if problem := _unsupported_part(parts):
        raise ProblemsError(_not_a_service(url, *problem, position))
    host = (parts.hostname or "").removesuffix(".")
    name, namespace, service, domain = [*host.split(".", 3), "", "", ""][:4]
    if service != "svc" or (domain and not is_subdomain(domain)):
        message = f"has the host {shown(host)}, which is not a Service"
        raise ProblemsError(_not_a_service(url, message, f"{_FORM}, or {_OTHER_WAYS}", position))
    for label, kind in ((name, "Service"), (namespace, "namespace")):
        if not is_label(label) or (kind == "Service" and not _SERVICE.match(label)):
            hint = LABEL_HINT + ("; start with a letter" if kind == "Service" else "")
            message = f"has {shown(label)}, which is not a valid name for a {kind}"
            raise ProblemsError(_not_a_service(url, message, hint, position))
    if port == 0:
        raise ProblemsError(_not_a_service(url, "has the port 0", _FORM, position))
    return Service(name, namespace, port or _PORT)


def _unsupported_part(parts: SplitResult) -> tuple[str, str] | None:
    """Return the message and hint for a part of the URL that the server does not support, or None."""
    if parts.scheme == "https":
        return "requires TLS, which the server does not support", f"use http://…, or {_OTHER_WAYS}"
    if parts.scheme != "http":
        return "is not an http:// URL", _FORM
    if parts.username is not None or parts.password is not None:
        return "has credentials, which the server does not support", "remove them; the NetworkPolicy restricts access"
    if parts.path.strip("/"):
        return "has a path, but the server serves hr/ at its root", f"remove the path, or {_OTHER_WAYS}"
    if parts.query or parts.fragment:
        return "has a query or a fragment", "remove it; kcd-gen appends a path to the URL"
    return None


def _not_a_service(url: str, message: str, hint: str, position: Position | None) -> Problem:
    return Problem("not-a-service", f"repositoryURL {shown(url)} {message}", hint=hint, position=position)
