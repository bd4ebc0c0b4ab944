from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest

from kubocd_gen.diagnostics.problems import Problems
from kubocd_gen.sources.cluster_resources import load_cluster_resources
from kubocd_gen.sources.documents import read_resources
from tests.support.source_resources import Checkout, Load


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Write files by path and load them as the sources of a cluster."""
    monkeypatch.chdir(tmp_path)

    def run(
        files: Mapping[str, str | bytes] | str,
        *,
        sources: tuple[str, ...] = (".",),
        outputs: tuple[str, ...] = (),
        namespace: str = "default",
        kubocd_namespace: str | None = None,
        expand_env: tuple[str, ...] = (),
    ) -> Checkout:
        for name, content in ({"f.yaml": files} if isinstance(files, str) else files).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            data = textwrap.dedent(content).encode() if isinstance(content, str) else content
            (tmp_path / name).write_bytes(data)
        problems = Problems("prod")
        read = read_resources(
            sources, tmp_path, [tmp_path / output for output in outputs], problems, expand_env=expand_env
        )
        cluster_resources = load_cluster_resources(read, namespace, kubocd_namespace, problems)
        return Checkout(list(read.resources), read.complete, cluster_resources, list(problems))

    return run
