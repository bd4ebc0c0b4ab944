"""kcd-gen does what the examples of docs/packages.md show."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

from tests.support.workspace import kcd_gen

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/packages.md").read_text()
CONSOLE = re.findall(r"```console\n\$ kcd-gen ([^\n]*)\n(.*?)```", PAGE, re.DOTALL)
YAML = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
BROKEN = """\
apiVersion: v1alpha1
name: broken
tag: 1.0.0
protected: true
description: "{{ .Release.metadata.name | uper }}"
modules:
  - name: main
    source: {local: {path: charts/none}}
"""


def test_the_commands_print_what_the_page_shows(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "fixtures", tmp_path / "fixtures")
    (tmp_path / "hello.yaml").write_text(YAML[0])
    (tmp_path / "broken.yaml").write_text(BROKEN)
    assert len(CONSOLE) == 4
    for command, printed in CONSOLE:
        outcome = kcd_gen(*shlex.split(command), directory=tmp_path)
        output = re.sub(r"sha256:[0-9a-f]{64}", "sha256:…", outcome.out + outcome.err)
        if command.startswith("dump"):
            output = output.partition("\nCharts\n")[0]
        assert output == printed
