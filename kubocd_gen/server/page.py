"""Render the page at `/`, the catalog of an output, as self-contained HTML without scripts or external resources."""

from __future__ import annotations

import base64
import functools
import hashlib
import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kubocd_gen import __version__
from kubocd_gen.diagnostics.problems import Problem, printable
from kubocd_gen.diagnostics.text import problem_lines
from kubocd_gen.package_data import html_templates
from kubocd_gen.server.catalog import Catalog, Chart, Release

if TYPE_CHECKING:
    import jinja2

_MOST_PROBLEMS = 50


@dataclass(frozen=True, slots=True)
class LastBuild:
    """The result of the last `serve --watch` build; `at` is in seconds since 1970. With errors, nothing was written."""

    at: float
    summary: str
    errors: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """A page, and the Content-Security-Policy that allows its inline style and nothing else."""

    html: str
    policy: str


def page(catalog: Catalog, *, name: str, host: str, query: str = "", built: LastBuild | None = None) -> Page:
    """Return the page about the output `name`; `host` is the server's host for URLs, `query` filters Releases."""
    query = query.strip()[:100]
    found = [one for one in catalog.releases if query.casefold() in _words(one)] if query else catalog.releases
    problems = list(_grouped(problem_lines(built.errors))) if built else []
    total = len(catalog.releases)
    html = _template().render(
        name=printable(name),
        version=__version__,
        counted=_counted(catalog),
        modified=_time(catalog.modified) if catalog.modified else None,
        built=_built(built) if built else None,
        problems=problems[:_MOST_PROBLEMS],
        more_problems=max(0, len(problems) - _MOST_PROBLEMS),
        query=printable(query),
        found=len(found),
        total=total,
        empty="" if total else printable(catalog.problem or "No Releases"),
        namespaces=[
            {"name": printable(namespace), "releases": [_release(one, host) for one in releases]}
            for namespace, releases in groupby(found, lambda one: one.namespace)
        ],
    )
    style = html.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; form-action 'self'"
    return Page(html, f"{policy}; base-uri 'none'; frame-ancestors 'none'")


@functools.cache
def _template() -> jinja2.Template:
    return html_templates().get_template("serve.html.j2")


def _counted(catalog: Catalog) -> str:
    releases, charts = len(catalog.releases), sum(len(one.charts) + one.more for one in catalog.releases)
    namespaces = len({one.namespace for one in catalog.releases})
    several = f" in {namespaces} namespaces" if namespaces > 1 else ""
    return f"{_number(releases, 'Release')}{several}, {_number(charts, 'chart')}"


def _number(count: int, name: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def _words(release: Release) -> str:
    charts = (f"{one.name} {one.version}" for one in release.charts)
    return " ".join((f"{release.namespace}/{release.name}", release.package, *charts)).casefold()


def _release(release: Release, host: str) -> dict[str, Any]:
    path = f"/hr/{quote(release.namespace)}/{quote(release.name)}"
    add = shlex.join(["helm", "repo", "add", f"{release.namespace}-{release.name}", f"http://{host}{path}"])
    return {
        "name": printable(release.name),
        "package": release.package,
        "problem": printable(release.problem),
        "index": f"{path}/index.yaml" if release.has_index else "",
        "add": printable(add) if release.has_index and not release.problem else "",
        "charts": [_chart(one, path) for one in release.charts],
        "more": release.more,
    }


def _chart(chart: Chart, path: str) -> dict[str, Any]:
    return {
        "name": chart.name,
        "version": chart.version,
        "app_version": chart.app_version,
        "description": chart.description,
        "created": chart.created,
        "problem": chart.problem,
        "file": chart.file,
        "href": f"{path}/{quote(chart.file, safe='+')}",
        "size": _size(chart.size),
    }


def _size(size: int) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size} {unit}"
        size = round(size / 1024)
    return f"{size} GiB"


def _time(seconds: float) -> dict[str, str]:
    moment = time.gmtime(seconds)
    return {
        "iso": time.strftime("%Y-%m-%dT%H:%M:%SZ", moment),
        "text": time.strftime("%Y-%m-%d %H:%M UTC", moment),
    }


def _built(built: LastBuild) -> dict[str, Any]:
    result = "Build failed at" if built.errors else "Built at"
    return {"result": result, "at": _time(built.at), "summary": printable(built.summary)}


def _grouped(lines: Iterator[str]) -> Iterator[Sequence[str]]:
    """Yield the lines of each problem: the first one and the indented ones after it."""
    group: list[str] = []
    for line in lines:
        if group and not line.startswith(" "):
            yield group
            group = []
        group.append(line)
    if group:
        yield group
