"""The rooms of `kubocd_gen`: `[tool.importlinter]` in pyproject.toml lists which can import which."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def lint(config: Path) -> subprocess.CompletedProcess[str]:
    program = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command(sys.argv[1:])"
    command = [sys.executable, "-c", program, "--no-cache", "--config", str(config)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_rooms_import_in_one_direction() -> None:
    done = lint(ROOT / "pyproject.toml")
    assert done.returncode == 0, done.stdout


def test_an_import_in_the_wrong_direction_is_found(tmp_path: Path) -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    config = tmp_path / "pyproject.toml"
    config.write_text(text.replace('  "budget",\n', "").replace('  "files",\n', '  "files",\n  "budget",\n'))
    done = lint(config)
    assert done.returncode == 1
    assert "kubocd_gen.budget is not allowed to import kubocd_gen.diagnostics" in done.stdout


def test_a_module_has_at_most_400_lines() -> None:
    lines = {path.name: path.read_text(encoding="utf-8").count("\n") for path in (ROOT / "kubocd_gen").rglob("*.py")}
    assert {name: count for name, count in lines.items() if count > 400} == {}
