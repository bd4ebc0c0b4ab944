"""`kcd-gen package`: build images from manifests, for a layout and for a real registry."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import textwrap
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kubocd_gen.helm.process import find_helm
from kubocd_gen.oci.layout import OciLayout
from kubocd_gen.oci.reference import parse_reference
from kubocd_gen.packages.image import PackageImage, read_image
from tests.support.charts import archive, chart_files, git_repository, serve, write_files, write_repository
from tests.support.quickstart import QUICKSTART
from tests.support.quickstart import REFERENCE as PODINFO
from tests.support.registry import SECRET, USER, Running, make_authority, run_registry, skopeo
from tests.support.workspace import Outcome, files_below, kcd_gen

PREFIX = "registry.example.com/packages"
LOCAL = "{local: {path: charts/web}}"


@dataclass(frozen=True, slots=True)
class Author:
    """A directory with the manifests and charts of an author."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def manifest(self, source: str = LOCAL, *, name: str = "demo", tag: str = "1.0.0", more: str = "") -> str:
        """Write a manifest with one module to `<name>.yaml` and return the file name."""
        text = f"apiVersion: v1alpha1\nname: {name}\ntag: {tag}\nmodules:\n- name: main\n  source: {source}\n"
        (self.root / f"{name}.yaml").write_text(text + textwrap.dedent(more))
        return f"{name}.yaml"

    def chart(self, directory: str = "charts/web", files: Mapping[str, bytes] | None = None) -> Path:
        return write_files(self.root / directory, files or chart_files())

    def run(self, *arguments: str, prefix: str = PREFIX, **environment: str) -> Outcome:
        """Package with these arguments; into `layout` unless they name another target."""
        where = () if "--insecure" in arguments or "--output" in arguments or "--ca-file" in arguments else TO_LAYOUT
        flags = ("--repo-prefix", prefix, *where)
        return kcd_gen("package", *arguments, *flags, directory=self.root, environment=self.environment | environment)

    def image(self, name: str = "demo:1.0.0", layout: str = "layout") -> PackageImage:
        reference = parse_reference(f"{PREFIX}/{name}")
        store = OciLayout(self.root / layout)
        descriptor = store.resolve(reference)
        assert descriptor is not None
        return read_image(reference, descriptor, store)

    def names(self, chart: str = "web-1.0.0.tgz") -> list[str]:
        """Return the files of a chart in the package."""
        with tarfile.open(fileobj=io.BytesIO(self.image().files[chart])) as tar:
            return tar.getnames()


TO_LAYOUT = ("--output", "layout")


@pytest.fixture
def author(tmp_path: Path) -> Author:
    """Only the credentials of a test; no wait for a dead host."""
    return Author(tmp_path, {"HOME": str(tmp_path), "DOCKER_CONFIG": str(tmp_path / "no-docker"), "NO_PROXY": "*"})


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with run_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


def ok(outcome: Outcome) -> str:
    assert outcome.exit == 0, outcome.text
    return outcome.out


def refused(outcome: Outcome, code: str, status: int = 1) -> str:
    """Check the error, and that nothing was published; return standard error."""
    assert f"error[{code}]" in outcome.err, outcome.text
    assert outcome.exit == status
    assert outcome.out == ""
    return outcome.err


# --- the image


def test_a_package_is_written_in_the_layout_of_kubocd(author: Author) -> None:
    author.chart()
    name = author.manifest()
    printed = ok(author.run(name))
    image = author.image()
    assert printed == f"Wrote {PREFIX}/demo:1.0.0 {image.digest}\n"
    assert list(image.files) == ["original.yaml", "groomed.yaml", "index.yaml", "status.yaml", "web-1.0.0.tgz"]
    assert image.files["original.yaml"] == (author.root / name).read_bytes()
    assert image.files["status.yaml"].decode() == (
        "apiVersion: v1alpha1\nchartByModule:\n  main:\n    name: web\n    version: 1.0.0\n"
    )
    raw = skopeo("inspect", "--raw", f"oci:{author.root}/layout:{PREFIX}/demo:1.0.0", home=author.root)
    manifest = json.loads(raw)
    assert manifest["config"]["annotations"] == {"org.opencontainers.image.title": "manifest.json"}
    assert manifest["layers"][0]["annotations"] == {"org.opencontainers.image.title": "assembly.tgz"}
    assert manifest["annotations"]["org.opencontainers.image.version"] == "1.0.0"


