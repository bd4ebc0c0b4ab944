"""Translate unexpected responses of a registry to errors with the likely cause and a hint."""

from __future__ import annotations

import re
from http import HTTPStatus

from kubocd_gen.diagnostics.problems import Problem, ProblemsError, shown
from kubocd_gen.network.exchange import Answer, parse_challenges, status_text
from kubocd_gen.network.reasons import NO_REASON, Reason
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
_REPORTED = "fix what the registry reports, or ask its administrator"
_LIMITED = "run again later, or log in: many registries have higher limits for authenticated users"
_FORBIDDEN = "ask the administrator of the registry to allow it: a rule of the registry forbids it, whatever your login"
_FULL = "free space in the registry, or ask its administrator for a higher quota"
# Messages that add nothing to a status; several registries use each of them, for whatever reason.
_GENERIC = re.compile(
    r"(?:the )?(?:requested )?access to the (?:requested )?resource is (?:denied|not authorized)"
    r"|(?:un)?authenti?cat(?:ion|ed)(?: is)?(?: required)?|not authenticated|no basic auth credentials"
    r"|(?:un)?authorized|authorization (?:required|failed)|(?:access |permission )?(?:denied|forbidden)"
    r"|(?:the )?(?:manifest|blob|name|repository|repository name|page|resource)?[ ]?"
    r"(?:unknown|not found|not known)(?: to registry)?",
    re.IGNORECASE,
)
_RATE = re.compile(r"rate.?limit|too many requests", re.IGNORECASE)
_POLICY = re.compile(
    r"polic(?:y|ies)|\bblock|firewall|client with ip|\bip\b.*\b(?:allowed|denied)|vulnerab|quarantin|immutab|overwrit",
    re.IGNORECASE,
)
_QUOTA = re.compile(r"quota|exceed\w* .*(?:limit|storage|space)|storage (?:limit|resource)|no space", re.IGNORECASE)


_PLACES = {
    "release": "in the Release's package",
    "redirect": "in the 'packageRedirects' of the Config",
    "module": "in the 'oci' source of the module",
}


def plain_http(endpoint: Endpoint, access: Access) -> str:
    """Return the hint for a registry that does not serve HTTPS."""
    if endpoint.mirror_of:
        advice = "write 'http://' before its address in 'packages.mirrors'"
    elif access.setting == "flag":
        advice = "add --insecure"
    elif access.setting == "base":
        source = f"docker://{endpoint.host}/{endpoint.repository}:TAG"
        advice = f"copy the image: skopeo copy --all --src-tls-verify=false {source} oci:DIR; and use --base oci:DIR"
    else:
        advice = f"set 'insecure: true' {_PLACES[access.setting]}"
    return f"if it serves plain HTTP, {advice}"


def _https(endpoint: Endpoint, access: Access) -> str:
    if endpoint.mirror_of:
        return "remove 'http://' before its address in 'packages.mirrors'"
    place = _PLACES.get(access.setting)
    return f"remove 'insecure' {place.replace('in ', 'from ', 1)}" if place else "remove --insecure"


