"""Check the charts in a package: the repository index must match them, and Helm must be able to load them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from kubocd_gen.budget.spending import Budget
from kubocd_gen.diagnostics.problems import ProblemsError, nearest, shown
from kubocd_gen.kube_yaml.parser import too_deep

if TYPE_CHECKING:
    from kubocd_gen.packages.archive import Subject

# helm writes about 5 levels and 30 values per chart. Deep nesting crashes libyaml's composer; many values cost memory.
_DEEPEST = 64
_MOST_VALUES = 100_000
_OFTEN = 100  # report the number of values to the budget after this many
_TOO_DEEP = f"index.yaml is nested more than {_DEEPEST} levels deep"

REBUILD = "rebuild the package with 'kubocd package'"


class InvalidError(Exception):
    """A defect of the index or of a chart, as the end of a sentence that begins with the package's name."""

    def __init__(self, what: str, code: str = "bad-index", hint: str | None = None) -> None:
        super().__init__(what)
        self.code = code
        self.hint = hint or REBUILD


@dataclass(frozen=True, slots=True)
class CheckedCharts:
    """The charts of a package: archives by chart name and version in `index.yaml`, and Chart.yaml by archive."""

    archives: Mapping[tuple[str, str], tuple[str, ...]]
    chart_yamls: Mapping[str, bytes]


def check_charts(files: Mapping[str, bytes], package: Subject) -> CheckedCharts:
    """Compare the chart archives in `files` with their `index.yaml`, and check that Helm can load them.

    Every archive in the index must exist and match the index's SHA-256, if there is one, because Flux checks it. An
    archive that is not in the index is accepted.

    Raises ProblemsError: `bad-index`, `corrupt-chart`, `package-limit`, and `run-limit` if the budget is exceeded.
    """
    charts = {name: data for name, data in files.items() if name.endswith(".tgz")}
    try:
        archives = _check(_load(files["index.yaml"], package.budget), charts)
    except InvalidError as bad:
        raise ProblemsError.of(bad.code, f"{package.name}: {bad}", package.position, bad.hint) from None
    return CheckedCharts(archives, check_chart_archives(charts, package))


def check_chart_archives(charts: Mapping[str, bytes], package: Subject) -> dict[str, bytes]:
    """Check that Helm can load each chart, and return the Chart.yaml by archive.

    Raises ProblemsError: `corrupt-chart`, `package-limit` or `run-limit`.
    """
    from kubocd_gen.archives.chart_archive import ChartBudget, check_chart_archive
    from kubocd_gen.archives.tar_stream import OverLimitError, archive_errors

    limits, left = package.limits, ChartBudget(package.limits, package.budget)
    hint = "Helm cannot load this chart; package it again with 'helm package'"
    found = {}
    for name, data in charts.items():
        what = f"{package.name}: chart {shown(name)}"
        with archive_errors(what, "corrupt-chart", limits, package.position, hint):
            if len(data) > limits.chart_archive:
                raise OverLimitError("is larger", "chart-archive", len(data))
            found[name] = check_chart_archive(data, left)
    return found


def lookalike(fields: Mapping[str, Any], known: tuple[str, ...]) -> str | None:
    """Return a key that is not in `known` but that Go's JSON decoder treats as one of these fields, or None.

    Go compares keys with Unicode case folding: U+017F, for example, equals `s`.
    """
    return next((key for key in fields if key not in known and str(key).casefold() in known), None)


def _check(index: Mapping[str, Any], charts: Mapping[str, bytes]) -> dict[tuple[str, str], tuple[str, ...]]:
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in charts.items()}
    known: dict[tuple[str, str], Mapping[str, Any]] = {}
    archives: dict[tuple[str, str], tuple[str, ...]] = {}
    for key, entry in _entries(index):
        chart = " ".join(shown(part) for part in key if part)
        first = known.setdefault(key, entry)
        if any(first.get(field) != entry.get(field) for field in ("urls", "digest")):
            raise InvalidError(f"index.yaml has two different entries for chart {chart}")
        if (name := _given(entry.get("name"))) not in (None, key[0]):
            raise InvalidError(f"index.yaml lists chart {shown(str(name))} under the name {shown(key[0])}")
        expected = _given(entry.get("digest"))
        for url in _urls(chart, entry):
            name = url.removeprefix("./")
            archives[key] = (*archives.get(key, ()), name)
            if "/" in name:
                raise InvalidError(
                    f"index.yaml has the URL {shown(url)} for chart {chart}, which is not in the package",
                    hint=f"{REBUILD}, which writes relative URLs",
                )
            if name not in digests:
                raise InvalidError(
                    f"index.yaml lists the chart archive {shown(name)}, which is not in the package",
                    "corrupt-chart",
                    hint=nearest("the package has '{}'; rebuild it with 'kubocd package'", name, digests),
                )
            if expected is not None and str(expected).removeprefix("sha256:").lower() != digests[name]:
                raise InvalidError(
                    f"chart '{name}' has the digest {digests[name]}, but index.yaml has {shown(str(expected))}",
                    "corrupt-chart",
                    hint="the package was modified after it was built, or its build failed; rebuild it",
                )
    return archives


def _load(text: bytes, budget: Budget | None = None) -> dict[str, Any]:
    try:
        _guard(text, budget or Budget())
        # CBaseLoader keeps scalars as strings, so a version such as 1.10 is not read as a number.
        index = yaml.load(text, Loader=yaml.CBaseLoader)  # noqa: S506 -- makes strings, lists and dicts, nothing else
    except yaml.MarkedYAMLError as error:
        if too_deep(error):
            raise InvalidError(_TOO_DEEP) from None
        where = f" on line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InvalidError(f"index.yaml is not valid YAML: {error.problem}{where}") from None
    except (yaml.YAMLError, UnicodeError):
        raise InvalidError("index.yaml is not valid YAML: it contains characters that are not allowed") from None
    if not isinstance(index, dict):
        raise InvalidError("index.yaml is not a Helm repository index")
    _refuse_lookalikes(index, ("entries",))
    return index


