"""`kcd-gen init server`: what it writes, where, and whether Kubernetes and Flux accept it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from syrupy.assertion import SnapshotAssertion

from kubocd_gen.server.container import IMAGE_NAME
from tests.support.flux import refusals
from tests.support.init_checkouts import Checkout, sync
from tests.support.pod_security import violations
from tests.support.workspace import Workspace, kcd_gen

# `sleep` in preStop is in the schemas from 1.30 on, which is also the oldest version that current Flux supports.
KUBERNETES = ("1.30", "1.32", "1.34", "1.37")
FLUX, FILE = "flux-system", "kcd-gen-kustomizations.yaml"
SERVER = "deploy/prod/server"
BOOTSTRAP = "clusters/prod/flux-system/gotk-sync.yaml"
PLACED = "clusters/prod/kcd-gen-kustomizations.yaml"


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


def manifests(checkout: Checkout, directory: str = SERVER) -> dict[str, Any]:
    """Return the manifests that the kustomization.yaml lists, by kind."""
    listed = checkout.documents(f"{directory}/kustomization.yaml")[0]["resources"]
    documents = [document for name in listed for document in checkout.documents(f"{directory}/{name}")]
    return {document["kind"]: document for document in documents}


def test_the_written_files_and_the_output(checkout: Checkout, snapshot: SnapshotAssertion) -> None:
    before = checkout.files()
    outcome = checkout.init("--image", "registry.example.com/platform/charts", "--containerfile")
    assert outcome.exit == 0
    written = sorted(checkout.files() - before)
    texts = "".join(f"--- {name}\n{checkout.read(name)}" for name in written if not name.endswith(".conf"))
    assert outcome.text + texts == snapshot
    assert {f"{SERVER}/nginx.conf", f"{SERVER}/listen-ipv6.conf", f"{SERVER}/Containerfile"} <= set(written)


@pytest.mark.parametrize("version", KUBERNETES)
def test_the_manifests_are_valid_kubernetes_resources(checkout: Checkout, version: str) -> None:
    assert checkout.init().exit == 0
    found = manifests(checkout)
    assert set(found) == {
        *("Namespace", "ServiceAccount", "Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy")
    }
    for document in found.values():
        kubernetes_validate.validate(document, version, strict=True)
    broken = {**found["Deployment"], "spec": {**found["Deployment"]["spec"], "replica": 2}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, version, strict=True)


def test_its_pods_meet_the_restricted_standard(checkout: Checkout) -> None:
    checkout.init()
    pod = manifests(checkout)["Deployment"]["spec"]["template"]["spec"]
    assert violations(pod) == []
    container = pod["containers"][0]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["automountServiceAccountToken"] is False
    assert {"requests", "limits"} <= container["resources"].keys()
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()


def test_all_selectors_match_the_same_pods(checkout: Checkout) -> None:
    checkout.init()
    found = manifests(checkout)
    deployment = found["Deployment"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    (spread,) = deployment["template"]["spec"]["topologySpreadConstraints"]
    for selected in (
        deployment["selector"]["matchLabels"],
        spread["labelSelector"]["matchLabels"],
        found["Service"]["spec"]["selector"],
        found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    ):
        assert selected.items() <= labels.items()
    (port,) = found["Service"]["spec"]["ports"]
    assert port["targetPort"] == deployment["template"]["spec"]["containers"][0]["ports"][0]["containerPort"]
    assert deployment["template"]["spec"]["containers"][0]["image"] == IMAGE_NAME
    (ingress,) = found["NetworkPolicy"]["spec"]["ingress"]
    assert [peer["podSelector"]["matchLabels"] for peer in ingress["from"]] == [{"app": "source-controller"}]
    assert found["NetworkPolicy"]["spec"]["egress"] == []


def test_the_kustomizations_are_valid_and_in_order(checkout: Checkout) -> None:
    checkout.init()
    charts, releases = checkout.documents(PLACED)
    for one in (charts, releases):
        assert refusals(one) == []
    assert charts["spec"]["wait"] is True
    assert charts["spec"]["path"] == "./deploy/prod/server"
    assert releases["spec"]["path"] == "./deploy/prod/flux"
    assert releases["spec"]["dependsOn"] == [{"name": charts["metadata"]["name"]}]
    assert (
        releases["spec"]["sourceRef"] == charts["spec"]["sourceRef"] == {"kind": "GitRepository", "name": "flux-system"}
    )
    assert releases["spec"]["deletionPolicy"] == "Orphan"


def test_names_are_derived_from_the_repository_url(checkout: Checkout) -> None:
    url = "http://charts.platform.svc.cluster.local:8081/"
    checkout.project(f"- {{name: prod, sources: [sources], output: deploy/prod, repositoryURL: '{url}'}}\n")
    assert checkout.init().exit == 0
    found = manifests(checkout)
    assert found["Namespace"]["metadata"]["name"] == "platform"
    for kind in ("Service", "Deployment", "ServiceAccount", "PodDisruptionBudget", "NetworkPolicy"):
        assert (found[kind]["metadata"]["name"], found[kind]["metadata"]["namespace"]) == ("charts", "platform")
    assert found["Service"]["spec"]["ports"][0]["port"] == 8081


def test_a_url_that_is_not_a_service_is_an_error_at_its_line(checkout: Checkout, snapshot: SnapshotAssertion) -> None:
    checkout.project(
        "- name: prod\n  sources: [sources]\n  output: deploy/prod\n  repositoryURL: https://charts.example.com\n"
        "- name: test\n  sources: [sources]\n  output: deploy/test\n  repositoryURL: http://charts.kubocd.svc/below\n"
    )
    before = checkout.files()
    outcome = checkout.init()
    assert outcome.exit == 1
    assert outcome.text == snapshot
    assert checkout.files() == before


LAYOUTS: dict[str, tuple[dict[str, str], tuple[str, ...], str, tuple[str, str]]] = {
    # the files of the checkout, the flags, where the Kustomizations are written, and their source
    "flux bootstrap": ({}, (), PLACED, ("GitRepository", "flux-system")),
    "a directory of clusters": (
        {BOOTSTRAP: sync("./clusters/test"), "clusters/prod/sync.yaml": sync("clusters/prod/", "prod")},
        (),
        PLACED,
        ("GitRepository", "prod"),
    ),
    "an OCI artifact": ({BOOTSTRAP: sync("clusters/prod", kind="OCIRepository")}, (), PLACED, ("OCIRepository", FLUX)),
    "the whole checkout, listed": (
        {BOOTSTRAP: sync("./"), "kustomization.yaml": "resources: [clusters/prod/flux-system]\n"},
        (),
        "kcd-gen-kustomizations.yaml",
        ("GitRepository", "flux-system"),
    ),
    "Flux's operator": (
        {
            BOOTSTRAP: "apiVersion: fluxcd.controlplane.io/v1\nkind: FluxInstance\n"
            "metadata: {name: flux, namespace: flux-system}\n"
            "spec: {sync: {kind: OCIRepository, url: 'oci://x/y', ref: latest, path: clusters/prod}}\n"
        },
        (),
        PLACED,
        ("OCIRepository", "flux-system"),
    ),
    "nothing of Flux": ({BOOTSTRAP: "a: b\n"}, (), f"deploy/prod/cluster/{FILE}", ("GitRepository", FLUX)),
    "a directory that is named": (
        {}, ("--flux-dir", "clusters/prod/apps"), f"clusters/prod/apps/{FILE}", ("GitRepository", FLUX)
    ),
    "a source that is named": ({}, ("--flux-source", "OCIRepository/other"), PLACED, ("OCIRepository", "other")),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_flux_is_found_in_the_checkout(checkout: Checkout, name: str) -> None:
    files, flags, target, (kind, source) = LAYOUTS[name]
    for path, text in files.items():
        checkout.write(path, text)
    outcome = checkout.init(*flags)
    assert (outcome.exit, outcome.err) == (0, "")
    for one in checkout.documents(target):
        assert refusals(one) == []
        assert one["spec"]["sourceRef"] == {"kind": kind, "name": source}
    assert ("kubectl apply -f" in outcome.out) == (name == "nothing of Flux")
    assert ("add kcd-gen-kustomizations.yaml to kustomization.yaml" in outcome.out) == ("listed" in name)


def test_a_project_in_a_directory_of_the_checkout(checkout: Checkout) -> None:
    (checkout.root / "kcd-gen.yaml").unlink()
    checkout.project("- {name: prod, sources: [sources], output: deploy/prod}\n", directory="platform")
    assert checkout.init(directory="platform").exit == 0
    charts, releases = checkout.documents(PLACED)
    assert charts["spec"]["path"] == "./platform/deploy/prod/server"
    assert releases["spec"]["path"] == "./platform/deploy/prod/flux"
    assert "/platform/deploy/prod/hr/\n" in checkout.read(".sourceignore")


TWO = "- {name: prod, sources: [a], output: deploy/prod}\n- {name: test, sources: [b], output: deploy/test}\n"


def test_two_clusters_in_separate_directories(checkout: Checkout) -> None:
    checkout.write("clusters/test/flux-system/gotk-sync.yaml", sync("./clusters/test"))
    checkout.project(TWO)
    assert checkout.init().exit == 0
    for cluster in ("prod", "test"):
        documents = checkout.documents(f"clusters/{cluster}/kcd-gen-kustomizations-{cluster}.yaml")
        assert [one["metadata"]["name"] for one in documents] == ["charts", "releases"]
        assert documents[0]["spec"]["path"] == f"./deploy/{cluster}/server"


def test_two_clusters_in_one_directory_have_distinct_names(checkout: Checkout) -> None:
    checkout.project(TWO)
    assert checkout.init("--cluster", "prod").exit == 0
    one_at_a_time = checkout.files()
    assert checkout.init("--cluster", "test", "--flux-dir", "clusters/prod").exit == 0
    names = [
        one["metadata"]["name"]
        for path in sorted(checkout.files())
        if "kcd-gen-kustomizations" in path
        for one in checkout.documents(path)
    ]
    assert one_at_a_time < checkout.files()
    assert sorted(names) == ["charts", "releases", "test-charts", "test-releases"]


def test_a_cluster_with_an_unknown_directory_is_an_error(checkout: Checkout, snapshot: SnapshotAssertion) -> None:
    checkout.write("clusters/b/sync.yaml", sync("./clusters/b"))
    checkout.write(BOOTSTRAP, sync("./clusters/a"))
    checkout.write("clusters/a/sync.yaml", sync("./clusters/a"))
    outcome = checkout.init()
    assert outcome.text == snapshot
    assert outcome.exit == 1


def test_an_output_that_flux_applies_as_a_whole_is_an_error(checkout: Checkout, snapshot: SnapshotAssertion) -> None:
    checkout.project("- {name: prod, sources: [sources], output: clusters/prod/deploy}\n")
    outcome = checkout.init()
    assert outcome.text == snapshot
    assert outcome.exit == 1


def test_a_second_run_changes_nothing(checkout: Checkout) -> None:
    checkout.init("--image", "registry.example.com/a")
    before = {name: (checkout.root / name).stat().st_mtime_ns for name in checkout.files()}
    again = checkout.init()
    assert again.exit == 0
    assert {name: (checkout.root / name).stat().st_mtime_ns for name in checkout.files()} == before
    assert set(re.findall(r"^(\w+) ", again.out, re.MULTILINE)) == {"Unchanged"}


def test_a_written_digest_is_kept(checkout: Checkout) -> None:
    checkout.init("--image", "registry.example.com/a")
    path = checkout.root / SERVER / "kustomization.yaml"
    path.write_text(path.read_text() + f"  digest: sha256:{'a' * 64}\n")
    assert checkout.init().exit == 0
    assert checkout.init("--image", "registry.example.com/a").exit == 0
    other = checkout.init("--image", "registry.example.com/b", "--dry-run")
    assert other.exit == 3
    assert f"-  digest: sha256:{'a' * 64}" in other.out


def test_a_changed_file_is_reported_and_kept(checkout: Checkout, snapshot: SnapshotAssertion) -> None:
    checkout.init()
    path = checkout.root / SERVER / "deployment.yaml"
    mine = path.read_text().replace("replicas: 2", "replicas: 3")
    path.write_text(mine)
    (checkout.root / SERVER / "service.yaml").unlink()
    outcome = checkout.init()
    assert outcome.text == snapshot
    assert outcome.exit == 3
    assert path.read_text() == mine
    assert (checkout.root / SERVER / "service.yaml").exists()
    forced = checkout.init("--force")
    assert forced.exit == 0
    assert "-  replicas: 3" in forced.out
    assert "replicas: 2" in path.read_text()


def test_a_dry_run_writes_nothing(checkout: Checkout) -> None:
    before = checkout.files()
    outcome = checkout.init("--dry-run")
    assert outcome.exit == 0
    assert checkout.files() == before
    assert "Would create deploy/prod/server/deployment.yaml" in outcome.out


def test_lines_are_added_to_a_sourceignore_once(checkout: Checkout) -> None:
    checkout.write(".sourceignore", "# mine\n/docs/\n")
    assert checkout.init().exit == 0
    assert checkout.init().exit == 0
    text = checkout.read(".sourceignore")
    assert text.startswith("# mine\n/docs/\n")
    assert text.count("/deploy/prod/hr/\n") == text.count("/deploy/prod/.kcd-gen/\n") == 1


@pytest.mark.parametrize("link", [".sourceignore", f"{SERVER}/deployment.yaml", SERVER])
def test_nothing_is_written_through_symlinks(checkout: Checkout, tmp_path: Path, link: str) -> None:
    outside = tmp_path / "outside"
    (outside if link == SERVER else tmp_path).mkdir(exist_ok=True)
    if link != SERVER:
        outside.write_text("mine")
    path = checkout.root / link
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(outside)
    outcome = checkout.init("--force")
    assert outcome.exit == 1
    assert "error[unusable-file]" in outcome.err
    assert outside.read_text() == "mine" if outside.is_file() else not list(outside.iterdir())


def test_an_output_outside_the_checkout_is_an_error(checkout: Checkout, tmp_path: Path) -> None:
    checkout.project("- {name: prod, sources: [sources], output: ../elsewhere}\n")
    outcome = checkout.init()
    assert outcome.exit == 1
    assert "error[outside-checkout]" in outcome.err
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--flux-source", "flux-system"), "KIND/NAME"),
        (("--flux-source", "Secret/x"), "KIND/NAME"),
        (("--image", ""), "value is empty"),
        (("--image", "registry.example.com/a:1"), "without a tag"),
        (("--flux-namespace", "No"), "'--flux-namespace': 'No' is not an RFC 1123 label"),
    ],
)
def test_invalid_combinations_of_flags_are_an_error(checkout: Checkout, flags: tuple[str, ...], expected: str) -> None:
    outcome = checkout.init(*flags)
    assert outcome.exit == 2
    assert expected in outcome.err


def test_a_build_neither_changes_nor_reads_the_directory(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.package()
    workspace.release("web")
    head = "apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {vendor: packages}\n"
    (tmp_path / "kcd-gen.yaml").write_text(f"{head}clusters:\n- {{name: a, sources: [.], output: output}}\n")
    assert kcd_gen("init", "server", directory=tmp_path).exit == 0
    # As a source it would be a second Release of the same name, and one that does not compile.
    hidden = "apiVersion: kubocd.kubotal.io/v1alpha1\nkind: Release\nmetadata: {name: web}\nspec: {}\n"
    (tmp_path / "output/server/release.yaml").write_text(hidden)
    before = {path: path.read_bytes() for path in (tmp_path / "output/server").iterdir()}
    assert kcd_gen("build", directory=tmp_path).exit == 0
    assert kcd_gen("build", "--check", directory=tmp_path).exit == 0
    assert {path: path.read_bytes() for path in (tmp_path / "output/server").iterdir()} == before
