"""The chart list: which charts the image has that `server/kustomization.yaml` pins.

The digest of an image does not tell which charts the image has: computing it again needs the base image. So
`kcd-gen image --push` writes this list next to the digest, and a build compares it with the Releases, offline:

    # Written by `kcd-gen image --push`: …
    image sha256:…
    list sha256:…
    apps/web sha256:… sha256:…

A Release has a line with the digest of its charts, and the digest of the image that was the first to have them: `-` for
the first image of a cluster. A merge can combine the lines of two images, which no image has. Therefore the list
contains the digest of the image that it belongs to, and its own digest; a list without them is not valid.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

SERVER = "server"  # the directory of the server's manifests in a cluster's output
CHART_LIST = f"{SERVER}/charts.list"  # relative to the output
LARGEST = 1 << 20  # bytes of a list; some 4,000 Releases

_HEAD = "# Written by `kcd-gen image --push`: the charts in the image that kustomization.yaml pins. Do not edit it.\n"
_DIGEST = r"sha256:[0-9a-f]{64}"
_TOP = re.compile(rf"(image|list) ({_DIGEST})")
_LINE = re.compile(rf"([a-z0-9][-a-z0-9.]*/[a-z0-9][-a-z0-9.]*) ({_DIGEST}) ({_DIGEST}|-)")


@dataclass(frozen=True, slots=True)
class Listed:
    """The digest of a Release's charts, and the first image that had them; None for the first image of a cluster."""

    charts: str
    since: str | None


@dataclass(frozen=True, slots=True)
class ChartList:
    """The charts of the image with the digest `image`, by `namespace/name` of the Release."""

    image: str
    releases: Mapping[str, Listed]

    def has(self, release: str, charts: str) -> bool:
        """Return whether the image has the charts with the digest `charts` for the Release."""
        listed = self.releases.get(release)
        return listed is not None and listed.charts == charts

    def since(self, release: str, charts: str) -> str | None:
        """Return the first image that had these charts, or None if it is not known or was the first of all."""
        return self.releases[release].since if self.has(release, charts) else None


def charts_digest(files: Mapping[str, str]) -> str:
    """Return the digest of a Release's charts, from the SHA-256 of its index and archives by their names."""
    lines = (f"{digest}  {name}\n" for name, digest in sorted(files.items()))
    return _digest("".join(lines))


def next_list(previous: ChartList | None, image: str, charts: Mapping[str, str], *, first: bool) -> ChartList:
    """Return the list of `image` with the digests `charts` of all Releases.

    A Release whose charts `previous` has keeps its first image. `first` is set if no image was deployed before.
    """
    since = None if first else image
    releases = {
        key: previous.releases[key] if previous and previous.has(key, digest) else Listed(digest, since)
        for key, digest in charts.items()
    }
    return ChartList(image, releases)


def chart_list_content(charts: ChartList) -> str:
    """Return the content of the file; the inverse of `parse_chart_list`."""
    lines = _lines(charts)
    return f"{_HEAD}image {charts.image}\nlist {_own_digest(charts.image, lines)}\n{lines}"


def parse_chart_list(data: bytes) -> ChartList | None:
    """Return the list in `data`, or None if it is not exactly one that kcd-gen has written.

    Line breaks can be CRLF, because Git can convert them.
    """
    top: dict[str, str] = {}
    releases: dict[str, Listed] = {}
    for line in data.decode(errors="replace").splitlines():
        if line.startswith("#"):
            continue
        if found := _TOP.fullmatch(line):
            if top.setdefault(found[1], found[2]) != found[2]:
                return None
        elif (found := _LINE.fullmatch(line)) and found[1] not in releases:
            releases[found[1]] = Listed(found[2], None if found[3] == "-" else found[3])
        else:
            return None
    charts = ChartList(top.get("image", ""), releases)
    return charts if top.get("list") == _own_digest(charts.image, _lines(charts)) else None


def _lines(charts: ChartList) -> str:
    listed = sorted(charts.releases.items())
    return "".join(f"{key} {one.charts} {one.since or '-'}\n" for key, one in listed)


def _own_digest(image: str, lines: str) -> str:
    return _digest(f"{image}\n{lines}")


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
