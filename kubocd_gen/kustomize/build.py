"""Running kustomize on staged files."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kubocd_gen.budget.limits import GIB, MIB
from kubocd_gen.diagnostics.problems import Position, ProblemsError
from kubocd_gen.files.paths import shown_path
from kubocd_gen.kustomize.kustomization import NAMES
from kubocd_gen.kustomize.staging import Stage
from kubocd_gen.processes.children import limit, running
from kubocd_gen.processes.timing import timed

_log = logging.getLogger(__name__)

ORIGIN = "config.kubernetes.io/origin"
"""The annotation in which kustomize writes where a resource comes from."""

_SECONDS = 60  # of one run; a thousand Releases take one second
_MEMORY = GIB
_OUTPUT = 64 * MIB
_MESSAGES = 64 << 10
_LOGGED = re.compile(r'^[A-Z]\d{4} .*\] "command failed" err="(.*)"$')
_INSTALL = "install kustomize 5 (https://kubectl.docs.kubernetes.io/installation/kustomize/) or kubectl"


def kustomize_command() -> list[str]:
    """Return the command that builds a kustomization: `kustomize build`, or else `kubectl kustomize`.

    Raises ProblemsError `kustomize-missing`.
    """
    if found := shutil.which("kustomize"):
        return [str(Path(found).absolute()), "build"]
    if found := shutil.which("kubectl"):
        return [str(Path(found).absolute()), "kustomize"]
    message = "neither kustomize nor kubectl was found, but a source is a kustomization"
    raise ProblemsError.of("kustomize-missing", message, hint=_INSTALL)


def build(stage: Stage, directory: Path, fields: Mapping[str, Any]) -> str:
    """Return what `kustomize build` prints for the staged `directory` with `fields` as its kustomization.

    Each resource has the annotation ORIGIN. Raises ProblemsError `kustomize-failed` and `kustomize-missing`.
    """
    try:
        command = kustomize_command()
    except ProblemsError as error:
        raise error.at(Position(stage.display(directory))) from None
    metadata = fields.get("buildMetadata")
    kept = [one for one in metadata if one != "originAnnotations"] if isinstance(metadata, list) else []
    copy = stage.at(directory)
    copy.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        (copy / name).unlink(missing_ok=True)
    (copy / NAMES[0]).write_text(json.dumps({**fields, "buildMetadata": [*kept, "originAnnotations"]}))
    try:
        return _run(command, stage, directory)
    finally:  # another kustomization can refer to this one as it is in the checkout
        (copy / NAMES[0]).unlink()
        for name in NAMES:
            if (original := stage.texts.get(directory / name)) is not None:
                (copy / name).write_bytes(original)


def _run(command: Sequence[str], stage: Stage, directory: Path) -> str:
    copy = stage.at(directory)
    display = stage.display(directory)
    home = stage.root.parent / "home"
    home.mkdir(exist_ok=True)
    output = home / "output.yaml"
    output.unlink(missing_ok=True)
    environment = {"HOME": str(home), "TMPDIR": str(home), "PATH": os.devnull, "KUBECONFIG": str(home / "kubeconfig")}
    try:
        with (
            timed(_log, f"kustomize build {display}") as details,
            running([*command, ".", "-o", str(output)], environment, directory=copy) as process,
        ):
            limit(process, "RLIMIT_DATA", _MEMORY)
            limit(process, "RLIMIT_CPU", _SECONDS)
            limit(process, "RLIMIT_FSIZE", _OUTPUT)
            timer = threading.Timer(_SECONDS * 4, process.kill)
            timer.start()
            try:
                assert process.stderr is not None
                message = process.stderr.read(_MESSAGES).decode("utf-8", "replace")
                status = process.wait()
            finally:
                timer.cancel()
            details.append(f"exit code {status}")
    except OSError as error:
        message = f"cannot start '{command[0]}': {error.strerror}"
        raise ProblemsError.of("kustomize-failed", message, hint=_INSTALL) from error
    if status != 0:
        reason = _reason(message, stage, status)
        hint = f"run '{' '.join([Path(command[0]).name, *command[1:]])} {shown_path(display)}' to see the error"
        raise ProblemsError.of("kustomize-failed", f"kustomize failed: {reason}", Position(display), hint)
    return output.read_bytes().decode("utf-8", "replace") if output.exists() else ""


def _reason(message: str, stage: Stage, status: int) -> str:
    lines = [line.strip() for line in message.splitlines() if line.strip() and not line.startswith("# Warning")]
    text = lines[-1] if lines else f"it was stopped by a limit or ended with exit code {status}"
    if logged := _LOGGED.search(text):  # kubectl logs the message with the time and its process ID
        text = logged[1].replace('\\"', '"')
    real = os.path.realpath(stage.root)
    for directory in (str(stage.root), real):
        text = text.replace(f"{directory}/", "").replace(directory, ".")
    return text.removeprefix("Error: ").removeprefix("error: ")
