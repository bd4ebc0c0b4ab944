"""A chart archive inside a package: will Helm, in the cluster, load it?

The archive is served byte for byte as it is, and nothing of it is kept here. It is read as Helm's loader
(`LoadArchiveFiles`, 3.17.3) reads it, so that what that refuses fails in a pull request and not in the cluster.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial

from kubocd_gen.archives.tar_stream import (
    BLOCK,
    EXTENDED,
    EXTENDED_FOR_ALL,
    FOLDER,
    HEADER_ONLY,
    LONG_LINK,
    LONG_NAME,
    SPARSE,
    BadArchiveError,
    Header,
    OverLimitError,
    Spend,
    Stream,
    records,
)
from kubocd_gen.budget.limits import Limits
from kubocd_gen.budget.spending import Budget as RunBudget
from kubocd_gen.diagnostics.quoting import shown

# Helm loads these as charts of their own; a name that starts with '_' or '.' it passes over.
_SUBCHART = re.compile(r"(?:charts/[^/_.][^/]*/)*charts/[^/_.][^/]*\.tgz")
_DRIVE = re.compile(r"[A-Za-z]:/")
_DEEPEST = 16  # charts in charts; an archive can hold itself, and Helm would unpack it for ever


@dataclass(slots=True)
class Budget:
    """What the charts of a package can still cost together; each that is read takes from it, and from the run."""

    unpacked: int
    members: int
    spend: Spend

    @classmethod
    def of(cls, limits: Limits, run: RunBudget | None = None) -> Budget:
        """That of a package of which nothing has been read."""
        return cls(limits.unpacked, limits.chart_members, partial((run or RunBudget(limits)).spend, "unpacked-total"))

    def take(self, size: int) -> None:
        """Count `size` unpacked bytes. Raises OverLimitError."""
        self.unpacked -= size
        if self.unpacked < 0:
            raise OverLimitError("unpacks to more", "unpacked")


def check_chart_archive(data: bytes, limits: Limits, budget: Budget) -> bytes:
    """See that Helm will load the chart, and the charts in it; return its Chart.yaml.

    A chart in it is checked when it is met: one way through the charts is held in memory, not all of them. Raises
    OverLimitError beyond `limits` or `budget`; BadArchiveError for all else that Helm refuses, and for sparse files,
    which no chart holds.
    """
    open_ = [(_check(data, limits, budget), "")]
    while True:
        chart, within = open_[-1]
        try:
            path, inner = next(chart)
        except StopIteration as end:
            open_.pop()
            if not open_:
                chart_yaml: bytes = end.value
                return chart_yaml
            continue
        except OverLimitError as over:
            raise OverLimitError(f"{within}{over}", over.name, over.needed) from None
        except BadArchiveError as bad:
            raise BadArchiveError(f"{within}{bad}") from None
        if len(open_) > _DEEPEST:
            raise BadArchiveError(f"holds charts in charts, more than {_DEEPEST} deep")
        open_.append((_check(inner, limits, budget), f"holds {shown(path)}, which "))


def _check(data: bytes, limits: Limits, budget: Budget) -> Generator[tuple[str, bytes], None, bytes]:
    """Yield the archives in the archive that Helm takes for charts, with their paths; return its Chart.yaml."""
    most, name = min((limits.chart, "chart"), (budget.unpacked, "unpacked"))
    stream = Stream(data, most, name, limits.gzip_members, budget.spend)
    counted = 0
    chart_yaml: bytes | None = None
    long_name: str | None = None
    for header in stream.headers():
        budget.members -= 1
        if budget.members < 0:
            raise OverLimitError("brings the members of the package's charts to more", "chart-members")
        if header.kind in (EXTENDED, EXTENDED_FOR_ALL, LONG_NAME, LONG_LINK):
            long_name = _long_name(stream, header, limits) or long_name
            continue
        full, long_name = long_name or header.name, None
        if header.kind == SPARSE:
            raise BadArchiveError(f"holds {shown(full)}, which is a sparse file")
        size = 0 if header.kind in HEADER_ONLY else header.size
        if size > limits.chart_file:
            raise OverLimitError(f"holds {shown(full)}, which is larger", "chart-file", size)
        content = stream.content(header, shown(full)) if size else b""
        if header.kind == FOLDER or (header.kind == b"\0" and full.endswith("/")):
            continue
        path = _path(full)
        if path == "Chart.yaml":
            if chart_yaml is not None:  # of two Helm takes the last, field by field
                raise BadArchiveError("holds Chart.yaml twice")
            chart_yaml = content
        if _SUBCHART.fullmatch(path):
            budget.take(stream.unpacked - counted)
            counted = stream.unpacked
            yield path, content
    if any(stream.read(BLOCK, "its end mark")):
        raise BadArchiveError("goes on after its end")
    if chart_yaml is None:
        raise BadArchiveError("has no Chart.yaml in its folder")
    budget.take(stream.unpacked - counted)
    return chart_yaml


def _path(full: str) -> str:
    """The name below the chart's folder, as Helm reads it. Raises BadArchiveError where Helm refuses it."""
    delimiter = "\\" if "\\" in full else "/"
    top, _, below = full.partition(delimiter)
    below = below.replace(delimiter, "/")
    path = posixpath.normpath(below)
    if top == "Chart.yaml":
        raise BadArchiveError("has its Chart.yaml outside of a folder")
    if path == "." or below.startswith("/") or path.startswith("..") or _DRIVE.match(path):
        raise BadArchiveError(f"holds {shown(full)}, which is not in the chart's folder")
    return path


def _long_name(stream: Stream, header: Header, limits: Limits) -> str | None:
    """The next member's name, where an extended header or GNU's long name gives it."""
    if header.size > limits.extended_header:
        raise OverLimitError("has an extended header that is larger", "extended-header", header.size)
    block = stream.content(header, "an extended header")
    if header.kind == LONG_NAME:
        return block.partition(b"\0")[0].decode("utf-8", "surrogateescape")
    if header.kind == LONG_LINK:
        return None
    name = None
    for key, value in records(block):
        if header.kind == EXTENDED and key == "path":
            name = value
        # Helm's reader would go by a size of its own, and take a sparse file for what it is when it is filled up.
        elif key == "size" or key.startswith("GNU.sparse."):
            raise BadArchiveError(f"has an extended header with {shown(key)}, which a chart has no use for")
    return name
