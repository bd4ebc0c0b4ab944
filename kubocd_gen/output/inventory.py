"""What kcd-gen owns in an output folder: the record that tells its files from everyone else's.

Each Release has a record of its own, `.kcd-gen/<namespace>/<release>.list`, so that branches which change different
Releases merge without conflict: a line for each file that was written for it, its SHA-256 and its path, sorted by path,
as `sha256sum` has them. What a file was when it was written tells an edit by hand from a change of the sources. The
record of the files that all Releases share has no digests: with one, branches that add different Releases would never
merge without conflict.

It is no YAML and no JSON because a merge may leave conflict marks in it: every line that is one of the Release's paths
counts, whatever stands around it, and the next build writes the record anew. Of a path that is there with two digests,
as after such a merge, it is not known what was written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from kubocd_gen.output.tree import Tree

RECORDS = ".kcd-gen"
SHARED_RECORD = f"{RECORDS}/shared.list"

_SHARED = "flux/kustomization.yaml"
_SUFFIX = ".list"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")  # of Releases and namespaces; no capitals, so one is one file
_CHART_FILE = re.compile(r"index\.yaml|[A-Za-z0-9_][A-Za-z0-9._+-]*\.tgz")
_LARGEST = 16 << 20  # bytes of a record
_LINE = re.compile(r"(?:(?P<digest>[0-9a-f]{64})  )?(?P<path>.+)")

# The paths that a record lists, each with the SHA-256 of what was written, None where that is not known.
Record = Mapping[str, str | None]


def record_path(namespace: str, name: str) -> str:
    """Where the record of a Release lies, relative to the output root."""
    return f"{RECORDS}/{namespace}/{name}{_SUFFIX}"


def released(record: str) -> tuple[str, str]:
    """The namespace and name of the Release that `record`, other than the shared one, is for."""
    _, namespace, name = record.removesuffix(_SUFFIX).split("/")
    return namespace, name


def record_content(listed: Record) -> bytes:
    lines = (f"{digest}  {path}" if digest else path for path, digest in sorted(listed.items()))
    return "".join(f"{line}\n" for line in lines).encode()


def read_records(tree: Tree) -> dict[str, Record]:
    """What each record lists, by the record's own path."""
    found = {}
    if tree.file(SHARED_RECORD):
        found[SHARED_RECORD] = parse_record(SHARED_RECORD, tree.read(SHARED_RECORD))
    for namespace in tree.entries(RECORDS):
        # The writer's staging folder starts with a dot, and other files are nobody's records; a link is looked at, to
        # be refused.
        if namespace.name.startswith(".") or not (namespace.is_symlink or namespace.is_directory):
            continue
        for record in tree.entries(f"{RECORDS}/{namespace.name}"):
            path = f"{RECORDS}/{namespace.name}/{record.name}"
            if is_record(path) and tree.file(path):
                found[path] = parse_record(path, tree.read(path, _LARGEST))
    return found


@lru_cache(maxsize=64)
def is_record(path: str) -> bool:
    """Whether `path` is the record of a Release, whose name and namespace are such as Kubernetes takes."""
    top, _, rest = path.partition("/")
    namespace, _, file = rest.partition("/")
    return (
        top == RECORDS and file.endswith(_SUFFIX) and all(map(_NAME.fullmatch, (namespace, file.removesuffix(_SUFFIX))))
    )


def is_output_path(path: str) -> bool:
    """Whether `path` is one of an output: a record, or what some record can speak for."""
    if path in (SHARED_RECORD, _SHARED) or is_record(path):
        return True
    top, _, rest = path.partition("/")
    namespace, _, rest = rest.partition("/")
    name = rest.removesuffix(".yaml") if top == "flux" else rest.partition("/")[0]
    return may_list(record_path(namespace, name), path)


def is_unit(path: str) -> bool:
    """Whether `path` is one that a write moves as a whole: a file of the output, or the chart folder of a Release."""
    if path.startswith("hr/"):
        return is_output_path(f"{path}/index.yaml")
    return is_output_path(path)


def may_list(record: str, path: str) -> bool:
    """Whether `path` is one that `record` can speak for.

    A record comes with the checkout and may have been edited. It never makes kcd-gen touch anything but the one Flux
    file of its own Release and what a build writes into that Release's chart folder, or for the shared record
    `flux/kustomization.yaml`.
    """
    if record == SHARED_RECORD:
        return path == _SHARED
    if not is_record(record):
        return False
    namespace, name = released(record)
    if path == f"flux/{namespace}/{name}.yaml":
        return True
    folder, _, file = path.rpartition("/")
    return folder == f"hr/{namespace}/{name}" and _CHART_FILE.fullmatch(file) is not None


def parse_record(record: str, data: bytes) -> Record:
    """What the content of a record lists."""
    found: dict[str, str | None] = {}
    for line in data.decode(errors="replace").splitlines():
        match = _LINE.fullmatch(line)
        if match and may_list(record, path := match["path"]):
            found[path] = match["digest"] if found.get(path, match["digest"]) == match["digest"] else None
    return found
