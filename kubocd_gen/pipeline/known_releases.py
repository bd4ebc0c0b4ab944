"""Releases that were compiled in an earlier run and whose inputs have not changed since: they are not compiled again.

The inputs of a Release are its document, the merged Contexts that it uses, its package, and the environment: the
Configs, the settings of the project, and helm. The code of kcd-gen is an input of the whole state. Not kept are
Releases with errors, suspended ones, because they depend on the output, those with templates that use the clock or
random numbers, and those with problems at places that can change without notice. If there is any doubt, a Release is
compiled.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubocd_gen.budget.spending import Budget
from kubocd_gen.diagnostics.problems import MOST, Problem, Problems, has_errors
from kubocd_gen.model.compilation import (
    ChartFile,
    CompiledRelease,
    PackedContent,
    documents_text,
)
from kubocd_gen.model.project import Cluster, Project
from kubocd_gen.model.resources import ContextRef, Release, Resource
from kubocd_gen.oci.endpoints import Access
from kubocd_gen.oci.reference import Reference
from kubocd_gen.packages.known import KnownPackages
from kubocd_gen.packages.source import PackageRequest
from kubocd_gen.pipeline.known_inputs import context_digests, helm_identity
from kubocd_gen.pipeline.secret_search import SecretSearch
from kubocd_gen.pipeline.stored_problems import are_current, report_stored, stored_problems
from kubocd_gen.pipeline.stored_summary import stored_summary, summary_of
from kubocd_gen.sources.cluster_resources import ClusterResources
from kubocd_gen.state.store import Json, State, StateDoubtError, digest_of
from kubocd_gen.state.values import value_text

if TYPE_CHECKING:
    from kubocd_gen.model.package import Package

_RELEASES, _DEFINITIONS = "releases", "definitions"


@dataclass(frozen=True)
class _StoredContent:
    """The content of a Release in a state, read when it is needed."""

    state: State
    key: str  # of the documents
    admit: Callable[[], Release]
    read_package: Callable[[], Package]

    @cached_property
    def release(self) -> Release:
        return self.admit()

    @cached_property
    def package(self) -> Package:
        return self.read_package()

    @property
    def documents(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(json.loads(self.blob()))

    def blob(self) -> bytes:
        """Return the text of the documents. Raises StateDoubtError."""
        data = self.state.blob(self.key)
        if data is None:
            raise StateDoubtError("the content of a Release is damaged")
        return data


@dataclass(frozen=True, slots=True)
class Restored:
    """A Release from a state. `contexts` are those that it names itself."""

    compiled: CompiledRelease
    contexts: tuple[ContextRef, ...]
    searched: int  # characters of embedded documents that were searched for secrets
    file: str  # its source file


@dataclass(frozen=True, slots=True)
class NewRelease:
    """What a state keeps of a Release that was compiled in this run, in addition to the Release."""

    compiled: CompiledRelease
    request: PackageRequest
    contexts: tuple[ContextRef, ...]
    optional: tuple[ContextRef, ...]  # Contexts that can be absent
    searched: int
    spent: Mapping[str, float]


class KnownReleases:
    """The Releases of one cluster in a state.

    `contents` are the digests of the source files by their name, and `helm` is the path of the binary.
    """

    def __init__(
        self,
        state: State,
        project: Project,
        cluster: Cluster,
        packages: KnownPackages,
        contents: Mapping[str, str],
        helm: str,
    ) -> None:
        self.state = state
        self.packages = packages
        self._project = project
        self._cluster = cluster
        self._contents = contents
        self._helm = helm
        self._environment = ""
        self._contexts: dict[ContextRef, str] = {}
        self._definitions = ""
        self._current: set[str] = set()  # the Releases of which the state has the entries of this run

    def begin(self, resources: ClusterResources, charts_path: str) -> bool:
        """Take in what all Releases share. Returns False if nothing can be restored or kept."""
        environment = self._describe_environment(resources, charts_path)
        digests = context_digests(resources.contexts, resources.broken_contexts)
        if environment is None:
            return False
        self._environment, self._contexts = digest_of(environment.encode()), digests
        described = [self._environment, sorted((str(ref), digest) for ref, digest in digests.items())]
        self._definitions = digest_of(json.dumps(described).encode())
        return True

    @property
    def environment(self) -> str:
        """The digest of what all Releases share, which does not depend on the machine."""
        return self._environment

    def current(self) -> Iterator[tuple[str, Json, bytes]]:
        """Yield the Releases of this run that can be restored, sorted: key, entry and documents.

        Raises StateDoubtError.
        """
        for key in sorted(self._current):
            if (entry := self.state.get(_RELEASES, key)) is not None:
                documents = self.state.blob(entry["blob"])
                if documents is None:
                    raise StateDoubtError(f"the content of the Release {key} is damaged")
                yield key, entry, documents

    def take_in(self, key: str, entry: Json, blob: str, read: Callable[[], bytes]) -> None:
        """Add a Release from another machine; `read` returns the documents with the key `blob`."""
        before = self.state.table(_RELEASES).get(key)
        if before is not None and before["blob"] == blob:
            entry = {**entry, "written": before["written"] or entry["written"]}
        self.state.add_blob(blob, read)
        self.state.put(_RELEASES, key, {**entry, "blob": blob})

    def restore(
        self,
        resources: ClusterResources,
        budget: Budget,
        admit: Callable[[Resource], Release],
        read_package: Callable[[PackageRequest], Package],
    ) -> dict[str, Restored]:
        """Return the pending Releases that are known, by their key, and spend from `budget` what they have cost."""
        default = self._cluster.namespace
        keys = [f"{one.namespace or default}/{one.name}" for one in resources.pending]
        counts = Counter(keys)
        found: dict[str, Restored] = {}
        requests: dict[str, tuple[PackageRequest, Json]] = {}  # by their text
        spent: Counter[str] = Counter()
        for key, resource in zip(keys, resources.pending, strict=True):
            if counts[key] > 1 or not resource.digest:
                continue
            entry = self.state.get(_RELEASES, key)
            if entry is None or not self._is_valid(entry, resource, requests):
                continue
            spent.update(entry["spent"])
            request = requests[entry["request"]][0]
            self._current.add(key)
            self.state.is_used = True
            found[key] = self._restored(entry, resource, request, admit, read_package)
        if any(amount > budget.left(name) for name, amount in spent.items()):
            self._current.clear()
            return {}  # compiling them finds out which one is too much
        for name, amount in spent.items():
            budget.spend(name, amount)
        return found

    def report(self, restored: Mapping[str, Restored], problems: Problems) -> None:
        """Add the problems that were found in the Releases."""
        for key in restored:
            if (entry := self.state.get(_RELEASES, key)) is not None:
                report_stored(entry["problems"], self._project.root, problems)

    def keep(self, new: NewRelease, found: Sequence[Problem]) -> None:
        """Keep a Release with its problems, if it can be restored."""
        compiled = new.compiled
        resource, summary = compiled.release.resource, compiled.summary
        known = self.packages.find(new.request)
        if summary.suspended or not resource.digest or has_errors(found) or len(found) >= MOST:
            return
        if not self._environment or known is None or known.digest != summary.digest:
            return
        problems = stored_problems(found, self._project.root, self._contents)
        content = compiled.content
        documents = content.packed if isinstance(content, PackedContent) else documents_text(content.documents)
        used = dict.fromkeys((*new.optional, *new.contexts))
        if problems is None or documents is None:
            return
        entry = {
            "environment": self._environment,
            "document": _place(resource),
            "contexts": json.dumps([[ref.namespace, ref.name, self._contexts.get(ref)] for ref in used]),
            "own": [[ref.namespace, ref.name] for ref in compiled.release.contexts],
            "request": request_text(new.request),
            "digest": summary.digest,
            "problems": problems,
            "searched": new.searched,
            "spent": dict(new.spent),
            "summary": stored_summary(summary),
            "blob": self.state.put_blob(documents),
            "written": None,
        }
        if summary_of(entry, summary.origin) != summary:  # a name with a line break
            return
        before = self.state.get(_RELEASES, summary.key)
        if before is not None and before["blob"] == entry["blob"]:  # the same resources, so the same file
            entry["written"] = before["written"]
        self.state.put(_RELEASES, summary.key, entry)
        self._current.add(summary.key)

    def keep_written(self, compiled: CompiledRelease, sha256: str, size: int) -> None:
        """Keep the digest and the size of a Release's Flux file."""
        entry = self.state.get(_RELEASES, compiled.key)
        if entry is not None and compiled.key in self._current:
            written = [_finish(compiled), sha256, size]
            if entry["written"] != written:
                self.state.put(_RELEASES, compiled.key, {**entry, "written": written})

    def written(self, compiled: CompiledRelease) -> ChartFile | None:
        """Return the digest and the size of a Release's Flux file, if its `finish` is that of the earlier run."""
        entry = self.state.get(_RELEASES, compiled.key)
        if (
            compiled.key not in self._current
            or entry is None
            or entry["written"] is None
            or entry["written"][0] != _finish(compiled)
        ):
            return None
        return ChartFile(*entry["written"][1:])

    def check(self, releases: Iterable[CompiledRelease], changed: Collection[str]) -> None:
        """Read the content of restored Releases whose Flux file is in `changed`. Raises StateDoubtError."""
        for one in releases:
            if isinstance(one.content, _StoredContent) and f"flux/{one.key}.yaml" in changed:
                one.content.blob()

    def report_definitions(self, search: SecretSearch, problems: Problems) -> bool:
        """Add the problems of Contexts and Configs if they are known. Returns whether they are."""
        entry = self.state.get(_DEFINITIONS, self._definitions)
        if entry is None or not are_current(entry["problems"], self._contents):
            return False
        search.left -= entry["searched"]
        report_stored(entry["problems"], self._project.root, problems)
        return True

    def keep_definitions(self, found: Sequence[Problem], searched: int) -> None:
        """Keep the warnings about Contexts and Configs; nothing else was found in them."""
        warnings = (replace(one, severity="warning") for one in found)
        problems = stored_problems(warnings, self._project.root, self._contents)
        if problems is not None and len(found) < MOST:
            self.state.put(_DEFINITIONS, self._definitions, {"problems": problems, "searched": searched})

    def _is_valid(self, entry: Json, resource: Resource, requests: dict[str, tuple[PackageRequest, Json]]) -> bool:
        if entry["environment"] != self._environment or entry["document"] != _place(resource):
            return False
        if not are_current(entry["problems"], self._contents):
            return False
        if not self._has_contexts(entry["contexts"]):
            return False
        text = entry["request"]
        if text not in requests:
            request = _request(text)
            requests[text] = request, self.packages.find(request)
        known = requests[text][1]
        return known is not None and known.digest == entry["digest"]

    @cached_property
    def _has_contexts(self) -> Callable[[str], bool]:
        """Return whether Contexts are unchanged, which many Releases ask about the same ones."""

        @cache
        def has_contexts(text: str) -> bool:
            return all(self._contexts.get(ContextRef(*ref)) == digest for *ref, digest in json.loads(text))

        return has_contexts

    def _restored(
        self,
        entry: Json,
        resource: Resource,
        request: PackageRequest,
        admit: Callable[[Resource], Release],
        read_package: Callable[[PackageRequest], Package],
    ) -> Restored:
        known = self.packages.find(request)
        summary = summary_of(entry, known.origin if known else None)
        content = _StoredContent(self.state, entry["blob"], lambda: admit(resource), lambda: read_package(request))
        compiled = CompiledRelease(summary, self._cluster.delivery, content)
        return Restored(
            compiled, tuple(ContextRef(*ref) for ref in entry["own"]), entry["searched"], resource.file.path
        )

    def _describe_environment(self, resources: ClusterResources, charts_path: str) -> str | None:
        """Return a description of everything that all Releases depend on; None if a part of it has no exact text."""
        project, cluster = self._project, self._cluster
        identity = helm_identity(Path(self._helm), self.state)
        if identity is None:
            return None
        configs = []
        for config in sorted(resources.configs, key=lambda config: config.name):
            text = value_text(config.spec)
            if text is None:
                return None
            configs.append([config.name, text, config.resource.file.path])
        described = [
            [cluster.namespace, resources.kubocd_namespace, cluster.repository_url, charts_path],
            [repr(cluster.delivery), repr(cluster.flux_version), sorted(cluster.hosts.items())],
            [project.emit_oci_repository, project.pin_digest, project.locked, repr(project.limits)],
            configs,
            identity,
        ]
        return json.dumps(described)


def _place(resource: Resource) -> str:
    """Return the value of a document and where it is, on which the texts of problems depend."""
    return f"{resource.digest} {resource.document} {resource.prefix} {resource.file.path}"


def _finish(compiled: CompiledRelease) -> list[Json]:
    finish = compiled.finish
    return [[[one["name"], one["namespace"]] for one in finish.depends_on], finish.image, finish.keep_variables]


def request_text(request: PackageRequest) -> str:
    """Return a text that identifies a request."""
    return json.dumps(asdict(request), sort_keys=True)


def _request(text: str) -> PackageRequest:
    given = json.loads(text)
    access = {**given["access"], "secrets": tuple(given["access"]["secrets"])}
    written = given["written"] and Reference(**given["written"])
    return PackageRequest(Reference(**given["reference"]), Access(**access), written)
