from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.helm.process import find_helm, helm_version


def test_the_helm_beside_this_python_is_taken_before_the_one_on_the_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for folder in ("venv", "elsewhere"):
        binary = tmp_path / folder / "helm"
        binary.parent.mkdir()
        binary.write_text("#!/bin/sh\n")
        binary.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "elsewhere"))
    assert find_helm() == tmp_path / "venv" / "helm"
    assert find_helm(str(tmp_path / "elsewhere" / "helm")) == tmp_path / "elsewhere" / "helm"


def test_a_relative_path_names_a_file_and_is_not_looked_up_on_the_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for folder in ("here", "here/sub", "elsewhere"):
        binary = tmp_path / folder / "helm"
        binary.parent.mkdir(exist_ok=True)
        binary.write_text("#!/bin/sh\n")
        binary.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("HOME", str(tmp_path / "here"))
    monkeypatch.chdir(tmp_path / "here")
    assert find_helm("./helm") == tmp_path / "here" / "helm"
    assert find_helm("sub/helm") == tmp_path / "here" / "sub" / "helm"
    assert find_helm("~/helm") == tmp_path / "here" / "helm"
    assert find_helm("helm") == tmp_path / "elsewhere" / "helm"
    (tmp_path / "here" / "helm").unlink()
    with pytest.raises(ProblemsError, match=r"'\./helm' is not an executable helm binary"):
        find_helm("./helm")


def test_a_helm_that_is_named_and_not_there_is_an_error_that_says_how_to_get_one() -> None:
    with pytest.raises(ProblemsError, match="'/nowhere/helm' is not an executable helm binary") as caught:
        find_helm("/nowhere/helm")
    assert caught.value.problem.code == "helm-missing"
    assert "https://helm.sh" in (caught.value.problem.hint or "")


def test_the_version_has_no_v() -> None:
    assert re.fullmatch(r"\d+\.\d+.*", helm_version(find_helm()))


def test_a_binary_that_is_no_helm_has_no_version() -> None:
    with pytest.raises(ProblemsError) as caught:
        helm_version(Path("/bin/false"))
    assert caught.value.problem.message == "'/bin/false' did not report its version: it exited with code 1"


def test_a_binary_of_another_machine_has_no_version(tmp_path: Path) -> None:
    binary = tmp_path / "helm"
    binary.write_bytes(b"\x00\x01")
    binary.chmod(0o755)
    with pytest.raises(ProblemsError) as caught:
        helm_version(binary)
    assert caught.value.problem.message == f"'{binary}' did not report its version: Exec format error"
