"""Check successful responses of a registry: what a push has stored, and the type of a manifest."""

from __future__ import annotations

from http import HTTPStatus

from kubocd_gen.diagnostics.problems import ProblemsError, shown
from kubocd_gen.network.exchange import Answer
from kubocd_gen.network.settings import NetworkError
from kubocd_gen.oci.descriptors import DOCKER_LIST_TYPE, DOCKER_MANIFEST_TYPE, INDEX_TYPE, MANIFEST_TYPE, JsonSource
from kubocd_gen.oci.endpoints import Endpoint
from kubocd_gen.oci.registry_errors import corrupt, unexpected

MANIFESTS = (MANIFEST_TYPE, INDEX_TYPE, DOCKER_MANIFEST_TYPE, DOCKER_LIST_TYPE)


def succeeded(answer: Answer) -> bool:
    """Return whether the status is a successful one; registries differ in which they use."""
    return HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES


def is_stored(answer: Answer, endpoint: Endpoint, name: str, digest: str) -> bool:
    """Return whether a successful response to a push confirms it: with its digest, or with the specified status, 201.

    Raises ProblemsError `corrupt-blob` if the digest is another one. Digests of other algorithms can't be compared.
    """
    stored = answer.headers.get("docker-content-digest", "")
    if stored.startswith("sha256:") and stored != digest:
        raise corrupt(f"{endpoint} stored {name} with the digest {shown(stored)}, not {digest}")
    return stored == digest or answer.status == HTTPStatus.CREATED


def content_type(answer: Answer) -> str:
    """Return the media type of the Content-Type field, without parameters."""
    return answer.headers.get("content-type", "").partition(";")[0].strip().lower()


def manifest_type(endpoint: Endpoint, name: str, answer: Answer) -> str:
    """Return the manifest's media type, which must be the same in header and body. Raises NetworkError."""
    declared = content_type(answer)
    try:
        inner = JsonSource(name, "registry-failed").read(answer.body).get("mediaType")
    except ProblemsError:
        raise unexpected(endpoint, name, answer, "a manifest") from None
    if declared in ("", "application/json", "text/plain") and isinstance(inner, str):
        declared = inner  # from a web server with static files
    if declared not in MANIFESTS:
        raise unexpected(endpoint, name, answer, "a manifest")
    if inner is not None and inner != declared:
        raise NetworkError(
            f"{endpoint} returned {name} with conflicting media types: {declared} and {shown(str(inner))}",
            code="registry-failed",
            hint="do not use it: clients could read it as different images",
        )
    return declared
