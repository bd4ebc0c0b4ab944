from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kubocd_gen.budget.limits import LIMITS, Limits
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.model.project import ONLY_CLUSTER, REPOSITORY_URL, Cluster, Flags, Project
from kubocd_gen.sources.project_file import load_project

HEAD = "apiVersion: kcd-gen/v1alpha1\nkind: Project\n"
CLUSTER = "clusters:\n  - name: prod\n    sources: [clusters/prod]\n    output: deploy/prod\n"

LoadFile = Callable[..., Project]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadFile:
    """Write kcd-gen.yaml and load it with flags."""
    monkeypatch.chdir(tmp_path)

    def run(text: str | bytes, **flags: Any) -> Project:
        data = textwrap.dedent(text).encode() if isinstance(text, str) else text
        (tmp_path / "kcd-gen.yaml").write_bytes(data)
        return load_project(Flags(**flags), tmp_path)

    return run


def messages_of(load: LoadFile, text: str | bytes, **flags: Any) -> list[str]:
    with pytest.raises(ProblemsError) as caught:
        load(text, **flags)
    return [f"{one.position or '-'} {one.code} {one.message}" for one in caught.value.problems]


def test_omitted_fields_of_a_project_file_have_defaults(load: LoadFile, tmp_path: Path) -> None:
    project = load(HEAD + CLUSTER)
    assert project == Project(
        tmp_path, (Cluster("prod", ("clusters/prod",), tmp_path / "deploy/prod", "default", None, REPOSITORY_URL),)
    )
    assert (project.dependencies, project.charts, project.emit_oci_repository) == ("order", "output", None)
    assert (project.vendor, project.mirrors, project.clusters[0].hosts) == (None, {}, {})


def test_all_fields_of_a_project_file_are_read(load: LoadFile, tmp_path: Path) -> None:
    project = load(
        HEAD
        + CLUSTER
        + "    namespace: apps\n    kubocdNamespace: kcd\n    repositoryURL: https://charts.example.com\n"
        + "packages: {vendor: vendor/packages, mirrors: {quay.io: mirror.example.com/quay}}\n"
        + "dependencies: ignore\ncharts: separate\nemitOCIRepository: false\nhosts: {ldap.example.com: 10.1.2.3}\n"
    )
    (cluster,) = project.clusters
    assert (cluster.namespace, cluster.kubocd_namespace) == ("apps", "kcd")
    assert cluster.repository_url == "https://charts.example.com"
    assert project.vendor == tmp_path / "vendor/packages"
    assert project.mirrors == {"quay.io": "mirror.example.com/quay"}
    assert (project.dependencies, project.charts, project.emit_oci_repository) == ("ignore", "separate", False)
    assert project.clusters[0].hosts == {"ldap.example.com": "10.1.2.3"}


def test_the_version_of_flux_is_that_of_the_flag_the_cluster_the_project_or_the_delivery(load: LoadFile) -> None:
    def versions(text: str, **flags: Any) -> list[str]:
        return [cluster.flux_version for cluster in load(text, **flags).clusters]

    assert versions(HEAD + CLUSTER) == ["2.7"]
    assert versions(HEAD + CLUSTER + "delivery: artifact\n") == ["2.8"]
    assert versions(HEAD + CLUSTER + "flux: '2.9'\ndelivery: artifact\n") == ["2.9"]
    assert versions(HEAD + CLUSTER + "    flux: '2.6'\nflux: '2.9'\n") == ["2.6"]
    assert versions(HEAD + CLUSTER + "    flux: '2.6'\n", flux="2.8") == ["2.8"]


def test_a_delivery_that_the_version_of_flux_lacks_is_an_error(load: LoadFile) -> None:
    message = "cluster 'prod': 'delivery: artifact' needs Flux 2.8, but the project is for Flux 2.7"
    text = HEAD + CLUSTER + "delivery: artifact\nflux: '2.7'\n"
    assert messages_of(load, text) == [f"kcd-gen.yaml:7:1 flux-version {message}"]
    text = HEAD + CLUSTER + "delivery: artifact\n"
    assert messages_of(load, text, flux="2.7") == [f"kcd-gen.yaml:7:1 flux-version {message}"]


def test_limits_of_flags_override_those_of_the_project_file(load: LoadFile) -> None:
    text = HEAD + CLUSTER + "packages: {limits: {layer: 512MiB, chart-file: 10Mi, members: 2000}}\n"
    assert load(text).limits == Limits(layer=512 << 20, chart_file=10 << 20, members=2000)
    assert load(text, limits={"layer": 1}).limits == Limits(layer=1, chart_file=10 << 20, members=2000)
    assert load(HEAD + CLUSTER).limits == LIMITS


