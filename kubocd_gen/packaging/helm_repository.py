"""Charts from Helm repositories: fetch `index.yaml`, once per repository, then the chart archive."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

import yaml

from kubocd_gen.archives.chart import Chart, is_version, read_chart, same_version
from kubocd_gen.budget.limits import Limits, over_limit
from kubocd_gen.budget.spending import Budget
from kubocd_gen.diagnostics.problems import ProblemsError, nearest, shown
from kubocd_gen.kube_yaml.parser import too_deep
from kubocd_gen.network.exchange import AnswerTooLargeError
from kubocd_gen.network.settings import NetworkError
from kubocd_gen.network.transport import Transport
from kubocd_gen.oci.credentials import plain_http_advice, variable
from kubocd_gen.packaging.manifest_file import HelmRepositoryChart
from kubocd_gen.processes.single_flight import SingleFlight

FetchFromRegistry = Callable[[str], Chart]
"""Fetch the chart at `registry/repository:tag`; some indexes list archives by `oci://` URL."""
Credentials = Callable[[SplitResult], tuple[str, str] | None]
"""Return user and secret for a URL with the scheme http, https or oci, or None."""
"""Return user and password for a host (`charts.example.com`, with the port of the URL), or None."""
_INDEX_LIMIT = 64 << 20  # bytes; the largest public indexes are about 25 MiB
_DEEPEST = 64
_TOO_DEEP = f"is nested more than {_DEEPEST} levels deep"
# With about 30 values per version, a chart can have more than 6,000 versions.
_MOST_VALUES = 200_000
# For a whole index, if the part about one chart can't be found by its indentation.
_MOST_IN_ALL = 5_000_000


class HelmRepositories:
    """The Helm repositories of a run; each index is downloaded once."""

    def __init__(
        self,
        transport: Transport,
        credentials: Credentials,
        from_registry: FetchFromRegistry,
        limits: Limits,
        budget: Budget,
    ) -> None:
        self._transport = transport
        self._credentials = credentials
        self._from_registry = from_registry
        self._limits = limits
        self._budget = budget
        self._indexes: SingleFlight[str, bytes] = SingleFlight(keep=True)

    def fetch(self, source: HelmRepositoryChart) -> Chart:
        """Fetch the chart; its archive is not changed.

        Raises ProblemsError: `missing-chart`, `bad-index`, `bad-chart`, `corrupt-chart`, and network errors.
        """
        what = f"the index of {source.url}"
        index_url = resolve_url(source.url, "index.yaml")
        index = self._indexes.get(source.url, lambda: self._download(index_url, what, _INDEX_LIMIT))
        entry = _entry(index, source)
        url = entry.urls[0]
        describe = f"chart {source.chart} {source.version} of {source.url}"
        try:
            url = resolve_url(source.url, url)
            is_valid = url.startswith("oci://") or _is_download(url)
        except ValueError:  # such as an IPv6 address without its bracket
            is_valid = False
        if not is_valid:
            raise ProblemsError.of("bad-index", f"the index has an invalid URL for {describe}: {shown(url)}")
        if url.startswith("oci://"):
            chart = self._from_registry(url.removeprefix("oci://"))
        else:
            most = self._limits.chart_archive
            try:
                archive = self._download(url, describe, most)
            except AnswerTooLargeError:
                raise ProblemsError(over_limit(f"{describe} is larger", "chart-archive", most)) from None
            actual = hashlib.sha256(archive).hexdigest()
            if entry.digest is not None and entry.digest != actual:
                raise ProblemsError.of(
                    "corrupt-chart",
                    f"{describe} has the digest {actual}, but the repository's index has {entry.digest}",
                    hint="report this to the maintainers of the repository",
                )
            chart = read_chart(archive, describe=describe, limits=self._limits, budget=self._budget)
        if chart.name != source.chart or not same_version(chart.version, source.version):
            message = f"{describe} contains another chart: {shown(chart.label)}"
            raise ProblemsError.of("bad-chart", message)
        return chart

    def _download(self, url: str, what: str, limit: int) -> bytes:
        """Download the file at `url`; messages call it `what`. Credentials are sent only if the server requires them.

        Raises ProblemsError: `missing-chart` if there is no such file, `registry-denied`, `registry-failed`, and what
        the transport raises.
        """
        parts = urlsplit(url)
        host = parts.netloc
        answer = self._transport.request("GET", url, limit=limit, large=True)
        refused = answer.status in (401, 403)
        reason = ""
        hint = f"set {variable(host)}_USER and {variable(host)}_SECRET, or log in with 'docker login'"
        if refused and not self._transport.may_send_credentials(url):
            reason = "; credentials are not sent over plain HTTP"
            hint = plain_http_advice(host)
        elif refused and (credentials := self._credentials(parts)):
            plain = ":".join(credentials).encode()
            headers = {"Authorization": f"Basic {base64.b64encode(plain).decode()}"}
            answer = self._transport.request("GET", url, headers=headers, limit=limit, large=True)
            hint = "check the credentials for this host; the server does not accept them for this file"
        if answer.status == 200:
            return answer.body
        message = f"cannot download {what}: {shown(url)} returned {answer.status}"
        if answer.reason.text:
            message += f": {answer.reason}"
        if answer.status in (401, 403):
            raise NetworkError(f"{message}{reason}", code="registry-denied", hint=hint)
        if answer.status in (404, 410):
            raise ProblemsError.of("missing-chart", message, hint="check the URL")
        raise NetworkError(message, code="registry-failed")


def resolve_url(repository: str, url: str) -> str:
    """Resolve an archive's URL in an index; a relative one inherits the query of the repository, such as a token."""
    base = urlsplit(repository)
    joined = urlsplit(urljoin(urlunsplit(base._replace(path=f"{base.path.rstrip('/')}/", query="")), url))
    if not urlsplit(url).scheme and not joined.query:
        joined = joined._replace(query=base.query)
    return urlunsplit(joined)


