"""Find what kustomize or Flux would change in the sources, which kcd-gen reads as they are.

A `kustomization.yaml` among the sources, or a Flux Kustomization of the checkout that applies them, can leave files
out, add others, and change the resources. Then the sources are not what the cluster gets.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.diagnostics.problems import Position, Problem
from kubocd_gen.files.paths import checkout_root, display_path, fixed_part, shown_path
from kubocd_gen.kustomize.kustomization import (
    Kustomization,
    Kustomizations,
    changes_anything,
    changing_field,
    changing_flux_field,
)
from kubocd_gen.model.resources import Resource
from kubocd_gen.sources.flux_sync import Sync, lies_below

_CODE = "kustomization-ignored"
_LISTED = 3  # names in a message
_INTENDED = "if this difference is intended, set 'ignoreKustomizations: true' for the cluster"
_FLUX_HINT = f"compile what Flux applies, with 'sources: [{{flux: DIR}}]'; {_INTENDED}"


@dataclass(frozen=True, slots=True)
class PlainSources:
    """Sources that are read as they are.

    `resources` are those that kcd-gen compiles, and `paths` all files that were found, by their name in messages.
    `mentions` returns whether a file that is not among them has resources of KuboCD.
    """

    sources: Sequence[str]
    root: Path
    resources: Sequence[Resource]
    paths: Mapping[str, Path]
    default_namespace: str
    mentions: Callable[[Path], bool]


def find_ignored(plain: PlainSources, reader: Kustomizations, syncs: Iterable[Sync]) -> Iterator[Problem]:
    """Yield an error for each kustomization, and each Flux Kustomization, that would change what is compiled."""
    bases = _bases(plain)
    found = _kustomizations(plain, reader, bases)
    top = checkout_root(plain.root) or Path(os.path.realpath(plain.root))
    syncs = list(syncs)
    applied = [one for sync in syncs if (one := reader.at(top / sync.path)) is not None]
    syncs = [sync for sync in syncs if sync.resource is not None and changes_anything(sync.resource.spec)]
    if not (found or applied or syncs):
        return
    real = {display: Path(os.path.realpath(path)) for display, path in plain.paths.items()}
    resources = [(real[one.file.path], one) for one in plain.resources if one.file.path in real]
    reached = {one.directory: reader.reached(one) for one in (*found, *applied)}
    for one in {below.directory: below for _, every in reached.values() for below in every}.values():
        files = reached[one.directory][0] if one.directory in reached else reader.reached(one)[0]
        yield from _changes(one, [resource for path, resource in resources if path in files], plain, reader)
    yield from _left_out(resources, reached, reader, plain)
    known = set(real.values())
    for one in found:
        if any(one.directory.is_relative_to(base) for base in bases):
            yield from _added(one, reached[one.directory], known, plain)
    for sync in syncs:
        yield from _flux_changes(sync, resources, plain, reader)


def _bases(plain: PlainSources) -> list[Path]:
    """Return the real directories of the sources."""
    paths = [Path(os.path.realpath(plain.root / fixed_part(source))) for source in plain.sources]
    return [path if path.is_dir() else path.parent for path in paths]


def _kustomizations(plain: PlainSources, reader: Kustomizations, bases: Sequence[Path]) -> list[Kustomization]:
    """Return the kustomizations in the directories of the sources, and in those above, up to the checkout's root."""
    top = checkout_root(plain.root) or Path(os.path.realpath(plain.root))
    directories = {path.parent for path in plain.paths.values()}
    for base in bases:
        directories.add(base)
        directories.update(one for one in base.parents if one.is_relative_to(top))
    found = (reader.at(directory) for directory in sorted(directories))
    return list({one.directory: one for one in found if one is not None}.values())