def test_the_groomed_manifest_has_its_defaults_and_is_the_config(author: Author) -> None:
    author.chart()
    more = "schema: {parameters: {properties: {a: {type: integer, default: 1, required: true}}}}\n"
    ok(author.run(author.manifest(more=more)))
    groomed = author.image().files["groomed.yaml"].decode()
    for line in ("enabled: 'true'", "type: HelmChart", "protected: false", "roles: []", "- a", "type: Package"):
        assert line in groomed
    where = f"oci:{author.root}/layout:{PREFIX}/demo:1.0.0"
    config = json.loads(skopeo("inspect", "--config", "--raw", where, home=author.root))
    assert config["modules"][0]["targetNamespace"] == "{{.Release.spec.targetNamespace}}"


def test_the_chart_is_packaged_from_a_copy_and_its_directory_is_unchanged(author: Author) -> None:
    author.chart()
    before = files_below(author.root / "charts")
    ok(author.run(author.manifest()))
    assert files_below(author.root / "charts") == before
    assert author.names() == ["web/Chart.yaml", "web/templates/values.yaml", "web/values.yaml"]


def test_variables_are_expanded_as_the_packager_does(author: Author) -> None:
    author.chart()
    name = author.manifest(tag="${VERSION}-p01", more="description: $${KEPT} $KEPT ${a-b}\n")
    ok(author.run(name, VERSION="2.0"))
    original = author.image("demo:2.0-p01").files["original.yaml"].decode()
    assert "tag: 2.0-p01" in original
    assert "description: $${KEPT} $KEPT ${a-b}" in original
    assert "demo.yaml:3:6" in refused(author.run(name), "unset-variable")


def test_a_packaged_quickstart_compiles_to_the_same_output_as_the_vendored_one(tmp_path: Path, author: Author) -> None:
    write_repository(tmp_path / "repository", {"podinfo-6.7.1.tgz": quickstart_chart()})
    manifest = (QUICKSTART / "package/podinfo.yaml").read_text()
    with serve(tmp_path / "repository") as server:
        url = next(line.split()[-1] for line in manifest.splitlines() if line.strip().startswith("url:"))
        (tmp_path / "podinfo.yaml").write_text(manifest.replace(url, server.url))
        ok(author.run("podinfo.yaml", prefix=PODINFO.rpartition("/")[0]))
    built: dict[str, tuple[list[str], bytes]] = {}
    for vendor in ("layout", str(QUICKSTART / "packages")):
        output = f"out-{len(built)}"
        flags = ("--source", str(QUICKSTART / "cluster"), "--output", output, "--vendor", vendor)
        ok(kcd_gen("build", *flags, directory=tmp_path))
        files = files_below(tmp_path / output / "flux") | files_below(tmp_path / output / "hr")
        lines = files["default/podinfo1.yaml"].decode().splitlines()
        built[vendor] = (
            [line for line in lines if "requestedAt" not in line],
            files["default/podinfo1/podinfo-6.7.1.tgz"],
        )
    assert built["layout"] == built[str(QUICKSTART / "packages")]


def quickstart_chart() -> bytes:
    reference = parse_reference(PODINFO)
    layout = OciLayout(QUICKSTART / "packages")
    descriptor = layout.resolve(reference)
    assert descriptor is not None
    return read_image(reference, descriptor, layout).files["podinfo-6.7.1.tgz"]


# --- the same bytes


def test_the_bytes_depend_only_on_manifest_and_charts(tmp_path: Path, author: Author) -> None:
    write_repository(tmp_path / "repository", {"db-1.0.0.tgz": archive("db")})
    digests = []
    with serve(tmp_path / "repository") as server:
        module = f"- name: db\n  source: {{helmRepository: {{url: '{server.url}', chart: db, version: 1.0.0}}}}\n"
        for number, zone in enumerate(("UTC", "Pacific/Kiritimati")):
            directory = tmp_path / f"run{number}" / ("deeper" * number)
            files = chart_files()
            write_files(directory / "charts/web", files if number else dict(reversed(files.items())))
            (directory / "charts/web/values.yaml").chmod(0o600 if number else 0o755)
            os.utime(directory / "charts/web/values.yaml", (number * 1e9, number * 1e9))
            Author(directory).manifest(more=module)
            command = [sys.executable, "-m", "kubocd_gen", "package", "demo.yaml", "-r", PREFIX, "--output", "layout"]
            environment = {**os.environ, **author.environment, "TZ": zone, "PYTHONHASHSEED": str(number)}
            umask = 0o077 if number else 0o022
            subprocess.run(command, cwd=directory, env=environment, umask=umask, check=True, capture_output=True)
            digests.append(Author(directory).image().digest)
            time.sleep(1.1 - number)  # helm stores whole seconds
    assert digests[0] == digests[1]


