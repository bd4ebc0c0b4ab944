"""The same bytes with every version of helm, except for the differences that the documentation lists."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from kubocd_gen.budget.limits import LIMITS, moved
from kubocd_gen.budget.spending import Budget
from kubocd_gen.helm.engine import Helm
from kubocd_gen.helm.process import find_helm, helm_version, old_helm
from kubocd_gen.helm.template import Functions, Template, TemplateFailure, Unit
from tests.acceptance import test_cases as cases
from tests.helm_versions.binaries import VERSIONS, path_of

ROOT = Path(__file__).parents[2]
# Every function of KuboCD with the same result each time, YAML and JSON that parsers disagree about, and strings and
# numbers that printers do: one template a line.
CALLS = Path(__file__).with_name("calls.txt").read_text(encoding="utf-8").rstrip("\n").split("\n")
# The functions whose results changed, and since which version. docs/helm.md describes what they print.
CHANGED = {"range": (3, 18), "semverCompare": (3, 19), "toToml": (3, 22)}
# Constraints and versions that the library of helm 3.19 compares differently from that of the bundled helm.
CONSTRAINTS = (
    *("", "*", "1", "1.x", ">=1.2", "<2", "!=1.2.3", "!=1.x", "~1.2", "^1.2.0", "1.2 - 2", "=1.2.3", "> 1.2, <= 2.0"),
    *(">=1.0.0-0", "!=1.2.3-rc.1", "~1.2.0-0", "^1-0", "1.2.3-a - 2.0.0-b", ">1.0-0 !=1.5.0-a", "!=1.2.3 !=2.0.0-rc.1"),
    *("!=1.2.3 || >=2.0.0-0", "<1 || !=2.0.0", ">=1.2-0 <2.0-0", "=2.0.0+a-b", "1.2.3-a || 2.0.0-rc.1"),
)
COMPARED = ("1.2.3", "1.2.3-rc.1", "2.0.0-alpha", "v2.0.0-rc.1+x", "1.5.0-a", "0.9", "1.2.4-0", "3.0.0")


@pytest.fixture(params=VERSIONS)
def other(request: pytest.FixtureRequest) -> Path:
    """Another helm than the bundled one. CI installs those that are in packages, `make helm-versions` all of them."""
    path = path_of(request.param)
    if not path.exists():
        pytest.skip(f"helm {request.param} is not installed: make helm-versions")
    return path


@cache
def rendered(helm: Path) -> list[str | TemplateFailure]:
    engine = Helm(helm, budget=Budget(moved(LIMITS, {"helm-time": 600})))
    return [one for (one,) in engine.render([Unit({}, {}, (Template("", text),)) for text in CALLS], Functions())]


def version_of(helm: Path) -> tuple[int, int]:
    major, minor = helm_version(helm).split(".")[:2]
    return int(major), int(minor)


def test_the_version_is_the_one_that_was_installed(other: Path) -> None:
    assert helm_version(other) == other.name.removeprefix("helm-")
    assert old_helm(helm_version(other)) is None


def test_all_functions_print_the_same_except_for_those_that_are_documented(other: Path) -> None:
    bundled, there = find_helm(), version_of(other)
    before, after = rendered(bundled), rendered(other)
    differing = [text for text, one, two in zip(CALLS, before, after, strict=True) if one != two]
    changed = {name for name, since in CHANGED.items() if version_of(bundled) < since <= there}
    assert [text for text in differing if not any(name in text for name in changed)] == []
    assert {name for name in changed if not any(name in text for text in differing)} == set()


def test_constraints_give_the_result_of_the_newest_library_with_every_version(other: Path, tmp_path: Path) -> None:
    if version_of(other) < (3, 19):
        pytest.skip("this helm has the library of the bundled one")
    texts = [f'semverCompare "{one}" "{version}"' for one in CONSTRAINTS if one for version in COMPARED]
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: plain\nversion: 0.0.0\n")
    (tmp_path / "templates" / "plain.yaml").write_text("\n".join(f"# ={{{{ {text} }}}}" for text in texts))
    done = subprocess.run([other, "template", str(tmp_path)], capture_output=True, text=True, check=True)
    expected = re.findall(r"^# =(\w+)$", done.stdout, re.MULTILINE)
    for helm in (find_helm(), other):
        engine = Helm(helm, budget=Budget(moved(LIMITS, {"helm-time": 600})))
        units = [Unit({}, {}, (Template("", f"{{{{ {text} }}}}"),)) for text in texts]
        found = [one for (one,) in engine.render(units, Functions())]
        failing = [one for one in found if isinstance(one, TemplateFailure)]
        assert all("semverCompare needs helm 3.19" in one.message for one in failing)
        assert len(failing) < len(texts) // 10 and (helm is not other or not failing)
        compared = zip(texts, found, expected, strict=True)
        assert [row for row in compared if row[1] != row[2] and not isinstance(row[1], TemplateFailure)] == []


def test_only_functions_that_changed_fail_with_the_bundled_version() -> None:
    failing = [text for text, one in zip(CALLS, rendered(find_helm()), strict=True) if isinstance(one, TemplateFailure)]
    assert all("range add" in text or "semverCompare" in text for text in failing)


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.name)
def test_a_case_compiles_to_the_same_bytes_and_messages(case: Path, other: Path, tmp_path: Path) -> None:
    options = cases._options(case)
    cases._prepare(case, options, tmp_path)
    outcome = cases._build(case, options, tmp_path, "--helm", str(other))
    assert cases._result(outcome, tmp_path) == cases._expected(case)


def test_the_documented_differences_are_those_that_are_tested() -> None:
    page = (ROOT / "docs" / "helm.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)[^|]*\| 3\.(\d+)", page, re.MULTILINE)
    assert {name: (3, int(minor)) for name, minor in rows} == CHANGED
