"""Charts from Helm repositories: fetch `index.yaml`, once per repository, then the chart archive."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from urllib.parse import urljoin, urlsplit, urlunsplit

from kubocd_gen.archives.chart import Chart, is_version, read_chart, same_version
from kubocd_gen.budget.limits import LIMITS, Limits, over_limit
from kubocd_gen.diagnostics.problems import ProblemsError, nearest, shown
from kubocd_gen.network.exchange import AnswerTooLargeError
from kubocd_gen.packaging.charts.downloads import Downloads
from kubocd_gen.packaging.charts.repository_index import (
    INDEX_LIMIT,
    BadIndexError,
    Entry,
    chart_entries,
    chart_names,
    find_version,
)
from kubocd_gen.packaging.charts.sources import HelmRepositoryChart
from kubocd_gen.processes.single_flight import SingleFlight

FetchFromRegistry = Callable[[str], Chart]
"""Fetch the chart at `registry/repository:tag`; some indexes list archives by `oci://` URL."""


class HelmRepositories:
    """The Helm repositories of a run; each index is downloaded once."""

    def __init__(self, downloads: Downloads, from_registry: FetchFromRegistry, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._downloads = downloads
        self._from_registry = from_registry
        self._indexes: SingleFlight[str, bytes] = SingleFlight(keep=True)

    def fetch(self, source: HelmRepositoryChart) -> Chart:
        """Fetch the chart; its archive is not changed.

        Raises ProblemsError: `missing-chart`, `bad-index`, `bad-chart`, `corrupt-chart`, and network errors.
        """
        what = f"the index of {source.url}"
        index_url = resolve_url(source.url, "index.yaml")
        index = self._indexes.get(source.url, lambda: self._downloads.get(index_url, what=what, limit=INDEX_LIMIT))
        entry = _entry(index, source)
        url = resolve_url(source.url, entry.urls[0])
        describe = f"chart {source.chart} {source.version} of {source.url}"
        if url.startswith("oci://"):
            chart = self._from_registry(url.removeprefix("oci://"))
        else:
            _check_scheme(url, describe)
            most = self._limits.chart_archive
            try:
                archive = self._downloads.get(url, what=describe, limit=most)
            except AnswerTooLargeError:
                raise ProblemsError(over_limit(f"{describe} is larger", "chart-archive", most)) from None
            actual = hashlib.sha256(archive).hexdigest()
            if entry.digest is not None and entry.digest != actual:
                raise ProblemsError.of(
                    "corrupt-chart",
                    f"{describe} has the digest {actual}, but the repository's index has {entry.digest}",
                    hint="report this to the maintainers of the repository",
                )
            chart = read_chart(archive, describe=describe, limits=self._limits)
        if chart.name != source.chart or not same_version(chart.version, source.version):
            message = f"{describe} contains another chart: {shown(chart.label)}"
            raise ProblemsError.of("bad-chart", message)
        return chart


def resolve_url(repository: str, url: str) -> str:
    """Resolve an archive's URL in an index; a relative one inherits the query of the repository, such as a token."""
    base = urlsplit(repository)
    joined = urlsplit(urljoin(urlunsplit(base._replace(path=f"{base.path.rstrip('/')}/", query="")), url))
    if not urlsplit(url).scheme and not joined.query:
        joined = joined._replace(query=base.query)
    return urlunsplit(joined)


def _check_scheme(url: str, describe: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname or not url.isprintable() or "@" in parts.netloc:
        message = f"the index has an invalid URL for {describe}: {shown(url)}"
        raise ProblemsError.of("bad-index", message)


def _entry(index: bytes, source: HelmRepositoryChart) -> Entry:
    try:
        entries = chart_entries(index, source.chart)
    except BadIndexError as error:
        raise ProblemsError.of("bad-index", f"the index of {source.url} {error}") from None
    if not entries:
        raise ProblemsError.of(
            "missing-chart",
            f"the repository {source.url} has no chart {shown(source.chart)}",
            hint=nearest("did you mean '{}'?", source.chart, chart_names(index)),
        )
    entry = find_version(entries, source.version)
    if entry is None:
        versions = [one.version for one in entries if is_version(one.version)]
        close = nearest("did you mean '{}'?", source.version, versions)
        raise ProblemsError.of(
            "missing-chart",
            f"the repository {source.url} has no version {shown(source.version)} of chart {shown(source.chart)}",
            hint=close or (f"the first version in its index is {versions[0]}" if versions else None),
        )
    if not entry.urls:
        message = f"the index of {source.url} has no URL for chart {source.chart} {source.version}"
        raise ProblemsError.of("bad-index", message)
    return entry