def _is_download(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("https", "http") and bool(parts.hostname) and url.isprintable() and "@" not in parts.netloc


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


class BadIndexError(Exception):
    """A defect of an index, as the end of a sentence that begins with its URL."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A version of a chart in an index."""

    version: str
    urls: tuple[str, ...]
    digest: str | None  # SHA-256 in hexadecimal


def chart_entries(index: bytes, chart: str) -> Sequence[Entry] | None:
    """Return the versions of `chart` in the order of `index` (YAML or JSON), or None if the chart is not in it.

    Raises BadIndexError.
    """
    versions = _versions(index, chart)
    if versions is None:
        return None
    if not isinstance(versions, list):
        raise BadIndexError(f"has no list of versions for '{chart}'")
    return [_read_entry(version) for version in versions if isinstance(version, dict)]


def chart_names(index: bytes) -> list[str]:
    """Return strings that look like chart names in a YAML index, for suggestions."""
    names = re.findall(rb"^  ([A-Za-z0-9_][A-Za-z0-9._-]*):[ \t]*\r?$", index, re.MULTILINE)
    return [name.decode() for name in names]


def find_version(entries: Sequence[Entry], version: str) -> Entry | None:
    """Return the entry of exactly this version or, like helm, of an equal one (`v1.2` for `1.2.0`); None if missing."""
    return next((one for one in entries if one.version == version), None) or next(
        (one for one in entries if same_version(one.version, version)), None
    )


def _read_entry(version: Mapping[str, Any]) -> Entry:
    urls = version.get("urls")
    digest = str(version.get("digest") or "").removeprefix("sha256:").lower()
    return Entry(
        version=str(version.get("version") or ""),
        urls=tuple(str(url) for url in urls) if isinstance(urls, list) else (),
        digest=digest if re.fullmatch(r"[0-9a-f]{64}", digest) else None,
    )


def _versions(index: bytes, chart: str) -> Any:
    if index.lstrip()[:1] == b"{":
        try:
            return _listed(json.loads(index), chart)
        except (ValueError, RecursionError) as error:
            raise BadIndexError(f"is not valid JSON: {error}") from None
    part = _part(index, chart)
    if part is not None:
        try:
            return _load(part, _MOST_VALUES)[chart]
        except (BadIndexError, KeyError):
            pass  # not formatted as expected: read the whole index
    elif re.search(rb"^entries:[ \t]*\r?\n  [^\s#-]", index, re.MULTILINE) and chart.encode() not in index:
        return None  # formatted by helm, and without the chart
    return _listed(_load(index, _MOST_IN_ALL), chart)


def _listed(index: Any, chart: str) -> Any:
    entries = index.get("entries") if isinstance(index, dict) else None
    if not isinstance(entries, dict):
        raise BadIndexError("is not a Helm repository index")
    return entries.get(chart)


def _part(index: bytes, chart: str) -> bytes | None:
    """Return the lines about one chart if the index is formatted by helm: its name is indented by two spaces."""
    entries = re.search(rb"^entries:[ \t]*\r?$", index, re.MULTILINE)
    if entries is None:
        return None
    quoted = re.escape(chart.encode())
    start = re.compile(rb"^  (?:" + quoted + rb"|\"" + quoted + rb"\"|'" + quoted + rb"'):[ \t]*\r?$", re.MULTILINE)
    found = start.search(index, entries.end())
    if found is None:
        return None
    end = re.compile(rb"^(?:  )?[^\s#-]", re.MULTILINE).search(index, found.end())
    return index[found.start() : end.start() if end else len(index)]


def _load(text: bytes, most: int) -> dict[str, Any]:
    """Return the map in `text`, with all scalars as strings. Raises BadIndexError."""
    depth = 0
    try:
        for count, event in enumerate(yaml.parse(text, Loader=yaml.CBaseLoader)):
            if count > most:
                raise BadIndexError(f"contains more than {most} values")
            if isinstance(event, yaml.AliasEvent):
                raise BadIndexError("uses a YAML alias, which is not supported")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                raise BadIndexError(_TOO_DEEP)
        loaded = yaml.load(text, Loader=yaml.CBaseLoader)  # noqa: S506 -- strings, lists and dicts, nothing else
    except yaml.MarkedYAMLError as error:
        if too_deep(error):
            raise BadIndexError(_TOO_DEEP) from None
        where = f" on line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise BadIndexError(f"is not valid YAML: {error.problem}{where}") from None
    except (yaml.YAMLError, UnicodeError, TypeError):  # TypeError: a list as a key
        raise BadIndexError("is not valid YAML") from None
    if not isinstance(loaded, dict):
        raise BadIndexError("is not a Helm repository index")
    return loaded
