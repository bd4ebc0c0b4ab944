"""Verify the signatures of package images with the cosign binary, by the rules of Flux's source-controller."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from kubocd_gen.diagnostics.problems import ProblemsError, shown
from kubocd_gen.network.settings import Network, NetworkError
from kubocd_gen.oci.endpoints import Access, find_endpoint
from kubocd_gen.oci.reference import Reference
from kubocd_gen.processes.children import outputs, running, scratch

_TIMEOUT = 120  # seconds; cosign contacts the registry and, without a key, the transparency log
_INSTALL = "install it (https://docs.sigstore.dev/cosign/system_config/installation), or set its path with --cosign"


@dataclass(frozen=True, slots=True)
class Cosign:
    """How to verify signatures: the binary, and the public key for Releases whose `verify` refers to a Secret."""

    binary: str = "cosign"
    key: str | None = None  # a file, or any other value that `cosign verify --key` accepts
    network: Network = field(default_factory=Network)


def verify_signature(
    reference: Reference, digest: str, verify: Mapping[str, Any], cosign: Cosign, access: Access
) -> None:
    """Check that the image has a signature that satisfies `verify`, a block of a Release's package.

    The signature is read from the image's registry or its mirror. As in Flux, one matching identity of
    `matchOIDCIdentity` is sufficient, and without identities any signer is accepted.

    Raises ProblemsError: `bad-signature`, `unknown-key` if the key is in a Secret and no key is given,
    `missing-cosign`, `unsupported-verification` for a provider other than cosign, `offline`.
    """
    provider = verify.get("provider", "cosign")
    if provider != "cosign":
        raise ProblemsError.of(
            "unsupported-verification",
            f"cannot verify {reference} with {shown(str(provider))}: kcd-gen supports only cosign",
            hint="lock it without --verify; Flux verifies it in the cluster",
        )
    binary = shutil.which(cosign.binary)
    if binary is None:
        raise ProblemsError.of(
            "missing-cosign", f"cannot verify {reference}: '{cosign.binary}' not found", hint=_INSTALL
        )
    if cosign.network.offline:
        raise NetworkError(
            f"cannot verify the signature of {reference} with --offline: it is in the registry",
            code="offline",
            hint="run the command without --offline",
        )
    endpoint = find_endpoint(reference, access, cosign.network.mirrors)
    image = f"{endpoint.registry}/{endpoint.repository}@{digest}"
    common = [binary, "verify", "--output", "json"]
    common += ["--allow-http-registry"] if endpoint.scheme == "http" else []
    ca_file = cosign.network.ca_file
    common += ["--registry-cacert", str(ca_file)] if ca_file else []
    failures = []
    with _environment(anonymous=not cosign.network.may_send_credentials(endpoint.url())) as environment:
        for signer in _signers(reference, verify, cosign):
            problem = _run([*common, *signer, image], environment)
            if problem is None:
                return
            failures.append(problem)
    raise ProblemsError.of(
        "bad-signature",
        f"the signature of {reference} ({digest}) could not be verified: {failures[-1]}",
        hint="do not deploy this package until the cause is known",
    )


def _signers(reference: Reference, verify: Mapping[str, Any], cosign: Cosign) -> Sequence[list[str]]:
    """Return the cosign flags for each accepted signer. Raises ProblemsError `unknown-key`."""
    if "secretRef" in verify:
        if cosign.key is None:
            raise ProblemsError.of(
                "unknown-key",
                f"the public key for {reference} is in the Secret {shown(verify['secretRef']['name'])} in the cluster",
                hint="pass the public key with --cosign-key FILE",
            )
        # Like Flux: a signature made with a key does not have to be in the transparency log.
        return [["--key", cosign.key, "--insecure-ignore-tlog=true"]]
    identities = verify.get("matchOIDCIdentity") or [{"issuer": ".*", "subject": ".*"}]
    return [
        [
            f"--certificate-identity-regexp={identity.get('subject', '.*')}",
            f"--certificate-oidc-issuer-regexp={identity.get('issuer', '.*')}",
        ]
        for identity in identities
    ]


@contextmanager
def _environment(*, anonymous: bool) -> Iterator[Mapping[str, str] | None]:
    """Yield the environment for cosign (None: unchanged); if `anonymous`, without credentials of Docker or Podman."""
    if not anonymous:
        yield None
        return
    sources = ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "DOCKER_AUTH_CONFIG")
    variables = {name: value for name, value in os.environ.items() if name not in sources}
    with scratch("kcd-gen-cosign-") as empty:
        yield variables | {"DOCKER_CONFIG": str(empty)}


def _run(arguments: Sequence[str], environment: Mapping[str, str] | None) -> str | None:
    """Run cosign and return its error as the end of a sentence, or None if the signature is valid."""
    try:
        with running(arguments, environment) as process:
            _, errors = outputs(process, timeout=_TIMEOUT)
    except subprocess.TimeoutExpired:
        return f"cosign took longer than {_TIMEOUT} seconds"
    except OSError as error:
        return f"cannot run cosign: {error.strerror}"
    if process.returncode == 0:
        return None
    lines = [line.strip() for line in errors.decode("utf-8", "replace").splitlines() if line.strip()]
    # The last line can be a generic "error during command execution: …", so prefer a line that starts with "error:".
    message = next((line for line in reversed(lines) if line.lower().startswith("error:")), lines[-1] if lines else "")
    return message.removeprefix("Error: ").removeprefix("error: ") or f"cosign exited with {process.returncode}"
