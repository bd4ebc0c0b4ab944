"""Run the credential helpers of Docker: programs named `docker-credential-*` that print a user and a secret."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping

from kubocd_gen.diagnostics.problems import shown
from kubocd_gen.oci.auth_files import Credentials, bad_credentials, syntax_advice
from kubocd_gen.processes.children import outputs, running

TIMEOUT = 30.0  # seconds; the helpers of cloud providers make requests, and some start Python
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# The words for "there is no such login", in lowercase: of the helpers' common library, of macOS (also in the words of
# its `security` command, and as the number errSecItemNotFound), and of Windows.
_NOT_FOUND = (
    "credentials not found",
    "no credentials server url",
    "no credentials username",
    "not logged in",
    "could not be found in the keychain",
    "errsecitemnotfound",
    "-25300",
    "element not found",
)


def ask_helper(name: str, server: str, source: str, environment: Mapping[str, str]) -> Credentials | None:
    """Return the login that the helper `name` has for `server`, or None; `source` is the file that names the helper.

    Raises ProblemsError `bad-credentials` if the helper fails: going on without credentials would hide the cause.
    """
    program = f"docker-credential-{name}"
    if not _HELPER.fullmatch(name):
        raise bad_credentials(f"{source} has an invalid credential helper: {shown(name)}", syntax_advice(source))
    status, output = _run(program, server, source, environment)
    if status != 0:
        message = output.decode("utf-8", "replace").strip()
        if any(text in message.lower() for text in _NOT_FOUND):
            return None
        # The output of a failing helper is a message for users; that of a successful one is a secret.
        reason = f": {shown(message)}" if message else ""
        text = f"the credential helper {program} failed with status {status}{reason}"
        raise bad_credentials(text, _try(program, server))
    try:
        answer = json.loads(output)
        user, secret = answer["Username"], answer["Secret"]
    except (ValueError, TypeError, KeyError, RecursionError):
        user = secret = None
    if not isinstance(user, str) or not isinstance(secret, str):
        raise bad_credentials(f"the credential helper {program} returned no user and secret", _try(program, server))
    if not secret:
        return None
    if user == "<token>":
        return Credentials(program, identity_token=secret)
    return Credentials(program, user, secret)


def _run(program: str, server: str, source: str, environment: Mapping[str, str]) -> tuple[int, bytes]:
    """Return a helper's exit status and output, including its errors if it failed. Raises ProblemsError."""
    try:
        with running([program, "get"], environment, talk=True) as process:
            output, errors = outputs(process, server.encode(), timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        hint = f"{_try(program, server)}; it may be waiting for a password or a browser"
        raise bad_credentials(f"the credential helper {program} did not finish within {TIMEOUT:.0f} s", hint) from None
    except FileNotFoundError:
        hint = f"install it, or remove it from {source}"
        raise bad_credentials(f"the credential helper {program} in {source} is not installed", hint) from None
    except OSError as error:
        text = f"cannot run the credential helper {program}: {error.strerror}"
        raise bad_credentials(text, _try(program, server)) from None
    return process.returncode, output if process.returncode == 0 else output + errors


def _try(program: str, server: str) -> str:
    return f"run the helper to see its error: echo {server} | {program} get"
