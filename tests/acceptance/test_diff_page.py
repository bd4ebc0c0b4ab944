"""The example of docs/diff.md is what kcd-gen does, and its table has every danger."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

from tests.support.charts import commit_all, git
from tests.support.workspace import kcd_gen

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/diff.md").read_text(encoding="utf-8")
CONSOLE = re.findall(r"```console\n\$ kcd-gen ([^\n]*)\n(.*?)```", PAGE, re.DOTALL)


def test_the_command_of_the_page_prints_what_it_says(tmp_path: Path) -> None:
    folder = shutil.copytree(ROOT / "fixtures/quickstart", tmp_path / "quickstart")
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit_all(folder)
    release = folder / "cluster/releases/podinfo1.yaml"
    release.write_text(release.read_text().replace("fqdn: podinfo1.", "fqdn: shop."))
    assert len(CONSOLE) == 1
    for command, printed in CONSOLE:
        outcome = kcd_gen(*shlex.split(command), directory=folder)
        assert outcome.out + outcome.err == printed


def test_every_danger_is_on_the_page() -> None:
    rows = re.findall(r"^\| (`.*?`) \|", PAGE, re.MULTILINE)
    documented = {code for row in rows for code in re.findall(r"`([a-z-]+)`", row)}
    source = (ROOT / "kubocd_gen/comparison/dangers.py").read_text(encoding="utf-8")
    assert documented == set(re.findall(r'"([a-z]+(?:-[a-z]+)+)"', source))
