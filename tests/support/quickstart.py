"""The packages of `fixtures/quickstart`, made from its manifest and chart.

python -m tests.support.quickstart  # after a change there: rewrite fixtures/quickstart/packages
"""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from tests.support.images import chart_archive, package_layer, write_layout

QUICKSTART = Path(__file__).resolve().parents[2] / "fixtures" / "quickstart"
REFERENCE = "quay.io/kubodoc/packages/podinfo:6.7.1-p01"


def write_packages(directory: Path) -> None:
    """Write the OCI image layout with the quickstart's only package."""
    chart = QUICKSTART / "chart"
    paths = sorted(path for path in chart.rglob("*") if path.is_file())
    archive = chart_archive({path.relative_to(chart).as_posix(): path.read_bytes() for path in paths})
    status = {"apiVersion": "v1alpha1", "chartByModule": {"main": {"name": "podinfo", "version": "6.7.1"}}}
    manifest = (QUICKSTART / "package" / "podinfo.yaml").read_text(encoding="utf-8")
    write_layout(
        directory, {REFERENCE: package_layer(manifest, yaml.safe_dump(status), {"podinfo-6.7.1.tgz": archive})}
    )


if __name__ == "__main__":
    packages = QUICKSTART / "packages"
    shutil.rmtree(packages, ignore_errors=True)
    write_packages(packages)