def test_without_a_project_file_the_limits_are_those_of_the_flags(tmp_path: Path) -> None:
    flags = Flags(sources=("a",), output=Path("out"), limits={"text": 7})
    assert load_project(flags, tmp_path).limits == Limits(text=7)


def test_each_invalid_limit_of_a_project_file_is_an_error_at_its_position(load: LoadFile) -> None:
    head = HEAD + CLUSTER + "packages:\n  limits:\n"
    assert messages_of(load, head + "    layer: big\n    members: 0\n    text: 5MiB\n") == [
        "kcd-gen.yaml:9:5 invalid-value packages.limits: the limit 'layer' must be a size such as 512MiB "
        "(KiB, MiB, GiB)",
        "kcd-gen.yaml:10:5 invalid-value packages.limits: the limit 'members' must be greater than 0",
    ]
    assert messages_of(load, head + "    layr: 1MiB\n") == [
        "kcd-gen.yaml:9:5 unknown-field packages.limits.layr is not a known field"
    ]
    assert messages_of(load, head + "    layer: [1]\n")[0].startswith("kcd-gen.yaml:9:5 invalid-type")


def test_each_invalid_mirror_of_a_project_file_is_an_error_at_its_position(load: LoadFile) -> None:
    head = HEAD + CLUSTER + "packages:\n  mirrors:\n"
    keys = ["https://quay.io", "HTTP://quay.io/acme", "docker://quay.io", "quay.io/acme:1.0.0", "quay.io//acme"]
    keys += ["quay.io/Acme", "quay.io/a@sha256:0", "", "/acme", "quay.io ", "qu*y.io", "quay.io/*"]
    lines = "".join(f"    '{key}': mirror.example.com\n" for key in keys)
    found = messages_of(load, head + lines)
    assert [line.partition(" ")[0] for line in found] == [f"kcd-gen.yaml:{9 + line}:5" for line in range(len(keys))]
    assert found[0] == "kcd-gen.yaml:9:5 invalid-value packages.mirrors: 'https://quay.io' has a scheme"
    assert "is not a registry, namespace or repository" in found[3]


def test_a_mirror_with_a_scheme_is_an_error_with_what_to_write(load: LoadFile) -> None:
    with pytest.raises(ProblemsError) as caught:
        load(HEAD + CLUSTER + "packages: {mirrors: {'https://quay.io/acme': 'https://mirror.example.com'}}\n")
    assert caught.value.problem.hint == "write 'quay.io/acme'; only the mirror itself can have a scheme"


def test_two_mirrors_for_the_same_are_an_error(load: LoadFile) -> None:
    head = HEAD + CLUSTER + "packages:\n  mirrors:\n"
    for one, other in (("quay.io", "Quay.io:443"), ("docker.io/a", "index.docker.io/a/"), ("quay.io/a", "quay.io/a/")):
        assert messages_of(load, head + f"    {one}: m.example\n    {other}: n.example\n") == [
            f"kcd-gen.yaml:10:5 invalid-value packages.mirrors: '{other}' and '{one}' are the same"
        ]


def test_an_invalid_mirror_is_an_error_without_its_value(load: LoadFile) -> None:
    (line,) = messages_of(load, HEAD + CLUSTER + "packages: {mirrors: {quay.io: m.example/s3cret//x}}\n")
    assert line == "kcd-gen.yaml:7:22 invalid-value packages.mirrors: the mirror of 'quay.io' is not valid"


def test_the_project_file_is_searched_in_parent_directories(load: LoadFile, tmp_path: Path) -> None:
    load(HEAD + CLUSTER)
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert load_project(Flags(), below).root == tmp_path
    (tmp_path / "a" / "kcd-gen.yaml").mkdir()  # a directory is not a project file
    assert load_project(Flags(), below).root == tmp_path


def test_without_a_project_file_the_flags_define_the_project(tmp_path: Path) -> None:
    flags = Flags(sources=("a", "b"), output=Path("out"), namespace="apps", vendor=Path("v"), hosts={"a": "10.0.0.1"})
    project = load_project(flags, tmp_path)
    assert project.root == tmp_path
    assert project.clusters == (Cluster(ONLY_CLUSTER, ("a", "b"), Path("out"), "apps", hosts={"a": "10.0.0.1"}),)
    assert project.vendor == Path("v")


def test_source_flags_replace_the_project_file(load: LoadFile) -> None:
    project = load(HEAD + CLUSTER, sources=("x",), output=Path("y"))
    assert [cluster.name for cluster in project.clusters] == [ONLY_CLUSTER]