def refusal(
    answer: Answer,
    endpoint: Endpoint,
    name: str,
    access: Access,
    credentials: Credentials | None,
    verb: str,
    *,
    clear_text: bool = False,
    token_reason: Reason = NO_REASON,
) -> NetworkError:
    """Return the error for a response with an error status.

    `name` is the requested object, `repository:tag` or a digest in it; `verb` is "read" or "push". `clear_text` means
    that the request was sent over plain HTTP, and therefore without credentials. `token_reason` is why the token
    service refused access before; it knows more than the registry.
    """
    reason = answer.reason
    if answer.status == HTTPStatus.UNAUTHORIZED and not _is_generic(token_reason):
        reason = token_reason
    detail = "" if _is_generic(reason) else f": the registry reports {reason}"
    if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        invalid = _invalid_challenge(answer, endpoint) if answer.status == HTTPStatus.UNAUTHORIZED else None
        if invalid is not None:
            return NetworkError(f"{invalid.message}{detail}", code=invalid.code, hint=invalid.hint)
        return _denied(answer.status, reason, endpoint, name, access, credentials, verb, clear_text=clear_text)
    if answer.status == HTTPStatus.NOT_FOUND:
        return _missing(reason, detail, endpoint, name, verb, anonymous=credentials is None)
    hint = _CHECK_URL
    if answer.status == HTTPStatus.BAD_REQUEST and "HTTPS server" in (reason.text or answer.body.decode("latin-1")):
        hint = f"{_https(endpoint, access)}: the registry requires HTTPS"
    elif answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        hint = "raise the limit on the size of requests in the registry, or in the proxy before it"
    elif reason.text:
        hint = _advice(reason, verb) or _REPORTED
    text = f": {reason}" if reason.text else ""
    return NetworkError(
        f"{endpoint} returned {status_text(answer.status)} for {name}{text}", code="registry-failed", hint=hint
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


def _missing(reason: Reason, detail: str, endpoint: Endpoint, name: str, verb: str, *, anonymous: bool) -> NetworkError:
    """Return the error for a 404 response. Registries also send one for images that the user must not know about."""
    repository = f"{endpoint} does not have the repository {endpoint.repository} (404){detail}"
    if verb == "push":
        hint = "create the repository first: this registry does not create repositories on a push"
        return NetworkError(repository, code="missing-repository", hint=f"{hint}; or check its name and your login")
    private = ", or log in if the image is private" if anonymous else ""
    if "NAME_UNKNOWN" in reason.codes:
        return NetworkError(repository, code="missing-package", hint=f"check the name of the repository{private}")
    what = "repository and tag"
    if "MANIFEST_UNKNOWN" in reason.codes:
        what = "the tag first, then the repository"
    elif "BLOB_UNKNOWN" in reason.codes:
        what = "the image, which is incomplete in the registry"
    text = f"{endpoint} does not have {name} (404){detail}"
    return NetworkError(text, code="missing-package", hint=f"check {what}{private}")


def _denied(
    status: int,
    reason: Reason,
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
        login_advice = f"log in again: {log_in}"
    if not _is_generic(reason):
        cause = f"the registry reports {reason}"
        if not clear_text:
            hint = _advice(reason, verb) or f"{_REPORTED}; if it requires another login, {login_advice}"
    if access.secrets:
        listed = " and ".join(access.secrets)
        hint += f"; kcd-gen does not read {listed} from the cluster"
    denied = f"{endpoint} denied access to {name}" if verb == "read" else f"{endpoint} denied the push of {name}"
    return NetworkError(f"{denied} ({status}): {cause}", code="registry-denied", hint=hint)


def _invalid_challenge(answer: Answer, endpoint: Endpoint) -> Problem | None:
    """Return the problem of a 401 response that does not say how to log in, or None."""
    offered = {one.scheme: one.parameters for one in parse_challenges(answer.headers.get("www-authenticate", ""))}
    if not offered:
        message = f"{endpoint.host} returned 401 without a WWW-Authenticate header"
        return Problem("registry-denied", message, hint=_CHECK_URL)
    if "basic" not in offered and not offered.get("bearer", {"realm": "unused"}).get("realm"):
        message = f"{endpoint.host} requires a token, but its WWW-Authenticate header has no realm"
        return Problem("registry-failed", message, hint=_CHECK_URL)
    return None


def _is_generic(reason: Reason) -> bool:
    return not reason.text or _GENERIC.fullmatch(reason.text.strip(" .!")) is not None


def _advice(reason: Reason, verb: str) -> str | None:
    """Return the hint for a rate limit, a quota, or a rule of the registry, or None."""
    if "TOOMANYREQUESTS" in reason.codes or _RATE.search(reason.text):
        return _LIMITED
    if _QUOTA.search(reason.text):
        return _FULL if verb == "push" else _LIMITED
    return _FORBIDDEN if _POLICY.search(reason.text) else None
