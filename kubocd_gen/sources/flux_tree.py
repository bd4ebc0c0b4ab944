"""What Flux applies from a directory: its resources, and those of the Flux Kustomizations among them, recursively.

The rules are those of kustomize-controller, https://fluxcd.io/flux/components/kustomize/kustomizations/: a directory
without a kustomization gets one that lists all manifests below it, fields of the Flux Kustomization are added to it,
and variables are substituted in what kustomize prints.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.checkout.discovery import SourceFile
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError
from kubocd_gen.files.paths import shown_path
from kubocd_gen.kube_yaml.emitter import emit_documents
from kubocd_gen.kube_yaml.reader import read_document, read_documents
from kubocd_gen.kustomize.build import build
from kubocd_gen.kustomize.kustomization import mappings, strings
from kubocd_gen.kustomize.staging import Stage
from kubocd_gen.kustomize.substitution import SubstitutionError, substitute
from kubocd_gen.model.resources import Resource
from kubocd_gen.sources.built_resources import built_resources
from kubocd_gen.sources.flux_sync import KUSTOMIZE_GROUP, Sync, sync_of

_SUFFIXES = (".yaml", ".yml")
# Files that source-controller leaves out of an artifact by default, as far as they have one of the suffixes.
_NOT_IN_ARTIFACT = (
    *(".travis.yml", ".gitlab-ci.yml", ".drone.yml", ".goreleaser.yml", ".goreleaser.yaml", ".sops.yaml", ".flux.yaml"),
    *("appveyor.yml", "cloudbuild.yaml", "codeship-services.yml", "codeship-steps.yml"),
)
_HIDDEN_DIRECTORIES = (".git", ".github", ".circleci", ".kcd-gen")
_DISABLED = "kustomize.toolkit.fluxcd.io/substitute"
_PASSED_ON = {"targetNamespace": "namespace", "namePrefix": "namePrefix", "nameSuffix": "nameSuffix"}
_MOST = 500  # Flux Kustomizations that are followed


@dataclass(slots=True)
class FluxTree:
    """Follows Flux Kustomizations. `complete` is False if some of their resources are not known."""

    stage: Stage
    budget: Budget
    problems: Problems
    complete: bool = True
    _config_maps: dict[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)

    def resources(self, directory: Path) -> list[Resource]:
        """Return all resources that Flux applies if it is bootstrapped to apply `directory`.

        Raises ProblemsError for `directory` itself; errors of the Kustomizations below are added to the problems.
        """
        found = self._of(directory, None)
        syncs = _syncs(found)
        own = next((one for one in syncs if self._directory(one) == directory), None)
        if own is not None and own.resource is not None and (_changes(own.resource.spec) or _build(own)):
            self._learn(found)
            found = self._of(directory, own)
            syncs = _syncs(found)
        ours = own.source if own is not None else None
        followed = {own.resource.position() if own is not None and own.resource else None}
        waiting = [one for one in syncs if one is not own]
        self._learn(found)
        postponed: list[Sync] = []
        while waiting or postponed:
            if not waiting:  # what is still missing is in no file
                waiting, postponed = postponed, []
                last = True
            else:
                last = False
            sync = waiting.pop(0)
            if sync.resource is None or sync.resource.position() in followed:
                continue
            if not last and self._missing(sync):
                postponed.append(sync)
                continue
            followed.add(sync.resource.position())
            if len(followed) > _MOST:
                message = f"more than {_MOST} Flux Kustomizations refer to each other"
                raise ProblemsError.of("kustomize-failed", message, sync.resource.position())
            if (ours is not None and sync.source != ours) or sync.source.kind != "GitRepository":
                self._unfollowed(sync)
                continue
            try:
                below = self._of(self._directory(sync), sync)
            except BudgetExceededError:
                raise
            except ProblemsError as error:
                self.complete = False
                self.problems.error(error)
                continue
            found += below
            self._learn(below)
            waiting += _syncs(below)
        return _without_repeats(found)

    def _directory(self, sync: Sync) -> Path:
        return Path(os.path.normpath(self.stage.top / sync.path))

    def _unfollowed(self, sync: Sync) -> None:
        message = f"the Flux Kustomization '{sync.name}' is not followed: its source is the {sync.source}"
        hint = "add what it applies to the cluster's sources if it has resources of KuboCD"
        position = sync.resource.position("spec", "sourceRef") if sync.resource else None
        self.problems.warning(Problem("unfollowed-kustomization", message, position, hint))

    def _of(self, directory: Path, sync: Sync | None) -> list[Resource]:
        """Return the resources of a directory with the changes of a Flux Kustomization."""
        spec: Mapping[str, Any] = sync.resource.spec if sync and sync.resource else {}
        if not directory.is_dir():
            message = f"the directory '{shown_path(directory)}' does not exist"
            position = sync.resource.position("spec", "path") if sync and sync.resource else None
            raise ProblemsError.of("missing-source", message, position, "fix 'spec.path' of the Flux Kustomization")
        if self.stage.has_kustomization(directory):
            fields = self.stage.add_kustomization(directory)
        else:
            files, kustomizations = self._manifests(directory)
            if not kustomizations and not _changes(spec):
                return self._substituted([one for path in files for one in self._read(path)], sync)
            for path in files:
                self.stage.add_file(path)
            for path in kustomizations:
                self.stage.add_kustomization(path)
            listed = [os.path.relpath(path, directory) for path in (*files, *kustomizations)]
            fields = {
                "apiVersion": "kustomize.config.k8s.io/v1beta1",
                "kind": "Kustomization",
                "resources": sorted(listed),
            }
        if components := strings(spec.get("components")):
            for component in components:
                self.stage.add_kustomization(directory / component)
        text = build(self.stage, directory, _with_spec(fields, spec))
        return self._substituted(built_resources(text, self.stage, directory, self.budget), sync)

    def _manifests(self, directory: Path) -> tuple[list[Path], list[Path]]:
        """Return the manifests and the directories with a kustomization that Flux finds below a directory."""
        files: list[Path] = []
        kustomizations: list[Path] = []
        waiting = [directory]
        while waiting:
            at = waiting.pop()
            with os.scandir(at) as entries:
                every = sorted(entries, key=lambda one: one.name)
            self.budget.spend("files", 1 + len(every))
            for entry in every:
                path = at / entry.name
                if entry.is_dir(follow_symlinks=False):
                    if entry.name in _HIDDEN_DIRECTORIES:
                        continue
                    if self.stage.has_kustomization(path):
                        kustomizations.append(path)
                    else:
                        waiting.append(path)
                elif entry.name.endswith(_SUFFIXES) and entry.name not in _NOT_IN_ARTIFACT and not entry.is_symlink():
                    files.append(path)
        return sorted(files), sorted(kustomizations)

    def _read(self, path: Path) -> Iterator[Resource]:
        """Yield the resources of a manifest. Raises ProblemsError for invalid YAML, which Flux would not apply."""
        self.stage.add_file(path)
        file = SourceFile(self.stage.display(path), self.stage.texts[path].decode("utf-8", "replace"))
        for number, document in enumerate(read_documents(file.text, file.path, budget=self.budget)):
            if document.error is not None:
                raise document.error
            if isinstance(document.value, Mapping):
                yield Resource(file, number, document.value, faults=document.faults)

    def _learn(self, resources: Sequence[Resource]) -> None:
        for one in resources:
            if one.kind == "ConfigMap" and isinstance(one.value.get("data"), Mapping):
                data = {str(name): text for name, text in one.value["data"].items() if isinstance(text, str)}
                self._config_maps[one.namespace, one.name] = data

    def _missing(self, sync: Sync) -> list[str]:
        """Return the required ConfigMaps and Secrets with variables that are in no file read so far."""
        return [
            f"the {one.get('kind')} '{one.get('name')}'"
            for one in mappings(_build(sync).get("substituteFrom"))
            if not one.get("optional") and self._values_from(sync, one) is None
        ]

    def _values_from(self, sync: Sync, reference: Mapping[str, Any]) -> Mapping[str, str] | None:
        if reference.get("kind") != "ConfigMap":
            return None
        return self._config_maps.get((sync.namespace, str(reference.get("name"))))

    def _substituted(self, resources: list[Resource], sync: Sync | None) -> list[Resource]:
        post_build = _build(sync) if sync else {}
        inline = post_build.get("substitute")
        inline = {str(name): str(text) for name, text in inline.items()} if isinstance(inline, Mapping) else {}
        references = mappings(post_build.get("substituteFrom"))
        if sync is None or sync.resource is None or not (inline or references):
            return resources
        values: dict[str, str] = {}
        for reference in references:
            values |= self._values_from(sync, reference) or {}
        values |= inline
        missing = self._missing(sync)
        found = []
        for one in resources:
            text = emit_documents([one.value])
            if "$" not in text or _is_disabled(one):
                found.append(one)
                continue
            if missing and one.is_kubocd:
                self.complete = False
                message = f"the variables of this {one.kind} are not known: {', '.join(missing)} is not in the checkout"
                hint = f"commit it, or set 'substitute' in the Flux Kustomization '{sync.name}'"
                self.problems.error(Problem("unknown-substitution", message, one.position(), hint))
                continue
            try:
                value = read_document(substitute(text, values), one.file.path, budget=self.budget)
            except (SubstitutionError, ProblemsError) as error:
                if isinstance(error, BudgetExceededError):
                    raise
                if one.is_kubocd or one.group == KUSTOMIZE_GROUP:
                    self.complete = False
                    message = f"the variables of this {one.kind} cannot be substituted: {error}"
                    hint = "write '$${' for a literal '${'"
                    self.problems.error(Problem("unknown-substitution", message, one.position(), hint))
                continue
            found.append(replace(one, value=value if isinstance(value, Mapping) else one.value))
        return found


def _without_repeats(resources: Sequence[Resource]) -> list[Resource]:
    """Return the resources without those that several Kustomizations apply from the same document, unchanged."""
    found: dict[tuple[str, int], list[Resource]] = {}
    kept = []
    for one in resources:
        same = found.setdefault((one.file.path, one.document), [])
        if not any(other.value == one.value for other in same):
            same.append(one)
            kept.append(one)
    return kept


def _build(sync: Sync) -> Mapping[str, Any]:
    build = sync.resource.spec.get("postBuild") if sync.resource else None
    return build if isinstance(build, Mapping) else {}


def _is_disabled(resource: Resource) -> bool:
    return any(
        isinstance(marks := resource.metadata.get(name), Mapping) and marks.get(_DISABLED) == "disabled"
        for name in ("labels", "annotations")
    )


def _syncs(resources: Sequence[Resource]) -> list[Sync]:
    return [sync for one in resources if (sync := sync_of(one, one.file.path)) is not None]


def _changes(spec: Mapping[str, Any]) -> bool:
    return any(spec.get(name) for name in (*_PASSED_ON, "patches", "components", "images", "commonMetadata"))


def _with_spec(fields: Mapping[str, Any], spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the fields of a kustomization with those that Flux adds from a Flux Kustomization."""
    result = dict(fields)
    for name, theirs in _PASSED_ON.items():
        if spec.get(name):
            result[theirs] = spec[name]
    if patches := mappings(spec.get("patches")):
        result["patches"] = [*mappings(fields.get("patches")), *patches]
    if components := strings(spec.get("components")):
        result["components"] = [*strings(fields.get("components")), *components]
    return result
