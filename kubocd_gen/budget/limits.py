"""The limits on untrusted input, each with its reason, and parsing of the flag that changes them.

The author of a package controls what it unpacks to. A limit is far above the needs of real packages, but low enough
that a package can't exhaust the machine. Users who trust a larger package raise it with `--limit NAME=VALUE`.

Some limits apply to one package or chart. The others apply to a whole run and are counted by `spending.Budget`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from kubocd_gen.diagnostics.problems import Position, Problem, nearest

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits, in bytes unless the comment says otherwise. On the command line and in `kcd-gen.yaml`, '_' is '-'."""

    layer: int = 256 * MIB  # compressed, and held in memory; the largest known packages are under 10 MiB
    unpacked: int = 512 * MIB  # a layer, held in memory; likewise all charts of a package, which are not
    members: int = 1000  # a count: headers of any kind in a layer, which has four YAML files and a few charts
    text: int = 5 * MIB  # a YAML file of a package; this is Helm's limit for a file of a chart
    extended_header: int = 16 * KIB  # times, owners and attributes of a member, or a long name
    gzip_members: int = 10_000  # a count: parallel compressors write a few; each costs time even if it is empty
    base_layer: int = 4 * GIB  # a layer of a server image's base, compressed: streamed to a file and never unpacked
    manifest: int = 4 * MIB  # JSON about images; registries must support this size (distribution specification)
    token: int = 4 * MIB  # a registry's response to a token request
    chart_members: int = 50_000  # a count: headers in all charts of a package; each costs time; large charts have 300
    chart_archive: int = 10 * MIB  # a chart, compressed: source-controller's --helm-chart-max-size
    chart: int = 100 * MIB  # a chart, unpacked: Helm's MaxDecompressedChartSize
    chart_file: int = 5 * MIB  # a file of a chart: Helm's MaxDecompressedFileSize (3.17.3 and newer), and Flux's

    # For a whole run. A cluster with 1,000 Releases needs a fifth of the first two limits and a tenth of the others.
    cpu_time: int = 40  # seconds of CPU time, for kcd-gen and helm together
    memory: int = 800 * MIB  # resident, of all processes together
    helm_time: int = 20  # seconds of CPU time, for all helm processes together
    rendered: int = 128 * MIB  # output of templates
    yaml_values: int = 3_000_000  # a count: values in all YAML input, with aliases expanded and Contexts merged
    schema_steps: int = 3_000_000  # a count: schema keywords applied to a value, in all validations
    output: int = 2 * GIB  # written files: each Release has its own copy of its package's charts
    files: int = 200_000  # a count: directory entries listed while searching for sources
    source_bytes: int = 64 * MIB  # source files that mention KuboCD or Flux and stay in memory; others count for 1/32
    fetched: int = 4 * GIB  # received from registries and chart repositories
    network_time: int = 600  # seconds during which a request is in progress
    unpacked_total: int = 8 * GIB  # unpacked from layers and charts; at least 4 KiB for each gzip member and tar header
    package_memory: int = 256 * MIB  # the files of all packages, which are kept in memory until the end

    def of(self, name: str) -> int:
        """Return the limit whose name on the command line is `name`."""
        limit: int = getattr(self, name.replace("-", "_"))
        return limit


LIMITS = Limits()
NAMES = tuple(field.name.replace("_", "-") for field in fields(Limits))
# Limits on what is held in memory or on disk as a whole can be raised less than the others, which can be quadrupled.
_HELD = {"layer": 2 * LIMITS.layer, "unpacked": LIMITS.unpacked, "base-layer": LIMITS.base_layer}
_COUNTS = frozenset({"members", "gzip-members", "chart-members", "yaml-values", "schema-steps", "files"})
_TIMES = frozenset({"cpu-time", "helm-time", "network-time"})
_UNITS = {"": 1, "Ki": KIB, "Mi": MIB, "Gi": GIB}
_WORDS = ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB"), (1, "bytes"))
_SIZE = re.compile(r"([0-9]{1,15})(?:(Ki|Mi|Gi)B?)?")
_TIME = re.compile(r"([0-9]{1,15})(s|m|h)?")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
_CLUSTER = {
    "chart-archive": "reduce the chart, or raise the limit if source-controller has a higher --helm-chart-max-size",
    "chart": "reduce the chart, or raise the limit if Helm has a higher one in the cluster",
    "chart-file": "reduce the file, or raise the limit if Helm has a higher one in the cluster",
}


def parse_limit(name: str, text: str) -> int:
    """Parse a value of the limit `name`, such as `512MiB`, `64Ki` or `2000`. Raises ValueError with a user message."""
    if name not in NAMES:
        close = nearest("; did you mean '{}'?", name, NAMES)
        raise ValueError(f"the limit '{name}' does not exist{close or '; available limits: ' + ', '.join(NAMES)}")
    found = (_TIME if name in _TIMES else _SIZE).fullmatch(text)
    if name in _TIMES and not found:
        raise ValueError(f"the limit '{name}' must be a time such as 90s or 2m, not '{text}'")
    if name in _COUNTS and not (found and found[2] is None):
        raise ValueError(f"the limit '{name}' must be a number such as 2000, not '{text}'")
    if not found:
        raise ValueError(f"the limit '{name}' must be a size such as 512MiB (KiB, MiB, GiB), not '{text}'")
    units = _SECONDS if name in _TIMES else _UNITS
    if not (value := int(found[1]) * units[found[2] or ""]):
        raise ValueError(f"the limit '{name}' must be greater than 0")
    return min(value, 1 << 62)  # fits in a machine word


def ceiling(name: str) -> int:
    """Return the highest value that the project file, which a pull request can change, can set for a limit."""
    return _HELD.get(name, 4 * LIMITS.of(name))


def moved(limits: Limits, changes: Mapping[str, int]) -> Limits:
    """Return `limits` with `changes`, by name on the command line."""
    return replace(limits, **{name.replace("-", "_"): value for name, value in changes.items()})


def over_limit(
    what: str, name: str, limit: int, *, needed: int | None = None, position: Position | None = None
) -> Problem:
    """Return the error for input over `limit`, whose name is `name`. `what` is the message up to "than the limit".

    `needed` is the value that would be sufficient, if known; the hint names a limit that is high enough.
    """
    advice = _CLUSTER.get(name, "if you trust the package, raise the limit")
    return Problem(
        "package-limit",
        f"{what} than the limit of {worded(name, limit)}",
        position=position,
        hint=f"{advice}: --limit {setting(name, limit, needed)}",
    )


def setting(name: str, limit: int, needed: int | None = None) -> str:
    """Return the `NAME=VALUE` for `--limit` that doubles `limit` at least once, until `needed` is within it."""
    enough = 2 * limit
    while needed is not None and enough < needed and enough < 1024 * GIB:
        enough *= 2
    return f"{name}={worded(name, enough).replace(' ', '').removesuffix('bytes').removesuffix('seconds')}"


def worded(name: str, value: int) -> str:
    """Return `value` of the limit `name` with its unit, for messages: `5 MiB`, `1000`, `40 seconds`."""
    if name in _COUNTS:
        return str(value)
    if name in _TIMES:
        return f"{value} seconds"
    size, unit = next((size, unit) for size, unit in _WORDS if value % size == 0)
    return f"{value // size} {unit}"
