"""The environment and settings of git processes: an allow-list of variables, and settings that disable other programs.

Git runs programs that its configuration names (hooks, monitors, transport helpers, filters), accepts any directory
that looks like a bare repository, and reads other locations if its environment says so. A pull request controls the
files of the checkout, and the caller of a hook controls the environment. So git gets only the variables listed here,
and the user's own configuration.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.processes.children import absolute_search_path

# Locations of programs and of the user's configuration. SUDO_UID: with `sudo`, Git also trusts repositories of the
# caller. GIT_TRACE…: for troubleshooting. Variables that select the repository, which `git rev-parse --local-env-vars`
# lists, are not passed.
_ALWAYS = (
    *("PATH", "HOME", "XDG_CONFIG_HOME", "TMPDIR", "SUDO_UID"),
    *("GIT_EXEC_PATH", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"),
    *("GIT_TRACE", "GIT_TRACE_CURL", "GIT_TRACE_PACKET"),
)
# Network settings, and variables that SSH and desktop credential helpers need.
_FOR_FETCHES = (
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_SSL_CERT", "GIT_SSL_KEY"),
    *("GIT_SSL_NO_VERIFY", "GIT_HTTP_PROXY_AUTHMETHOD", "GIT_PROXY_COMMAND"),
    *("GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "SSH_AUTH_SOCK"),
    *("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "KRB5CCNAME", "KRB5_CONFIG"),
)
_SET = {
    "LC_ALL": "C",  # messages are parsed
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "true",  # never prompts; overrides core.askPass
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",  # objects must match their ids
}
# Allowed keys of configuration in the environment (GIT_CONFIG_COUNT), which CI systems and containers use.
_SETTINGS = ("safe.directory", "url.")
_FETCH_SETTINGS = (*_SETTINGS, "http.", "credential.", "core.sshcommand", "ssh.variant")

_QUIET = {
    "safe.bareRepository": "explicit",
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "submodule.recurse": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    # Because memory is limited, large packs are mapped in pieces and large files are streamed.
    "core.packedGitWindowSize": "16m",
    "core.bigFileThreshold": "16m",
}
_QUESTIONS = {"protocol.allow": "never"}
_FETCHES = {
    "fetch.recurseSubmodules": "false",
    "fetch.uriProtocols": "",  # the server can't redirect the client to another location …
    "transfer.bundleURI": "false",  # … or to a bundle
    "fetch.unpackLimit": "1",  # fetched objects stay packed
    "transfer.unpackLimit": "1",
    "fetch.writeCommitGraph": "false",
    "http.saveCookies": "false",
    "http.lowSpeedLimit": "1000",  # bytes a second, over …
    "http.lowSpeedTime": "60",  # … this many seconds, because a server may need time before it sends data
    "credential.interactive": "false",
    "pack.threads": "1",  # each thread needs memory
}


@dataclass(frozen=True, slots=True)
class Setup:
    """The setup of a git process. `settings` go on its command line; `variables` are its whole environment."""

    settings: Mapping[str, str]
    variables: Mapping[str, str] = field(repr=False)

    def command(self, binary: str, arguments: Sequence[str]) -> list[str]:
        """Return the command line of git with `arguments`."""
        return [
            binary,
            *(part for key, value in self.settings.items() for part in ("-c", f"{key}={value}")),
            *arguments,
        ]


def for_questions(
    environment: Mapping[str, str] | None = None,
    *,
    settings: Sequence[tuple[str, str]] = (),
    variables: Mapping[str, str] | None = None,
) -> Setup:
    """Return the setup for reading a repository: git fetches, runs and writes nothing.

    `settings` are passed in the environment, because their keys can contain any character; `variables` are added to it.
    """
    given = os.environ if environment is None else environment
    passed = {**_passed(given, _ALWAYS), **_SET, **(variables or {}), "GIT_ALLOW_PROTOCOL": ""}
    return Setup(_QUIET | _QUESTIONS, passed | _configured([*_entries(given, _SETTINGS), *settings]))


def for_own_store(environment: Mapping[str, str] | None = None) -> Setup:
    """Return the setup for reading a store that kcd-gen created, without the user's configuration."""
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
    """Return the setup for a fetch over `protocols`. Remote helpers such as `ext`, which run programs, are disabled.

    `settings` go on the command line; `secrets` in the environment, where other users of the machine can't see them.
    """
    given = os.environ if environment is None else environment
    variables = _passed(given, (*_ALWAYS, *_FOR_FETCHES)) | _SET | {"GIT_ALLOW_PROTOCOL": ":".join(protocols)}
    entries = [*_entries(given, _FETCH_SETTINGS), *(secrets or {}).items()]
    return Setup(_QUIET | _FETCHES | dict(settings or {}), variables | _configured(entries))


def git_binary(purpose: str, hint: str, environment: Mapping[str, str] | None = None) -> str:
    """Return the path of git. Raises ProblemsError `git-missing`; `purpose` is a clause that says why it is needed."""
    given = os.environ if environment is None else environment
    found = shutil.which("git", path=absolute_search_path(given))
    if found is None:
        raise ProblemsError.of("git-missing", f"git was not found, but is needed because {purpose}", hint=hint)
    return found


def _passed(environment: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    passed = {name: environment[name] for name in names if name in environment}
    return passed | {"PATH": absolute_search_path(environment)}


def _entries(environment: Mapping[str, str], allowed: Sequence[str]) -> list[tuple[str, str]]:
    """Return the settings in the environment whose keys begin with one of `allowed`."""
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
