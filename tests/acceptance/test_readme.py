"""kcd-gen does what the examples of the README and of the project file's page show."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.support.charts import commit_all, git
from tests.support.chromium import chromium

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
CONSOLE = re.findall(r"```console\n\$ (kcd-gen [^\n]*)\n(.*?)```", README, re.DOTALL)
YAML = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
DIFF = re.findall(r"```diff\n.*?```", README, re.DOTALL)
PROJECT = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/project.md").read_text(), re.DOTALL)

# The texts of a picture that extend beyond the smallest box around their start, or whose contrast with the box is below
# 4.5 by WCAG 2.
ILLEGIBLE = """
(() => {
  const light = element => {
    const [r, g, b] = getComputedStyle(element).fill.match(/\\d+/g).map(one => one / 255)
      .map(one => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05
  }
  return [...document.querySelectorAll("text")].filter(text => {
    const at = text.getBoundingClientRect()
    const around = [...document.querySelectorAll("rect")].filter(one => {
      const box = one.getBoundingClientRect()
      return box.left < at.left && at.left < box.right && box.top < at.top && at.top < box.bottom
    }).at(-1)
    const [a, b] = [light(text), light(around)].sort()
    return b / a < 4.5 || around.getBoundingClientRect().right < at.right
  }).map(text => text.textContent)
})()
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "fixtures", tmp_path / "fixtures")
    return tmp_path


def run(command: str, directory: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "kubocd_gen", *shlex.split(command)[1:]],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout


@pytest.mark.parametrize(("command", "printed"), CONSOLE)
def test_a_command_of_the_readme_prints_what_the_readme_shows(checkout: Path, command: str, printed: str) -> None:
    assert run(command, checkout) == printed


def test_the_readme_shows_the_release_and_resource_of_the_quickstart(checkout: Path) -> None:
    run(CONSOLE[0][0], checkout)
    assert YAML[0] == (checkout / "fixtures/quickstart/cluster/releases/podinfo1.yaml").read_text()
    assert (checkout / "deploy/flux/default/podinfo1.yaml").read_text().endswith(YAML[1])


def test_the_diff_of_the_readme_is_the_comment_on_a_pull_request(checkout: Path) -> None:
    quickstart = checkout / "fixtures/quickstart"
    git(quickstart, "init", "--quiet", "--initial-branch=main")
    commit_all(quickstart)
    release = quickstart / "cluster/releases/podinfo1.yaml"
    release.write_text(release.read_text().replace("fqdn: podinfo1.", "fqdn: shop."))
    printed = run("kcd-gen diff --source cluster --vendor packages --ref main --format markdown", quickstart)
    assert re.findall(r"```diff\n.*?```", printed, re.DOTALL) == DIFF


def test_the_project_file_is_read(tmp_path: Path) -> None:
    project = PROJECT[0]
    (tmp_path / "kcd-gen.yaml").write_text(project)
    assert "the source 'clusters/prod' does not exist" in run("kcd-gen build", tmp_path)


def test_the_readme_has_both_commands() -> None:
    assert "make demo" in README
    assert "make test" in README
    assert (len(CONSOLE), len(YAML), len(DIFF)) == (2, 2, 1)


def test_the_picture_supports_light_and_dark_and_has_a_text_alternative() -> None:
    (path,) = re.findall(r"!\[[^\]]+\]\((.*)\)", README)
    picture = ElementTree.parse(ROOT / path)  # noqa: S314 - our own
    names = {element.get("id"): "".join(element.itertext()).strip() for element in picture.iter()}
    assert all(names[name] for name in (picture.getroot().get("aria-labelledby") or "").split())
    text = (ROOT / path).read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r"<script|<foreignObject|\bon\w+=|href=|url\((?!#)", text)
    with chromium() as browser:
        for dark in (False, True):
            browser.emulate_screen(width=1000, dark=dark)
            browser.open((ROOT / path).as_uri())
            assert browser.evaluate(ILLEGIBLE) == []
        assert browser.errors == []
