"""A project around a fleet, the commands that are measured in it, and the changes that a user would make."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kubocd_gen.oci.descriptors import REF_NAME
from tests.benchmarks.costs import Command, run
from tests.benchmarks.fleet import ZONES
from tests.support.images import gzipped, tarred, write_image

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

_PROJECT = """\
apiVersion: kcd-gen/v1alpha1
kind: Project
dependencies: ignore
packages: { vendor: layout }
clusters: [{ name: prod, sources: [sources], output: output }]
"""
_HALF = "benchmark-half"
# The defaults are for some thousand Releases.
_LIMITS = (
    "cpu-time=400",
    "helm-time=200",
    "memory=3GiB",
    "rendered=512MiB",
    "yaml-values=12000000",
    "schema-steps=12000000",
)


@dataclass
class Checkout:
    """A Git repository with a fleet, and directories of its own for what kcd-gen keeps elsewhere.

    The fleet has a Context that half of its Releases use; `write` makes one if it is a given fleet. `half_key` is the
    value in it that changes, as a path of keys.
    """

    root: Path
    python: str
    half_key: str
    releases: list[Path] = field(default_factory=list)
    half: Path = Path()
    _number: int = 0

    @property
    def log(self) -> Path:
        return self.root.parent / "log"

    @property
    def output(self) -> Path:
        return self.root / "output"

    @classmethod
    def write(cls, root: Path, sources: Path, layout: Path, python: str, half_key: str | None) -> Checkout:
        """Copy a fleet, build it, and commit everything."""
        shutil.copytree(sources, root / "sources")
        shutil.copytree(layout, root / "layout")
        (root / "kcd-gen.yaml").write_text(_PROJECT)
        made = cls(root, python, half_key or "zone.audit")
        for path in sorted((root / "sources").rglob("*.yaml")):
            if re.search(rb"(?m)^kind: Release$", path.read_bytes()):
                made.releases.append(path)
        made.half = root / f"sources/zone-{ZONES[0]}.yaml"
        if not made.half.exists():
            made.half = made._add_half(half_key or "benchmark")
        git = ("git", "-c", "user.name=bench", "-c", "user.email=bench@example.com", "-C", str(root))
        subprocess.run([*git, "init", "--quiet"], check=True)
        run(made.compiling("build"), made.log)
        subprocess.run([*git, "add", "--all"], check=True)
        subprocess.run([*git, "commit", "--quiet", "--message", "The fleet"], check=True)
        return made

    def command(
        self, *arguments: str, codes: tuple[int, ...] = (0,), variables: Mapping[str, str] | None = None
    ) -> Command:
        """Return a run of kcd-gen that uses no files of the user."""
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL", "TMPDIR")}
        home = self.root.parent / "home"
        home.mkdir(exist_ok=True)
        private = {"HOME": home, "XDG_CACHE_HOME": home / "cache", "XDG_STATE_HOME": home / "state"}
        environment = {**kept, **{name: str(path) for name, path in private.items()}, **(variables or {})}
        return Command((self.python, "-m", "kubocd_gen", *arguments), self.root, environment, codes)

    def compiling(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> Command:
        """Return a run of kcd-gen that compiles the fleet."""
        return self.command(*arguments, *(f"--limit={one}" for one in _LIMITS), codes=codes)

    def forget(self) -> None:
        """Remove the output and everything that kcd-gen has kept of earlier builds."""
        for directory in (self.output, self.root.parent / "home/cache"):
            shutil.rmtree(directory, ignore_errors=True)
        os.sync()  # otherwise the next build would wait for the disk to delete the files

    def settle(self) -> None:
        """Build, so that the output is that of the sources."""
        run(self.compiling("build"), self.log)

    @contextmanager
    def one_release(self) -> Iterator[None]:
        """Change a Release so that its resources differ."""
        path = self.releases[len(self.releases) // 2]
        document = _load(path)
        document["spec"]["package"]["interval"] = f"{self._next() + 30}m"
        if "replicas" in document["spec"].get("parameters", {}):
            document["spec"]["parameters"]["replicas"] = self._number
        with _restoring(path):
            _dump(path, document)
            yield

    @contextmanager
    def one_context(self) -> Iterator[None]:
        """Change a Context that half of the Releases use."""
        document = _load(self.half)
        *parents, last = self.half_key.split(".")
        inside = document["spec"]["context"]
        for name in parents:
            inside = inside.setdefault(name, {})
        inside[last] = f"bench-{self._next()}"
        with _restoring(self.half):
            _dump(self.half, document)
            yield

    @contextmanager
    def package(self) -> Iterator[None]:
        """Add a new version of one package to the layout, and move its Releases to it."""
        users: dict[str, list[Path]] = {}
        documents = {path: _load(path) for path in self.releases}
        for path, document in documents.items():
            package = document["spec"]["package"]
            users.setdefault(f"{package['repository']}:{package['tag']}", []).append(path)
        (reference, _), *_ = Counter({name: len(paths) for name, paths in users.items()}).most_common(1)
        tag = f"{reference.rpartition(':')[2]}-bench{self._next()}"
        index = self.root / "layout/index.json"
        before = {path.name for path in (self.root / "layout/blobs/sha256").iterdir()}
        with _restoring(index, *users[reference]):
            _add_version(self.root / "layout", reference, tag)
            for path in users[reference]:
                documents[path]["spec"]["package"]["tag"] = tag
                _dump(path, documents[path])
            yield
        for path in (self.root / "layout/blobs/sha256").iterdir():
            if path.name not in before:
                path.unlink()

    def _next(self) -> int:
        """Return a number that no change has used, so that no result of an earlier one can be used again."""
        self._number += 1
        return self._number

    def _add_half(self, key: str) -> Path:
        self.half_key = key
        for path in self.releases[::2]:
            document = _load(path)
            document["spec"].setdefault("contexts", []).append({"name": _HALF, "namespace": "default"})
            _dump(path, document)
        path = self.root / f"sources/{_HALF}.yaml"
        head = {"apiVersion": "kubocd.kubotal.io/v1alpha1", "kind": "Context"}
        _dump(
            path, {**head, "metadata": {"name": _HALF, "namespace": "default"}, "spec": {"context": {"benchmark": 0}}}
        )
        return path


def _add_version(layout: Path, reference: str, tag: str) -> None:
    """Add the package `reference` again under another tag, with a manifest that differs."""
    index = json.loads((layout / "index.json").read_bytes())
    found = next(one for one in index["manifests"] if one["annotations"][REF_NAME] == reference)

    def blob(descriptor: dict[str, Any]) -> bytes:
        return Path(layout, "blobs/sha256", str(descriptor["digest"]).partition(":")[2]).read_bytes()

    layer = gzip.decompress(blob(json.loads(blob(found))["layers"][0]))
    files = {}
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None
            files[member.name] = content.read()
    for name in ("original.yaml", "groomed.yaml"):
        files[name] = re.sub(rb"(?m)^tag:.*$", f"tag: {tag}".encode(), files[name])
    added = write_image(layout, gzipped(tarred(files)))
    annotations = {REF_NAME: f"{reference.rpartition(':')[0]}:{tag}"}
    index["manifests"].append({**added, "annotations": annotations})
    (layout / "index.json").write_text(json.dumps(index))


def _load(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.load(path.read_bytes(), Loader)  # noqa: S506 - a safe loader
    return document


def _dump(path: Path, document: dict[str, Any]) -> None:
    path.write_text(yaml.dump(document, Dumper=Dumper, sort_keys=False))


@contextmanager
def _restoring(*paths: Path) -> Iterator[None]:
    before = {path: path.read_bytes() for path in paths}
    try:
        yield
    finally:
        for path, content in before.items():
            path.write_bytes(content)