def _refuse_lookalikes(fields: Mapping[str, Any], known: tuple[str, ...]) -> None:
    if (key := lookalike(fields, known)) is not None:
        raise InvalidError(f"index.yaml has the field {shown(key)}, which Helm would read as another field")


def _guard(text: bytes, budget: Budget) -> None:
    """Check the YAML events of `text` before it is loaded; events need no memory.

    Raises InvalidError.
    """
    open_: list[set[str] | None] = []  # the keys of each enclosing map, None for a list
    is_key: list[bool] = []  # for each of them: whether the next node is a key
    events = yaml.parse(text, Loader=yaml.CBaseLoader)
    for count, event in enumerate(events):
        if count % _OFTEN == 0:
            budget.spend("yaml-values", _OFTEN)
        if count > _MOST_VALUES:
            raise InvalidError(f"index.yaml contains more than {_MOST_VALUES} values")
        if isinstance(event, yaml.AliasEvent):
            raise InvalidError("index.yaml uses a YAML alias, which is not supported")
        if isinstance(event, yaml.CollectionEndEvent):
            open_.pop()
            is_key.pop()
        if not isinstance(event, yaml.NodeEvent):
            continue
        if is_key:
            if isinstance(event, yaml.ScalarEvent) and is_key[-1] and (keys := open_[-1]) is not None:
                if event.value == "<<" and event.implicit[0]:
                    raise InvalidError("index.yaml uses a YAML merge key, which is not supported")
                if event.value in keys:
                    raise InvalidError(f"index.yaml has the duplicate key {shown(event.value)}, which Flux refuses")
                keys.add(event.value)
            is_key[-1] = open_[-1] is not None and not is_key[-1]
        if isinstance(event, yaml.CollectionStartEvent):
            open_.append(set() if isinstance(event, yaml.MappingStartEvent) else None)
            is_key.append(isinstance(event, yaml.MappingStartEvent))
        if len(open_) > _DEEPEST:
            raise InvalidError(_TOO_DEEP)


def _entries(index: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], Mapping[str, Any]]]:
    """Yield name and version, and the entry, of each version of each chart. Raises InvalidError."""
    charts = _given(index.get("entries")) or {}
    if not isinstance(charts, dict):
        raise InvalidError("index.yaml has no map of charts")
    for name, value in charts.items():
        if "/" in name or name in (".", ".."):
            raise InvalidError(f"index.yaml has the chart name {shown(name)}, which Helm ignores")
        versions = _given(value) or []
        if not isinstance(versions, list) or not all(isinstance(entry, dict) for entry in versions):
            raise InvalidError(f"index.yaml has no list of versions for chart {shown(name)}")
        for entry in versions:
            _refuse_lookalikes(entry, ("name", "version", "urls", "digest"))
            yield (name, str(_given(entry.get("version")) or "")), entry


def _urls(chart: str, entry: Mapping[str, Any]) -> list[str]:
    urls = _given(entry.get("urls")) or []
    if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls):
        raise InvalidError(f"index.yaml has URLs for chart {chart} that are not a list of strings")
    return urls


def _given(value: object) -> object:
    """Return `value`, or None if it is a YAML null, which CBaseLoader returns as a string."""
    return None if value in ("", "~", "null") else value


@dataclass(frozen=True, slots=True, order=True)
class IndexedChart:
    """A chart in `index.yaml`; `sha256` is the hexadecimal digest of the archive."""

    name: str
    version: str
    sha256: str


def indexed_charts(files: Mapping[str, bytes]) -> tuple[IndexedChart, ...]:
    """Return the charts in the index of `files`, sorted, without those that have no version: Helm ignores them.

    The files must have passed `check_charts`.
    """
    found = set()
    for (name, version), entry in _entries(_load(files["index.yaml"])):
        for url in _urls(name, entry) if version else ():
            digest = hashlib.sha256(files[url.removeprefix("./")]).hexdigest()
            found.add(IndexedChart(name, version, digest))
    return tuple(sorted(found))


def chart_files(files: Mapping[str, bytes]) -> dict[tuple[str, str], str]:
    """Return the file that Flux downloads for each chart in the index of `files`, by the chart's name and version.

    The files must have passed `check_charts`.
    """
    found: dict[tuple[str, str], str] = {}
    for key, entry in _entries(_load(files["index.yaml"])):
        for url in _urls(key[0], entry)[:1]:
            found.setdefault(key, url.removeprefix("./"))
    return found


@dataclass(frozen=True, slots=True)
class OfferedChart:
    """A chart version as listed in an `index.yaml`, unverified; "" for missing fields."""

    name: str
    version: str
    app_version: str
    description: str
    created: str
    url: str


def offered_charts(text: bytes) -> tuple[OfferedChart, ...]:
    """Return the chart versions in an index, in its order. Raises ProblemsError `bad-index` if it is not valid."""
    try:
        return tuple(
            OfferedChart(
                name,
                version,
                _text(entry, "appVersion"),
                _text(entry, "description"),
                _text(entry, "created"),
                next(iter(_urls(shown(name), entry)), ""),
            )
            for (name, version), entry in _entries(_load(text))
        )
    except InvalidError as bad:
        raise ProblemsError.of(bad.code, str(bad)) from None


def _text(entry: Mapping[str, Any], key: str) -> str:
    value = _given(entry.get(key))
    return value if isinstance(value, str) else ""
