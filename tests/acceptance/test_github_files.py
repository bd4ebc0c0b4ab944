"""The files in `.github/` are valid, pin what they run, and do what a release needs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubocd_gen import __version__
from tests.support.registry import program

ROOT = Path(__file__).resolve().parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").iterdir())
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+")
SCHEMAS = {
    **dict.fromkeys(WORKFLOWS, "vendor.github-workflows"),
    **dict.fromkeys(sorted((GITHUB / "ISSUE_TEMPLATE").iterdir()), "vendor.github-issue-forms"),
    GITHUB / "ISSUE_TEMPLATE/config.yml": "vendor.github-issue-config",
    GITHUB / "dependabot.yml": "vendor.dependabot",
}


def workflow(name: str) -> dict[Any, Any]:
    read: dict[Any, Any] = yaml.safe_load((GITHUB / "workflows" / name).read_text(encoding="utf-8"))
    return read


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_files_are_valid_by_githubs_schema(path: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", SCHEMAS[path], str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_audit_of_the_workflows_finds_nothing() -> None:
    command = [
        str(Path(sys.executable).with_name("zizmor")),
        "--offline",
        "--no-progress",
        "--min-severity=medium",
        str(GITHUB),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_digest_with_its_version_in_a_comment(path: Path) -> None:
    used = re.findall(r"uses: (?!\./)(.*)", path.read_text(encoding="utf-8"))
    assert used
    assert [action for action in used if not PINNED.fullmatch(action)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_job_only_has_the_permissions_that_it_names(path: Path) -> None:
    read = workflow(path.name)
    assert read["permissions"] == {}
    assert "pull_request_target" not in read[True]  # `on`, as YAML 1.1 reads it
    for name, job in read["jobs"].items():
        assert job.get("permissions") or "uses" not in job, name
        writes = {right for right, how in job.get("permissions", {}).items() if how == "write"}
        runs = [step for step in job.get("steps", []) if "run" in step]
        assert not (writes - {"contents"} and runs), f"{name} runs a script with the rights {writes}"
        assert not any("${{" in step["run"] for step in runs), name
        for step in job.get("steps", []):
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_each_action_has_the_same_version_everywhere() -> None:
    """In our own workflows, in the one that `init` writes, and on the pages: by digest or by major version."""
    others = [ROOT / "action.yml", ROOT / "templates/init/github.yaml.j2", *(ROOT / "docs").rglob("*.md")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in [*WORKFLOWS, *others])
    for written in (r"uses: (\S+)@([0-9a-f]{40}) +# v(\d+)", r"uses: (\S+)@()v(\d+)$"):
        used = set(re.findall(written, text, re.MULTILINE))
        assert len(used) == len({action for action, *_ in used}), used
    majors = set(re.findall(r"uses: (actions/checkout)@(?:[0-9a-f]{40} +# )?v(\d+)", text))
    assert len(majors) == 1, majors


def release_step(name: str, directory: Path, tag: str) -> subprocess.CompletedProcess[str]:
    """Run a step of the release's build as GitHub does, in `directory`."""
    (step,) = (one for one in workflow("release.yaml")["jobs"]["build"]["steps"] if one.get("name") == name)
    command = [program("bash", "bash"), "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    environment = {"PATH": "/usr/bin:/bin", "GITHUB_REF_NAME": tag}
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)


def test_a_release_tag_must_match_the_version() -> None:
    assert release_step("The tag is the version", ROOT, f"v{__version__}").returncode == 0
    for tag in (__version__, f"v{__version__}0", "v9.9.9"):
        refused = release_step("The tag is the version", ROOT, tag)
        assert refused.returncode == 1
        assert refused.stderr == f"the tag is {tag}, and kubocd_gen/__init__.py says {__version__}\n"


def test_a_release_has_its_section_of_the_changelog(tmp_path: Path) -> None:
    released = CHANGELOG.replace("## [Unreleased]", "## [Unreleased]\n\n## [9.9.10] - 2027-01-02")
    older = "\n## [9.9.1] - 2026-01-01\n\n### Fixed\n\n- An old thing.\n\n[9.9.1]: https://example.com/9.9.1\n"
    (tmp_path / "CHANGELOG.md").write_text(released + older)
    assert release_step("What has changed", tmp_path, "v9.9.10").returncode == 0
    notes = (tmp_path / "notes.md").read_text(encoding="utf-8")
    assert notes.strip() == CHANGELOG[CHANGELOG.index("### Added") :].strip()
    assert release_step("What has changed", tmp_path, "v9.9.1").returncode == 0
    assert (tmp_path / "notes.md").read_text(encoding="utf-8").strip() == "### Fixed\n\n- An old thing."


@pytest.mark.parametrize("tag", ["v9.9.9", "vUnreleased", "v9.9"])
def test_a_release_without_a_section_is_refused(tmp_path: Path, tag: str) -> None:
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n\n## [9.9.10] - 2027-01-02\n\n- It.\n")
    refused = release_step("What has changed", tmp_path, tag)
    assert refused.returncode == 1
    assert refused.stderr == f"CHANGELOG.md has no section for {tag.removeprefix('v')}\n"


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md"])
def test_pages_for_contributors_name_existing_files(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    named = re.findall(r"\]\((?!http)([^)#]*)", text) + re.findall(r"`((?:kubocd_gen|tests|docs)/[\w./-]+)`", text)
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    typed = re.findall(r"(?:`|^    )make ([a-z ]+?)(?:`|  |$)", text, re.MULTILINE)
    assert {target for line in typed for target in line.split()} <= targets


def test_the_changelog_has_the_documented_format() -> None:
    headings = re.findall(r"^## (.*)$", CHANGELOG, re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    versions = [re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - \d{4}-\d{2}-\d{2}", heading) for heading in headings[1:]]
    assert all(versions)
    numbers = [tuple(map(int, version.groups())) for version in versions if version]
    assert numbers == sorted(set(numbers), reverse=True)
    kinds = set(re.findall(r"^### (.*)$", CHANGELOG, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert not re.findall(r"^\[[^\]]+\]: ", CHANGELOG, re.MULTILINE)  # no repository to link to yet


def test_nothing_is_published_to_pypi_before_the_project_is_registered() -> None:
    jobs = workflow("release.yaml")["jobs"]
    publishing = [name for name, job in jobs.items() if "gh-action-pypi-publish" in str(job)]
    assert publishing == ["pypi"]
    assert jobs["pypi"]["if"] == "vars.PUBLISH_TO_PYPI == 'true'"


@pytest.mark.parametrize(
    "path", [*WORKFLOWS, ROOT / "action.yml", ROOT / "templates/init/github.yaml.j2"], ids=lambda path: path.name
)
def test_pinned_digests_come_with_the_command_that_verifies_them(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.search(r"@[0-9a-f]{40} ", text)
    assert "git ls-remote https://github.com/" in text
