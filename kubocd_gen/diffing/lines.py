"""Convert a comparison to the lines that all output formats share."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kubocd_gen.compiler.secret_shapes import MASK
from kubocd_gen.compiler.value_changes import ABSENT, Change, KeyPath, leaves, path_text
from kubocd_gen.diagnostics.problems import printable
from kubocd_gen.diffing.records import Comparison, ReleaseDifference, ResourceDifference, Status
from kubocd_gen.diffing.shared_changes import Repeat, repeats
from kubocd_gen.kube_yaml.emitter import number, string

_WIDTH = 160  # characters of a value that are shown
_BEFORE = 40  # of these, shown before the first difference
_LINES = 2_000  # longer strings are not compared line by line

# Fields that the lines of the Release already show: the tag of its package, and the charts of its HelmReleases.
_SHOWN_BY_RELEASE = {
    ("spec", "ref", "tag"),
    ("spec", "ref", "digest"),
    ("spec", "chart", "spec", "chart"),
    ("spec", "chart", "spec", "version"),
}
_HEAD = (("apiVersion",), ("kind",), ("metadata",))


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a difference. `sign` is `+`, `-` or a space; `text` is a single line of printable characters."""

    sign: str
    text: str


@dataclass(frozen=True, slots=True)
class ResourceView:
    """A resource with its own lines. `repeated` counts its changes that are shown as shared changes."""

    resource: ResourceDifference
    lines: tuple[Line, ...]
    repeated: int

    @property
    def is_shown(self) -> bool:
        """Whether the resource has anything that the shared changes do not show."""
        return bool(self.lines) or self.resource.status != "changed"


@dataclass(frozen=True, slots=True)
class ReleaseView:
    """A Release without the changes that it shares with others."""

    release: ReleaseDifference
    facts: tuple[Line, ...]
    resources: tuple[ResourceView, ...]

    @property
    def is_shared(self) -> bool:
        """Whether the shared changes already show everything about the Release."""
        return not self.facts and not any(one.is_shown for one in self.resources)

    @property
    def repeated(self) -> int:
        """The number of its changes that are shown as shared changes."""
        return sum(one.repeated for one in self.resources)


@dataclass(frozen=True, slots=True)
class View:
    """The whole comparison, in the order in which it is displayed."""

    comparison: Comparison
    repeats: tuple[Repeat, ...]
    releases: tuple[ReleaseView, ...]


def view(comparison: Comparison) -> View:
    """Return the comparison with shared changes separated from those of single Releases."""
    found = repeats(comparison)
    shared = {id(occurrence.change) for repeat in found for occurrence in repeat.occurrences}
    return View(comparison, tuple(found), tuple(_release(one, shared) for one in comparison.releases))


def headline(comparison: Comparison) -> str:
    """Return a summary such as `17 of 24 Releases change, 1 is added; 42 values differ; 2 dangers`.

    Counts of zero are omitted.
    """
    changed, values, dangers = comparison.count("changed"), comparison.values, len(comparison.dangers)
    releases = []
    if changed:
        releases.append(f"{changed} of {plural(comparison.totals[0], 'Release')} change{'s' if changed == 1 else ''}")
    statuses: tuple[Status, ...] = ("added", "removed")
    for status in statuses:
        if count := comparison.count(status):
            number = str(count) if releases else plural(count, "Release")
            releases.append(f"{number} {'is' if count == 1 else 'are'} {status}")
    parts = [", ".join(releases)] if releases else []
    parts += [f"{plural(values, 'value')} differ{'s' if values == 1 else ''}"] if values else []
    for state, wording in (("added", "created"), ("removed", "no longer created")):
        if count := sum(one.status == state for one in comparison.namespaces):
            parts.append(f"{plural(count, 'namespace')} {'is' if count == 1 else 'are'} {wording}")
    parts += [plural(dangers, "danger")] if dangers else []
    return "; ".join(parts)


