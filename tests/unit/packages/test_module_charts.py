"""Each module's chart is in the package, under the name and version that `status.yaml` gives."""

from __future__ import annotations

import pytest

from kubocd_gen.diagnostics import KcdError
from kubocd_gen.packages.image import check_files
from tests.support.images import chart_archive, chart_index

CHART = b"apiVersion: v2\nname: web\nversion: 1.2.3\n"
OTHER = b"apiVersion: v2\nname: evil\nversion: 1.2.3\n"


def files(status: str, chart: bytes = CHART, indexed: bytes = CHART) -> dict[str, bytes]:
    """The files of a package whose index describes `indexed`, and whose archive holds `chart`."""
    folder = b"web" if b"name: web" in chart else b"evil"
    archive = chart_archive({f"{folder.decode()}/Chart.yaml": chart})
    index = chart_index({"web-1.2.3.tgz": archive})
    if indexed != chart:
        index = index.replace("evil", "web")
    texts = {"original.yaml": b"name: p\n", "groomed.yaml": b"name: p\n", "status.yaml": status.encode()}
    return {**texts, "index.yaml": index.encode(), "web-1.2.3.tgz": archive}


def status_of(name: str, version: str = "1.2.3") -> str:
    return f"apiVersion: v1alpha1\nchartByModule: {{main: {{name: '{name}', version: '{version}'}}}}\n"


def test_a_chart_that_is_there_is_taken() -> None:
    check_files(files(status_of("web")), describe="p")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (status_of("evil"), "bad-index"),
        (status_of("web", "1.2.4"), "bad-index"),
        (status_of("../web"), "bad-package"),
        (status_of(".."), "bad-package"),
        (status_of("a b"), "bad-package"),
        (status_of("x" * 251), "bad-package"),
        (status_of("web", "latest"), "bad-package"),
    ],
)
def test_a_chart_that_the_index_does_not_have_is_an_error_that_names_the_module(status: str, code: str) -> None:
    with pytest.raises(KcdError) as caught:
        check_files(files(status), describe="quay.io/x/p:1.0.0")
    assert caught.value.code == code
    assert caught.value.message.startswith("quay.io/x/p:1.0.0: module 'main' has in status.yaml the chart ")


def test_an_archive_that_is_another_chart_is_an_error() -> None:
    with pytest.raises(KcdError) as caught:
        check_files(files(status_of("web"), chart=OTHER), describe="p")
    assert caught.value.code == "corrupt-chart"
