"""The inventory of an output: a list of the files that kcd-gen has written.

The inventory has one record (file) per Release, `.kcd-gen/<namespace>/<release>.list`, because branches that change
different Releases must merge without conflicts. A record has a line for each file of the Release, with its SHA-256 and
path in the format of `sha256sum`, sorted by path. The digest distinguishes a manual edit from a change of the sources.
The record of the files shared by all Releases has no digests: with them, branches that add different Releases would
always conflict.

The format is neither YAML nor JSON because a merge can leave conflict markers in it. Every line that is a path of the
Release counts, whatever surrounds it, and the next build rewrites the record. If a path has two digests after such a
merge, its written content is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from kubocd_gen.output.known import KnownOutput
from kubocd_gen.output.tree import Tree

RECORDS = ".kcd-gen"
SHARED_RECORD = f"{RECORDS}/shared.list"

KUSTOMIZATION = "flux/kustomization.yaml"
NAMESPACES = "flux/namespaces.yaml"

_SHARED = frozenset({KUSTOMIZATION, NAMESPACES})
_SUFFIX = ".list"
# Of Releases and namespaces. They have no capitals, so two names never share a file on a case-insensitive file system.
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_CHART_FILE = re.compile(r"index\.yaml|[A-Za-z0-9_][A-Za-z0-9._+-]*\.tgz")
_LARGEST = 16 << 20  # bytes of a record
_LINE = re.compile(r"(?:(?P<digest>[0-9a-f]{64})  )?(?P<path>.+)")

# The paths listed in a record, each with the SHA-256 of the written content, or None if that is unknown.
Record = Mapping[str, str | None]


def record_path(namespace: str, name: str) -> str:
    """Return the path of a Release's record, relative to the output root."""
    return f"{RECORDS}/{namespace}/{name}{_SUFFIX}"


def release_of(record: str) -> tuple[str, str]:
    """Return the namespace and name of the Release that `record` (not the shared one) belongs to."""
    _, namespace, name = record.removesuffix(_SUFFIX).split("/")
    return namespace, name


def record_content(listed: Record) -> bytes:
    """Return the content of a record; the inverse of `parse_record`."""
    lines = (f"{digest}  {path}" if digest else path for path, digest in sorted(listed.items()))
    return "".join(f"{line}\n" for line in lines).encode()


def read_records(
    tree: Tree, known: KnownOutput | None = None, expected: Mapping[str, tuple[Record, str]] | None = None
) -> dict[str, Record]:
    """Return all records of the inventory by their path.

    A record that is `known` to have the SHA-256 of `expected`, which also has what it lists, is not read.
    """
    found = {}
    if tree.file(SHARED_RECORD):
        found[SHARED_RECORD] = parse_record(SHARED_RECORD, tree.read(SHARED_RECORD, _LARGEST))
    for namespace in tree.entries(RECORDS):
        # The writer's staging directory starts with a dot, and other files are not records. A symlink is not skipped:
        # it must be refused.
        if namespace.name.startswith(".") or not (namespace.is_symlink or namespace.is_directory):
            continue
        for record in tree.entries(f"{RECORDS}/{namespace.name}"):
            path = f"{RECORDS}/{namespace.name}/{record.name}"
            if is_record(path) and (status := tree.file(path)):
                likely = expected.get(path) if known and expected else None
                if known and likely and known.is_unchanged(path, status, likely[1]):
                    found[path] = likely[0]
                else:
                    found[path] = parse_record(path, tree.read(path, _LARGEST))
    return found


@lru_cache(maxsize=64)
def is_record(path: str) -> bool:
    """Return whether `path` is the record of a Release with a valid Kubernetes name and namespace."""
    top, _, rest = path.partition("/")
    namespace, _, file = rest.partition("/")
    return (
        top == RECORDS and file.endswith(_SUFFIX) and all(map(_NAME.fullmatch, (namespace, file.removesuffix(_SUFFIX))))
    )


def is_output_path(path: str) -> bool:
    """Return whether `path` can be a path of an output: a record, or a file that a record can list."""
    if path == SHARED_RECORD or path in _SHARED or is_record(path):
        return True
    top, _, rest = path.partition("/")
    namespace, _, rest = rest.partition("/")
    name = rest.removesuffix(".yaml") if top == "flux" else rest.partition("/")[0]
    return may_list(record_path(namespace, name), path)


def is_unit(path: str) -> bool:
    """Return whether a write moves `path` as a whole: a file of the output, or the chart directory of a Release."""
    if path.startswith("hr/"):
        return is_output_path(f"{path}/index.yaml")
    return is_output_path(path)


def may_list(record: str, path: str) -> bool:
    """Return whether `record` can list `path`.

    A record comes with the checkout and can have been edited. It must never make kcd-gen touch anything except the Flux
    file of its own Release and the files that a build writes to that Release's chart directory; for the shared record,
    the files directly in `flux/`.
    """
    if record == SHARED_RECORD:
        return path in _SHARED
    if not is_record(record):
        return False
    namespace, name = release_of(record)
    if path == f"flux/{namespace}/{name}.yaml":
        return True
    directory, _, file = path.rpartition("/")
    return directory == f"hr/{namespace}/{name}" and _CHART_FILE.fullmatch(file) is not None


def parse_record(record: str, data: bytes) -> Record:
    """Return the paths and digests that the content of `record` lists; other lines are ignored."""
    found: dict[str, str | None] = {}
    for line in data.decode(errors="replace").splitlines():
        match = _LINE.fullmatch(line)
        if match and may_list(record, path := match["path"]):
            found[path] = match["digest"] if found.get(path, match["digest"]) == match["digest"] else None
    return found
