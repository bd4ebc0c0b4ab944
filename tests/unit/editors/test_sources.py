"""The schema of sources, compared with KuboCD's results for some hundred Releases, if they are next to the checkout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft7Validator

from kubocd_gen.diagnostics.problems import Problems, ProblemsError
from kubocd_gen.editors.sources import Known, sources_schema
from kubocd_gen.model.package import Package
from kubocd_gen.packages.manifest import read_manifest
from kubocd_gen.sources.documents import read_resources

PARITY = Path(__file__).resolve().parents[3].parent / "shared/parity/cases"
pytestmark = pytest.mark.skipif(not PARITY.is_dir(), reason="the results of KuboCD are not next to the checkout")


def packages(case: Path) -> dict[tuple[str, str], list[Package]]:
    found = {}
    for reference, directory in yaml.safe_load((case / "index.yaml").read_text()).items():
        repository, _, tag = reference.rpartition(":")
        path = case / directory / "original.yaml"
        try:
            package, _ = read_manifest(path.read_text(encoding="utf-8"), path.name)
        except ProblemsError:
            continue  # a case with a broken manifest
        found[repository, tag] = [package]
    return found


def test_every_release_that_kubocd_compiles_is_accepted_with_its_parameters() -> None:
    compiled, refused = 0, 0
    for case in sorted(PARITY.iterdir()):
        expected = json.loads((case / "expected.json").read_text())
        validator = Draft7Validator(sources_schema(Known(packages(case))))
        for one in read_resources(["cluster"], case, [], Problems()).resources:
            result = expected.get(f"{one.namespace or 'default'}/{one.name}")
            if one.group != "kubocd.kubotal.io" or one.kind != "Release" or result is None:
                continue
            # An override of a module that is not in the package is an error in an editor and a warning of a build.
            found = [
                error for error in validator.iter_errors(one.value) if list(error.absolute_path)[-1:] != ["module"]
            ]
            if "error" in result:
                refused += bool(found)
            else:
                compiled += 1
                assert found == [], one.file.path
    assert compiled > 400
    assert refused > 50  # an editor can't find errors elsewhere or in templates