def test_the_time_is_the_given_one_or_that_of_the_newest_chart(author: Author) -> None:
    author.chart()
    name = author.manifest()
    ok(author.run(name))
    assert b"generated: '1980-01-01T00:00:00Z'" in author.image().files["index.yaml"]
    ok(author.run(name, "--force", SOURCE_DATE_EPOCH="1735689600"))
    image = author.image()
    assert b"generated: '2025-01-01T00:00:00Z'" in image.files["index.yaml"]
    assert "SOURCE_DATE_EPOCH" in refused(author.run(name, SOURCE_DATE_EPOCH="yesterday"), "usage", 2)


def test_a_chart_from_a_directory_does_not_depend_on_the_given_time(author: Author) -> None:
    author.chart()
    name = author.manifest()
    ok(author.run(name))
    first = author.image().files["web-1.0.0.tgz"]
    ok(author.run(name, "--force", SOURCE_DATE_EPOCH="1735689600"))
    assert author.image().files["web-1.0.0.tgz"] == first


# --- tags


def test_the_same_package_is_unchanged_and_another_one_is_refused(author: Author) -> None:
    author.chart()
    name = author.manifest()
    ok(author.run(name))
    digest = author.image().digest
    assert ok(author.run(name)).startswith("Unchanged ")
    author.manifest(more="protected: true\n")
    printed = refused(author.run(name), "tag-exists")
    assert f"{PREFIX}/demo:1.0.0 already exists in the layout layout with the digest {digest}" in printed
    assert author.image().digest == digest
    assert ok(author.run(name, "--force")).startswith("Wrote ")
    assert author.image().digest != digest


def test_a_registry_gets_the_package_once(author: Author, registry: Running) -> None:
    author.chart()
    name = author.manifest(name="once")
    prefix = f"{registry.host}/deep/er"
    pushed = ok(author.run(name, "--insecure", prefix=prefix))
    reference = f"{prefix}/once:1.0.0"
    assert pushed.startswith(f"Pushed {reference} sha256:")
    assert ok(author.run(name, "--insecure", prefix=prefix)) == pushed.replace("Pushed", "Unchanged")
    author.manifest(name="once", more="protected: true\n")
    printed = refused(author.run(name, "--insecure", prefix=prefix), "tag-exists")
    assert f"{reference} already exists in the registry" in printed
    assert ok(author.run(name, "--insecure", "--force", prefix=prefix)) != pushed
    where = f"oci:{author.root}/pulled:{reference}"
    skopeo("copy", "--src-tls-verify=false", f"docker://{reference}", where, home=author.root)
    shown = kcd_gen("dump", f"oci:pulled:{reference}", directory=author.root)
    assert "protected" in ok(shown)
    pulled = kcd_gen("dump", reference, "--insecure", directory=author.root, environment=author.environment)
    assert ok(pulled) == shown.out


def test_a_registry_that_serves_plain_http_is_pushed_to_and_read_with_insecure(
    author: Author, registry: Running
) -> None:
    author.chart()
    prefix = f"{registry.host}/plain"
    hint = f"{registry.host} does not serve HTTPS\n    if it serves plain HTTP, add --insecure\n"
    for arguments in (
        ("package", author.manifest(), "--repo-prefix", prefix),
        ("dump", f"{prefix}/demo:1.0.0"),
    ):
        outcome = kcd_gen(*arguments, directory=author.root, environment=author.environment)
        assert outcome.exit == 4
        assert hint in outcome.err


def test_a_push_over_tls_uses_kubocds_variables(tmp_path: Path, author: Author) -> None:
    author.chart()
    name = author.manifest()
    authority = make_authority(tmp_path / "ca")
    with run_registry(tmp_path / "registry", login=True, ca=authority) as running:
        variable = "KCD_OCI_" + running.host.upper().replace(".", "_").replace(":", "_")
        flags = ("--ca-file", str(authority.certificate))
        outcome = author.run(name, *flags, prefix=f"{running.host}/p")
        assert "error[registry-denied]" in outcome.err
        assert outcome.exit == 4
        environment = {f"{variable}_USER": USER, f"{variable}_SECRET": SECRET, "OCI_REPO_PREFIX": f"{running.host}/p"}
        done = kcd_gen("package", name, *flags, directory=author.root, environment=author.environment | environment)
        assert ok(done).startswith(f"Pushed {running.host}/p/demo:1.0.0 sha256:")


# --- several manifests


def test_results_come_in_the_order_of_the_manifests(author: Author) -> None:
    author.chart()
    names = [author.manifest(name=f"p{number}") for number in (3, 1, 2, 5, 4)]
    printed = ok(author.run(*names, "-j", "4"))
    assert [line.split("/")[-1].split(":")[0] for line in printed.splitlines()] == ["p3", "p1", "p2", "p5", "p4"]


