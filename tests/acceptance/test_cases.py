"""Build every directory of `cases/` and compare the result with its expected files, byte for byte.

A case contains
- `sources/`, or with `fixture:` in its `flags.yaml` a directory of `fixtures/`;
- `packages/<registry>/<repository>/<tag>/` with `original.yaml` and `status.yaml`, from which an image layout is made;
- `kcd-gen.yaml` if it is a project (otherwise the flags `--source sources --output output --vendor packages` are used);
- `flags.yaml` if it needs more: `fixture`, `arguments`, `exit` (the exit code, 0 by default);
- `before/` if the output is not empty before the build;
- `output/`, `stdout.txt` and `stderr.txt`: the expected result. A chart archive is represented by its digest, as
  `<name>.tgz.sha256`.

After an intended change, `UPDATE_CASES=1 pytest tests/acceptance/test_cases.py` rewrites them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.images import write_layout
from tests.support.workspace import Outcome, files_below, kcd_gen, package_content

HERE = Path(__file__).parent
CASES = sorted(path for path in (HERE / "cases").iterdir() if path.is_dir())
FIXTURES = HERE.parents[1] / "fixtures"
FROM_FLAGS = ("--source", "sources", "--output", "output", "--vendor", "packages")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Path, tmp_path: Path) -> None:
    options = _options(case)
    _prepare(case, options, tmp_path)
    outcome = _build(case, options, tmp_path)
    found = _result(outcome, tmp_path)
    if os.environ.get("UPDATE_CASES"):
        _update(case, found)
    assert {path: _text(content) for path, content in found.items()} == {
        path: _text(content) for path, content in _expected(case).items()
    }
    assert outcome.exit == options.get("exit", 0)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_second_build_writes_nothing(case: Path, tmp_path: Path) -> None:
    options = _options(case)
    _prepare(case, options, tmp_path)
    _build(case, options, tmp_path)
    before = _states(tmp_path / "output")
    _build(case, options, tmp_path)
    assert _states(tmp_path / "output") == before


def _options(case: Path) -> dict[str, Any]:
    file = case / "flags.yaml"
    options: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {}
    assert options.keys() <= {"fixture", "arguments", "exit"}
    return options


def _prepare(case: Path, options: dict[str, Any], directory: Path) -> None:
    if "fixture" in options:
        shutil.copytree(FIXTURES / options["fixture"], directory / options["fixture"])
    for name, target in (("sources", "sources"), ("before", "output")):
        if (case / name).is_dir():
            shutil.copytree(case / name, directory / target)
    if (case / "kcd-gen.yaml").exists():
        shutil.copy(case / "kcd-gen.yaml", directory)
    layers = {}
    for manifest in sorted((case / "packages").rglob("original.yaml")):
        repository, _, tag = manifest.parent.relative_to(case / "packages").as_posix().rpartition("/")
        status = manifest.with_name("status.yaml").read_text(encoding="utf-8")
        layers[f"{repository}:{tag}"] = package_content(manifest.read_text(encoding="utf-8"), status)
    if layers:
        write_layout(directory / "packages", layers)


def _build(case: Path, options: dict[str, Any], directory: Path, *more: str) -> Outcome:
    own = "arguments" in options and "--source" in options["arguments"]
    flags = () if own or (case / "kcd-gen.yaml").exists() else FROM_FLAGS
    return kcd_gen("build", *flags, *options.get("arguments", ()), *more, directory=directory)


def _result(outcome: Outcome, directory: Path) -> dict[str, bytes]:
    """Return what a case compares: both streams and the output."""
    found = {"stdout.txt": outcome.out.encode(), "stderr.txt": without_log(outcome.err).encode()}
    for path, content in files_below(directory / "output").items():
        if path.endswith(".tgz"):
            found[f"output/{path}.sha256"] = f"{hashlib.sha256(content).hexdigest()}\n".encode()
        else:
            found[f"output/{path}"] = content
    return {path: content for path, content in found.items() if content}


def without_log(text: str) -> str:
    """Return the text without the lines of `--verbose`, which contain durations."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("info: "))


def _expected(case: Path) -> dict[str, bytes]:
    names = ("stdout.txt", "stderr.txt")
    expected = {name: (case / name).read_bytes() for name in names if (case / name).exists()}
    return expected | {f"output/{path}": content for path, content in files_below(case / "output").items()}


def _update(case: Path, found: dict[str, bytes]) -> None:
    shutil.rmtree(case / "output", ignore_errors=True)
    for name in ("stdout.txt", "stderr.txt"):
        (case / name).unlink(missing_ok=True)
    for path, content in found.items():
        (case / path).parent.mkdir(parents=True, exist_ok=True)
        (case / path).write_bytes(content)


def _text(content: bytes) -> list[str]:
    return content.decode().splitlines(keepends=True)


def _states(directory: Path) -> dict[str, tuple[int, int]]:
    """Return inode and time of every file: a rewritten file has others."""
    return {
        path.relative_to(directory).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in directory.rglob("*")
        if path.is_file()
    }
