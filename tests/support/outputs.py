"""Miniature compiled Releases, and snapshots of a directory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.kube_yaml.emitter import emit_documents
from kubocd_gen.output.plan import OutputFile, Plan, ReleaseOutput, plan_output
from kubocd_gen.output.writer import Written, write


def release(
    name: str, *, version: str = "1.0.0", replicas: int = 1, namespace: str = "default", keep: bool = False
) -> ReleaseOutput:
    """Return a Release with one HelmRelease; `version` changes the index and a chart, `replicas` the Flux file."""
    flux = [
        {"kind": "HelmRepository", "metadata": {"name": f"kcd-{name}"}, "spec": {"url": f"http://x/hr/{name}"}},
        {"kind": "HelmRelease", "metadata": {"name": f"{name}-main"}, "spec": {"replicas": replicas}},
    ]
    charts = f"hr/{namespace}/{name}"
    files = (
        OutputFile(f"flux/{namespace}/{name}.yaml", emit_documents(flux).encode()),
        OutputFile(f"{charts}/index.yaml", f"index of {version}\n".encode()),
        OutputFile(f"{charts}/chart-{version}.tgz", f"chart {version}".encode() * 1000),
        OutputFile(f"{charts}/library-0.1.0.tgz", b"never changes"),
    )
    return ReleaseOutput(namespace, name, files, keep)


def failed(name: str, namespace: str = "default") -> ReleaseOutput:
    return ReleaseOutput(namespace, name, (), keep=True)


def planned(root: Path, *releases: ReleaseOutput, complete: bool = True) -> Plan:
    return plan_output(root, releases, kustomization, complete=complete)


def build(root: Path, *releases: ReleaseOutput, complete: bool = True) -> Written:
    return write(planned(root, *releases, complete=complete))


def codes(error: BaseException) -> set[str]:
    """Return the codes of the problems of `error`."""
    assert isinstance(error, ProblemsError)
    return {one.code for one in error.problems}


def kustomization(paths: Sequence[str], _listed: bool | None = None) -> list[OutputFile]:
    lines = [f"- {path}\n" for path in paths]
    return [OutputFile("flux/kustomization.yaml", ("resources:\n" + "".join(lines)).encode())] if paths else []


def contents(root: Path) -> dict[str, bytes]:
    """Return every file below `root`, and every directory as `name/`."""
    return {
        path.relative_to(root).as_posix() + ("/" if path.is_dir() else ""): b"" if path.is_dir() else path.read_bytes()
        for path in root.rglob("*")
    }


def times(root: Path) -> dict[str, tuple[int, int]]:
    """Return inode and change time of `root` and everything below it: what is not written keeps both."""
    found = {path: path.stat() for path in [root, *root.rglob("*")]}
    return {str(path): (status.st_ino, status.st_mtime_ns) for path, status in found.items()}
