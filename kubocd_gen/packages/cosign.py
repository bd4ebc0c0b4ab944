"""Signatures of package images, checked by the cosign binary as Flux's source-controller checks them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.diagnostics.quoting import shown
from kubocd_gen.network.settings import Network, NetworkError
from kubocd_gen.oci.access import Access
from kubocd_gen.oci.endpoints import find_endpoint
from kubocd_gen.oci.reference import Reference
from kubocd_gen.processes.children import running, scratch

_PATIENCE = 120  # seconds: cosign asks the registry and, without a key, the transparency log
_INSTALL = "install it (https://docs.sigstore.dev/cosign/system_config/installation), or name it with --cosign PATH"


@dataclass(frozen=True, slots=True)
class Cosign:
    """How signatures are checked: the binary, and the public key for Releases whose `verify` names a Secret."""

    binary: str = "cosign"
    key: str | None = None  # a file, or what else `cosign verify --key` takes
    network: Network = field(default_factory=Network)


def verify_signature(
    reference: Reference, digest: str, verify: Mapping[str, Any], cosign: Cosign, access: Access
) -> None:
    """Check that the image is signed as `verify`, a block of a Release's package, asks for.

    The signature is read where the image is: a mirror takes the registry's place. With several identities in
    `matchOIDCIdentity` one that fits is enough, with none any signer will do: Flux's rules. Raises ProblemsError:
    `bad-signature`, `unknown-key` where a Secret holds the key and none is given, `missing-cosign`,
    `unsupported-verification` for another provider than cosign, `offline`.
    """
    provider = verify.get("provider", "cosign")
    if provider != "cosign":
        raise ProblemsError(
            Problem(
                "unsupported-verification",
                f"{reference} is to be verified with {shown(str(provider))}, and kcd-gen knows cosign only",
                hint="lock it without --verify; Flux verifies it in the cluster",
            )
        )
    binary = shutil.which(cosign.binary)
    if binary is None:
        raise ProblemsError(
            Problem("missing-cosign", f"there is no {cosign.binary} to verify {reference} with", hint=_INSTALL)
        )
    if cosign.network.offline:
        raise NetworkError(
            f"the signature of {reference} would have to come from its registry, and --offline lets none be asked",
            code="offline",
            hint="verify it where the registry can be reached",
        )
    place = find_endpoint(reference, access, cosign.network.mirrors)
    image = f"{place.registry}/{place.repository}@{digest}"
    common = [binary, "verify", "--output", "json"]
    common += ["--allow-http-registry"] if place.scheme == "http" else []
    ca_file = cosign.network.ca_file
    common += ["--registry-cacert", str(ca_file)] if ca_file else []
    failures = []
    with _environment(anonymous=not cosign.network.may_send_credentials(place.url())) as environment:
        for signer in _signers(reference, verify, cosign):
            problem = _run([*common, *signer, image], environment)
            if problem is None:
                return
            failures.append(problem)
    raise ProblemsError(
        Problem(
            "bad-signature",
            f"{reference} ({digest}) is not known to be signed as its Release asks: {failures[-1]}",
            hint="do not deploy it before that is clear",
        )
    )


def _signers(reference: Reference, verify: Mapping[str, Any], cosign: Cosign) -> Sequence[list[str]]:
    """The flags for each signer who will do."""
    if "secretRef" in verify:
        if cosign.key is None:
            raise ProblemsError(
                Problem(
                    "unknown-key",
                    f"the key to verify {reference} is in the cluster's Secret {shown(verify['secretRef']['name'])}",
                    hint="give the public key with --cosign-key FILE",
                )
            )
        # As Flux: who holds the key need not have told the transparency log.
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
    """The variables that cosign runs with; `anonymous`: so that it finds no credentials of Docker or Podman."""
    if not anonymous:
        yield None
        return
    places = ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR")
    variables = {name: value for name, value in os.environ.items() if name not in places}
    with scratch("kcd-gen-cosign-") as empty:
        yield variables | {"DOCKER_CONFIG": str(empty)}


def _run(arguments: Sequence[str], environment: Mapping[str, str] | None) -> str | None:
    """What cosign complains of, as the end of a sentence; None where the signature is good."""
    try:
        with running(arguments, environment) as process:
            _, errors = process.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        return f"cosign took longer than {_PATIENCE} seconds"
    except OSError as error:
        return f"cosign can't be run: {error.strerror}"
    if process.returncode == 0:
        return None
    lines = [line.strip() for line in errors.decode("utf-8", "replace").splitlines() if line.strip()]
    # Its last words are a bare "error during command execution: …" or the cause itself.
    said = next((line for line in reversed(lines) if line.lower().startswith("error:")), lines[-1] if lines else "")
    return said.removeprefix("Error: ").removeprefix("error: ") or f"cosign exited with {process.returncode}"
