"""The documents of a checkout that kcd-gen cares about, with the way back to their place in a file."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubocd_gen.budget.spending import Budget, BudgetExhausted
from kubocd_gen.checkout.discovery import NOWHERE, Places, SourceFile, display_path, find_files, read_source
from kubocd_gen.checkout.files import CheckoutFiles
from kubocd_gen.diagnostics.problems import Findings, KcdError, KcdErrors, Position
from kubocd_gen.kube_yaml.errors import YamlError
from kubocd_gen.kube_yaml.positions import find_position
from kubocd_gen.kube_yaml.reader import Fault, read_documents
from kubocd_gen.sources.environment import expand_environment

WRITTEN = ("flux", "hr", "server")  # by kcd-gen, in an output
KUBOCD_GROUP = "kubocd.kubotal.io"
KUBOCD_CHART = "kubocd-ctrl"
# A Config can be carried by a HelmRelease whose chart is named in the OCIRepository of another file.
_FLUX_MENTIONS = (b"helm.toolkit.fluxcd.io", b"source.toolkit.fluxcd.io")
_GROUPS = (KUBOCD_GROUP, *(mention.decode() for mention in _FLUX_MENTIONS))
_CONFIG = re.compile(r"""\bkind["']?\s*:\s*["']?Config\b""")
_KUBOCD_MENTIONS = (KUBOCD_GROUP.encode(), KUBOCD_CHART.encode())


@dataclass(frozen=True, slots=True)
class Resource:
    """A Kubernetes resource of a source file, as it was written.

    `prefix` leads to it from the document's root (a `kind: List` holds its items). `spec_prefix` leads to what
    became its `spec` where it was made of something else: the values of a chart.
    """

    file: SourceFile
    document: int
    value: Mapping[str, Any]
    prefix: tuple[str | int, ...] = ()
    spec_prefix: tuple[str | int, ...] | None = None
    faults: tuple[Fault, ...] = ()

    @property
    def group(self) -> str:
        """What stands before the slash of `apiVersion`, which may be forgotten."""
        return self.api_version.partition("/")[0]

    @property
    def api_version(self) -> str:
        return _text(self.value.get("apiVersion"))

    @property
    def kind(self) -> str:
        return _text(self.value.get("kind"))

    @property
    def metadata(self) -> Mapping[str, Any]:
        metadata = self.value.get("metadata")
        return metadata if isinstance(metadata, Mapping) else {}

    @property
    def name(self) -> str:
        return _text(self.metadata.get("name"))

    @property
    def namespace(self) -> str:
        """As written; empty where the resource does not say."""
        return _text(self.metadata.get("namespace"))

    @property
    def spec(self) -> Mapping[str, Any]:
        spec = self.value.get("spec")
        return spec if isinstance(spec, Mapping) else {}

    def position(self, *keys: str | int) -> Position:
        """The place of the value at `keys`, or of the innermost value on the way that exists."""
        if self.spec_prefix is not None and keys[:1] == ("spec",):
            path = (*self.spec_prefix, *keys[1:])
        else:
            path = (*self.prefix, *(keys if self.spec_prefix is None else ()))
        return find_position(self.file.text, self.file.path, self.document, path)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True)
class Sources:
    """The resources of KuboCD and Flux in a cluster's sources.

    `complete` is False where a file could not be read. `broken_configs` are problems of documents that are not YAML
    and seem to hold a Config, or the chart that carries one.
    """

    resources: tuple[Resource, ...]
    complete: bool
    broken_configs: tuple[KcdErrors, ...]


def read_resources(
    sources: Sequence[str],
    root: Path,
    outputs: Sequence[Path],
    findings: Findings,
    *,
    places: Places = NOWHERE,
    origin: str = "",
    expand_env: Collection[str] = (),
    files: CheckoutFiles | None = None,
    budget: Budget | None = None,
) -> Sources:
    """What is in `sources`.

    What is not YAML is an error where it mentions KuboCD, and is passed over elsewhere. So are kcd-gen's folders in the
    `outputs`, which may lie inside the sources. `places` are those of the sources in the project file; `origin` is put
    before the names of files. `expand_env` are the environment variables for which `${NAME}` can stand; with none of
    them it is text. Only `files` are read, by default those of the checkout of `root`.
    """
    resources: list[Resource] = []
    configs: list[KcdErrors] = []
    written = [output / folder for output in outputs for folder in WRITTEN]
    files, budget = files or CheckoutFiles.around(root), budget or Budget()
    paths, unread = find_files(sources, root, written, places, files=files, budget=budget)
    for error in unread:
        findings.error(error)
    complete = not unread
    for path in paths:
        try:
            display = origin + display_path(path, root)
            file = read_source(path, display, (*_KUBOCD_MENTIONS, *_FLUX_MENTIONS), files, budget)
            found, errors = _read_file(file, configs, expand_env=expand_env, budget=budget) if file else ([], [])
        except BudgetExhausted:
            raise
        except (KcdError, KcdErrors) as error:
            found, errors = [], [error]
        resources += found
        for problem in errors:
            complete = False
            findings.error(problem)
    return Sources(tuple(resources), complete, tuple(configs))


def _read_file(
    file: SourceFile, configs: list[KcdErrors], *, expand_env: Collection[str], budget: Budget | None
) -> tuple[list[Resource], list[KcdError | KcdErrors]]:
    """The resources of a file that can be read, and the errors of the documents that can't and may be KuboCD's.

    Those that may be a Config are added to `configs`.
    """
    resources: list[Resource] = []
    errors: list[KcdError | KcdErrors] = []
    ours = _mentions_kubocd(file.text)
    if expand_env and ours:
        file = SourceFile(file.path, expand_environment(file.text, file.path, os.environ, expand_env))
    try:
        for number, document in enumerate(read_documents(file.text, file.path, budget=budget)):
            if document.error is None:
                resources += _items(Resource(file, number, document.value, faults=document.faults), document.value)
            elif _mentions_kubocd(document.source):
                errors.append(document.error)
                _note_config(document.error, document.source, configs)
    except YamlError as error:
        if ours:  # nothing after a syntax error can be read, and that may be anything
            errors.append(error)
            _note_config(error, file.text, configs)
    return resources, errors


def _note_config(error: YamlError, text: str, configs: list[KcdErrors]) -> None:
    if KUBOCD_CHART in text or _CONFIG.search(text):
        configs.append(KcdErrors([error]))


def _mentions_kubocd(text: str) -> bool:
    return KUBOCD_GROUP in text or KUBOCD_CHART in text


def _items(resource: Resource, value: Any) -> Iterator[Resource]:
    """The resource, or the items of a List (which may hold Lists), each with its own faults."""
    if not isinstance(value, Mapping):
        return
    items = value.get("items")
    if isinstance(items, list) and str(value.get("kind", "")).endswith("List"):
        for index, item in enumerate(items):
            prefix = (*resource.prefix, "items", index)
            faults = tuple(fault for fault in resource.faults if fault.keys[: len(prefix)] == prefix)
            yield from _items(Resource(resource.file, resource.document, item, prefix, faults=faults), item)
    elif resource.group in _GROUPS:
        yield resource