def test_all_problems_are_reported_at_once_and_nothing_is_written(author: Author) -> None:
    author.chart()
    names = [
        author.manifest(name="good"),
        author.manifest("{local: {path: charts/none}}", name="no-chart"),
        author.manifest(name="bad", more="foo: 1\nprotected: maybe\n"),
        author.manifest(name="twice", more="- name: main\n  source: {local: {path: charts/web}}\n"),
        author.manifest(name="template", more="description: '{{ if }}'\nroles: ['{{ .a | nope }}']\n"),
        author.manifest(name="schema", more="schema: {parameters: {properties: {a: {}}}}\n"),
    ]
    outcome = author.run(*names, "missing.yaml")
    assert outcome.exit == 1
    assert outcome.out == ""
    for position in (
        "bad.yaml:7:1: error[unknown-field]: foo is not a known field",
        "bad.yaml:8:1: error[invalid-type]",
        "missing.yaml: error[unreadable-source]",
        "no-chart.yaml:6:3: error[missing-chart]: the chart charts/none is not a directory",
        "schema.yaml:7:36: error[invalid-package-schema]",
        "template.yaml:7:14: error[template-parse]: package template:1.0.0, description: missing value for if",
        'template.yaml:8:1: error[template-parse]: package template:1.0.0, roles: function "nope" not defined',
        "twice.yaml:7:3: error[bad-package]: two modules are named 'main'",
    ):
        assert position in outcome.err, outcome.err
    assert not (author.root / "layout").exists()


def test_two_manifests_of_one_package_are_an_error(author: Author) -> None:
    author.chart()
    one = author.manifest()
    (author.root / "other.yaml").write_text((author.root / one).read_text())
    assert "two manifests define the package 'demo:1.0.0'" in refused(
        author.run(one, "other.yaml"), "duplicate-package"
    )


def test_two_modules_share_a_chart_and_never_two_of_one_name(author: Author) -> None:
    author.chart()
    other = "- name: other\n  source: {local: {path: charts/other}}\n"
    name = author.manifest(more=other)
    author.chart("charts/other")
    ok(author.run(name))
    assert [file for file in author.image().files if file.endswith(".tgz")] == ["web-1.0.0.tgz"]
    author.chart("charts/other", chart_files(description="another"))
    printed = refused(author.run(name), "chart-conflict")
    message = "modules 'main' and 'other' use different charts that are both 'web 1.0.0'"
    assert f"demo.yaml:8:3: error[chart-conflict]: {message}" in printed


def test_a_function_that_kcd_gen_refuses_is_a_warning(author: Author) -> None:
    author.chart()
    outcome = author.run(author.manifest(more="description: '{{ readFile \"x\" }}'\n"))
    assert outcome.exit == 0
    assert "demo.yaml:7:14: warning[unsupported-function]" in outcome.err


# --- the command line


def test_the_report_is_a_document(author: Author) -> None:
    author.chart()
    names = (author.manifest(), author.manifest("{local: {path: none}}", name="wrong"))
    report = json.loads(author.run(*names, "--format", "json").out)
    assert [one["status"] for one in report["packages"]] == ["failed", "failed"]
    assert report["diagnostics"][0]["path"] == "wrong.yaml"
    report = json.loads(ok(author.run(names[0], "--format", "json")))
    (package,) = report["packages"]
    assert package["reference"] == f"{PREFIX}/demo:1.0.0"
    assert package["status"] == "written"
    assert package["digest"] == author.image().digest
    assert package["charts"][0]["name"] == "web"


def test_a_prefix_is_required(author: Author) -> None:
    outcome = kcd_gen("package", author.manifest(), directory=author.root)
    assert "--repo-prefix quay.io/acme/packages" in refused(outcome, "usage", 2)
    outcome = author.run("demo.yaml", prefix="Registry.example.com/UPPER")
    assert "must be lowercase" in refused(outcome, "bad-reference")


def test_offline_needs_local_charts_and_a_layout(author: Author) -> None:
    author.chart()
    name = author.manifest()
    ok(author.run(name, "--offline"))
    assert author.run(name, "--offline", "--insecure", prefix="127.0.0.1:1/p").exit == 4
    remote = author.manifest("{helmRepository: {url: 'https://charts.example.com', chart: web, version: 1.0.0}}")
    refused(author.run(remote, "--offline"), "offline", 4)
    remote = author.manifest("{git: {url: 'https://git.example.com/x', path: ., branch: main}}")
    refused(author.run(remote, "--offline"), "offline", 4)
    remote = author.manifest("{oci: {repository: registry.example.com/web, tag: 1.0.0}}")
    refused(author.run(remote, "--offline"), "offline", 4)


