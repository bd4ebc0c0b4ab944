"""Run kcd-gen automatically: the CI system of a repository, the source of the installation, and the files.

The files are the pre-commit configuration, and workflows of GitHub or GitLab.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from kubocd_gen.checkout.files import CONFIGURATION, CheckoutFiles
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.git.repository import Repository, find_repository
from kubocd_gen.model.project import LOCK_FILE, PROJECT_FILE
from kubocd_gen.package_data import scaffolds, template
from kubocd_gen.scaffolding.files import Addition, ScaffoldFile, present
from kubocd_gen.scaffolding.install_source import InstallSource
from kubocd_gen.scaffolding.yaml_lists import scalars, with_item

CiSystem = Literal["github", "gitlab"]
GITLAB_FILE = ".gitlab-ci.yml"
GITLAB_COMPONENT = ".gitlab/kcd-gen.yml"
GITHUB_WORKFLOWS = ".github/workflows"

_SCP_LIKE = re.compile(r"(?:[^@/:]+@)?([^/:]+):(?!//)")  # git@github.com:owner/name.git
_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")  # names without the characters of GitHub's patterns
_OWNER_AND_NAME = re.compile(r"/([\w-]+/[\w.-]+?)(?:\.git)?/?", re.ASCII)
_GITHUB = "github.com"
HOOKS_FILE = ".pre-commit-config.yaml"
_NAME = "kcd-gen"
_HOOKS_HEADING = "# Run `pre-commit install` once in each clone: the hook keeps the output up to date in each commit.\n"
_GITLAB_HEADING = "# Checks that the output is up to date, and comments on merge requests with their changes.\n"


@dataclass(frozen=True, slots=True)
class Hosting:
    """The hosting of a repository.

    `ci` is the CI system, None if it is unknown; `reason` is how it was detected; `host` is the remote's host, and
    `branches` are the branches that CI builds. `repository` is None if git is missing or refuses the directory.
    """

    ci: CiSystem | None
    reason: str | None
    host: str | None
    branches: tuple[str, ...]
    repository: Repository | None


def find_hosting(root: Path) -> Hosting:
    """Return the hosting of the checkout at `root`, from its files alone if git is missing or refuses the directory."""
    repository = remote = branch = None
    try:
        repository = find_repository(root, offline=True)
        remote, branch = repository.remote(), repository.default_branch()
    except ProblemsError:
        pass
    host = host_of(remote) if remote else None
    branches = (branch,) if branch and _BRANCH.fullmatch(branch) else ("main", "master")
    ci = ci_of(host) if host else None
    reason = f"the remote at {host}" if ci else None
    files: dict[CiSystem, str] = {"github": GITHUB_WORKFLOWS, "gitlab": GITLAB_FILE}
    existing = [one for one, path in files.items() if (root / path).exists()]
    if existing and (len(existing) == 1 or ci is None):
        ci, reason = existing[0], files[existing[0]]
    return Hosting(ci, reason, host, branches, repository)


def host_of(remote: str) -> str | None:
    """Return the host of a remote's URL in lowercase, without user and port; None for a directory."""
    if found := _SCP_LIKE.match(remote):
        return found[1].lower()
    try:
        return urlsplit(remote).hostname
    except ValueError:
        return None


def ci_of(host: str) -> CiSystem | None:
    """Return the CI system of a host by its name, such as `github.com` or `gitlab.example.com`; None if unknown."""
    labels = host.split(".")
    return "github" if "github" in labels else "gitlab" if "gitlab" in labels else None


def hook(root: Path, directory: str, source: InstallSource | None) -> Iterator[ScaffoldFile | Addition]:
    """Yield the pre-commit configuration with kcd-gen's hook.

    `directory` is the project's directory relative to `root`, or empty. If `source` is None, only an existing
    configuration that runs kcd-gen is returned. Like all functions here, it raises ProblemsError `unusable-file`.
    """
    path = root / HOOKS_FILE
    if source is None:
        yield from _unchanged(path, root)
        return
    yield _with_item(path, root, "repos", _rendered("pre-commit-item", directory, source=source), _HOOKS_HEADING)


def ci_files(
    hosting: Hosting, ci: CiSystem, root: Path, directory: str, source: InstallSource | None
) -> Iterator[ScaffoldFile | Addition]:
    """Yield the CI files that run kcd-gen, or another existing workflow that runs it already.

    If `source` is None, only existing files that run kcd-gen are returned.
    """
    if ci == "gitlab":
        yield from _gitlab_files(root, directory, source)
        return
    path = root / GITHUB_WORKFLOWS / "kcd-gen.yaml"
    for other in _other_workflows(path):
        if (data := _small_file(other, root)) and _mentions_kcd_gen(data.decode("utf-8", "replace")):
            yield ScaffoldFile(other, data, data)
            return
    if source is None:
        yield from _unchanged(path, root)
        return
    text = _rendered("github", directory, source=source, branches=hosting.branches, action=source.action(hosting.host))
    yield ScaffoldFile(path, text.encode(), present(path, root))


def _gitlab_files(root: Path, directory: str, source: InstallSource | None) -> Iterator[ScaffoldFile | Addition]:
    """Yield the pipeline and the component that it includes, a local file because the component is not published."""
    existing = _unchanged(root / GITLAB_FILE, root)
    if source is None:
        yield from existing
        return
    item = _rendered("gitlab-item", directory, source=source, component=f"/{GITLAB_COMPONENT}")
    yield _with_item(root / GITLAB_FILE, root, "include", item, _GITLAB_HEADING)
    if all(GITLAB_COMPONENT.encode() in file.after for file in existing):
        path = root / GITLAB_COMPONENT
        yield ScaffoldFile(path, template("kcd-gen/template.yml"), present(path, root))


def _unchanged(path: Path, root: Path) -> list[ScaffoldFile]:
    """Return the existing file unchanged if it runs kcd-gen."""
    before = present(path, root)
    runs = before is not None and _mentions_kcd_gen(before.decode("utf-8", "replace"))
    return [ScaffoldFile(path, before, before)] if before and runs else []


def _rendered(name: str, directory: str, **variables: Any) -> str:
    scaffold = scaffolds("init").get_template(f"{name}.yaml.j2")
    return scaffold.render(directory=directory, project=PROJECT_FILE, lock=LOCK_FILE, **variables)


def _with_item(path: Path, root: Path, key: str, item: str, heading: str) -> ScaffoldFile | Addition:
    before = present(path, root)
    by_hand = Addition(path, f"below '{key}'", item)
    if before is None:
        after = with_item(heading, key, item)
    else:
        try:
            text = before.decode()
        except UnicodeDecodeError:
            return by_hand
        after = text if _mentions_kcd_gen(text) else with_item(text, key, item)
    return by_hand if after is None else ScaffoldFile(path, after.encode(), before, is_shared=True)


def _mentions_kcd_gen(text: str) -> bool:
    return any(_NAME in one for one in scalars(text))


def _other_workflows(ours: Path) -> Iterator[Path]:
    with suppress(OSError):
        yield from sorted(path for path in ours.parent.iterdir() if path.suffix in (".yaml", ".yml") and path != ours)


def _small_file(path: Path, root: Path) -> bytes | None:
    """Return the content of a regular file of the checkout; None for anything else and for files that are too large."""
    try:
        return CheckoutFiles(root).read(path, str(path), CONFIGURATION)
    except (OSError, ProblemsError):
        return None
