from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.helm.process import find_helm
from kubocd_gen.oci.reference import parse_reference
from kubocd_gen.packaging.charts import Charts
from kubocd_gen.packaging.manifest_file import HelmRepositoryChart, LocalChart, RegistryChart, chart_source
from tests.support.charts import archive
from tests.support.images import package_layer, write_layout
from tests.support.problems import refusal
from tests.support.registry import Running, run_registry, skopeo


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with run_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


def test_a_chart_pushed_by_helm_is_read(charts: Charts, registry: Running, tmp_path: Path) -> None:
    data = archive(version="1.0.0+build.5")
    (tmp_path / "web.tgz").write_bytes(data)
    command = [str(find_helm()), "push", "web.tgz", f"oci://{registry.host}/charts", "--plain-http"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    given = {"repository": f"{registry.host}/charts/web", "tag": "1.0.0+build.5", "insecure": True}
    source = chart_source({"oci": given}, tmp_path)
    assert source == RegistryChart(parse_reference(f"{registry.host}/charts/web:1.0.0_build.5"), insecure=True)
    chart = charts.fetch(source).chart
    assert chart.archive == data
    assert chart.version == "1.0.0+build.5"


def test_an_image_that_is_not_a_chart_is_refused(charts: Charts, registry: Running, tmp_path: Path) -> None:
    reference = parse_reference(f"{registry.host}/packages/p:1.0.0")
    layer = package_layer("name: p\n", "{}\n", {"p-1.0.0.tgz": archive("p")})
    write_layout(tmp_path / "layout", {str(reference): layer})
    where = (f"oci:{tmp_path}/layout:{reference}", f"docker://{reference}")
    skopeo("copy", "--dest-tls-verify=false", *where, home=tmp_path)
    error = refusal(lambda: charts.fetch(RegistryChart(reference, insecure=True)), "bad-chart")
    assert error.message == f"{reference} is not a Helm chart: it is a KuboCD package"


def test_a_missing_chart_is_an_error(charts: Charts, registry: Running) -> None:
    reference = parse_reference(f"{registry.host}/charts/none:1.0.0")
    with pytest.raises(ProblemsError) as caught:
        charts.fetch(RegistryChart(reference, insecure=True))
    assert (caught.value.problem.code, caught.value.problem.exit_code) == ("missing-package", 4)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"oci": {"repository": "oci://x.io/web", "tag": "1"}}, "starts with a scheme"),
        ({"oci": {"repository": "x.io/web", "tag": "a b"}}, "invalid tag"),
        ({"helmRepository": {"url": "oci://x.io/c", "chart": "web", "version": "1.0.0"}}, "'oci://x.io/c'"),
        ({"helmRepository": {"url": "x.io", "chart": "web", "version": "1.0.0"}}, "is not a valid URL"),
        ({"helmRepository": {"url": "https://x.io:y", "chart": "web", "version": "1.0.0"}}, "is not a valid URL"),
        ({"helmRepository": {"url": "https://x.io", "chart": "web", "version": "^1"}}, "is not a valid version"),
        ({"helmRepository": {"url": "https://a:b@x.io", "chart": "web", "version": "1.0.0"}}, "contains credentials"),
        ({"local": {"path": "a\0b"}}, "is not a valid path"),
    ],
)
def test_an_invalid_chart_source_is_refused(source: dict[str, dict[str, str]], message: str) -> None:
    with pytest.raises(ProblemsError, match=message) as caught:
        chart_source(source, Path())
    assert caught.value.problem.message.isprintable()
    assert "a:b" not in caught.value.problem.message


def test_helm_repository_and_local_sources_are_read() -> None:
    given = {"url": "https://x.io/charts/", "chart": "web", "version": "v1.2.3"}
    source = chart_source({"oci": None, "helmRepository": given}, Path("/p"))
    assert source == HelmRepositoryChart("https://x.io/charts", "web", "v1.2.3")
    assert chart_source({"local": {}}, Path("/p")) == LocalChart(Path("/p"), ".")
