"""Which CI a repository has, judged by its own files and then by where it is cloned from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from kubocd_gen.diagnostics import KcdError
from kubocd_gen.revisions.git import find_repository

CiSystem = Literal["github", "gitlab"]
GITLAB_FILE = ".gitlab-ci.yml"
GITHUB_WORKFLOWS = ".github/workflows"

_SCP_LIKE = re.compile(r"(?:[^@/:]+@)?([^/:]+):(?!//)")  # git@github.com:owner/name.git
_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")  # what is no pattern to GitHub


@dataclass(frozen=True, slots=True)
class Hosting:
    """The CI, None where nothing says which; what says so; the remote's host; and the branches that CI builds."""

    ci: CiSystem | None
    reason: str | None
    host: str | None
    branches: tuple[str, ...]


def find_hosting(root: Path) -> Hosting:
    """How the checkout at `root` is hosted. Without git, or with a Git that refuses the folder, by its files alone."""
    remote = branch = None
    try:
        repository = find_repository(root, offline=True)
        remote, branch = repository.remote(), repository.default_branch()
    except KcdError:
        pass
    host = host_of(remote) if remote else None
    branches = (branch,) if branch and _BRANCH.fullmatch(branch) else ("main", "master")
    by_host = _ci_of(host) if host else None
    files: dict[CiSystem, Path] = {"github": root / GITHUB_WORKFLOWS, "gitlab": root / GITLAB_FILE}
    present = [ci for ci, path in files.items() if path.exists()]
    if len(present) == 1 or (by_host is None and present):
        return Hosting(present[0], files[present[0]].relative_to(root).as_posix(), host, branches)
    return Hosting(by_host, f"the remote at {host}" if by_host else None, host, branches)


def host_of(remote: str) -> str | None:
    """The host of a remote's URL, in lower case, without user and port; None of a folder."""
    if found := _SCP_LIKE.match(remote):
        return found[1].lower()
    try:
        return urlsplit(remote).hostname
    except ValueError:
        return None


def _ci_of(host: str) -> CiSystem | None:
    labels = host.split(".")
    return "github" if "github" in labels else "gitlab" if "gitlab" in labels else None
