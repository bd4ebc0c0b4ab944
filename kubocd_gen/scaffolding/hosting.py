"""Detect the CI system of a repository from its files and its remote."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.git.repository import Repository, find_repository

CiSystem = Literal["github", "gitlab"]
GITLAB_FILE = ".gitlab-ci.yml"
GITLAB_COMPONENT = ".gitlab/kcd-gen.yml"
GITHUB_WORKFLOWS = ".github/workflows"

_SCP_LIKE = re.compile(r"(?:[^@/:]+@)?([^/:]+):(?!//)")  # git@github.com:owner/name.git
_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")  # names without the characters of GitHub's patterns


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
    """Return the host of a remote's URL in lower case, without user and port; None for a directory."""
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
