"""kcd-gen does what the examples of docs/init.md show, and the page's tables name every file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.init_checkouts import BOOTSTRAP, GITHUB, GITLAB, HOOKS, Repository, python, sync

PAGE = (Path(__file__).resolve().parents[2] / "docs/init.md").read_text(encoding="utf-8")


@pytest.fixture
def checkout(tmp_path: Path) -> Repository:
    made = Repository(tmp_path, GITHUB)
    made.write(BOOTSTRAP, sync("./clusters/prod"))
    made.resource("releases/web.yaml")
    return made


def test_the_session(checkout: Repository) -> None:
    (session,) = re.findall(r"```console\n\$ kcd-gen init (.*)\n([^`]*)```", PAGE)
    outcome = checkout.init(*session[0].split())
    assert (outcome.exit, outcome.out, outcome.err) == (0, session[1], "")


def test_every_file_is_explained(checkout: Repository) -> None:
    before = checkout.files()
    checkout.init()
    checkout.git("remote", "set-url", "origin", GITLAB)
    checkout.init("--ci", "gitlab")
    for name in checkout.files() - before:
        assert "/server/" in name or f"`{name}`" in PAGE or f"`{Path(name).name}`" in PAGE, name


def test_every_flag_exists(checkout: Repository) -> None:
    printed = checkout.init("--help").out
    assert set(
        re.findall(
            r"--(?:allow-outside|ci|no-server|cluster-name|force|format|dry-run|image|install-from|delivery|chart-repository)",
            PAGE,
        )
    ) == set(re.findall(r"^  (--[a-z-]+)", printed, re.MULTILINE)) - {"--quiet", "--debug", "--no-color", "--help"}


def test_other_hooks_can_leave_the_output_alone(checkout: Repository) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    checkout.init()
    checkout.write(HOOKS, text + checkout.read(HOOKS))
    python("pre_commit", "validate-config", HOOKS, directory=checkout.root)
    assert checkout.init().exit == 0
