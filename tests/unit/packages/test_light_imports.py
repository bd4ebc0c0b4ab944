"""A command does not import the libraries of another."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
QUICKSTART = ROOT / "fixtures/quickstart"
CHECK = """
import sys
from kubocd_gen.network.settings import Network
from kubocd_gen.oci.registry import Registry
from kubocd_gen.network.transport import Transport
Registry(Network())
from kubocd_gen.cli.commands import cli
try:
    cli(sys.argv[1:], standalone_mode=False)
finally:
    loaded = {"requests", "urllib3", "oras", "ssl", "watchfiles", "anyio"} & set(sys.modules)
    assert not loaded, loaded
"""


def test_a_vendored_build_imports_neither_a_network_client_nor_notifications(tmp_path: Path) -> None:
    flags = ("--source", str(QUICKSTART / "cluster"), "--vendor", str(QUICKSTART / "packages"))
    command = [sys.executable, "-c", CHECK, "build", *flags, "--output", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert "1 of 1 Release compiled" in done.stdout


@pytest.mark.parametrize("command", ["dump", "image", "migrate check", "package"])
def test_the_help_of_a_command_does_not_import_what_it_runs(command: str) -> None:
    program = (
        "import sys\n"
        "from kubocd_gen.cli.commands import cli\n"
        "cli(sys.argv[1:], standalone_mode=False)\n"
        "assert not {'kubocd_gen.pipeline', 'kubocd_gen.helm.engine', 'yaml'} & sys.modules.keys(), sorted(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", program, *command.split(), "--help"], cwd=ROOT, capture_output=True, check=True
    )
