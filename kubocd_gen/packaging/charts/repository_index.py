"""Find one chart's versions in the index of a Helm repository, which can list ten thousand others."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from kubocd_gen.archives.chart import same_version
from kubocd_gen.kube_yaml.parser import too_deep

INDEX_LIMIT = 64 << 20  # bytes; the largest public indexes are about 25 MiB
_DEEPEST = 64
_TOO_DEEP = f"is nested more than {_DEEPEST} levels deep"
# With about 30 values per version, a chart can have more than 6,000 versions.
_MOST_VALUES = 200_000
# For a whole index, if the part about one chart can't be found by its indentation.
_MOST_IN_ALL = 5_000_000


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
    return [_entry(version) for version in versions if isinstance(version, dict)]


def chart_names(index: bytes) -> list[str]:
    """Return strings that look like chart names in a YAML index, for suggestions."""
    names = re.findall(rb"^  ([A-Za-z0-9_][A-Za-z0-9._-]*):[ \t]*\r?$", index, re.MULTILINE)
    return [name.decode() for name in names]


def find_version(entries: Sequence[Entry], version: str) -> Entry | None:
    """Return the entry of exactly this version or, like helm, of an equal one (`v1.2` for `1.2.0`); None if missing."""
    return next((one for one in entries if one.version == version), None) or next(
        (one for one in entries if same_version(one.version, version)), None
    )


def _entry(version: Mapping[str, Any]) -> Entry:
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
