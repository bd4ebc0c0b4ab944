"""What a git process is given: an environment by an allow-list, and settings that keep it from running anything else.

Git runs programs that its configuration names (hooks, monitors, helpers of transports, filters), takes any directory
that looks like a bare repository for one, and its environment can move everything that it reads. A pull request
controls the files of the checkout, and a hook's caller the environment, so git gets neither: only what is listed here,
and the user's own configuration.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.processes.search_path import absolute_search_path

# Where programs and the user's configuration are. SUDO_UID: with `sudo`, Git takes the caller's repositories for one's
# own. GIT_TRACE…: for users who look into a failure. None of them says which repository is read: those are all that
# `git rev-parse --local-env-vars` lists, and they are cleared.
_ALWAYS = (
    *("PATH", "HOME", "XDG_CONFIG_HOME", "TMPDIR", "SUDO_UID"),
    *("GIT_EXEC_PATH", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"),
    *("GIT_TRACE", "GIT_TRACE_CURL", "GIT_TRACE_PACKET"),
)
# How the network is reached, and what SSH and the credential helpers of a desktop need.
_FOR_FETCHES = (
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_SSL_CERT", "GIT_SSL_KEY"),
    *("GIT_SSL_NO_VERIFY", "GIT_HTTP_PROXY_AUTHMETHOD", "GIT_PROXY_COMMAND"),
    *("GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "SSH_AUTH_SOCK"),
    *("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "KRB5CCNAME", "KRB5_CONFIG"),
)
_SET = {
    "LC_ALL": "C",  # messages are read
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "true",  # it asks nobody, not with core.askPass either
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",  # a commit is what its id says
}
# Of configuration in the environment (GIT_CONFIG_COUNT), by which CI systems and containers configure Git.
_SETTINGS = ("safe.directory", "url.")
_FETCH_SETTINGS = (*_SETTINGS, "http.", "credential.", "core.sshcommand", "ssh.variant")

_QUIET = {
    "safe.bareRepository": "explicit",
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "submodule.recurse": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    # The process has a limit of memory: large packs are mapped in pieces, large files pass through.
    "core.packedGitWindowSize": "16m",
    "core.bigFileThreshold": "16m",
}
_QUESTIONS = {"protocol.allow": "never"}
_FETCHES = {
    "fetch.recurseSubmodules": "false",
    "fetch.uriProtocols": "",  # the server can't send the client elsewhere for the content …
    "transfer.bundleURI": "false",  # … nor before it
    "fetch.unpackLimit": "1",  # what was fetched stays packed: it takes the room on disk that it took on the line
    "transfer.unpackLimit": "1",
    "fetch.writeCommitGraph": "false",
    "http.saveCookies": "false",
    "http.lowSpeedLimit": "1000",  # bytes a second, over …
    "http.lowSpeedTime": "60",  # … so many seconds: a server may take its time before it sends, and then must send
    "credential.interactive": "false",
    "pack.threads": "1",  # each takes memory
}


@dataclass(frozen=True, slots=True)
class Setup:
    """How one git process is run. `settings` are on its command line, `variables` all of its environment."""

    settings: Mapping[str, str]
    variables: Mapping[str, str] = field(repr=False)

    def command(self, binary: str, arguments: Sequence[str]) -> list[str]:
        """The command line of git with `arguments`."""
        return [
            binary,
            *(part for key, value in self.settings.items() for part in ("-c", f"{key}={value}")),
            *arguments,
        ]


def for_questions(environment: Mapping[str, str] | None = None, **variables: str) -> Setup:
    """The setup of what reads a repository: nothing is fetched, nothing is run, nothing is written."""
    given = os.environ if environment is None else environment
    passed = {**_passed(given, _ALWAYS), **_SET, **variables, "GIT_ALLOW_PROTOCOL": ""}
    return Setup(_QUIET | _QUESTIONS, passed | _configured(_entries(given, _SETTINGS)))


def for_own_store(environment: Mapping[str, str] | None = None) -> Setup:
    """The setup of questions about a store that kcd-gen has made itself: without the user's configuration, too."""
    given = os.environ if environment is None else environment
    nothing = {
        "HOME": os.devnull,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ALLOW_PROTOCOL": "",
    }
    return Setup(_QUIET | _QUESTIONS, _passed(given, ("PATH", "TMPDIR", "GIT_EXEC_PATH", "GIT_TRACE")) | _SET | nothing)


def for_fetch(
    protocols: Sequence[str],
    environment: Mapping[str, str] | None = None,
    *,
    settings: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
) -> Setup:
    """The setup of a fetch over some of Git's protocols; not `ext` and other helpers, which run what a URL says.

    `settings` go to the command line and `secrets` to the environment, where other users of the machine don't see them.
    """
    given = os.environ if environment is None else environment
    variables = _passed(given, (*_ALWAYS, *_FOR_FETCHES)) | _SET | {"GIT_ALLOW_PROTOCOL": ":".join(protocols)}
    entries = [*_entries(given, _FETCH_SETTINGS), *(secrets or {}).items()]
    return Setup(_QUIET | _FETCHES | dict(settings or {}), variables | _configured(entries))


def git_binary(purpose: str, hint: str, environment: Mapping[str, str] | None = None) -> str:
    """The path of git. Raises ProblemsError `git-missing`: "git was not found, but is needed because `purpose`"."""
    given = os.environ if environment is None else environment
    found = shutil.which("git", path=absolute_search_path(given))
    if found is None:
        raise ProblemsError(Problem("git-missing", f"git was not found, but is needed because {purpose}", hint=hint))
    return found


def _passed(environment: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    passed = {name: environment[name] for name in names if name in environment}
    return passed | {"PATH": absolute_search_path(environment)}


def _entries(environment: Mapping[str, str], allowed: Sequence[str]) -> list[tuple[str, str]]:
    """The settings in the environment whose names begin with one of `allowed`."""
    count = environment.get("GIT_CONFIG_COUNT", "")
    found = []
    for number in range(min(int(count), 1000) if count.isascii() and count.isdecimal() else 0):
        key, value = (environment.get(f"GIT_CONFIG_{part}_{number}") for part in ("KEY", "VALUE"))
        if key is not None and value is not None and key.lower().startswith(tuple(allowed)):
            found.append((key, value))
    return found


def _configured(entries: Sequence[tuple[str, str]]) -> dict[str, str]:
    variables = {"GIT_CONFIG_COUNT": str(len(entries))} if entries else {}
    for number, (key, value) in enumerate(entries):
        variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return variables
