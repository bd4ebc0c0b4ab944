"""Check that Helm can load a chart archive of a package.

The archive is served byte for byte, so nothing is changed here. It is read the way Helm's loader (`LoadArchiveFiles`,
3.17.3) reads it: a chart that Helm refuses then fails in a pull request and not in the cluster.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Generator
from functools import partial

from kubocd_gen.archives.tar_stream import (
    BLOCK,
    DIRECTORY,
    EXTENDED,
    EXTENDED_FOR_ALL,
    HEADER_ONLY,
    LONG_LINK,
    LONG_NAME,
    SPARSE,
    BadArchiveError,
    OverLimitError,
    Spend,
    Stream,
)
from kubocd_gen.budget.limits import Limits
from kubocd_gen.budget.spending import Budget
from kubocd_gen.diagnostics.problems import shown

# Helm loads these as subcharts; it ignores names that start with '_' or '.'.
_SUBCHART = re.compile(r"(?:charts/[^/_.][^/]*/)*charts/[^/_.][^/]*\.tgz")
# Helm would use this size instead of the header's, and expand a sparse file.
_REFUSED = re.compile(r"(?s)size|GNU\.sparse\..*")
_DRIVE = re.compile(r"[A-Za-z]:/")
_DEEPEST = 16  # levels of subcharts; an archive can contain itself, and Helm would unpack it forever


class ChartBudget:
    """What is left of the limits for all charts of a package together; unpacked bytes also count for the run."""

    def __init__(self, limits: Limits, run: Budget) -> None:
        self.limits = limits
        self.unpacked = limits.unpacked
        self.members = limits.chart_members
        self.spend: Spend = partial(run.spend, "unpacked-total")

    def take(self, size: int) -> None:
        """Count `size` unpacked bytes. Raises OverLimitError."""
        self.unpacked -= size
        if self.unpacked < 0:
            raise OverLimitError("unpacks to more", "unpacked")


def check_chart_archive(data: bytes, budget: ChartBudget) -> bytes:
    """Check that Helm can load the chart and its subcharts, and return its Chart.yaml.

    Subcharts are checked depth first, so only one branch of them is in memory at a time. Raises OverLimitError if the
    chart exceeds `budget`, and BadArchiveError for anything else that Helm refuses and for sparse files,
    which charts do not contain.
    """
    open_ = [(_check(data, budget), "")]
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
            raise BadArchiveError(f"nests subcharts more than {_DEEPEST} levels deep")
        open_.append((_check(inner, budget), f"contains {shown(path)}, which "))


def _check(data: bytes, budget: ChartBudget) -> Generator[tuple[str, bytes], None, bytes]:
    """Yield the archive's subcharts with their paths; return its Chart.yaml."""
    limits = budget.limits
    most, name = min((limits.chart, "chart"), (budget.unpacked, "unpacked"))
    stream = Stream(data, most, name, limits.gzip_members, budget.spend)
    counted = 0
    chart_yaml: bytes | None = None
    long_name: str | None = None
    for header in stream.headers():
        budget.members -= 1
        if budget.members < 0:
            raise OverLimitError("makes the number of members in all charts of the package larger", "chart-members")
        if header.kind in (EXTENDED, EXTENDED_FOR_ALL, LONG_NAME, LONG_LINK):
            long_name = stream.long_name(header, limits.extended_header, _REFUSED, "a chart") or long_name
            continue
        full, long_name = long_name or header.name, None
        if header.kind == SPARSE:
            raise BadArchiveError(f"contains {shown(full)}, which is a sparse file")
        size = 0 if header.kind in HEADER_ONLY else header.size
        if size > limits.chart_file:
            raise OverLimitError(f"contains {shown(full)}, which is larger", "chart-file", size)
        content = stream.content(header, shown(full)) if size else b""
        if header.kind == DIRECTORY or (header.kind == b"\0" and full.endswith("/")):
            continue
        path = _path(full)
        if path == "Chart.yaml":
            if chart_yaml is not None:  # Helm would merge the fields of the two
                raise BadArchiveError("contains Chart.yaml twice")
            chart_yaml = content
        if _SUBCHART.fullmatch(path):
            budget.take(stream.unpacked - counted)
            counted = stream.unpacked
            yield path, content
    if any(stream.read(BLOCK, "its end-of-archive marker")):
        raise BadArchiveError("has data after the end of the archive")
    if chart_yaml is None:
        raise BadArchiveError("has no Chart.yaml in its top directory")
    budget.take(stream.unpacked - counted)
    return chart_yaml


def _path(full: str) -> str:
    """Return the path below the chart's directory, as Helm reads it. Raises BadArchiveError if Helm refuses it."""
    delimiter = "\\" if "\\" in full else "/"
    top, _, below = full.partition(delimiter)
    below = below.replace(delimiter, "/")
    path = posixpath.normpath(below)
    if top == "Chart.yaml":
        raise BadArchiveError("has its Chart.yaml at the root, not in a directory")
    if path == "." or below.startswith("/") or path.startswith("..") or _DRIVE.match(path):
        raise BadArchiveError(f"contains {shown(full)}, which is not in the chart's directory")
    return path
