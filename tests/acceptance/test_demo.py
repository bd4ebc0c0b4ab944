"""`make demo`, after it has set up the environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_demo_compiles_the_quickstart_and_shows_what_was_created(tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [sys.executable, str(ROOT / "fixtures/quickstart/tour.py"), str(tmp_path / "output")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "podinfo1-main" in done.stdout
    assert (tmp_path / "output/flux/default/podinfo1.yaml").is_file()