def _changes(
    one: Kustomization, resources: Sequence[Resource], plain: PlainSources, reader: Kustomizations
) -> Iterator[Problem]:
    components = [reader.at(path) for field, _, path in one.listed() if field == "components"]
    fields: dict[str, list[Resource]] = {}
    for resource in resources:
        if field := changing_field(one, resource, plain.default_namespace, reader.text):
            fields.setdefault(field, []).append(resource)
        elif any(part and changing_field(part, resource, plain.default_namespace, reader.text) for part in components):
            fields.setdefault("components", []).append(resource)
    for field, changed in fields.items():
        message = f"'{field}' would change {_named(changed)}, but kcd-gen reads the files without kustomize"
        yield Problem(_CODE, message, one.position(field), _hint(one, plain))


def _left_out(
    resources: Sequence[tuple[Path, Resource]],
    reached: Mapping[Path, tuple[set[Path], list[Kustomization]]],
    reader: Kustomizations,
    plain: PlainSources,
) -> Iterator[Problem]:
    """Yield an error for each kustomization that leaves out resources of its directory."""
    bases = _bases(plain)
    listed = set[Path]().union(*(files for files, _ in reached.values()))
    left: dict[Path, list[Resource]] = {}
    for path, resource in resources:
        if path in listed:
            continue
        for directory in path.parents:
            if not any(directory.is_relative_to(base) for base in bases):
                break
            if reader.at(directory) is not None:
                left.setdefault(directory, []).append(resource)
                break
    for directory, missing in left.items():
        if (one := reader.at(directory)) is not None:
            files = sorted({shown_path(resource.file.path) for resource in missing})
            message = f"the list leaves out {_listed(files)} with {_named(missing)}, but kcd-gen reads all files"
            hint = f"list it, or exclude it from the cluster's sources; or {_hint(one, plain)}"
            yield Problem(_CODE, message, one.position("resources"), hint)


def _added(
    one: Kustomization,
    reached: tuple[set[Path], list[Kustomization]],
    known: set[Path],
    plain: PlainSources,
) -> Iterator[Problem]:
    """Yield an error if a kustomization lists files with KuboCD's resources that are not in the sources."""
    added = [path for path in sorted(reached[0] - known) if path.is_file() and plain.mentions(path)]
    if added:
        names = _listed([shown_path(path) for path in added])
        message = f"the list adds {names}, which is not in the cluster's sources"
        yield Problem(_CODE, message, one.position("resources"), f"add it to the sources; or {_hint(one, plain)}")


def _flux_changes(
    sync: Sync, resources: Sequence[tuple[Path, Resource]], plain: PlainSources, reader: Kustomizations
) -> Iterator[Problem]:
    if sync.resource is None:
        return
    top = checkout_root(plain.root) or Path(os.path.realpath(plain.root))
    directory = top / sync.path
    kustomization = reader.at(directory)
    files = None if kustomization is None else reader.reached(kustomization)[0]
    fields: dict[str, list[Resource]] = {}
    for path, resource in resources:
        inside = path.relative_to(top).as_posix() if path.is_relative_to(top) else None
        if inside is None or (path not in files if files is not None else not lies_below(inside, sync.path)):
            continue
        field = changing_flux_field(sync.resource.spec, resource, plain.default_namespace)
        if field:
            fields.setdefault(field, []).append(resource)
    for field, changed in fields.items():
        message = (
            f"'{field}' of the Flux Kustomization '{sync.name}' would change {_named(changed)}, "
            "but kcd-gen reads the files without it"
        )
        yield Problem(_CODE, message, _position(sync.resource, field), _FLUX_HINT)


def _hint(one: Kustomization, plain: PlainSources) -> str:
    directory = display_path(one.directory, plain.root)
    return (
        f"compile what kustomize prints, with 'sources: [{{kustomize: {directory}}}]' (or pipe it to '--source -'); "
        f"{_INTENDED}"
    )


def _position(resource: Resource, field: str) -> Position:
    return resource.position("spec", field)


def _named(resources: Sequence[Resource]) -> str:
    names = dict.fromkeys(f"the {one.kind} '{one.name}'" for one in resources)
    return _listed(list(names))


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_LISTED])
    return f"{shown} and {len(names) - _LISTED} more" if len(names) > _LISTED else shown