def plural(count: int, word: str) -> str:
    """Return the count with the noun in the right number: `1 value`, `2 values`."""
    return f"{count} {word}{'' if count == 1 else 's'}"


def release_name(release: ReleaseDifference, comparison: Comparison) -> str:
    """Return `namespace/name`, preceded by the cluster if the project has several."""
    return printable(f"{release.cluster}: {release.key}" if comparison.several else release.key)


def namespace_lines(comparison: Comparison) -> Iterator[Line]:
    """Yield a line for each namespace that the output creates on one side only."""
    for one in comparison.namespaces:
        cluster = f"{one.cluster}: " if comparison.several else ""
        if one.status == "added":
            yield Line("+", printable(f"{cluster}{one.name}: created, because nothing else in the checkout creates it"))
        elif one.created_by:
            yield Line("-", printable(f"{cluster}{one.name}: no longer in the output, created by {one.created_by}"))
        else:
            yield Line("-", printable(f"{cluster}{one.name}: no longer in the output; Flux keeps it in the cluster"))


def repeat_title(repeat: Repeat) -> str:
    """Return a title such as `12 values in 7 Releases`."""
    return f"{plural(len(repeat.occurrences), 'value')} in {plural(len(repeat.releases), 'Release')}"


def repeat_lines(repeat: Repeat) -> list[Line]:
    """Return the removed and added lines of a shared change."""
    if repeat.path is None:
        return _one_line("", repeat.old, repeat.new)
    return list(change_lines(Change((repeat.path,), repeat.old, repeat.new), repeat.path))


def repeat_occurrences(repeat: Repeat, comparison: Comparison) -> Iterator[tuple[str, str]]:
    """Yield the name of each Release with the shared change, and the paths of the changed values."""
    by_release: dict[int, dict[str, list[str]]] = {}
    for occurrence in repeat.occurrences:
        paths = by_release.setdefault(id(occurrence.release), {}).setdefault(_short(occurrence.resource), [])
        paths.append(path_text(occurrence.change.path).removeprefix("spec."))
    for release in repeat.releases:
        resources = [f"{name} {', '.join(paths)}" for name, paths in by_release[id(release)].items()]
        yield release_name(release, comparison), printable("; ".join(resources))


def change_lines(change: Change, name: str | None = None) -> Iterator[Line]:
    """Yield the removed and added lines of a changed value; multiline strings are compared line by line."""
    path = path_text(change.path) if name is None else name
    old, new = change.old, change.new
    if isinstance(old, str) and isinstance(new, str) and "\n" in old + new:
        before, after = old.splitlines(), new.splitlines()
        if len(before) + len(after) <= _LINES:
            lines = list(difflib.unified_diff(before, after, n=1, lineterm=""))[2:]
            yield Line(" ", printable(f"{path}:"))
            if not lines:
                masked = MASK in old + new
                yield Line(" ", "  (a masked value differs)" if masked else "  (only line breaks differ)")
            for line in lines:
                sign = line[0] if line[0] in "+-" else " "
                text = "…" if line.startswith("@@") else line[1:]
                yield Line(sign, printable(f"  {text[:_WIDTH]}"))
            return
    if _is_scalar(old) and _is_scalar(new):
        yield from _one_line(f"{path}: ", old, new)
        return
    for sign, value in (("-", old), ("+", new)):
        if value is not ABSENT:
            for leaf, scalar in leaves(value, () if name else change.path):
                text = path_text(leaf)
                if name:
                    text = f"{path}{'.' if leaf and isinstance(leaf[0], str) else ''}{text}"
                yield Line(sign, f"{printable(text)}: {_cut(_scalar(scalar), 0)}")


