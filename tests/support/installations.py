"""Ways for CI to install kcd-gen without a network, one for each form of `install-from`."""

from __future__ import annotations

import contextlib
import hashlib
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from kubocd_gen import __version__
from kubocd_gen.helm.process import find_helm
from tests.support.charts import commit_all, git
from tests.support.ci_systems import ROOT
from tests.support.fault_server import FaultServer, reply
from tests.support.registry import make_authority

Form = Literal["git", "wheel", "index", "requirements"]
_NAME = f"kcd_gen-{__version__}-py3-none-any.whl"
_HOST = "https://git.example.com/platform/kcd-gen"
_BACKEND = f"""\
import pathlib, shutil

def build_wheel(directory, config_settings=None, metadata_directory=None):
    shutil.copy(pathlib.Path(__file__).with_name({_NAME!r}), directory)
    return {_NAME!r}
"""
_PROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "kcd-gen"
dynamic = ["version"]
"""


@dataclass(frozen=True, slots=True)
class Installation:
    """The value of `install-from`, and the variables that make pip and git find its target locally."""

    install_from: str
    variables: dict[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def installation(form: Form, directory: Path) -> Iterator[Installation]:
    """Create a kcd-gen wheel in a new directory, with its scripts and the modules of this environment."""
    directory.mkdir()
    wheel = _wheel(directory)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    alone = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(directory)}
    match form:
        case "git":
            git(directory, "init", "--quiet")
            (directory / "backend.py").write_text(_BACKEND)
            (directory / "pyproject.toml").write_text(_PROJECT)
            commit_all(directory)
            there = {"GIT_CONFIG_KEY_0": f"url.file://{directory}.insteadOf", "GIT_CONFIG_VALUE_0": _HOST}
            commit = git(directory, "rev-parse", "HEAD").strip()
            yield Installation(f"git+{_HOST}@{commit}", {"PIP_NO_INDEX": "1", "GIT_CONFIG_COUNT": "1", **there})
        case "requirements":
            (directory / "requirements.txt").write_text(f"kcd-gen=={__version__} --hash=sha256:{digest}\n")
            yield Installation(f"--require-hashes -r {directory}/requirements.txt", alone)
        case "wheel" | "index":
            authority = make_authority(directory / "authority")
            with FaultServer(certificate=(str(authority.server), str(authority.key))) as server:
                server.script(f"GET /{_NAME}", reply(200, wheel.read_bytes()))
                page = f'<a href="/{_NAME}#sha256={digest}">{_NAME}</a>'.encode()
                server.script("GET /simple/kcd-gen/", reply(200, page, {"Content-Type": "text/html"}))
                trusted = {"PIP_CERT": str(authority.certificate)}
                if form == "index":
                    yield Installation(f"--index-url {server.url}/simple kcd-gen=={__version__}", trusted)
                else:
                    yield Installation(f"{server.url}/{_NAME}#sha256={digest}", {"PIP_NO_INDEX": "1", **trusted})


def _wheel(directory: Path) -> Path:
    path = directory / _NAME
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    name = f"kcd_gen-{__version__}"
    helm = f"#!/bin/sh\nexec '{find_helm()}' \"$@\"\n"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("kcd_gen.pth", f"{ROOT}\n{sysconfig.get_path('purelib')}\n")
        script = zipfile.ZipInfo(f"{name}.data/scripts/helm")
        script.external_attr = 0o100755 << 16
        wheel.writestr(script, helm)
        about = f"{name}.dist-info"
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: kcd-gen\nVersion: {__version__}\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        lines = "".join(f"{command} = {function}\n" for command, function in scripts.items())
        wheel.writestr(f"{about}/entry_points.txt", f"[console_scripts]\n{lines}")
        wheel.writestr(f"{about}/RECORD", "")
    return path
