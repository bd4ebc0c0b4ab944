"""The summary of a Release as values of a state."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from kubocd_gen.model.compilation import ChartFile, PackageOrigin, Summary
from kubocd_gen.state.store import Json


def stored_summary(summary: Summary) -> list[Json]:
    """Return a summary without what its entry has anyway. What many Releases share is a text, and read once."""
    return [
        [summary.namespace, summary.name, summary.protected, summary.deploys],
        [*summary.roles],
        [*summary.dependencies],
        [summary.package, summary.image, summary.description],
        dict(summary.usage),
        "\n".join(summary.contexts),
        [" ".join(one) for one in summary.resources],
        "\n".join(f"{file.sha256} {file.size} {name}" for name, file in summary.charts.items()),
    ]


def summary_of(entry: Json, origin: PackageOrigin | None) -> Summary:
    """Return the summary of a Release from its entry, with the origin of the package in this run."""
    head, roles, dependencies, texts, usage, contexts, resources, charts = entry["summary"]
    namespace, name, protected, deploys = head
    package, image, description = texts
    created = [one.split(" ", 2) for one in resources]
    return Summary(
        namespace,
        name,
        False,
        protected,
        deploys,
        tuple(roles),
        tuple(dependencies),
        package,
        image,
        entry["digest"],
        origin,
        description,
        usage,
        _lines(contexts),
        tuple([(kind, where, name) for kind, where, name in created]),
        _charts(charts),
    )


@lru_cache(maxsize=1024)
def _lines(text: str) -> tuple[str, ...]:
    return tuple(text.split("\n")) if text else ()


@lru_cache(maxsize=1024)
def _charts(text: str) -> Mapping[str, ChartFile]:
    lines = (line.split(" ", 2) for line in _lines(text))
    return {name: ChartFile(sha256, int(size)) for sha256, size, name in lines}