def _release(release: ReleaseDifference, shared: set[int]) -> ReleaseView:
    resources = []
    for resource in release.resources:
        lines = list(_whole(resource))
        own = [change for change in resource.changes if id(change) not in shared]
        for change in own:
            if resource.rendered_by is not None or change.path not in _SHOWN_BY_RELEASE:
                lines += change_lines(change)
        resources.append(ResourceView(resource, tuple(lines), len(resource.changes) - len(own)))
    return ReleaseView(release, tuple(_facts(release)), tuple(resources))


def _facts(release: ReleaseDifference) -> Iterator[Line]:
    old, new = release.old, release.new
    if old is None or new is None:
        for sign, side in (("-", old), ("+", new)):
            if side is not None:
                yield Line(sign, printable(f"package {side.package}"))
                for name, chart in side.charts.items():
                    yield Line(sign, printable(f"chart {chart} ({name})"))
        return
    if old.package != new.package:
        yield from _pair(f"package {old.package}", f"package {new.package}")
    elif old.digest != new.digest:
        yield from _pair(f"package {old.package} ({old.digest[:19]})", f"package {new.package} ({new.digest[:19]})")
    for name in sorted(old.charts.keys() & new.charts.keys()):
        first, second = old.charts[name], new.charts[name]
        if first and second and first != second:
            yield from _pair(f"chart {first} ({name})", f"chart {second} ({name})")
    for word in ("protected", "suspended"):
        before, after = getattr(old, word), getattr(new, word)
        if before != after:
            yield from _pair(f"{word}: {str(before).lower()}", f"{word}: {str(after).lower()}")


def _pair(old: str, new: str) -> Iterator[Line]:
    yield Line("-", printable(old))
    yield Line("+", printable(new))


def _whole(resource: ResourceDifference) -> Iterator[Line]:
    """Yield the values of an added resource, except those that are derived from its name; nothing for others."""
    if resource.status != "added" or resource.kind in ("OCIRepository", "HelmRepository", "ArtifactGenerator"):
        return
    derived: dict[KeyPath, str] = {
        ("spec", "releaseName"): resource.name,
        ("spec", "targetNamespace"): resource.namespace,
    }
    for path, scalar in leaves(resource.value, ()):
        head = path[:1] in _HEAD or (not resource.rendered_by and (path[:2] == ("spec", "chart")))
        if not head and (resource.rendered_by or derived.get(path) != scalar):
            yield Line("+", f"{printable(path_text(path))}: {_cut(_scalar(scalar), 0)}")


def _one_line(start: str, old: Any, new: Any) -> list[Line]:
    texts = [None if one is ABSENT else _scalar(one) for one in (old, new)]
    first, second = (text or "" for text in texts)
    differs = next((index for index, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), 0)
    note = " (a different value)" if first == second else ""  # masked, so they look the same
    return [
        Line(sign, f"{printable(start)}{_cut(text, differs)}{note if sign == '+' else ''}")
        for sign, text in zip("-+", texts, strict=True)
        if text is not None
    ]


def _cut(text: str, differs: int) -> str:
    """Shorten a long string to the part with the first difference, which is at the index `differs`."""
    if len(text) <= _WIDTH:
        return text
    start = max(0, min(differs - _BEFORE, len(text) - _WIDTH))
    end = start + _WIDTH
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"


def _scalar(value: Any) -> str:
    """Return the value as a single line of printable YAML."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, (int, float)):
        return number(value)
    if isinstance(value, str):
        return printable(string(value.encode("utf-8", "replace").decode()) if value else "''")
    return "{}" if isinstance(value, dict) else "[]"


def _is_scalar(value: Any) -> bool:
    return value is ABSENT or value is None or isinstance(value, (str, int, float))


def _short(resource: ResourceDifference) -> str:
    return resource.name if resource.kind == "HelmRelease" and not resource.rendered_by else resource.label


def signed(lines: Sequence[Line], indent: str = "") -> list[str]:
    """Return the lines with their signs as strings."""
    return [f"{indent}{line.sign} {line.text}".rstrip() for line in lines]
