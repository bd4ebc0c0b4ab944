"""Which CI a repository has, judged by its own files and then by where it is cloned from."""

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
_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")  # what is no pattern to GitHub


@dataclass(frozen=True, slots=True)
class Hosting:
    """The CI, None where nothing says which; what says so; the remote's host; and the branches that CI builds.

    `repository` is None where git is missing, or refuses the folder.
    """

    ci: CiSystem | None
    reason: str | None
    host: str | None
    branches: tuple[str, ...]
    repository: Repository | None


def find_hosting(root: Path) -> Hosting:
    """How the checkout at `root` is hosted. Without git, or with a Git that refuses the folder, by its files alone."""
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
    there = [one for one, path in files.items() if (root / path).exists()]
    if there and (len(there) == 1 or ci is None):
        ci, reason = there[0], files[there[0]]
    return Hosting(ci, reason, host, branches, repository)


def host_of(remote: str) -> str | None:
    """The host of a remote's URL, in lower case, without user and port; None of a folder."""
    if found := _SCP_LIKE.match(remote):
        return found[1].lower()
    try:
        return urlsplit(remote).hostname
    except ValueError:
        return None


def ci_of(host: str) -> CiSystem | None:
    """The CI of a host by its name: `github.com`, `gitlab.example.com`."""
    labels = host.split(".")
    return "github" if "github" in labels else "gitlab" if "gitlab" in labels else None