def test_flags_override_the_project_file(load: LoadFile) -> None:
    project = load(
        HEAD + CLUSTER + "dependencies: ignore\nhosts: {a: 10.0.0.1, b: 10.0.0.2}\n",
        output=Path("elsewhere"),
        namespace="apps",
        kubocd_namespace="kcd",
        repository_url="http://x.example.com",
        dependencies="order",
        vendor=Path("v"),
        hosts={"b": "10.0.0.3"},
        offline=True,
        expand_env=frozenset({"REGION"}),
    )
    (cluster,) = project.clusters
    assert (cluster.output, cluster.namespace, cluster.kubocd_namespace) == (Path("elsewhere"), "apps", "kcd")
    assert cluster.repository_url == "http://x.example.com"
    assert project.clusters[0].hosts == {"a": "10.0.0.1", "b": "10.0.0.3"}
    assert (project.dependencies, project.vendor, project.offline, project.expand_env) == (
        "order",
        Path("v"),
        True,
        frozenset({"REGION"}),
    )


def test_the_addresses_of_a_cluster_take_precedence(load: LoadFile) -> None:
    hosts = "hosts: {a.example.com: 10.0.0.1, .example.com: 10.0.0.2, b.example.com: 10.0.0.3}\n"
    project = load(
        HEAD + CLUSTER + "    hosts: {A.example.com.: 'fd00::1'}\n" + hosts, hosts={"B.example.com": "10.0.0.4"}
    )
    expected = {"a.example.com": "fd00::1", ".example.com": "10.0.0.2", "b.example.com": "10.0.0.4"}
    assert project.clusters[0].hosts == expected


TWO = HEAD + CLUSTER + CLUSTER.removeprefix("clusters:\n").replace("prod", "test")


def test_clusters_are_selected_by_name(load: LoadFile) -> None:
    assert [one.name for one in load(TWO).clusters] == ["prod", "test"]
    assert [one.name for one in load(TWO, clusters=("test",)).clusters] == ["test"]
    assert [one.name for one in load(TWO, clusters=("test", "prod", "test")).clusters] == ["prod", "test"]


@pytest.mark.parametrize(
    ("flags", "code", "message", "hint"),
    [
        ({"sources": ("a",)}, "usage", "--source requires --output", "add --output DIR"),
        (
            {"sources": ("a",), "output": Path("b"), "clusters": ("prod",)},
            "usage",
            "--cluster cannot be used with --source",
            "remove one of them",
        ),
        ({"clusters": ("prd",)}, "unknown-cluster", "the project has no cluster 'prd'", "did you mean 'prod'?"),
        ({"clusters": ("x",)}, "unknown-cluster", "the project has no cluster 'x'", "prod, test"),
        ({"output": Path("x")}, "usage", "--output requires exactly one cluster", None),
    ],
)
def test_invalid_flags_are_a_usage_error(
    load: LoadFile, flags: dict[str, Any], code: str, message: str, hint: str | None
) -> None:
    with pytest.raises(ProblemsError) as caught:
        load(TWO, **flags)
    assert caught.value.problem.code == code
    assert message in caught.value.problem.message
    assert caught.value.problem.hint is None if hint is None else hint in (caught.value.problem.hint or "")


