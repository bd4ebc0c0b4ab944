from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kubocd_gen.state import rules


@pytest.fixture(params=[rules.code_signature, rules.rules_fingerprint])
def fingerprint(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """Each of the functions, for code in a directory."""
    (tmp_path / "code/room").mkdir(parents=True)
    (tmp_path / "code/room/a.py").write_text("a = 1\n")
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas/a.json").write_text("{}")
    monkeypatch.setattr(rules, "_CODE", tmp_path / "code")
    monkeypatch.setattr(rules, "data_directory", lambda name: tmp_path / name)
    uncached: Callable[[], str] = request.param.__wrapped__
    return uncached


def test_code_schemas_and_libraries_are_in_the_fingerprint(
    fingerprint: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [fingerprint()]
    assert fingerprint() == found[0]
    (tmp_path / "code/room/a.py").write_text("a = 22\n")
    found.append(fingerprint())
    (tmp_path / "code/b.py").write_text("")
    found.append(fingerprint())
    (tmp_path / "schemas/a.json").write_text("[1]")
    found.append(fingerprint())
    (tmp_path / "library-1.0.dist-info").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / "missing")])
    found.append(fingerprint())
    (tmp_path / "library-1.0.dist-info").rename(tmp_path / "library-1.1.dist-info")
    found.append(fingerprint())
    assert len(set(found)) == len(found)


def test_what_python_compiles_does_not_count(fingerprint: Callable[[], str], tmp_path: Path) -> None:
    before = fingerprint()
    (tmp_path / "code/room/__pycache__").mkdir()
    (tmp_path / "code/room/__pycache__/a.pyc").write_bytes(b"x")
    (tmp_path / "code/room/b.pyc").write_bytes(b"x")
    assert fingerprint() == before


def test_the_same_code_elsewhere_has_the_same_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.py").write_text("a = 1\n")
        os.utime(tmp_path / name / "a.py", (1, 1))
        monkeypatch.setattr(rules, "_CODE", tmp_path / name)
        monkeypatch.setattr(rules, "data_directory", lambda _: tmp_path / name)  # noqa: B023
        found.append((rules.code_signature.__wrapped__(), rules.rules_fingerprint.__wrapped__()))
    assert found[0][1] == found[1][1]
    assert found[0][0] != found[1][0]
