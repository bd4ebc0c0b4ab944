"""What a registry's answer means when it is not what was asked for: the likely cause, and the way out."""

from __future__ import annotations

import json
from http import HTTPStatus

from kubocd_gen.diagnostics.problems import Problem
from kubocd_gen.diagnostics.quoting import shown
from kubocd_gen.network.exchange import Answer, status_text
from kubocd_gen.network.settings import NetworkError
from kubocd_gen.oci.access import Access
from kubocd_gen.oci.credentials import Credentials, plain_http_advice, variable
from kubocd_gen.oci.endpoints import Endpoint

_HELPERS = {
    "aws": 'install docker-credential-ecr-login and name it in "credHelpers": {{"{0}": "ecr-login"}} of Docker\'s'
    " config.json",
    "azure": "log in with 'az acr login --name {1}', or install docker-credential-acr-env and name it in"
    ' "credHelpers": {{"{0}": "acr-env"}} of Docker\'s config.json',
    "gcp": "let docker-credential-gcloud log in: 'gcloud auth configure-docker {0}'",
}


def refusal(
    answer: Answer,
    endpoint: Endpoint,
    name: str,
    access: Access,
    credentials: Credentials | None,
    verb: str,
    *,
    clear_text: bool = False,
) -> NetworkError:
    """The error for an answer of another status than was hoped for.

    `name` is what was asked for, `repository:tag` or a digest in it; `verb` says what was wanted, «read» or «push».
    `clear_text`: over plain HTTP, so that no credentials were sent.
    """
    if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return _denied(answer, endpoint, name, access, credentials, verb, clear_text=clear_text)
    if answer.status == HTTPStatus.NOT_FOUND:
        return _missing(endpoint, name, credentials)
    said = _said(answer)
    hint = "check the URL: what answers may be no registry"
    if answer.status == HTTPStatus.BAD_REQUEST and "HTTPS server" in (said or answer.body.decode("latin-1")):
        hint = "the registry speaks HTTPS: leave 'insecure' out of the Release's package"
    reason = f": {shown(said)}" if said else ""
    return NetworkError(
        f"{endpoint} answers {status_text(answer.status)} for {name}{reason}", code="registry-failed", hint=hint
    )


def unexpected(endpoint: Endpoint, name: str, answer: Answer, wanted: str) -> NetworkError:
    """The error for an answer that has the right status and not `wanted` in it."""
    media_type = answer.headers.get("content-type", "")
    if "html" in media_type.lower():
        return web_page(endpoint, name, wanted)
    kind = f"of the type {shown(media_type)}" if media_type else "without a type"
    return NetworkError(
        f"{endpoint} answers for {name} with something {kind}, not with {wanted}",
        code="registry-failed",
        hint="check the URL: what answers may be no registry",
    )


def web_page(endpoint: Endpoint, name: str, wanted: str) -> NetworkError:
    """The error for a page that is meant for people."""
    return NetworkError(
        f"{endpoint} answers for {name} with a web page, not with {wanted}",
        code="registry-failed",
        hint="a proxy or a login page may answer in the registry's place, or the URL is none of a registry",
    )


def corrupt(message: str) -> Problem:
    """The error for content that is not what its digest or descriptor says."""
    return Problem(
        "corrupt-blob",
        message,
        hint="the registry, or what lies between, gives other bytes than were pushed; do not use them",
    )


def _denied(
    answer: Answer,
    endpoint: Endpoint,
    name: str,
    access: Access,
    credentials: Credentials | None,
    verb: str,
    *,
    clear_text: bool,
) -> NetworkError:
    registry = endpoint.registry
    start = variable(registry)
    log_in = f"docker login {registry}, or set {start}_USER and {start}_SECRET"
    if credentials is None:
        cause = "the image is private or does not exist" if verb == "read" else "it takes pushes only after a login"
        helper = _HELPERS.get(access.provider)
        way = helper.format(registry, registry.partition(".")[0]) if helper else f"log in: {log_in}"
        hint = f"check the URL, or {way}"
        if clear_text:
            cause = f"{cause}, and credentials are not sent over plain HTTP"
            hint = plain_http_advice(endpoint.host)
    else:
        cause = f"the credentials from {credentials.source} are wrong or may not {verb} it"
        hint = f"check the URL, or log in again: {log_in}"
    if access.secrets:
        listed = " and ".join(access.secrets)
        hint += f"; {listed} of the cluster {'is' if len(access.secrets) == 1 else 'are'} not read locally"
    refused = f"{endpoint} refuses {name}" if verb == "read" else f"{endpoint} refuses to take {name}"
    return NetworkError(f"{refused} ({answer.status}): {cause}", code="registry-denied", hint=hint)


def _missing(endpoint: Endpoint, name: str, credentials: Credentials | None) -> NetworkError:
    private = ", or log in if the image is private" if credentials is None else ""
    return NetworkError(
        f"{endpoint} does not have {name} (404)",
        code="missing-package",
        hint=f"check the URL: repository and tag{private}",
    )


def _said(answer: Answer) -> str | None:
    """The first message of the distribution specification's errors."""
    try:
        message = json.loads(answer.body)["errors"][0]["message"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return message if isinstance(message, str) and message else None
