"""What an output offers: its Releases, their charts, and what is wrong with them. Nothing that is read is believed."""

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
from kubocd_gen.server.content import files_in, folders_in, open_folder, open_root, read_file

_MAX_INDEX = 16 * 1024 * 1024
_MAX_RESOURCE = 64 * 1024  # of a Release's first resource, the OCIRepository
_MOST_CHARTS = 50  # of a Release; its index has the others
_LONGEST = 300  # characters of a text that a stranger wrote

Value = TypeVar("Value")
State = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class Chart:
    """A version of a chart. `file` is the name of its archive where that can be fetched, `size` its bytes."""

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
    """A Release's repository. `package` is "" where the output does not say it; `more` counts charts left out."""

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
    """An output's Releases, sorted, and when the newest of their files was written (0: there is none)."""

    releases: tuple[Release, ...] = ()
    problem: str = ""

    @property
    def modified(self) -> float:
        return max((one.modified for one in self.releases), default=0.0)


class CatalogReader:
    """Reads catalogs, and remembers of every file what it said for as long as it does not change."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._known: dict[tuple[str, ...], tuple[State, Any]] = {}

    def read(self, output: Path) -> Catalog:
        """What lies in `output` now. What can't be read is a problem of the catalog, not an error."""
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
                places = {place: _folders(root, place) for place in ("hr", "flux")}
                found = {
                    (namespace, name): _release(root, namespace, name, known)
                    for namespace in places["hr"]
                    for name in _names(root, "hr", namespace)
                }
                for namespace in places["flux"]:
                    for name in _names(root, "flux", namespace):
                        if (namespace, name) not in found:
                            missing = f"hr/{namespace}/{name} does not exist: the charts were not built, or not copied"
                            found[namespace, name] = Release(namespace, name, problem=missing)
        except OSError as error:
            return Catalog(problem=f"the output can't be read: {error.strerror}")
        return Catalog(tuple(found[key] for key in sorted(found)))


Known = Callable[[tuple[str, ...], os.stat_result, Callable[[], Any]], Any]


def _folders(root: int, place: str) -> list[str]:
    try:
        with open_folder(root, place) as folder:
            return folders_in(folder)
    except OSError:
        return []


def _names(root: int, place: str, namespace: str) -> list[str]:
    """The Releases that have something in `place`: a folder in hr/, a file in flux/."""
    try:
        with open_folder(root, place) as above, open_folder(above, namespace) as folder:
            if place == "hr":
                return folders_in(folder)
            return [name.removesuffix(".yaml") for name in files_in(folder) if name.endswith(".yaml")]
    except OSError:
        return []


def _release(root: int, namespace: str, name: str, known: Known) -> Release:
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(open_folder(root, "hr"))
            for part in (namespace, name):
                folder = stack.enter_context(open_folder(folder, part))
            files = files_in(folder)
        except OSError as error:
            return Release(namespace, name, problem=f"the folder can't be read: {error.strerror}")
        modified = max((status.st_mtime for status in files.values()), default=0.0)
        package = _package(root, namespace, name, known)
        if not CONTENT.fullmatch(f"/hr/{namespace}/{name}/index.yaml"):
            problem = "it has a name that Kubernetes does not know, and is not served"
            return Release(namespace, name, package, problem=problem, modified=modified)
        if "index.yaml" not in files:
            return Release(namespace, name, package, problem="there is no file index.yaml", modified=modified)
        index_status = files["index.yaml"]
        index: tuple[OfferedChart, ...] | str = known(
            ("index", namespace, name), index_status, lambda: _index(folder, index_status.st_size)
        )
    if isinstance(index, str):
        return Release(namespace, name, package, has_index=True, problem=index, modified=modified)
    charts = tuple(_chart(offered, namespace, name, files) for offered in index[:_MOST_CHARTS])
    return Release(namespace, name, package, charts, len(index) - len(charts), True, modified=modified)


def _index(folder: int, size: int) -> tuple[OfferedChart, ...] | str:
    """The charts, or what is wrong with the index."""
    if size > _MAX_INDEX:
        return f"index.yaml is larger than {_MAX_INDEX // 2**20} MiB"
    try:
        return offered_charts(read_file(folder, "index.yaml", _MAX_INDEX))
    except OSError as error:
        return f"index.yaml can't be read: {error.strerror}"
    except ProblemsError as error:
        return error.problem.message


def _chart(offered: OfferedChart, namespace: str, release: str, files: Mapping[str, os.stat_result]) -> Chart:
    name = re.sub("%2[Bb]", "+", offered.url.removeprefix("./"))
    file, size, problem = "", 0, ""
    if not CONTENT.fullmatch(f"/hr/{namespace}/{release}/{name}"):
        problem = f"its address is {_cut(offered.url) or 'missing'}, which is not served here"
    elif name not in files:
        problem = f"its archive {_cut(name)} does not exist"
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
    """The package image that the Release's OCIRepository names; "" where there is none, or none that can be read."""
    try:
        with open_folder(root, "flux") as flux, open_folder(flux, namespace) as folder:
            file = f"{name}.yaml"
            status = os.stat(file, dir_fd=folder, follow_symlinks=False)
            package: str = known(
                ("flux", namespace, name), status, lambda: _image(read_file(folder, file, _MAX_RESOURCE))
            )
            return package
    except OSError:
        return ""


def _image(text: bytes) -> str:
    first = text.removeprefix(b"---\n").partition(b"\n---\n")[0]
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
    """A stranger's text on one line, and not more of it than a page can use."""
    return printable(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…")
