"""What `init --install-from` installs in CI and in the hook."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

# The scripts in `templates/` check the same forms, and also accept a requirements file with hashes.
_GIT = re.compile(r"git\+((?:https|ssh)://[^ ]+)@([0-9a-f]{40})")
_OTHERS = re.compile(r"https://[^ ]+[.]whl#sha256=[0-9a-f]{64}|--index-url https://[^ ]+ kcd-gen==[^ ]+")
_OWNER_AND_NAME = re.compile(r"/([\w-]+/[\w.-]+?)(?:\.git)?/?", re.ASCII)
_GITHUB = "github.com"


@dataclass(frozen=True, slots=True)
class InstallSource:
    """The arguments of `pip install`: one argument, or `--index-url URL kcd-gen==VERSION`.

    `repository` and `commit` (40 hexadecimal digits) are set for a Git URL, None otherwise.
    """

    text: str
    repository: str | None = None
    commit: str | None = None

    @property
    def words(self) -> list[str]:
        """The arguments for pip."""
        return self.text.split(" ")

    def action(self, host: str | None) -> str | None:
        """Return `OWNER/NAME@COMMIT` for `uses` in a workflow of a repository on `host`.

        Returns None if the source is not a repository on GitHub, or on the same GitHub Enterprise Server.
        """
        if self.repository is None:
            return None
        parts = urlsplit(self.repository)
        named = _OWNER_AND_NAME.fullmatch(parts.path)
        return f"{named[1]}@{self.commit}" if named and parts.hostname in (_GITHUB, host) else None


def install_source(text: str) -> InstallSource:
    """Parse the value of `--install-from`. Raises ValueError for anything that is not pinned."""
    if found := _GIT.fullmatch(text):
        return InstallSource(text, found[1], found[2])
    if _OTHERS.fullmatch(text):
        return InstallSource(text)
    hint = (
        "use git+https://HOST/PATH@COMMIT with all 40 digits, https://HOST/NAME.whl#sha256=DIGEST, "
        "or '--index-url URL kcd-gen==VERSION'"
    )
    raise ValueError(f"'{text}' does not pin a version of kcd-gen; {hint}")
