"""Read the catalog of an output: its Releases, their charts, and their problems. All files are untrusted."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from kubocd_gen.diagnostics.problems import ProblemsError, printable
from kubocd_gen.kube_yaml.reader import read_document
from kubocd_gen.packages.chart_index import OfferedChart, offered_charts
from kubocd_gen.server.answers import CONTENT
from kubocd_gen.server.content import directories_in, files_in, open_directory, open_root, read_file

_MAX_INDEX = 16 * 1024 * 1024  # bytes
_MAX_RESOURCE = 64 * 1024  # bytes of a Release's first resource, the OCIRepository
_MOST_CHARTS = 50  # of a Release; the others are only counted
_LONGEST = 300  # characters of an untrusted string

Value = TypeVar("Value")
State = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class Chart:
    """A version of a chart. `file` is the name of its archive, or "" if it can't be fetched; `size` is in bytes."""

    name: str
    version: str
    app_version: str
    description: str
    created: str
    file: str = ""
    size: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Release:
    """The Helm repository of a Release. `package` is "" if it is unknown; `more` is the number of omitted charts."""

    namespace: str
    name: str
    package: str = ""
    charts: tuple[Chart, ...] = ()
    more: int = 0
    has_index: bool = False
    problem: str = ""
    modified: float = 0.0


@dataclass(frozen=True, slots=True)
class Catalog:
    """The Releases of an output, sorted; `modified` is the time of their newest file (0 if there is none)."""

    releases: tuple[Release, ...] = ()
    problem: str = ""

    @property
    def modified(self) -> float:
        return max((one.modified for one in self.releases), default=0.0)


class CatalogReader:
    """Reads catalogs, and caches what it parses until the file changes."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._known: dict[tuple[str, ...], tuple[State, Any]] = {}

    def read(self, output: Path) -> Catalog:
        """Return the catalog of `output`. Unreadable files are problems of the catalog, not errors."""
        with self._mutex:
            before, self._known = self._known, {}
            return self._read(output, before)

    def _read(self, output: Path, before: Mapping[tuple[str, ...], tuple[State, Any]]) -> Catalog:
        def known(key: tuple[str, ...], status: os.stat_result, make: Callable[[], Value]) -> Value:
            state = status.st_mtime_ns, status.st_size, status.st_ino
            old = before.get(key)
            made = old if old and old[0] == state else (state, make())
            self._known[key] = made
            value: Value = made[1]
            return value

        try:
            with open_root(output) as root:
                namespaces = {top: _namespaces(root, top) for top in ("hr", "flux")}
                found = {
                    (namespace, name): _release(root, namespace, name, known)
                    for namespace in namespaces["hr"]
                    for name in _names(root, "hr", namespace)
                }
                for namespace in namespaces["flux"]:
                    for name in _names(root, "flux", namespace):
                        if (namespace, name) not in found:
                            missing = f"hr/{namespace}/{name} does not exist: the charts were not built or not copied"
                            found[namespace, name] = Release(namespace, name, problem=missing)
        except OSError as error:
            return Catalog(problem=f"cannot read the output: {error.strerror}")
        return Catalog(tuple(found[key] for key in sorted(found)))


Known = Callable[[tuple[str, ...], os.stat_result, Callable[[], Any]], Any]


def _namespaces(root: int, top: str) -> list[str]:
    try:
        with open_directory(root, top) as directory:
            return directories_in(directory)
    except OSError:
        return []


def _names(root: int, top: str, namespace: str) -> list[str]:
    """Return the names of Releases in `top`: of the directories in hr/, of the files in flux/."""
    try:
        with open_directory(root, top) as parent, open_directory(parent, namespace) as directory:
            if top == "hr":
                return directories_in(directory)
            return [name.removesuffix(".yaml") for name in files_in(directory) if name.endswith(".yaml")]
    except OSError:
        return []


def _release(root: int, namespace: str, name: str, known: Known) -> Release:
    with ExitStack() as stack:
        try:
            directory = stack.enter_context(open_directory(root, "hr"))
            for part in (namespace, name):
                directory = stack.enter_context(open_directory(directory, part))
            files = files_in(directory)
        except OSError as error:
            return Release(namespace, name, problem=f"cannot read the directory: {error.strerror}")
        modified = max((status.st_mtime for status in files.values()), default=0.0)
        package = _package(root, namespace, name, known)
        if not CONTENT.fullmatch(f"/hr/{namespace}/{name}/index.yaml"):
            problem = "the repository is not served because its name is not a valid Kubernetes name"
            return Release(namespace, name, package, problem=problem, modified=modified)
        if "index.yaml" not in files:
            return Release(namespace, name, package, problem="index.yaml does not exist", modified=modified)
        index_status = files["index.yaml"]
        index: tuple[OfferedChart, ...] | str = known(
            ("index", namespace, name), index_status, lambda: _index(directory, index_status.st_size)
        )
    if isinstance(index, str):
        return Release(namespace, name, package, has_index=True, problem=index, modified=modified)
    charts = tuple(_chart(offered, namespace, name, files) for offered in index[:_MOST_CHARTS])
    return Release(namespace, name, package, charts, len(index) - len(charts), True, modified=modified)


def _index(directory: int, size: int) -> tuple[OfferedChart, ...] | str:
    """Return the charts of the index, or its problem."""
    if size > _MAX_INDEX:
        return f"index.yaml is larger than {_MAX_INDEX // 2**20} MiB"
    try:
        return offered_charts(read_file(directory, "index.yaml", _MAX_INDEX))
    except OSError as error:
        return f"cannot read index.yaml: {error.strerror}"
    except ProblemsError as error:
        return error.problem.message


def _chart(offered: OfferedChart, namespace: str, release: str, files: Mapping[str, os.stat_result]) -> Chart:
    name = re.sub("%2[Bb]", "+", offered.url.removeprefix("./"))
    file, size, problem = "", 0, ""
    if not CONTENT.fullmatch(f"/hr/{namespace}/{release}/{name}"):
        problem = f"the chart's URL '{_cut(offered.url)}' is not served here" if offered.url else "the chart has no URL"
    elif name not in files:
        problem = f"the chart archive '{_cut(name)}' does not exist"
    else:
        file, size = name, files[name].st_size
    date = re.match(r"\d{4}-\d{2}-\d{2}", offered.created)
    return Chart(
        _cut(offered.name),
        _cut(offered.version),
        _cut(offered.app_version),
        _cut(offered.description),
        date[0] if date else "",
        file,
        size,
        problem,
    )


def _package(root: int, namespace: str, name: str, known: Known) -> str:
    """Return the package image of the Release's OCIRepository, or "" if there is none or it can't be read."""
    try:
        with open_directory(root, "flux") as flux, open_directory(flux, namespace) as directory:
            file = f"{name}.yaml"
            status = os.stat(file, dir_fd=directory, follow_symlinks=False)
            package: str = known(
                ("flux", namespace, name), status, lambda: _image(read_file(directory, file, _MAX_RESOURCE))
            )
            return package
    except OSError:
        return ""


def _image(content: bytes) -> str:
    first = content.removeprefix(b"---\n").partition(b"\n---\n")[0]
    if b"kind: OCIRepository" not in first:
        return ""
    try:
        repository = read_document(first.decode(), "")
        url, reference = repository["spec"]["url"], repository["spec"]["ref"]
        tag, digest = reference.get("tag"), reference.get("digest")
    except (ProblemsError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        return ""
    image = str(url).removeprefix("oci://") + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    return _cut(image)


def _cut(text: str) -> str:
    """Return an untrusted string on one line, truncated to `_LONGEST` characters."""
    return printable(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…")
