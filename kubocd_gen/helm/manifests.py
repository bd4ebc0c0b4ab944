"""What a chart renders to: `helm template`, with the values of a HelmRelease."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubocd_gen.diagnostics import KcdError
from kubocd_gen.helm.process import run_helm
from kubocd_gen.output.yaml_emitter import emit_documents

_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Installation:
    """A chart archive and all that its rendering depends on."""

    archive: bytes = field(repr=False)
    release_name: str
    namespace: str
    values: Mapping[str, Any]
    crds: bool


def template(binary: Path, installation: Installation) -> str:
    """The manifests, as one YAML text. Raises KcdError `chart-failed` with what helm says."""
    with tempfile.TemporaryDirectory(prefix="kcd-gen-chart-") as folder:
        chart, values, home = (Path(folder).absolute() / name for name in ("chart.tgz", "values.yaml", "home"))
        chart.write_bytes(installation.archive)
        values.write_text(emit_documents([installation.values]), encoding="utf-8")
        home.mkdir()
        arguments = [
            "template",
            installation.release_name,
            str(chart),
            "--namespace",
            installation.namespace,
            "--values",
            str(values),
            *(["--include-crds"] if installation.crds else []),
        ]
        try:
            run = run_helm(binary, arguments, home, _SECONDS)
        except OSError as error:
            raise KcdError(f"{binary} could not be started: {error.strerror}", code="helm-failed") from error
    if run.stopped is not None or run.returncode != 0:
        said = run.summary.replace(f"{folder}/", "")
        raise KcdError(f"helm can't render the chart: {said[:500]}", code="chart-failed")
    return run.stdout.decode("utf-8", "replace")
