"""OCI registries: the distribution specification's manifests and blobs, read and pushed, nothing believed unchecked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import BinaryIO
from urllib.parse import quote, urlsplit

from kubocd_gen.budget.limits import over_limit
from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.diagnostics.quoting import shown
from kubocd_gen.network.exchange import Answer, AnswerTooLargeError, Body, FileBody, Spool, SpoolError
from kubocd_gen.network.settings import LOG, Network, NetworkError
from kubocd_gen.network.transport import Transport
from kubocd_gen.network.urls import follow, split_url
from kubocd_gen.oci.access import Access
from kubocd_gen.oci.credentials import CredentialStore
from kubocd_gen.oci.descriptors import (
    DOCKER_LIST_TYPE,
    DOCKER_MANIFEST_TYPE,
    INDEX_TYPE,
    MANIFEST_TYPE,
    Descriptor,
    parse_object,
    sha256,
)
from kubocd_gen.oci.endpoints import Endpoint, find_endpoint
from kubocd_gen.oci.reference import Reference
from kubocd_gen.oci.registry_errors import corrupt, refusal, unexpected, web_page
from kubocd_gen.oci.tokens import Tokens
from kubocd_gen.processes.single_flight import SingleFlight

_MANIFESTS = (MANIFEST_TYPE, INDEX_TYPE, DOCKER_MANIFEST_TYPE, DOCKER_LIST_TYPE)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_BYTES = "application/octet-stream"
PULL, PUSH = "pull", "pull,push"

Send = Callable[..., Answer]


class Registry:
    """OCI registries, spoken to over HTTP; safe to use from several threads.

    Every method may raise NetworkError: `missing-package` (404), `registry-denied` (401 and 403), `registry-failed`,
    `bad-credentials`, `offline`; and ProblemsError `corrupt-blob` for what is not what its digest says. `transport` and
    `store` are given where the run has them already.
    """

    def __init__(
        self, network: Network, transport: Transport | None = None, store: CredentialStore | None = None
    ) -> None:
        self._network = network
        self._transport = transport or Transport(network)
        self.store = store or CredentialStore()
        self._tokens = Tokens(self._transport, self.store, network.limits.token)
        self._blobs: SingleFlight[tuple[str, int], bytes] = SingleFlight(keep=False)
        self._manifests: SingleFlight[str, tuple[Descriptor, bytes]] = SingleFlight(keep=False)

    def resolve(self, reference: Reference, access: Access) -> Descriptor:
        """The manifest that the tag stands for: one HEAD, or a GET where the answer to that says too little."""
        found = self._resolve(reference, access, PULL)
        LOG.info("resolved %s to %s", reference, found.digest)
        return found

    def read_manifest(self, reference: Reference, digest: str | None, access: Access) -> tuple[Descriptor, bytes]:
        """The manifest of that digest, or of the tag where `digest` is None; verified, and at most 4 MiB."""
        endpoint = self._endpoint(reference, access)
        if digest is None:
            return self._read_manifest(endpoint, reference, None, access)
        return self._manifests.get(
            digest, lambda: self._read_manifest(endpoint, reference, digest, access), origin=endpoint
        )

    def read_blob(self, reference: Reference, descriptor: Descriptor, access: Access, *, limit: int) -> bytes:
        """The blob, verified. What broke off is continued; what is over `limit` bytes is not asked for."""
        endpoint = self._endpoint(reference, access)
        if descriptor.size > limit:
            what = f"blob {descriptor.digest} of {reference} is larger"
            raise ProblemsError(over_limit(what, "layer", limit, needed=descriptor.size))
        return self._blobs.get(
            (descriptor.digest, descriptor.size),
            lambda: self._read_blob(endpoint, reference, descriptor, access),
            origin=endpoint,
        )

    def fetch_blob(
        self, reference: Reference, descriptor: Descriptor, file: BinaryIO, access: Access, *, limit: int
    ) -> None:
        """Write the blob to `file`, which is empty, and verify it; no more than a part of it is held in memory.

        What broke off is continued. Where this raises, `file` may hold anything. Raises OSError where it can't be
        written.
        """
        endpoint = self._endpoint(reference, access)
        if descriptor.size > limit:
            what = f"blob {descriptor.digest} of {reference} is larger"
            raise ProblemsError(over_limit(what, "base-layer", limit, needed=descriptor.size))
        try:
            self._read_blob(endpoint, reference, descriptor, access, Spool(file))
        except SpoolError as error:
            raise error.cause from None

    def has_manifest(self, reference: Reference, access: Access) -> Descriptor | None:
        """What the tag stands for, None where the registry does not have it; for those who are about to push."""
        try:
            return self._resolve(reference, access, PUSH)
        except NetworkError as error:
            if error.problem.code == "missing-package":
                return None
            raise

    def push_blob(self, reference: Reference, data: bytes, access: Access) -> Descriptor:
        """Upload `data` where the repository does not have it yet; a part that fails is tried again as a whole."""
        descriptor = Descriptor(_BYTES, sha256(data), len(data))
        if not self.has_blob(reference, descriptor.digest, access):
            self._push(reference, descriptor.digest, data, access)
        return descriptor

    def push_file(self, reference: Reference, descriptor: Descriptor, file: BinaryIO, access: Access) -> None:
        """Upload the blob that `file` holds, a part at a time."""
        self._push(reference, descriptor.digest, FileBody(file, descriptor.size), access)

    def has_blob(self, reference: Reference, digest: str, access: Access) -> bool:
        """Whether the repository has the blob; for those who are about to push."""
        endpoint = self._endpoint(reference, access)
        there = self._ask("HEAD", endpoint, endpoint.blob_url(digest), access, PUSH)
        if there.status not in (HTTPStatus.OK, HTTPStatus.NOT_FOUND):
            raise self._refusal(there, endpoint, f"blob {digest} of {endpoint.repository}", access, "push")
        return there.status == HTTPStatus.OK

    def mount_blob(self, reference: Reference, digest: str, origin: str, access: Access) -> bool:
        """Whether the registry has taken the blob over from its repository `origin`.

        It need not: it may lack the blob there, or the right to read it, or not know how. Then it has opened an upload
        instead, which it forgets in time, and the blob is to be pushed.
        """
        endpoint = self._endpoint(reference, access)
        url = f"{endpoint.uploads_url()}?mount={digest}&from={quote(origin, safe='')}"
        answer = self._ask("POST", endpoint, url, access, PUSH, data=b"")
        if answer.status != HTTPStatus.CREATED:
            return False
        LOG.info("mounted blob %s of %s in %s", digest, origin, endpoint.repository)
        return True

    def push_manifest(
        self, reference: Reference, data: bytes, media_type: str, access: Access, *, tagged: bool = True
    ) -> Descriptor:
        """Upload the manifest `data` under the reference's tag, which it takes from what had it.

        One that is not to be `tagged` is there by its digest alone, for an index that follows.
        """
        endpoint = self._endpoint(reference, access)
        digest = sha256(data)
        url = endpoint.manifest_url(reference.tag if tagged else digest)
        answer = self._ask("PUT", endpoint, url, access, PUSH, headers={"Content-Type": media_type}, data=data)
        name = f"{endpoint.repository}:{reference.tag}" if tagged else f"{endpoint.repository}@{digest}"
        if answer.status != HTTPStatus.CREATED:
            raise self._refusal(answer, endpoint, name, access, "push")
        said = answer.headers.get("docker-content-digest", digest)
        if said != digest:
            raise ProblemsError(corrupt(f"{endpoint} has taken {name} as {shown(said)}, not as {digest}"))
        LOG.info("pushed the manifest %s as %s", digest, name)
        return Descriptor(media_type, digest, len(data))

    def warnings(self) -> tuple[Problem, ...]:
        """What the user should know though nothing failed: deprecated variables that were used."""
        return self.store.warnings()

    def close(self) -> None:
        """Break off what is under way: for Ctrl-C, before threads are waited for, and at the end."""
        self._transport.close()

    def _endpoint(self, reference: Reference, access: Access) -> Endpoint:
        if self._network.offline:
            raise NetworkError(
                f"{reference} would have to come from the network, which is not to be used",
                code="offline",
                hint="vendor it while there is a network, or leave --offline out",
            )
        return find_endpoint(reference, access, self._network.mirrors)

    def _resolve(self, reference: Reference, access: Access, actions: str) -> Descriptor:
        endpoint = self._endpoint(reference, access)
        name = f"{endpoint.repository}:{reference.tag}"
        url, headers = endpoint.manifest_url(reference.tag), {"Accept": ", ".join(_MANIFESTS)}
        answer = self._ask("HEAD", endpoint, url, access, actions, headers=headers)
        if answer.status == HTTPStatus.OK:
            media_type, digest = _media_type(answer), answer.headers.get("docker-content-digest", "")
            size = answer.headers.get("content-length", "")
            if "html" in media_type:
                raise unexpected(endpoint, name, answer, "a manifest")
            if media_type in _MANIFESTS and _DIGEST.fullmatch(digest) and re.fullmatch(r"[0-9]{1,9}", size):
                return Descriptor(media_type, digest, int(size))
        elif answer.status not in (HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.BAD_REQUEST):
            raise self._refusal(answer, endpoint, name, access, "read")
        return self._read_manifest(endpoint, reference, None, access, actions)[0]

    def _read_manifest(
        self, endpoint: Endpoint, reference: Reference, digest: str | None, access: Access, actions: str = PULL
    ) -> tuple[Descriptor, bytes]:
        name = f"{endpoint.repository}@{digest}" if digest else f"{endpoint.repository}:{reference.tag}"
        url, headers = endpoint.manifest_url(digest or reference.tag), {"Accept": ", ".join(_MANIFESTS)}
        most = self._network.limits.manifest
        try:
            answer = self._ask("GET", endpoint, url, access, actions, headers=headers, limit=most)
        except AnswerTooLargeError as error:
            if "html" in error.media_type:
                raise web_page(endpoint, name, "a manifest") from None
            raise ProblemsError(
                over_limit(f"the manifest of {name} at {endpoint} is larger", "manifest", most)
            ) from None
        if answer.status != HTTPStatus.OK:
            raise self._refusal(answer, endpoint, name, access, "read")
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise unexpected(endpoint, name, answer, "a manifest as it was pushed, but compressed")
        actual = sha256(answer.body)
        said = answer.headers.get("docker-content-digest", actual)
        media_type = _manifest_type(endpoint, name, answer)
        if digest is not None and actual != digest:
            raise ProblemsError(corrupt(f"{endpoint} gives a manifest of the digest {actual} for {name}"))
        if said.startswith("sha256:") and said != actual:
            raise ProblemsError(
                corrupt(f"{endpoint} says that {name} has the digest {shown(said)}, but it has {actual}")
            )
        LOG.info("read the manifest of %s, %d bytes", name, len(answer.body))
        return Descriptor(media_type, actual, len(answer.body)), answer.body

    def _read_blob(
        self,
        endpoint: Endpoint,
        reference: Reference,
        descriptor: Descriptor,
        access: Access,
        into: Spool | None = None,
    ) -> bytes:
        name = f"blob {descriptor.digest} of {endpoint.repository}"
        url, size = endpoint.blob_url(descriptor.digest), descriptor.size
        try:
            answer = self._ask("GET", endpoint, url, access, PULL, size=size, into=into)
        except AnswerTooLargeError as error:
            if "html" in error.media_type:
                raise web_page(endpoint, name, "the blob") from None
            raise ProblemsError(corrupt(f"{endpoint} gives more than the {descriptor.size} bytes of {name}")) from None
        if answer.status != HTTPStatus.OK:
            raise self._refusal(answer, endpoint, name, access, "read")
        actual, length = (sha256(answer.body), len(answer.body)) if into is None else (into.digest, len(into))
        if actual == descriptor.digest and length == descriptor.size:
            LOG.info("read %s, %d bytes", name, length)
            return answer.body
        if "html" in _media_type(answer):
            raise unexpected(endpoint, name, answer, "the blob")
        if length != descriptor.size:
            raise ProblemsError(corrupt(f"{endpoint} gives {length} of the {descriptor.size} bytes of {name}"))
        raise ProblemsError(corrupt(f"{endpoint} gives something of the digest {actual} for {name}"))

    def _push(self, reference: Reference, digest: str, data: Body, access: Access) -> None:
        endpoint = self._endpoint(reference, access)
        name = f"blob {digest} of {endpoint.repository}"
        self._transport.retrying(lambda: self._upload(endpoint, name, digest, data, access))
        LOG.info("pushed %s, %d bytes", name, len(data))

    def _upload(self, endpoint: Endpoint, name: str, digest: str, data: Body, access: Access) -> None:
        """One try of the two steps of a monolithic upload."""
        send = self._transport.attempt
        begun = self._ask("POST", endpoint, endpoint.uploads_url(), access, PUSH, data=b"", send=send)
        location = begun.headers.get("location", "")
        if begun.status != HTTPStatus.ACCEPTED or not location:
            raise self._refusal(begun, endpoint, name, access, "push")
        url = follow(begun.url, location)
        parts, own = split_url(url, begun.url), urlsplit(begun.url)
        if own.scheme == "https" and parts.scheme != "https":
            raise NetworkError(
                f"{endpoint} wants {name} to be sent over plain HTTP", code="registry-failed", hint="check the registry"
            )
        url += ("&" if parts.query else "?") + f"digest={digest}"
        headers = {"Content-Type": _BYTES}
        if (parts.scheme, parts.netloc) == (own.scheme, own.netloc):
            done = self._ask("PUT", endpoint, url, access, PUSH, headers=headers, data=data, send=send)
        else:  # a store beside the registry, which knows us by the address that we were given
            done = send("PUT", url, headers=headers, data=data, timeout=access.timeout)
        if done.status != HTTPStatus.CREATED:
            raise self._refusal(done, endpoint, name, access, "push")

    def _ask(
        self,
        method: str,
        endpoint: Endpoint,
        url: str,
        access: Access,
        actions: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: Body | None = None,
        limit: int | None = None,
        size: int | None = None,
        into: Spool | None = None,
        send: Send | None = None,
    ) -> Answer:
        """The answer to a question, logged in where the registry wants that."""
        scope = f"repository:{endpoint.repository}:{actions}"
        field = self._tokens.known(endpoint, scope)

        ask: Send = send or self._transport.request
        given = (("limit", limit), ("size", size), ("into", into))
        options = {name: value for name, value in given if value is not None}

        def sent() -> Answer:
            fields = {**(headers or {}), **({"Authorization": field} if field else {})}
            return ask(method, url, headers=fields, data=data, timeout=access.timeout, **options)

        answer = sent()
        if answer.status == HTTPStatus.UNAUTHORIZED:
            # Once: the token that we had has ended, or there was none. One that was made just now is no better anew.
            newer = self._tokens.answer(endpoint, scope, answer, field, access.timeout)
            if newer is not None:
                field = newer
                answer = sent()
        return answer

    def _refusal(self, answer: Answer, endpoint: Endpoint, name: str, access: Access, verb: str) -> NetworkError:
        # Not `find`: no helper has to run only for the wording of a message.
        clear_text = not self._network.may_send_credentials(endpoint.url())
        known = None if clear_text else self.store.known(endpoint.registry)
        return refusal(answer, endpoint, name, access, known, verb, clear_text=clear_text)


def _media_type(answer: Answer) -> str:
    return answer.headers.get("content-type", "").partition(";")[0].strip().lower()


def _manifest_type(endpoint: Endpoint, name: str, answer: Answer) -> str:
    """What the manifest is, by its header and by itself, which must not differ. Raises NetworkError."""
    said = _media_type(answer)
    try:
        inner = parse_object(answer.body, what=name, code="registry-failed", position=None).get("mediaType")
    except ProblemsError:
        raise unexpected(endpoint, name, answer, "a manifest") from None
    if said in ("", "application/json", "text/plain") and isinstance(inner, str):
        said = inner  # from a registry of plain files
    if said not in _MANIFESTS:
        raise unexpected(endpoint, name, answer, "a manifest")
    if inner is not None and inner != said:
        raise NetworkError(
            f"{endpoint} answers for {name} with a manifest of two types: {said} and {shown(str(inner))}",
            code="registry-failed",
            hint="do not use it: two readers could take it for two images",
        )
    return said
