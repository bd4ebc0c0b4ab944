"""The helm binary: its path and its version."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.processes.children import running

_INSTALL = "install Helm 3.14 or later (https://helm.sh/docs/intro/install), or set KCD_GEN_HELM to the path of helm"


def find_helm(explicit: str | None = None) -> Path:
    """Return the absolute path of the helm binary to run.

    `explicit` is the user's choice (--helm or KCD_GEN_HELM): a path, or a name to look up on PATH. Without it, a
    binary installed by pip next to this Python takes precedence over the one on PATH, because the lock file of the
    virtual environment pins it. Raises ProblemsError `helm-missing`.
    """
    if explicit:
        # Path.expanduser would turn `./helm`, a file, into `helm`, a name to look up on PATH.
        found = shutil.which(os.path.expanduser(explicit))  # noqa: PTH111
        if found is None:
            raise ProblemsError.of("helm-missing", f"'{explicit}' is not an executable helm binary", hint=_INSTALL)
        return Path(found).absolute()
    directories = (str(Path(sys.executable).parent), sysconfig.get_path("scripts"))
    found = shutil.which("helm", path=os.pathsep.join(directories)) or shutil.which("helm")
    if found is None:
        raise ProblemsError.of(
            "helm-missing", "helm was not found, but is needed to render package templates", hint=_INSTALL
        )
    return Path(found).absolute()


def helm_version(helm: Path) -> str:
    """Return the version that `helm version` prints, without the leading `v`, such as `3.17.3`.

    Raises ProblemsError `helm-missing` if the command fails.
    """
    try:
        with running([str(helm), "version", "--template", "{{.Version}}"]) as process:
            version, messages = (data.decode("utf-8", "replace") for data in process.communicate(timeout=30))
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, "helm", stderr=messages)
    except (OSError, subprocess.SubprocessError) as error:
        raise ProblemsError.of(
            "helm-missing", f"'{helm}' did not report its version: {_reason(error)}", hint=_INSTALL
        ) from error
    return version.strip().removeprefix("v")


def _reason(error: OSError | subprocess.SubprocessError) -> str:
    match error:
        case subprocess.TimeoutExpired():
            return f"it did not finish within {error.timeout:g} seconds"
        case subprocess.CalledProcessError():
            message = next((line.strip() for line in (error.stderr or "").splitlines() if line.strip()), "")
            return f"it exited with code {error.returncode}{f' ({message})' if message else ''}"
        case OSError():
            return error.strerror or "it could not be started"
        case _:
            return "it could not be run"