def test_a_missing_project_file_is_an_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(ProblemsError) as caught:
        load_project(Flags(), tmp_path)
    assert caught.value.problem.code == "missing-project"
    assert "kcd-gen.yaml" in caught.value.problem.message
    assert "--source DIR --output DIR" in (caught.value.problem.hint or "")


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", ["kcd-gen.yaml missing-field apiVersion is required", "kcd-gen.yaml missing-field kind is required"]),
        ("[a]", ["kcd-gen.yaml:1:1 invalid-type the project file must be a map, not a list"]),
        ("a: b: c", ["kcd-gen.yaml:1:5 bad-yaml invalid YAML: mapping values are not allowed in this context"]),
        (
            HEAD + CLUSTER + "kind: Project\n",
            ["kcd-gen.yaml:7:1 duplicate-key the key 'kind' "],
        ),
        (HEAD, ["kcd-gen.yaml:1:1 missing-field the project has no clusters"]),
        (HEAD + "clusters: []\n", ["kcd-gen.yaml:3:1 invalid-value clusters must have at least 1 item, not 0"]),
        (HEAD + CLUSTER + "cluster: x\n", ["kcd-gen.yaml:7:1 unknown-field cluster is not a known field"]),
        (
            HEAD + CLUSTER + "    source: x\n",
            ["kcd-gen.yaml:7:5 unknown-field clusters[0].source is not a known field"],
        ),
        (
            HEAD + "clusters: [{name: a}]\n",
            [
                "kcd-gen.yaml:3:12 missing-field clusters[0].sources is required",
                "kcd-gen.yaml:3:12 missing-field clusters[0].output is required",
            ],
        ),
        (
            HEAD + CLUSTER.replace("[clusters/prod]", "clusters/prod"),
            ["kcd-gen.yaml:5:5 invalid-type clusters[0].sources must be a list, not a string"],
        ),
        (HEAD + CLUSTER + "dependencies: no\n", ["kcd-gen.yaml:7:1 invalid-type dependencies must be a string"]),
        (HEAD + CLUSTER + "flux: 2.7\n", ["kcd-gen.yaml:7:1 invalid-type flux must be a string"]),
        (HEAD + CLUSTER + "    flux: '2.5'\n", ["kcd-gen.yaml:7:5 invalid-value clusters[0].flux must be"]),
        (HEAD + CLUSTER + "charts: both\n", ["kcd-gen.yaml:7:1 invalid-value charts must be 'output' or 'separate'"]),
        (
            HEAD + CLUSTER + "    namespace: ../x\n",
            ["kcd-gen.yaml:7:5 invalid-value clusters[0].namespace must be an RFC 1123 label"],
        ),
        (
            HEAD + CLUSTER + "    repositoryURL: x\n",
            ["kcd-gen.yaml:7:5 invalid-value clusters[0].repositoryURL must be an http:// or https:// URL"],
        ),
        (
            HEAD + CLUSTER + "    hosts: {a: ADDRESS}\nhosts:\n  a b: 10.0.0.1\n  c: 10.0.0.256\n",
            [
                "kcd-gen.yaml:9:3 invalid-value a key of 'hosts' must be a host name",
                "kcd-gen.yaml:10:3 invalid-value an address in 'hosts' must be an IPv4 or IPv6 address",
                "kcd-gen.yaml:7:13 invalid-value an address in 'hosts' must be an IPv4 or IPv6 address",
            ],
        ),
        (
            HEAD + CLUSTER.replace("name: prod", "name: Prod"),
            ["kcd-gen.yaml:4:5 invalid-value clusters[0].name must be an RFC 1123 label"],
        ),
        (HEAD.replace("v1alpha1", "v2") + CLUSTER, ["kcd-gen.yaml:1:1 invalid-value apiVersion must be"]),
        (
            HEAD + CLUSTER + CLUSTER.removeprefix("clusters:\n").replace("deploy/prod", "deploy/other"),
            ["kcd-gen.yaml:7:5 duplicate-cluster two clusters have the name 'prod'"],
        ),
        (
            TWO.replace("deploy/test", "deploy/prod/test"),
            [
                "kcd-gen.yaml:9:5 duplicate-cluster the output 'deploy/prod/test' overlaps the output of the cluster "
                "'prod'"
            ],
        ),
        (TWO.replace("deploy/test", "deploy/x/../prod/."), ["kcd-gen.yaml:9:5 duplicate-cluster the output"]),
        (b"name: caf\xe9", ["kcd-gen.yaml bad-project cannot read the project file: it is not valid UTF-8"]),
    ],
)
def test_a_problem_of_the_project_file_has_a_position(load: LoadFile, text: str | bytes, problems: list[str]) -> None:
    found = messages_of(load, text)
    assert len(found) == len(problems)
    assert [one[: len(problem)] for one, problem in zip(found, problems, strict=True)] == problems


def test_outputs_that_are_the_same_through_a_symlink_overlap(load: LoadFile, tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "test").symlink_to("prod")
    (found,) = messages_of(load, TWO)
    assert found.startswith("kcd-gen.yaml:9:5 duplicate-cluster")


def test_outputs_with_a_common_prefix_do_not_overlap(load: LoadFile) -> None:
    assert len(load(TWO.replace("deploy/test", "deploy/prod2")).clusters) == 2


@pytest.mark.parametrize("path", ["gone.yaml", "."])
def test_a_project_file_that_cant_be_read_is_an_error(tmp_path: Path, path: str) -> None:
    with pytest.raises(ProblemsError, match="the project file: ") as caught:
        load_project(Flags(project=tmp_path / path), tmp_path)
    assert caught.value.problem.code == "bad-project"


def test_a_project_file_elsewhere_has_its_own_root(
    load: LoadFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(HEAD + CLUSTER)
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    project = load_project(Flags(project=Path("../kcd-gen.yaml")), other)
    assert project.root.resolve() == tmp_path
    assert project.clusters[0].output.resolve() == tmp_path / "deploy" / "prod"


def test_a_project_file_can_have_a_byte_order_mark(load: LoadFile) -> None:
    assert load(b"\xef\xbb\xbf" + (HEAD + CLUSTER).encode()).clusters[0].name == "prod"