def test_a_helm_repository_only_gets_the_credentials_of_its_host(tmp_path: Path, author: Author) -> None:
    write_repository(tmp_path / "repository", {"web-1.0.0.tgz": archive()})
    with serve(tmp_path / "repository", login=("alice", "secret")) as server:
        name = author.manifest(f"{{helmRepository: {{url: '{server.url}', chart: web, version: 1.0.0}}}}")
        variable = "KCD_OCI_" + server.host.replace(".", "_").replace(":", "_")
        # Those without a host are for registries: any manifest could ask for them.
        outcome = author.run(name, KCD_OCI_USER="alice", KCD_OCI_SECRET="secret")
        assert f"set {variable}_USER and {variable}_SECRET" in refused(outcome, "registry-denied", 4)
        ok(author.run(name, **{f"{variable}_USER": "alice", f"{variable}_SECRET": "secret"}))
    assert author.image().files["web-1.0.0.tgz"] == archive()


def test_a_manifest_that_holds_a_secret_is_refused(author: Author) -> None:
    source = "{helmRepository: {url: 'https://me:${LOGIN}@charts.example.com', chart: web, version: 1.0.0}}"
    printed = refused(author.run(author.manifest(source), LOGIN="s3cr3t"), "bad-package")
    assert "source.helmRepository.url contains credentials for 'https://charts.example.com'" in printed
    assert "s3cr3t" not in printed


def test_a_variable_that_can_hold_a_credential_is_never_expanded(author: Author) -> None:
    source = "{helmRepository: {url: 'https://charts.example.com/${GITHUB_TOKEN}', chart: web, version: 1.0.0}}"
    printed = refused(author.run(author.manifest(source), GITHUB_TOKEN="s3cr3t"), "secret-variable")
    assert "s3cr3t" not in printed


def test_a_git_chart_is_packaged_too(author: Author) -> None:
    files = {f"deploy/web/{name}": data for name, data in chart_files().items()}
    url = git_repository(author.root / "git", files)
    ok(author.run(author.manifest(f"{{git: {{url: '{url}', path: deploy/web, tag: v1}}}}")))
    assert "web-1.0.0.tgz" in author.image().files


def test_helm_reads_the_package_as_a_repository(author: Author) -> None:
    author.chart(files=chart_files(description="'a: b'", appVersion="1.10", keywords="[yes, 1]"))
    ok(author.run(author.manifest()))
    ok(kcd_gen("dump", f"oci:layout:{PREFIX}/demo:1.0.0", "--output", "unpacked", directory=author.root))
    with serve(author.root / "unpacked") as server:
        environment = {"HOME": str(author.root), "PATH": os.environ["PATH"]}
        command = [str(find_helm()), "pull", "web", "--repo", server.url, "--version", "1.0.0"]
        subprocess.run(command, cwd=author.root, env=environment, check=True, capture_output=True)
    assert (author.root / "web-1.0.0.tgz").read_bytes() == author.image().files["web-1.0.0.tgz"]


def test_a_directory_is_all_manifests_in_it(author: Author) -> None:
    author.chart()
    author.chart(
        "packages/charts/web", {**chart_files(), "web/templates/a.yaml": b"apiVersion: v1alpha1\nkind: {{ .x }}\n"}
    )
    for name in ("one", "two"):
        manifest = author.root / author.manifest(name=name)
        manifest.rename(author.root / "packages" / manifest.name)
    (author.root / "packages/release.yaml").write_text("apiVersion: kubocd.kubotal.io/v1alpha1\nkind: Release\n")
    (author.root / "packages/note.yaml").write_text("apiVersion: v1alpha1\nkind: Note\n")
    outcome = author.run("packages")
    assert (outcome.exit, outcome.err) == (0, "")
    assert [line.split()[1] for line in outcome.out.splitlines()] == [
        f"{PREFIX}/{name}:1.0.0" for name in ("one", "two")
    ]
    empty = author.run("charts")
    assert empty.exit == 1
    assert "error[missing-source]: 'charts' contains no package manifest\n    pass a manifest" in empty.err


def test_a_release_is_not_a_package(author: Author) -> None:
    (author.root / "web.yaml").write_text("apiVersion: kubocd.kubotal.io/v1alpha1\nkind: Release\n")
    outcome = author.run("web.yaml")
    assert outcome.exit == 1
    assert "web.yaml:2:1: error[bad-package]: 'web.yaml' is a Release, not a package\n    compile it with 'kcd-gen" in (
        outcome.err
    )
