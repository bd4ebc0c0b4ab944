"""Check the charts of a package's modules: those named in `status.yaml` must be in the package.

The compiled output has only chart name and version. Each pair must therefore be in `index.yaml`, and the Chart.yaml of
its archive must agree; otherwise a reviewer would see one name and Flux would install another chart.
"""

from __future__ import annotations

import re

from kubocd_gen.archives.chart import as_text, is_version
from kubocd_gen.budget.spending import Budget
from kubocd_gen.diagnostics.problems import MOST, Problem, ProblemsError, nearest, shown
from kubocd_gen.diagnostics.wording import quoted
from kubocd_gen.kube_yaml.locations import find_position
from kubocd_gen.kube_yaml.reader import first_document
from kubocd_gen.model.package import ChartRef
from kubocd_gen.packages.archive import Subject
from kubocd_gen.packages.chart_index import REBUILD, CheckedCharts, InvalidError, lookalike

STATUS = "status.yaml"
# The names that `helm create` accepts, without those that chart.Metadata.Validate refuses.
_CHART_NAME = re.compile(r"(?!\.{1,2}\Z)[a-zA-Z0-9._-]{1,250}")


def read_status(text: bytes, path: str, budget: Budget | None) -> tuple[dict[str, ChartRef], list[Problem]]:
    """Return the chart of each module in `status.yaml`, and the problems of the other modules; `path` is the file.

    There are at most `MOST` problems. Raises ProblemsError if the file is not valid YAML.
    """
    source = text.decode("utf-8", "replace")
    document = first_document(source, path, exact_integers=True, budget=budget)
    charts = document.value.get("chartByModule") if isinstance(document.value, dict) else None
    found: dict[str, ChartRef] = {}
    errors: list[Problem] = []
    for module, chart in (charts if isinstance(charts, dict) else {}).items():
        name, version = (as_text(chart.get(key)) if isinstance(chart, dict) else None for key in ("name", "version"))
        if not isinstance(name, str) or not isinstance(version, str):
            if len(errors) >= MOST:
                break
            position = find_position(source, path, 0, ("chartByModule", module))
            message = f"{STATUS} has no chart name and version for module {quoted(module)}"
            errors.append(Problem("bad-package", message, position=position))
            continue
        found[module] = ChartRef(name, version)
    return found, errors


def check_module_charts(status: bytes, charts: CheckedCharts, package: Subject) -> None:
    """Check that each module's chart is in the package with its name and version.

    Raises ProblemsError: `bad-package`, `bad-index` or `corrupt-chart`, with the package, the module and the file.
    """
    modules, _ = read_status(status, STATUS, package.budget)  # `read_files` reports the problems of status.yaml itself
    known: dict[str, tuple[str, str]] = {}
    for module, chart in modules.items():
        try:
            _check(chart, charts, known, package.budget)
        except InvalidError as bad:
            message = f"{package.name}: module {quoted(module)} {bad}"
            raise ProblemsError.of(bad.code, message, package.position, bad.hint) from None


def _check(chart: ChartRef, charts: CheckedCharts, known: dict[str, tuple[str, str]], budget: Budget) -> None:
    """Check one module's chart; `known` caches name and version by archive. Raises InvalidError."""
    label = f"{shown(chart.name)} {shown(chart.version)}"
    if not _CHART_NAME.fullmatch(chart.name):
        hint = "use up to 250 letters, digits, '.', '_' and '-'"
        raise InvalidError(f"has an invalid chart name in {STATUS}: {shown(chart.name)}", "bad-package", hint)
    if not is_version(chart.version):
        hint = "use a version such as 1.2.3"
        raise InvalidError(f"has an invalid chart version in {STATUS}: {label}", "bad-package", hint)
    archives = charts.archives.get((chart.name, chart.version))
    if not archives:
        offered = [" ".join(key) for key in charts.archives]
        near = nearest("index.yaml has '{}'; " + REBUILD, f"{chart.name} {chart.version}", offered)
        raise InvalidError(f"has the chart {label} in {STATUS}, which is not in index.yaml", "bad-index", near)
    for archive in archives:
        if archive not in known:
            known[archive] = _identity(archive, charts.chart_yamls[archive], budget)
        if known[archive] != (chart.name, chart.version):
            actual = " ".join(map(shown, known[archive]))
            what = f"has the chart {label} in {STATUS}, but {shown(archive)} contains {actual}"
            raise InvalidError(what, "corrupt-chart")


def _identity(archive: str, text: bytes, budget: Budget) -> tuple[str, str]:
    """Return name and version of a Chart.yaml, as Helm reads them. Raises InvalidError."""

    def bad(what: str) -> InvalidError:
        return InvalidError(f"has the chart archive {shown(archive)}, whose Chart.yaml {what}", "corrupt-chart")

    try:
        budget.spend("yaml-values", text.count(b"\n"))
        value = first_document(text.decode("utf-8-sig"), "Chart.yaml", exact_integers=True, budget=budget).value
    except UnicodeDecodeError:
        raise bad("is not valid UTF-8") from None
    except ProblemsError as error:
        if error.problem.code == "run-limit":
            raise
        raise bad(f"is not valid: {error.problem.message}") from None
    if not isinstance(value, dict):
        raise bad("is not a map")
    if (key := lookalike(value, ("name", "version"))) is not None:
        raise bad(f"has the field {shown(key)}, which Helm would read as another field")
    name, version = (as_text(value.get(key)) for key in ("name", "version"))
    if not isinstance(name, str) or not isinstance(version, str):
        raise bad("has no name and version")
    return name, version
