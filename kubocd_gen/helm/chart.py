"""A scratch chart: models as chart files, templates as partials, one document that prints every rendering in base64.

helm's own way to give values to a chart would read them as YAML, which changes numbers and nulls; a chart file that a
template reads with `.Files.Get` and `fromJson` arrives as KuboCD's models do. The output is one YAML document of
comments, so that helm's reading of what it rendered costs nothing, and no text can be taken for another's.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kubocd_gen.helm.names import CHART, Names
from kubocd_gen.helm.rewrite import Rewritten

# helm refuses a chart file over 5 MiB; longer data is cut, and put together again by the document.
FILE_SIZE = 4 << 20
# A text of this size is no YAML for a HelmRelease: the API server refuses an object of 3 MiB.
RENDERED_SIZE = 4 << 20
TOO_LARGE = "kcd-rendered-too-much"
_SIZED = f'{{{{ if gt (len $t) {RENDERED_SIZE} }}}}{{{{ fail "{TOO_LARGE}" }}}}{{{{ end }}}}'


@dataclass(frozen=True, slots=True)
class Job:
    """What a chart renders for one Unit: some of its templates, in order. `context` and `model` are JSON in ASCII."""

    unit: int
    context: str
    model: str
    image_redirector: bool
    templates: tuple[tuple[int, Rewritten], ...]  # index in the Unit, chart file

    @property
    def mutates(self) -> bool:
        return any(template.mutates for _, template in self.templates)

    def without(self, indexes: Container[int]) -> Job:
        return replace(self, templates=tuple(one for one in self.templates if one[0] not in indexes))


@dataclass(slots=True)
class Chart:
    """The files of a scratch chart by their path, and the (unit, template) that each line of the document renders."""

    files: dict[str, str] = field(default_factory=dict)
    lines: dict[int, tuple[int, int]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How much helm has to read, in characters."""
        return sum(map(len, self.files.values()))

    def write(self, folder: Path) -> None:
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode())


def rendering_chart(jobs: Sequence[Job], library: str, names: Names) -> Chart:
    """The chart that renders `jobs`, with the functions that `library` defines. Equal contexts are one file, parsed
    once.

    No template sees another Release: `.` and `$` are its own model, all other names have a nonce, and a Release that
    can change its Context gets a copy. Only readable texts are taken.
    """
    if not all(template.readable for job in jobs for _, template in job.templates):
        raise AssertionError("a text that the lexer does not understand is never rendered beside others")
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
            # What a template changes in the Context, no other Release may see: this one gets its own.
            document.append(_read("$context", stored[number]))
            context = "$context"
        document.append(f'{{{{ $model := index $models {index} }}}}{{{{ $_ := set $model "Context" {context} }}}}')
        if job.image_redirector:
            # Any pointer will do, but not one for all: what it points to can be changed (`.ImageRedirector.Scan`).
            document.append('{{ $_ := set $model "ImageRedirector" (semver "0.0.0") }}')
        for key, template in job.templates:
            chart.files[template.path.removeprefix(f"{CHART}/")] = template.text
            document.append(f'{{{{ $t := include "{template.path}" $model }}}}{_SIZED}# {{{{ $t | b64enc }}}}')
            chart.lines[len(document)] = (job.unit, key)
    chart.files[names.document] = "\n".join(document)
    return chart


def parsing_chart(templates: Sequence[Rewritten]) -> Chart:
    """The chart that makes helm parse `templates` and render none of them."""
    chart = _chart()
    chart.files |= {template.path.removeprefix(f"{CHART}/"): template.text for template in templates}
    return chart


def yaml_chart(values: Sequence[Any]) -> Chart:
    """The chart that prints each of `values` as helm's `toYaml` does."""
    chart = _chart()
    document = [_read("$values", _store(chart, "data/values", json.dumps(list(values), allow_nan=False)))]
    document += (f"# {{{{ index $values {index} | toYaml | b64enc }}}}" for index in range(len(values)))
    chart.files["templates/out.yaml"] = "\n".join(document)
    return chart


def fits(text: str) -> bool:
    """Whether a chart file may hold `text`."""
    return len(text) * 4 <= FILE_SIZE or len(text.encode("utf-8", "replace")) <= FILE_SIZE


def renderings(output: bytes) -> list[str]:
    """The texts that the document printed, in order."""
    return [
        base64.b64decode(line[1:].strip()).decode("utf-8", "replace")
        for line in output.split(b"\n")
        if line.startswith(b"#") and not line.startswith(b"# Source: ")
    ]


def _chart() -> Chart:
    return Chart({"Chart.yaml": f"apiVersion: v2\nname: {CHART}\nversion: 0.0.0\n"})


def _store(chart: Chart, name: str, data: str) -> list[str]:
    """Put `data`, JSON in ASCII, into chart files; their names."""
    data = f'{{"v":{data}}}'  # fromJson reads a map, nothing else
    names: list[str] = []
    for start in range(0, len(data), FILE_SIZE):
        names.append(f"{name}-{len(names)}.json")
        chart.files[names[-1]] = data[start : start + FILE_SIZE]
    return names


def _read(variable: str, names: Sequence[str]) -> str:
    """The action that reads what `_store` put into files of these names."""
    text = " ".join(f'($.Files.Get "{name}")' for name in names)
    return f'{{{{ {variable} := index (print {text} | fromJson) "v" }}}}'
