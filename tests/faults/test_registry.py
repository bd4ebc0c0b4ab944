"""kcd-gen's client and skopeo against the registry that most others are based on."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.network.settings import Network
from kubocd_gen.oci.descriptors import CONFIG_TYPE, CONTENT_TYPE, MANIFEST_TYPE, JsonSource, sha256
from kubocd_gen.oci.endpoints import Access, InsecureSetting
from kubocd_gen.oci.reference import Reference
from tests.faults.conftest import PLAIN, NewClient
from tests.support.images import write_layout
from tests.support.registry import SECRET, USER, CertificateAuthority, Running, run_registry, skopeo

LAYER = b"a package's content " * 5000
TAG = "6.7.1-p01"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with run_registry(tmp_path_factory.mktemp("plain")) as running:
        yield running


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with run_registry(tmp_path_factory.mktemp("private"), login=True) as running:
        yield running


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory, authority: CertificateAuthority) -> Iterator[Running]:
    with run_registry(tmp_path_factory.mktemp("trusted"), ca=authority) as running:
        yield running


def push_with_skopeo(registry: Running, tmp_path: Path, repository: str, *flags: str) -> Reference:
    """Push a package to the registry with skopeo, from an image layout."""
    reference = Reference(registry.host, repository, TAG)
    write_layout(tmp_path / "layout", {"made": LAYER})
    source = f"oci:{tmp_path / 'layout'}:made"
    skopeo("copy", *flags, source, f"docker://{reference}", home=tmp_path)
    return reference


def push_package(client: NewClient, reference: Reference, access: Access, **settings: object) -> str:
    """Push a package to the registry with kcd-gen. Returns its digest."""
    registry = client(**settings).registry
    config = registry.push_blob(reference, b"{}", access)
    layer = registry.push_blob(reference, LAYER, access)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "digest": config.digest, "size": config.size},
        "layers": [{"mediaType": CONTENT_TYPE, "digest": layer.digest, "size": layer.size}],
    }
    return registry.push_manifest(reference, json.dumps(manifest).encode(), MANIFEST_TYPE, access).digest


def refusal(code: str, call: object, *arguments: object) -> Problem:
    assert callable(call)
    with pytest.raises(ProblemsError) as caught:
        call(*arguments)
    assert caught.value.problem.code == code
    return caught.value.problem


def test_kcd_gen_reads_a_package_pushed_by_skopeo(plain: Running, tmp_path: Path, client: NewClient) -> None:
    reference = push_with_skopeo(plain, tmp_path, "by/skopeo", "--dest-tls-verify=false")
    registry = client().registry
    found = registry.resolve(reference, PLAIN)
    descriptor, data = registry.read_manifest(reference, found.digest, PLAIN)
    assert (descriptor.media_type, descriptor.digest, descriptor.size) == (MANIFEST_TYPE, found.digest, found.size)
    assert sha256(data) == found.digest
    assert registry.read_manifest(reference, None, PLAIN)[0] == descriptor
    layer = json.loads(data)["layers"][0]
    blob = JsonSource("manifest", "x").descriptor(layer, "layer")
    assert registry.read_blob(reference, blob, PLAIN, limit=1 << 20) == LAYER


def test_skopeo_reads_a_package_pushed_by_kcd_gen(plain: Running, tmp_path: Path, client: NewClient) -> None:
    reference = Reference(plain.host, "by/kcd-gen", TAG)
    assert client().registry.has_manifest(reference, PLAIN) is None
    digest = push_package(client, reference, PLAIN)
    found = client().registry.has_manifest(reference, PLAIN)
    assert found is not None
    assert found.digest == digest
    skopeo("copy", "--src-tls-verify=false", f"docker://{reference}", f"oci:{tmp_path / 'copy'}:x", home=tmp_path)
    assert (tmp_path / "copy/blobs/sha256" / sha256(LAYER)[7:]).read_bytes() == LAYER
    push_package(client, reference, PLAIN)  # again, over the existing one


def test_a_missing_package_is_reported_as_missing(plain: Running, client: NewClient) -> None:
    error = refusal("missing-package", client().registry.resolve, Reference(plain.host, "none", "1"), PLAIN)
    assert error.message == f"{plain.host} does not have none:1 (404)"
    assert error.exit_code == 4


def test_a_private_registry_requires_a_login(private: Running, tmp_path: Path, client: NewClient) -> None:
    login = f"{USER}:{SECRET}"
    reference = push_with_skopeo(private, tmp_path, "p", "--dest-tls-verify=false", "--dest-creds", login)
    host = private.host.replace(".", "_").replace(":", "_")
    ours = {f"KCD_OCI_{host}_USER": USER, f"KCD_OCI_{host}_SECRET": SECRET}
    assert client(environment=ours).registry.resolve(reference, PLAIN).media_type == MANIFEST_TYPE
    push_package(client, Reference(private.host, "pushed", TAG), PLAIN, environment=ours)

    config = {"auths": {private.host: {"auth": base64.b64encode(login.encode()).decode()}}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    docker = {"DOCKER_CONFIG": str(tmp_path)}
    assert client(environment=docker).registry.resolve(reference, PLAIN).media_type == MANIFEST_TYPE

    access = Access(insecure=True, secrets=("secretRef regcred",))
    error = refusal("registry-denied", client().registry.resolve, reference, access)
    assert error.message == f"{private.host} denied access to p:{TAG} (401): the image is private or does not exist"
    assert error.hint == (
        f"check the URL, or log in: docker login {private.host}, or set KCD_OCI_{host}_USER and KCD_OCI_{host}_SECRET"
        "; kcd-gen does not read secretRef regcred from the cluster"
    )
    wrong = {**ours, f"KCD_OCI_{host}_SECRET": "hunter2"}
    error = refusal("registry-denied", client(environment=wrong).registry.resolve, reference, PLAIN)
    assert f"the credentials from KCD_OCI_{host}_USER are wrong, or don't have permission to read it" in error.message
    assert "hunter2" not in f"{error.message}{error.hint}{error!r}"


def test_a_login_of_skopeo_for_a_namespace_is_found(private: Running, tmp_path: Path, client: NewClient) -> None:
    login = f"{USER}:{SECRET}"
    flags = ("--dest-tls-verify=false", "--dest-creds", login)
    reference = push_with_skopeo(private, tmp_path, "team/a/p", *flags)
    file = tmp_path / "auth.json"
    options = ("--tls-verify=false", "--authfile", str(file), "-u", USER, "-p", SECRET)
    skopeo("login", *options, f"{private.host}/team/a", home=tmp_path)
    assert client(environment={"REGISTRY_AUTH_FILE": str(file)}).registry.resolve(reference, PLAIN).size > 0
    (tmp_path / "containers").mkdir()
    file.rename(tmp_path / "containers/auth.json")
    for name in ("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        one = client(environment={"XDG_RUNTIME_DIR": "/nowhere", name: str(tmp_path)}).registry
        assert one.resolve(reference, PLAIN).media_type == MANIFEST_TYPE
    # The login is for this namespace alone, so it is not sent for another one, not even after the first.
    refusal("registry-denied", one.resolve, Reference(private.host, "team/b/p", TAG), PLAIN)


def test_a_private_authority_is_trusted_when_it_is_given(trusted: Running, tmp_path: Path, client: NewClient) -> None:
    reference = push_with_skopeo(trusted, tmp_path, "p", "--dest-tls-verify=false")
    known = client(network=Network(ca_file=trusted.ca_file)).registry
    assert known.resolve(reference, Access()).media_type == MANIFEST_TYPE

    error = refusal("registry-failed", client().registry.resolve, reference, Access())
    assert f"the certificate of {trusted.host} is not valid" in error.message
    assert "--ca-file" in str(error.hint)
    error = refusal("registry-failed", client().registry.resolve, reference, PLAIN)
    assert "remove 'insecure'" in str(error.hint)


def test_there_is_no_fallback_to_plain_http(plain: Running, client: NewClient) -> None:
    error = refusal("registry-failed", client().registry.resolve, Reference(plain.host, "p", "1"), Access())
    assert error.message == f"{plain.host} does not serve HTTPS"
    assert "insecure: true" in str(error.hint)


@pytest.mark.parametrize(
    ("setting", "on", "off"),
    [
        ("release", "set 'insecure: true' in the Release's package", "remove 'insecure' from the Release's package"),
        (
            "redirect",
            "set 'insecure: true' in the 'packageRedirects' of the",
            "remove 'insecure' from the 'packageRedi",
        ),
        ("module", "set 'insecure: true' in the 'oci' source of the module", "remove 'insecure' from the 'oci' source"),
        ("flag", "add --insecure", "remove --insecure"),
        ("base", "copy the image: skopeo copy --all --src-tls-verify=false docker://HOST/p:TAG oci:DIR", "remove --in"),
    ],
)
def test_the_hint_names_what_selects_plain_http(
    setting: InsecureSetting, on: str, off: str, plain: Running, trusted: Running, client: NewClient
) -> None:
    resolve = client().registry.resolve
    for access, host, hint in ((Access(), plain.host, on), (PLAIN, trusted.host, off)):
        error = refusal("registry-failed", resolve, Reference(host, "p", "1"), replace(access, setting=setting))
        assert hint in str(error.hint).replace(host, "HOST")


def test_the_hint_for_a_mirror_names_its_address(plain: Running, client: NewClient) -> None:
    one = client(network=Network(mirrors={"quay.io": plain.host})).registry
    error = refusal("registry-failed", one.resolve, Reference("quay.io", "p", "1"), Access())
    assert "write 'http://' before its address in 'packages.mirrors'" in str(error.hint)


def test_a_mirror_replaces_the_registry(plain: Running, tmp_path: Path, client: NewClient) -> None:
    push_with_skopeo(plain, tmp_path, "quay/team/p", "--dest-tls-verify=false")
    mirrors = {"quay.io": f"http://{plain.host}/quay"}
    registry = client(network=Network(mirrors=mirrors)).registry
    assert registry.resolve(Reference("quay.io", "team/p", TAG), Access()).media_type == MANIFEST_TYPE
    error = refusal("missing-package", registry.resolve, Reference("quay.io", "team/q", TAG), Access())
    assert error.message == f"{plain.host} (the mirror of quay.io) does not have quay/team/q:{TAG} (404)"


def test_a_mirror_replaces_a_namespace(plain: Running, tmp_path: Path, client: NewClient) -> None:
    push_with_skopeo(plain, tmp_path, "acme/p", "--dest-tls-verify=false")
    mirrors = {"quay.io/team/acme": f"http://{plain.host}/acme", f"{plain.host}/x": "http://127.0.0.1:1"}
    registry = client(network=Network(mirrors=mirrors)).registry
    assert registry.resolve(Reference("quay.io:443", "team/acme/p", TAG), Access()).media_type == MANIFEST_TYPE
    assert registry.resolve(Reference(plain.host, "acme/p", TAG), PLAIN).media_type == MANIFEST_TYPE
