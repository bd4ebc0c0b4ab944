"""Translate unexpected responses of a registry to errors with the likely cause and a hint."""

from __future__ import annotations

import json
from http import HTTPStatus

from kubocd_gen.diagnostics.problems import ProblemsError, shown
from kubocd_gen.network.exchange import Answer, status_text
from kubocd_gen.network.settings import NetworkError
from kubocd_gen.oci.auth_files import Credentials
from kubocd_gen.oci.credentials import plain_http_advice, variable
from kubocd_gen.oci.endpoints import Access, Endpoint

_HELPERS = {
    "aws": 'install docker-credential-ecr-login and add "credHelpers": {{"{0}": "ecr-login"}} to Docker\'s config.json',
    "azure": "log in with 'az acr login --name {1}', or install docker-credential-acr-env and add"
    ' "credHelpers": {{"{0}": "acr-env"}} to Docker\'s config.json',
    "gcp": "configure docker-credential-gcloud with 'gcloud auth configure-docker {0}'",
}
_CHECK_URL = "check the URL: the server might not be a registry"


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
    """Return the error for a response with an error status.

    `name` is the requested object, `repository:tag` or a digest in it; `verb` is "read" or "push". `clear_text` means
    that the request was sent over plain HTTP, and therefore without credentials.
    """
    if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return _denied(answer, endpoint, name, access, credentials, verb, clear_text=clear_text)
    if answer.status == HTTPStatus.NOT_FOUND:
        private = ", or log in if the image is private" if credentials is None else ""
        return NetworkError(
            f"{endpoint} does not have {name} (404)", code="missing-package", hint=f"check repository and tag{private}"
        )
    message = _message(answer)
    hint = _CHECK_URL
    if answer.status == HTTPStatus.BAD_REQUEST and "HTTPS server" in (message or answer.body.decode("latin-1")):
        hint = "remove 'insecure' from the Release's package: the registry requires HTTPS"
    reason = f": {shown(message)}" if message else ""
    return NetworkError(
        f"{endpoint} returned {status_text(answer.status)} for {name}{reason}", code="registry-failed", hint=hint
    )


def unexpected(endpoint: Endpoint, name: str, answer: Answer, wanted: str) -> NetworkError:
    """Return the error for a successful response whose content is not `wanted`."""
    media_type = answer.headers.get("content-type", "")
    if "html" in media_type.lower():
        return web_page(endpoint, name, wanted)
    received = f"content type {shown(media_type)}" if media_type else "no content type"
    return NetworkError(
        f"{endpoint} returned an unexpected response for {name}: expected {wanted}, received {received}",
        code="registry-failed",
        hint=_CHECK_URL,
    )


def web_page(endpoint: Endpoint, name: str, wanted: str) -> NetworkError:
    """Return the error for a web page."""
    return NetworkError(
        f"{endpoint} returned a web page for {name}, not {wanted}",
        code="registry-failed",
        hint="check the URL, and whether a proxy or a login page responds instead of the registry",
    )


def corrupt(message: str) -> ProblemsError:
    """Return the error for content that does not match its digest or descriptor."""
    hint = "do not use this image: the registry or a proxy does not return the pushed content"
    return ProblemsError.of("corrupt-blob", message, hint=hint)


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
        cause = "the image is private or does not exist" if verb == "read" else "a push requires a login"
        helper = _HELPERS.get(access.provider)
        login_advice = helper.format(registry, registry.partition(".")[0]) if helper else f"log in: {log_in}"
        hint = f"check the URL, or {login_advice}"
        if clear_text:
            cause = f"{cause}, and credentials are not sent over plain HTTP"
            hint = plain_http_advice(endpoint.host)
    else:
        cause = f"the credentials from {credentials.source} are wrong, or don't have permission to {verb} it"
        hint = f"check the URL, or log in again: {log_in}"
    if access.secrets:
        listed = " and ".join(access.secrets)
        hint += f"; kcd-gen does not read {listed} from the cluster"
    denied = f"{endpoint} denied access to {name}" if verb == "read" else f"{endpoint} denied the push of {name}"
    return NetworkError(f"{denied} ({answer.status}): {cause}", code="registry-denied", hint=hint)


def _message(answer: Answer) -> str | None:
    """Return the first message in the error format of the distribution specification, or None."""
    try:
        message = json.loads(answer.body)["errors"][0]["message"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return message if isinstance(message, str) and message else None
