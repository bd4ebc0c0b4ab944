"""The manifests that a chart renders to: `helm template` with the values of a HelmRelease."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.helm.chart import RENDERED_SIZE
from kubocd_gen.helm.process import HelmPool, unwritable_input
from kubocd_gen.kube_yaml.emitter import emit_documents
from kubocd_gen.processes.children import scratch

_SECONDS = 10.0  # CPU time; the largest charts take one second
_USUAL = 0.3  # seconds of each run that the budget does not count, because a cluster can have thousands of runs
_PRINTED = 2 * RENDERED_SIZE  # Helm stores a release, compressed, in a Secret of at most 1 MiB


@dataclass(frozen=True, slots=True)
class Installation:
    """A chart archive and everything that its rendering depends on."""

    archive: bytes = field(repr=False)
    release_name: str
    namespace: str
    values: Mapping[str, Any]
    crds: bool


def template(pool: HelmPool, installation: Installation) -> str:
    """Render a chart and return its manifests as one YAML stream.

    Raises ProblemsError `chart-failed` with helm's message, and BudgetExceededError.
    """
    arguments = ["template", installation.release_name, "chart.tgz", "--namespace", installation.namespace]
    arguments += ["--values", "values.yaml", *(["--include-crds"] if installation.crds else [])]
    try:
        with scratch("kcd-gen-chart-") as directory:
            (directory / "chart.tgz").write_bytes(installation.archive)
            (directory / "values.yaml").write_text(emit_documents([installation.values]), encoding="utf-8")
            run = pool.run(arguments, directory, _SECONDS, free=_USUAL)
            if run.out_of_memory:
                run = pool.run(arguments, directory, _SECONDS, whole=True)
    except OSError as error:
        raise unwritable_input(error) from error
    if not run.succeeded:
        message = run.summary.replace(f"{directory}/", "")
        raise ProblemsError.of("chart-failed", f"helm failed to render the chart: {message[:500]}")
    pool.budget.spend("rendered", len(run.stdout))
    if len(run.stdout) > _PRINTED:
        raise ProblemsError.of("chart-failed", f"the chart's output is larger than {_PRINTED >> 20} MiB")
    return run.stdout.decode("utf-8", "replace")
