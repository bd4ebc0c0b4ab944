"""Read the KuboCD and Flux resources of a checkout, with their location in the source files."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kubocd_gen.budget.limits import MIB
from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.checkout.discovery import (
    MAX_SOURCE_BYTES,
    NOWHERE,
    Places,
    SourceFile,
    decoded,
    find_files,
    read_source,
)
from kubocd_gen.checkout.files import CheckoutFiles
from kubocd_gen.checkout.walk import real_directories
from kubocd_gen.diagnostics.problems import Position, Problem, Problems, ProblemsError
from kubocd_gen.files.paths import display_path, shown_path
from kubocd_gen.git.working_tree import missing_sources
from kubocd_gen.kube_yaml.parser import YamlError
from kubocd_gen.kube_yaml.reader import read_documents
from kubocd_gen.model.project import STDIN
from kubocd_gen.model.resources import KUBOCD_GROUP, KUBOCD_KINDS, Resource
from kubocd_gen.processes.timing import counted, timed
from kubocd_gen.sources.encryption import encrypted
from kubocd_gen.sources.environment import expand_environment
from kubocd_gen.sources.flux_sync import KUSTOMIZE_GROUP
from kubocd_gen.sources.known_files import KnownFiles
from kubocd_gen.sources.namespace_objects import NAMESPACE_MENTION, is_namespace

_log = logging.getLogger(__name__)

WRITTEN = ("flux", "hr", "server")  # the directories that kcd-gen writes in an output
KUBOCD_CHART = "kubocd-ctrl"
_STDIN_NAME = "<stdin>"
# A HelmRelease can contain a Config, and the OCIRepository that names its chart can be in another file.
_FLUX_MENTIONS = (b"helm.toolkit.fluxcd.io", b"source.toolkit.fluxcd.io", KUSTOMIZE_GROUP.encode())
_GROUPS = (KUBOCD_GROUP, *(mention.decode() for mention in _FLUX_MENTIONS))
_CONFIG = re.compile(r"""\bkind["']?\s*:\s*["']?Config\b""")
_KUBOCD_MENTIONS = (KUBOCD_GROUP.encode(), KUBOCD_CHART.encode())
# Documents of KuboCD's kinds are read even if their group is misspelled: they must not count as removed.
_OF_KIND = rf"""kind["']?\s*:\s*["']?(?:{"|".join(KUBOCD_KINDS)})\b"""
# SOPS can encrypt the kind, too.
_MENTIONS = (
    *_KUBOCD_MENTIONS,
    *_FLUX_MENTIONS,
    re.compile(_OF_KIND.encode()),
    re.compile(rb"""kind["']?\s*:\s*["']?ENC\["""),
    NAMESPACE_MENTION,
)
_OF_KUBOCD = re.compile("kubocd|kubotal", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sources:
    """The KuboCD and Flux resources in a cluster's sources.

    `complete` is False if a file could not be read. `broken_configs` are the problems of documents with invalid YAML
    that seem to contain a Config, or the chart with one in its values.
    """

    resources: tuple[Resource, ...]
    complete: bool
    broken_configs: tuple[ProblemsError, ...]
    paths: Mapping[str, Path]  # of all files, by their name in messages


def read_resources(
    sources: Sequence[str],
    root: Path,
    outputs: Sequence[Path],
    problems: Problems,
    *,
    places: Places = NOWHERE,
    origin: str = "",
    expand_env: Collection[str] = (),
    files: CheckoutFiles | None = None,
    budget: Budget | None = None,
    exclude: Collection[str] = (),
    known: KnownFiles | None = None,
) -> Sources:
    """Return the resources in `sources`; errors are added to `problems`.

    Invalid YAML is an error in documents that mention KuboCD and ignored in others. kcd-gen's directories in `outputs`,
    which can be inside the sources, are skipped. `places` are the positions of the sources in the project file;
    `origin` is a prefix for the names of files. `expand_env` are the environment variables to expand in `${NAME}`; if
    it is empty, nothing is expanded. Only `files` are read, by default those of the checkout that contains `root`, and
    none that a glob in `exclude` matches. The source `-` is standard input. Files in `known` are not read again.

    Raises BudgetExceededError.
    """
    resources: list[Resource] = []
    broken_configs: list[ProblemsError] = []
    written = [output / directory for output in outputs for directory in WRITTEN]
    files, budget = files or CheckoutFiles.around(root), budget or Budget()
    with timed(_log, f"read {', '.join(sources)}") as details:
        on_disk = [source for source in sources if source != STDIN]
        paths, unread, empty, charts = find_files(
            on_disk, root, written, places, files=files, budget=budget, exclude=[*exclude], origin=origin
        )
        if not origin:  # a revision has no working tree; its files are complete
            unread += missing_sources(on_disk, root, empty_directories=empty, exclude=[*exclude])
        for error in unread:
            problems.error(error)
        complete = not unread
        named = {display_path(path, root, origin): path for path in paths}
        readers: dict[str, Callable[[Budget], SourceFile | None]] = {
            display: partial(read_source, path, display, _MENTIONS, files) for display, path in named.items()
        }
        if STDIN in sources:
            readers[_STDIN_NAME] = _read_stdin

        def parse(file: SourceFile, budget: Budget) -> tuple[list[Resource], list[ProblemsError]]:
            return _read_file(file, broken_configs, expand_env, budget)

        for display, read in readers.items():
            if _log.isEnabledFor(logging.DEBUG):
                _log.debug("read %s", shown_path(display))
            errors: list[ProblemsError] = []
            try:
                if known is not None and display in named and not expand_env:
                    found, errors = known.resources(named[display], display, read, parse, budget)
                    resources += found
                elif file := read(budget):
                    found, errors = parse(file, budget)
                    resources += found
            except BudgetExceededError:
                raise
            except ProblemsError as error:
                errors = [error]
            for one in errors:
                complete = False
                problems.error(one)
        for chart in charts:
            for note in _skipped_templates(chart, root, files, budget):
                problems.note(note)
        details += [counted(len(paths), "file"), counted(len(resources), "resource")]
    return Sources(tuple(resources), complete, tuple(broken_configs), named)


def _read_stdin(budget: Budget) -> SourceFile:
    """Return what standard input has. Raises ProblemsError `unreadable-source`."""
    position = Position(_STDIN_NAME)
    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        hint = "pipe manifests to it: kustomize build DIR | kcd-gen build --source - --output DIR"
        raise ProblemsError.of("unreadable-source", "standard input is not a file or a pipe", position, hint)
    data = sys.stdin.buffer.read(MAX_SOURCE_BYTES + 1)
    if len(data) > MAX_SOURCE_BYTES:
        message = f"standard input is larger than {MAX_SOURCE_BYTES // MIB} MiB, the limit for a source file"
        raise ProblemsError.of("unreadable-source", message, position, "split it, or pass files as sources")
    budget.spend("source-bytes", len(data), position)
    return decoded(data, _STDIN_NAME)


def _skipped_templates(chart: Path, root: Path, files: CheckoutFiles, budget: Budget) -> Iterator[Problem]:
    """Yield a note if the templates of a Helm chart, which are not read, mention KuboCD."""
    display = display_path(chart, root)
    for directory, _, names in real_directories(chart / "templates", budget):
        for name in names:
            try:
                mentioned = read_source(directory / name, display, _KUBOCD_MENTIONS[:1], files, budget)
            except BudgetExceededError:
                raise
            except ProblemsError:
                continue
            if mentioned:
                message = "the templates of this Helm chart are not read, because they are not manifests"
                hint = "to compile them, pipe the output of 'helm template' to '--source -'; otherwise exclude it"
                yield Problem("chart-skipped", message, Position(display), hint)
                return


def _read_file(
    file: SourceFile, broken_configs: list[ProblemsError], expand_env: Collection[str], budget: Budget
) -> tuple[list[Resource], list[ProblemsError]]:
    """Return the resources of a file, and the errors of invalid documents that mention KuboCD.

    Errors of documents that can be a Config are also added to `broken_configs`.
    """
    resources: list[Resource] = []
    broken: list[tuple[ProblemsError, str]] = []  # with the text that can't be read
    ours = _mentions_kubocd(file.text)
    if expand_env and ours:
        file = SourceFile(file.path, expand_environment(file.text, file.path, os.environ, expand_env))
    try:
        for number, document in enumerate(read_documents(file.text, file.path, budget=budget)):
            if document.error is None:
                resource = Resource(file, number, document.value, faults=document.faults)
                items = list(_items(resource, document.value))
                secret = [problem for one in items or [resource] if (problem := encrypted(one)) is not None]
                broken += [(ProblemsError(problem), "") for problem in secret]
                resources += [] if secret else items
            elif _mentions_kubocd(document.source):
                broken.append((document.error, document.source))
    except YamlError as error:
        if ours:  # everything after a syntax error is unreadable and can be a KuboCD resource
            broken.append((error, file.text))
    broken_configs += [error for error, text in broken if KUBOCD_CHART in text or _CONFIG.search(text)]
    return resources, [error for error, _ in broken]


def _mentions_kubocd(text: str) -> bool:
    if KUBOCD_GROUP in text or KUBOCD_CHART in text:
        return True
    return re.search(_OF_KIND, text) is not None and _OF_KUBOCD.search(text) is not None


def _items(resource: Resource, value: Any) -> Iterator[Resource]:
    """Yield the resource, or the items of a List (recursively), each with its own faults."""
    if not isinstance(value, Mapping):
        return
    items = value.get("items")
    if isinstance(items, list) and str(value.get("kind", "")).endswith("List"):
        for index, item in enumerate(items):
            prefix = (*resource.prefix, "items", index)
            faults = tuple(fault for fault in resource.faults if fault.keys[: len(prefix)] == prefix)
            yield from _items(Resource(resource.file, resource.document, item, prefix, faults=faults), item)
    elif is_kept(resource):
        yield resource


def is_kept(resource: Resource) -> bool:
    """Return whether the resource is one of KuboCD or Flux, or a Namespace. All others are ignored."""
    return resource.group in _GROUPS or resource.is_kubocd or is_namespace(resource)
