"""Which Service of a cluster a repositoryURL names: the server's manifests are named after it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.diagnostics.quoting import shown
from kubocd_gen.package_data import page

_PORT = 80  # of a URL that names none
_SERVICE = re.compile(r"[a-z](?:[-a-z0-9]*[a-z0-9])?")  # RFC 1035, as the API server checks Services
_NAMESPACE = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")
_DOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
_LONGEST = 63
_FORM = "a Service is named like http://charts.kubocd.svc"
_OTHER_WAYS = f"serve hr/ at that address yourself ({page('serving')} says how)"


@dataclass(frozen=True, slots=True)
class Service:
    """A Service in the cluster, and the port at which it is asked."""

    name: str
    namespace: str
    port: int


def service_of(url: str, position: Position | None = None) -> Service:
    """The Service behind `http://NAME.NAMESPACE.svc[.DOMAIN][:PORT]`.

    Only that form is taken: `http://charts.kubocd` would reach the same Service from a pod, but can't be told from a
    host outside. Raises ProblemsError `not-a-service`, at `position`, for any other, with the way out.
    """
    if not url.isprintable() or " " in url:  # urlsplit drops line breaks
        raise ProblemsError(_not_one(url, "is no URL", _FORM, position))
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ProblemsError(_not_one(url, "is no URL", _FORM, position)) from None
    if problem := _beyond_a_service(parts):
        raise ProblemsError(_not_one(url, *problem, position))
    host = (parts.hostname or "").removesuffix(".")
    name, namespace, service, domain = [*host.split(".", 3), "", "", ""][:4]
    if service != "svc" or (domain and not _DOMAIN.fullmatch(domain)):
        raise ProblemsError(
            _not_one(url, f"has the host {shown(host)}, which is no Service's", f"{_FORM}; or {_OTHER_WAYS}", position)
        )
    for label, grammar, kind in ((name, _SERVICE, "Service"), (namespace, _NAMESPACE, "namespace")):
        if len(label) > _LONGEST or not grammar.fullmatch(label):
            hint = f"lower-case letters, digits and inner '-', at most {_LONGEST}; a Service begins with a letter"
            raise ProblemsError(_not_one(url, f"has {shown(label)}, which no {kind} can be named", hint, position))
    if port == 0:
        raise ProblemsError(_not_one(url, "has the port 0", _FORM, position))
    return Service(name, namespace, port or _PORT)


def _beyond_a_service(parts: SplitResult) -> tuple[str, str] | None:
    """What the URL asks for that the server behind a Service does not do, and the way out."""
    if parts.scheme == "https":
        return "asks for TLS, which ends before the server", f"write http://…, or {_OTHER_WAYS}"
    if parts.scheme != "http":
        return "is no http:// address", _FORM
    if parts.username is not None or parts.password is not None:
        return "holds credentials, and the server knows none", "take them out: the NetworkPolicy says who may ask"
    if parts.path.strip("/"):
        return "has a path, and the server has hr/ at its root", f"take the path away, or {_OTHER_WAYS}"
    if parts.query or parts.fragment:
        return "has a query or a fragment, to which a path can't be added", "take it away"
    return None


def _not_one(url: str, what: str, hint: str, position: Position | None) -> Problem:
    return Problem("not-a-service", f"repositoryURL {shown(url)} {what}", hint=hint, position=position)
