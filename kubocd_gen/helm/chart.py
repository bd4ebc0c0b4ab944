"""A temporary chart: models as chart files, templates as partials, and a document that prints each output in base64.

Values passed to helm the usual way are read as YAML, which changes numbers and nulls. A chart file that a template
reads with `.Files.Get` and `fromJson` arrives as KuboCD's models do. The output is one YAML document of comments: helm
parses it at no cost, and outputs can't be confused with each other.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.helm.names import CHART, Names
from kubocd_gen.helm.process import HELM_HINT, Run
from kubocd_gen.helm.rewrite import Rewritten

# helm refuses chart files over 5 MiB. Longer data is split, and joined again by the document.
FILE_SIZE = 4 << 20
# Larger output can't be part of a HelmRelease: the API server refuses objects over 3 MiB.
RENDERED_SIZE = 4 << 20
TOO_LARGE = "kcd-rendered-too-much"
_SIZED = f'{{{{ if gt (len $t) {RENDERED_SIZE} }}}}{{{{ fail "{TOO_LARGE}" }}}}{{{{ end }}}}'


@dataclass(frozen=True, slots=True)
class Job:
    """The templates of one Unit that a chart renders, in order. `context` and `model` are ASCII JSON."""

    unit: int
    context: str
    model: str
    templates: tuple[tuple[int, Rewritten], ...]  # index in the Unit, chart file
    parameters: int | None = None  # the index of the parameters template, which has a model of its own

    @property
    def mutates(self) -> bool:
        return any(template.mutates for _, template in self.templates)

    def without(self, indexes: Container[int]) -> Job:
        return replace(self, templates=tuple(one for one in self.templates if one[0] not in indexes))


@dataclass(slots=True)
class Chart:
    """The files of a temporary chart by path, and the (unit, template) that each line of the document renders."""

    files: dict[str, str] = field(default_factory=dict)
    lines: dict[int, tuple[int, int]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """The number of characters that helm has to read."""
        return sum(map(len, self.files.values()))

    def write(self, directory: Path) -> None:
        for name, content in self.files.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode())


def rendering_chart(jobs: Sequence[Job], library: str, names: Names) -> Chart:
    """Return a chart that renders `jobs`, with the partials in `library`. Equal contexts are one file, parsed once.

    Templates of different Releases are isolated: `.` and `$` are the Release's own model, all other names have a nonce,
    and a Release that can change its Context gets a copy. All templates must be readable.
    """
    if not all(template.readable for job in jobs for _, template in job.templates):
        raise AssertionError("unreadable templates must not share a chart with others")
    chart = _chart()
    chart.files[names.library] = library
    models = f"[{','.join(job.model for job in jobs)}]"
    document = [_read("$models", _store(chart, names.data("models"), models))]
    shared: dict[str, int] = {}
    stored: list[list[str]] = []
    for index, job in enumerate(jobs):
        number = shared.setdefault(job.context, len(stored))
        if number == len(stored):
            stored.append(_store(chart, names.data(f"context{number}"), job.context))
            document.append(_read(f"$context{number}", stored[number]))
        context = f"$context{number}"
        if job.mutates:
            # A copy: other Releases must not see what a template changes in the Context.
            document.append(_read("$context", stored[number]))
            context = "$context"
        document.append(f'{{{{ $model := index $models {index} }}}}{{{{ $_ := set $model "Context" {context} }}}}')
        # Any pointer works, but not a shared one: templates can change its target (`.ImageRedirector.Scan`).
        document.append('{{ $_ := set $model "ImageRedirector" (semver "0.0.0") }}')
        for key, template in job.templates:
            chart.files[template.path.removeprefix(f"{CHART}/")] = template.text
            model = "$model"
            if key == job.parameters:
                document.append(_parameters_model(copied=job.mutates and len(job.templates) > 1))
                model = "$first"
            document.append(f'{{{{ $t := include "{template.path}" {model} }}}}{_SIZED}# {{{{ $t | b64enc }}}}')
            chart.lines[len(document)] = (job.unit, key)
    chart.files[names.document] = "\n".join(document)
    return chart


def parsing_chart(templates: Sequence[Rewritten]) -> Chart:
    """Return a chart that makes helm parse `templates` without rendering them."""
    chart = _chart()
    chart.files |= {template.path.removeprefix(f"{CHART}/"): template.text for template in templates}
    return chart


def yaml_chart(values: Sequence[Any]) -> Chart:
    """Return a chart that prints each of `values` with helm's `toYaml`."""
    chart = _chart()
    document = [_read("$values", _store(chart, "data/values", json.dumps(list(values), allow_nan=False)))]
    document += (f"# {{{{ index $values {index} | toYaml | b64enc }}}}" for index in range(len(values)))
    chart.files["templates/out.yaml"] = "\n".join(document)
    return chart


def fits(text: str) -> bool:
    """Return whether `text` fits in one chart file."""
    return len(text) * 4 <= FILE_SIZE or len(text.encode("utf-8", "replace")) <= FILE_SIZE


def renderings(run: Run, count: int) -> list[str] | None:
    """Return the outputs that the document printed, in order; None if helm failed or did not print `count` of them.

    Bytes that are not UTF-8 are kept (`surrogateescape`), because it depends on the field whether KuboCD accepts them.
    """
    found = [
        base64.b64decode(line[1:].strip()).decode("utf-8", "surrogateescape")
        for line in (run.stdout.split(b"\n") if run.succeeded else ())
        if line.startswith(b"#") and not line.startswith(b"# Source: ")
    ]
    return found if run.succeeded and len(found) == count else None


def check_helm(run: Run) -> None:
    """Raise ProblemsError `helm-failed` unless `run` rendered TEST_CHART: helm itself does not work."""
    if renderings(run, 1) != ["0"]:
        reason = "its output is not the rendered chart" if run.succeeded else run.summary
        raise ProblemsError.of("helm-failed", f"helm failed to render a test chart: {reason}", hint=HELM_HINT)


def _chart() -> Chart:
    return Chart({"Chart.yaml": f"apiVersion: v2\nname: {CHART}\nversion: 0.0.0\n"})


def _parameters_model(*, copied: bool) -> str:
    """Return the action that sets `$first` to the model of the parameters template.

    `Parameters` is a nil map, as in KuboCD (`fromJson` returns one for null). If `copied`, changes of the Release are
    lost: JSON keeps all values of a model, which comes from JSON.
    """
    release = "($model.Release | toJson | fromJson)" if copied else "$model.Release"
    own = f'"Parameters" (fromJson "null") "Release" {release} "ImageRedirector" (semver "0.0.0")'
    return f'{{{{ $first := dict "Context" $model.Context {own} }}}}'


def _store(chart: Chart, name: str, data: str) -> list[str]:
    """Add `data`, ASCII JSON, to the chart as one or more files and return their names."""
    data = f'{{"v":{data}}}'  # fromJson accepts only maps
    names: list[str] = []
    for start in range(0, len(data), FILE_SIZE):
        names.append(f"{name}-{len(names)}.json")
        chart.files[names[-1]] = data[start : start + FILE_SIZE]
    return names


def _read(variable: str, names: Sequence[str]) -> str:
    """Return the template action that reads the data `_store` put into these files."""
    text = " ".join(f'($.Files.Get "{name}")' for name in names)
    return f'{{{{ {variable} := index (print {text} | fromJson) "v" }}}}'


TEST_CHART = yaml_chart([0])
