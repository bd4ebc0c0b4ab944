from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from kubocd_gen.oci.layout import OciLayout
from kubocd_gen.oci.reference import parse_reference
from kubocd_gen.packages.image import PackageImage
from kubocd_gen.packages.source import PackageRequest, PackageSources
from tests.support.quickstart import QUICKSTART, REFERENCE, write_packages

# The helm of the virtual environment if there is one, like kcd-gen itself.
HELM = shutil.which("helm", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])) or "helm"


def files_under(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_the_committed_packages_match_the_output_of_the_script(tmp_path: Path) -> None:
    write_packages(tmp_path)
    assert files_under(tmp_path) == files_under(QUICKSTART / "packages")


def test_the_package_of_the_quickstart_is_valid() -> None:
    assert _image().files["original.yaml"] == (QUICKSTART / "package" / "podinfo.yaml").read_bytes()


def test_helm_lints_the_chart_and_renders_the_ingress(tmp_path: Path) -> None:
    (tmp_path / "podinfo-6.7.1.tgz").write_bytes(_chart())
    host = {"host": "podinfo1.ingress.kubodoc.local", "paths": [{"path": "/", "pathType": "ImplementationSpecific"}]}
    values = {"ingress": {"className": "nginx", "enabled": True, "hosts": [host]}}
    (tmp_path / "values.json").write_text(json.dumps(values))
    arguments = ["podinfo-6.7.1.tgz", "--values", "values.json"]
    subprocess.run([HELM, "lint", "--strict", *arguments], cwd=tmp_path, check=True, capture_output=True)
    template = [HELM, "template", "podinfo1-main", *arguments]
    rendered = subprocess.run(template, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert '- host: "podinfo1.ingress.kubodoc.local"' in rendered
    assert [line for line in rendered.splitlines() if line.startswith("kind:")] == [
        "kind: Service",
        "kind: Deployment",
        "kind: Ingress",
    ]


def _chart() -> bytes:
    return _image().files["podinfo-6.7.1.tgz"]


def _image() -> PackageImage:
    request = PackageRequest(parse_reference(REFERENCE))
    image = PackageSources(vendor=OciLayout(QUICKSTART / "packages")).fetch_all([request])[request].package
    assert isinstance(image, PackageImage)
    return image
