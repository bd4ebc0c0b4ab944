"""Read and push manifests and blobs in OCI registries (distribution specification); all content is verified."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import BinaryIO
from urllib.parse import quote, urldefrag, urlsplit

from kubocd_gen.budget.limits import over_limit
from kubocd_gen.diagnostics.problems import Problem, ProblemsError, shown
from kubocd_gen.network.exchange import (
    Answer,
    AnswerTooLargeError,
    Body,
    FileBody,
    Spool,
    SpoolError,
    follow,
    split_url,
)
from kubocd_gen.network.hosts import PLAIN_HTTP, AttemptError
from kubocd_gen.network.origins import origin
from kubocd_gen.network.settings import LOG, Network, NetworkError
from kubocd_gen.network.transport import Transport
from kubocd_gen.oci.credentials import CredentialStore
from kubocd_gen.oci.descriptors import (
    DIGEST,
    Descriptor,
    sha256,
)
from kubocd_gen.oci.endpoints import Access, Endpoint, find_endpoint
from kubocd_gen.oci.reference import Reference
from kubocd_gen.oci.registry_errors import corrupt, plain_http, refusal, unexpected, web_page
from kubocd_gen.oci.responses import MANIFESTS, content_type, is_stored, manifest_type, succeeded
from kubocd_gen.oci.tokens import Tokens
from kubocd_gen.processes.single_flight import SingleFlight

_BYTES = "application/octet-stream"
PULL, PUSH = "pull", "pull,push"

Send = Callable[..., Answer]


class Registry:
    """A client for OCI registries; safe to use from several threads.

    All methods can raise NetworkError: `missing-package` (404), `registry-denied` (401 and 403), `registry-failed`,
    `bad-credentials`, `offline`; and ProblemsError `corrupt-blob` if content does not match its digest. `transport` and
    `store` are shared with other clients of the run.
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
        """Return the manifest that the tag points to, with a HEAD request, or a GET if HEAD fails or is incomplete.

        The size is what the response to HEAD declares. It can be wrong, so callers verify only the digest.
        """
        found = self._resolve(reference, access, PULL)
        LOG.info("resolved %s to %s", reference, found.digest)
        return found

    def read_manifest(self, reference: Reference, digest: str | None, access: Access) -> tuple[Descriptor, bytes]:
        """Read and verify the manifest with `digest`, or with the reference's tag if it is None; at most 4 MiB."""
        endpoint = self._endpoint(reference, access)
        if digest is None:
            return self._read_manifest(endpoint, reference, None, access)
        return self._manifests.get(
            digest, lambda: self._read_manifest(endpoint, reference, digest, access), origin=endpoint
        )

    def read_blob(self, reference: Reference, descriptor: Descriptor, access: Access, *, limit: int) -> bytes:
        """Read and verify a blob; an interrupted download is resumed. A blob over `limit` bytes is not requested."""
        endpoint = self._endpoint(reference, access)
        _refuse_larger(reference, descriptor, "layer", limit)
        return self._blobs.get(
            (descriptor.digest, descriptor.size),
            lambda: self._read_blob(endpoint, descriptor, access),
            origin=endpoint,
        )

    def fetch_blob(
        self, reference: Reference, descriptor: Descriptor, file: BinaryIO, access: Access, *, limit: int
    ) -> None:
        """Write the blob to `file`, which must be empty, in parts, and verify it; an interrupted download is resumed.

        Raises OSError if `file` can't be written. If this raises, the content of `file` is undefined.
        """
        endpoint = self._endpoint(reference, access)
        _refuse_larger(reference, descriptor, "base-layer", limit)
        try:
            self._read_blob(endpoint, descriptor, access, Spool(file))
        except SpoolError as error:
            raise error.cause from None

    def has_manifest(self, reference: Reference, access: Access) -> Descriptor | None:
        """Return the manifest that the tag points to, or None, with the permissions for a push."""
        try:
            return self._resolve(reference, access, PUSH)
        except NetworkError as error:
            if error.problem.code == "missing-package":
                return None
            raise

    def push_blob(self, reference: Reference, data: bytes, access: Access) -> Descriptor:
        """Upload `data` unless the repository has it; a failed upload is repeated from its start."""
        descriptor = Descriptor(_BYTES, sha256(data), len(data))
        if not self.has_blob(reference, descriptor.digest, access):
            self._push(reference, descriptor.digest, data, access)
        return descriptor

    def push_file(self, reference: Reference, descriptor: Descriptor, file: BinaryIO, access: Access) -> None:
        """Upload the blob in `file`, in parts."""
        self._push(reference, descriptor.digest, FileBody(file, descriptor.size), access)

    def has_blob(self, reference: Reference, digest: str, access: Access) -> bool:
        """Return whether the repository has the blob, with the permissions for a push.

        If the registry, or the storage that it redirects to, refuses HEAD, this is False: the upload shows why.
        """
        return self._has(self._endpoint(reference, access), digest, access)

    def mount_blob(self, reference: Reference, digest: str, origin: str, access: Access) -> bool:
        """Mount a blob from the repository `origin` of the same registry; return whether that succeeded.

        Registries can refuse: if the blob is missing, the user can't read it, or mounting is not supported. They then
        start an upload, which expires, and the caller must push the blob.
        """
        endpoint = self._endpoint(reference, access)
        url = f"{endpoint.uploads_url()}?mount={digest}&from={quote(origin, safe='')}"
        answer = self._ask("POST", endpoint, url, access, PUSH, data=b"")
        confirmed = answer.headers.get("docker-content-digest") == digest and answer.status != HTTPStatus.ACCEPTED
        if answer.status != HTTPStatus.CREATED and not (succeeded(answer) and confirmed):
            return False
        LOG.info("mounted blob %s of %s in %s", digest, origin, endpoint.repository)
        return True

    def push_manifest(
        self, reference: Reference, data: bytes, media_type: str, access: Access, *, tagged: bool = True
    ) -> Descriptor:
        """Upload the manifest `data` with the reference's tag, which is moved if it exists.

        If `tagged` is false, the manifest is pushed only by its digest, for an index.
        """
        endpoint = self._endpoint(reference, access)
        digest = sha256(data)
        url = endpoint.manifest_url(reference.tag if tagged else digest)
        answer = self._ask("PUT", endpoint, url, access, PUSH, headers={"Content-Type": media_type}, data=data)
        name = f"{endpoint.repository}:{reference.tag}" if tagged else f"{endpoint.repository}@{digest}"
        if not succeeded(answer):
            raise self._refusal(answer, endpoint, name, access, "push")
        if not is_stored(answer, endpoint, name, digest):
            found = self._read_manifest(endpoint, reference, None if tagged else digest, access, PUSH)[0]
            if found.digest != digest:
                raise corrupt(f"{endpoint} stored {name} with the digest {found.digest}, not {digest}")
        LOG.info("pushed the manifest %s as %s", digest, name)
        return Descriptor(media_type, digest, len(data))

    def warnings(self) -> tuple[Problem, ...]:
        """Return the warnings about credentials, such as deprecated variables."""
        return self.store.warnings()

    def close(self) -> None:
        """Abort the running requests; call it before waiting for threads, and at the end of the run."""
        self._transport.close()

    def _endpoint(self, reference: Reference, access: Access) -> Endpoint:
        if self._network.offline:
            raise NetworkError(
                f"cannot access the registry of {reference} with --offline",
                code="offline",
                hint="run the command without --offline, or use an image that is stored locally",
            )
        return find_endpoint(reference, access, self._network.mirrors)

    def _resolve(self, reference: Reference, access: Access, actions: str) -> Descriptor:
        """Send HEAD once, and GET if that fails: a response to HEAD has no body, so it can't contain a reason."""
        endpoint = self._endpoint(reference, access)
        send, asked = self._transport.attempt, False

        def attempt() -> Descriptor:
            nonlocal asked
            if not asked:
                asked = True
                try:
                    found = self._declared(endpoint, reference, access, actions, send)
                except AttemptError as trouble:
                    if trouble.passing:
                        raise
                    found = None  # such as two lengths, which a response to GET can be free of
                if found is not None:
                    return found
            return self._read_manifest(endpoint, reference, None, access, actions, send)[0]

        return self._transport.retrying(attempt)

    def _declared(
        self, endpoint: Endpoint, reference: Reference, access: Access, actions: str, send: Send
    ) -> Descriptor | None:
        """Return what the response to HEAD declares; None if it is an error, as from some proxies, or incomplete."""
        url, headers = endpoint.manifest_url(reference.tag), {"Accept": ", ".join(MANIFESTS)}
        answer = self._ask("HEAD", endpoint, url, access, actions, headers=headers, probe=True, send=send)
        media_type, digest = content_type(answer), answer.headers.get("docker-content-digest", "")
        size = answer.headers.get("content-length", "")
        complete = media_type in MANIFESTS and DIGEST.fullmatch(digest) and re.fullmatch(r"[1-9][0-9]{0,8}", size)
        return Descriptor(media_type, digest, int(size)) if answer.status == HTTPStatus.OK and complete else None

    def _read_manifest(
        self,
        endpoint: Endpoint,
        reference: Reference,
        digest: str | None,
        access: Access,
        actions: str = PULL,
        send: Send | None = None,
    ) -> tuple[Descriptor, bytes]:
        name = f"{endpoint.repository}@{digest}" if digest else f"{endpoint.repository}:{reference.tag}"
        url, headers = endpoint.manifest_url(digest or reference.tag), {"Accept": ", ".join(MANIFESTS)}
        most = self._network.limits.manifest
        try:
            answer = self._ask("GET", endpoint, url, access, actions, headers=headers, limit=most, send=send)
        except AnswerTooLargeError as error:
            if "html" in error.media_type:
                raise web_page(endpoint, name, "a manifest") from None
            raise ProblemsError(
                over_limit(f"the manifest of {name} at {endpoint} is larger", "manifest", most)
            ) from None
        if answer.status != HTTPStatus.OK:
            raise self._refusal(answer, endpoint, name, access, "read")
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise unexpected(endpoint, name, answer, "an uncompressed manifest")
        actual = sha256(answer.body)
        declared = answer.headers.get("docker-content-digest", actual)
        media_type = manifest_type(endpoint, name, answer)
        if digest is not None and actual != digest:
            raise corrupt(f"{endpoint} returned a manifest with the digest {actual} for {name}")
        if declared.startswith("sha256:") and declared != actual:
            raise corrupt(f"{endpoint} returned {name} with the digest {actual}, but declared {shown(declared)}")
        LOG.info("read the manifest of %s (%d bytes)", name, len(answer.body))
        return Descriptor(media_type, actual, len(answer.body)), answer.body

    def _read_blob(
        self,
        endpoint: Endpoint,
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
            raise corrupt(f"{endpoint} returned more than the {descriptor.size} bytes of {name}") from None
        if answer.status != HTTPStatus.OK:
            raise self._refusal(answer, endpoint, name, access, "read")
        actual, length = (sha256(answer.body), len(answer.body)) if into is None else (into.digest, len(into))
        if actual == descriptor.digest and length == descriptor.size:
            LOG.info("read %s (%d bytes)", name, length)
            return answer.body
        if "html" in content_type(answer):
            raise unexpected(endpoint, name, answer, "the blob")
        if length != descriptor.size:
            raise corrupt(f"{endpoint} returned {length} of the {descriptor.size} bytes of {name}")
        raise corrupt(f"{endpoint} returned content with the digest {actual} for {name}")

    def _has(self, endpoint: Endpoint, digest: str, access: Access) -> bool:
        answer = self._ask("HEAD", endpoint, endpoint.blob_url(digest), access, PUSH, probe=True)
        return answer.status == HTTPStatus.OK and "html" not in content_type(answer)

    def _push(self, reference: Reference, digest: str, data: Body, access: Access) -> None:
        endpoint = self._endpoint(reference, access)
        name = f"blob {digest} of {endpoint.repository}"
        self._transport.retrying(lambda: self._upload(endpoint, name, digest, data, access))
        LOG.info("pushed %s (%d bytes)", name, len(data))

    def _upload(self, endpoint: Endpoint, name: str, digest: str, data: Body, access: Access) -> None:
        """Attempt a monolithic upload, which has two steps, once."""
        send = self._transport.attempt
        begun = self._ask("POST", endpoint, endpoint.uploads_url(), access, PUSH, data=b"", send=send)
        location = begun.headers.get("location", "")
        if not succeeded(begun) or not location:
            raise self._refusal(begun, endpoint, name, access, "push")
        url = urldefrag(follow(begun.url, location)).url
        parts, own = split_url(url, begun.url), urlsplit(begun.url)
        if own.scheme == "https" and parts.scheme != "https":
            raise NetworkError(
                f"{endpoint} requests {name} over plain HTTP",
                code="registry-failed",
                hint="check the configuration of the registry",
            )
        url += ("&" if parts.query else "?") + f"digest={digest}"
        headers = {"Content-Type": _BYTES}
        if origin(parts) == origin(own):
            done = self._ask("PUT", endpoint, url, access, PUSH, headers=headers, data=data, send=send)
        else:  # separate storage, which is authorized by the URL itself
            done = send("PUT", url, headers=headers, data=data, timeout=access.timeout)
        if not succeeded(done):
            raise self._refusal(done, endpoint, name, access, "push")
        if not is_stored(done, endpoint, name, digest) and not self._has(endpoint, digest, access):
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
        probe: bool | None = None,
        send: Send | None = None,
    ) -> Answer:
        """Send a request, with a login if the registry requires one, and return the response."""
        scope = f"repository:{endpoint.repository}:{actions}"
        field = self._tokens.known(endpoint, scope)

        ask: Send = send or self._transport.request
        given = (("limit", limit), ("size", size), ("into", into), ("probe", probe))
        options = {name: value for name, value in given if value is not None}

        def sent() -> Answer:
            fields = {**(headers or {}), **({"Authorization": field} if field else {})}
            try:
                return ask(method, url, headers=fields, data=data, timeout=access.timeout, **options)
            except NetworkError as error:
                if error.problem.hint != PLAIN_HTTP:
                    raise
                raise _with_hint(error, plain_http(endpoint, access)) from None
            except AttemptError as trouble:
                if trouble.hint != PLAIN_HTTP:
                    raise
                raise replace(trouble, hint=plain_http(endpoint, access)) from None

        answer = sent()
        if answer.status == HTTPStatus.UNAUTHORIZED:
            # Retry once: there was no token, or it has expired. A second new token would not help.
            newer = self._tokens.answer(endpoint, scope, answer, field, access.timeout)
            if newer is not None:
                field = newer
                answer = sent()
                if answer.status == HTTPStatus.UNAUTHORIZED:
                    self._tokens.give_up(endpoint, scope, field)
        return answer

    def _refusal(self, answer: Answer, endpoint: Endpoint, name: str, access: Access, verb: str) -> NetworkError:
        # `known` and not `find`, to run no credential helper only for a message.
        clear_text = not self._network.may_send_credentials(endpoint.url())
        known = None if clear_text else self.store.known(endpoint.registry, endpoint.repository, endpoint.scheme)
        reason = self._tokens.reason(endpoint)
        return refusal(answer, endpoint, name, access, known, verb, clear_text=clear_text, token_reason=reason)


def _with_hint(error: NetworkError, hint: str) -> NetworkError:
    problem = error.problem
    return NetworkError(
        problem.message, code=problem.code, position=problem.position, hint=hint, exit_code=problem.exit_code
    )


def _refuse_larger(reference: Reference, descriptor: Descriptor, name: str, limit: int) -> None:
    if descriptor.size > limit:
        what = f"blob {descriptor.digest} of {reference} is larger"
        raise ProblemsError(over_limit(what, name, limit, needed=descriptor.size))
