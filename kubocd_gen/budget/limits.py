"""What untrusted input can cost: each limit with its reason, and the flag that changes it.

Whoever can push a package chooses what it unpacks to. A limit is far above what real packages need, and low enough that
one of them can't exhaust the machine; a user who trusts a larger package raises it with `--limit NAME=VALUE`.

Some limits are for one package or chart, the others for a whole run: `budget.Budget` counts those.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from kubocd_gen.diagnostics.problems import Position, Problem, nearest

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes, unless the comment says otherwise. On the command line and in `kcd-gen.yaml` a name has '-' for '_'."""

    layer: int = 256 * MIB  # packed, and held in memory; the largest packages known are under 10 MiB
    unpacked: int = 512 * MIB  # a layer, which is held in memory; likewise all charts of a package, which are not
    members: int = 1000  # a count: headers of any kind in a layer, which holds four texts and a handful of charts
    text: int = 5 * MIB  # a YAML file of a package: Helm takes no larger file in a chart, and these are smaller
    extended_header: int = 16 * KIB  # times, owners and attributes of one member, or a long name
    gzip_members: int = 10_000  # a count: parallel packers write a few; each costs time before it yields a byte
    base_layer: int = 4 * GIB  # of a server image's base, packed: it passes through a file, and nothing unpacks it
    manifest: int = 4 * MIB  # JSON about images: up to this size registries must take one (distribution specification)
    token: int = 4 * MIB  # what a registry answers when it is asked for a token
    chart_members: int = 50_000  # a count: headers in all charts of a package; each costs time, and large ones have 300
    chart_archive: int = 10 * MIB  # a chart, packed: source-controller's --helm-chart-max-size
    chart: int = 100 * MIB  # a chart, unpacked: Helm's MaxDecompressedChartSize
    chart_file: int = 5 * MIB  # a file of a chart: Helm's MaxDecompressedFileSize (3.17.3 and newer), and Flux's

    # For a whole run. A cluster of 1,000 Releases needs a fifth of the first two, and a tenth of the others.
    cpu_time: int = 40  # seconds of a processor, for kcd-gen and helm together
    memory: int = 800 * MIB  # resident, of all processes together
    helm_time: int = 20  # seconds of a processor, for all helm processes together
    rendered: int = 128 * MIB  # texts that templates print
    yaml_values: int = 3_000_000  # a count: values in all YAML that is read, aliases expanded and Contexts merged
    schema_steps: int = 3_000_000  # a count: keywords applied to a value, over all validations
    output: int = 2 * GIB  # what is written: each Release has its own copy of its package's charts
    files: int = 200_000  # a count: directory entries seen while sources are searched
    source_bytes: int = 64 * MIB  # of sources that mention KuboCD or Flux, which are kept; others count a 32nd
    fetched: int = 4 * GIB  # received from registries and chart repositories
    network_time: int = 600  # seconds in which something is transferred, or waited for
    unpacked_total: int = 8 * GIB  # unpacked from layers and charts; 4 KiB at least for each gzip part and tar header
    package_memory: int = 256 * MIB  # the files of all packages, which are held in memory until the end

    def of(self, name: str) -> int:
        """The limit that the command line calls `name`."""
        limit: int = getattr(self, _FIELDS[name])
        return limit


LIMITS = Limits()
_FIELDS = {field.name.replace("_", "-"): field.name for field in fields(Limits)}
NAMES = tuple(_FIELDS)
# The limits of a run. Only the user moves them, with --limit: the project file comes with the checkout that they guard
# against.
RUN_NAMES = (
    *("cpu-time", "memory", "helm-time", "rendered", "yaml-values", "schema-steps", "output", "files", "source-bytes"),
    *("fetched", "network-time", "unpacked-total", "package-memory"),
)
# What is held in memory, or fills a disk, as a whole is raised by less than the four times of the others.
_HELD = {"layer": 2 * LIMITS.layer, "unpacked": LIMITS.unpacked, "base-layer": LIMITS.base_layer}
_COUNTS = frozenset({"members", "gzip-members", "chart-members", "yaml-values", "schema-steps", "files"})
_TIMES = frozenset({"cpu-time", "helm-time", "network-time"})
_UNITS = {"": 1, "Ki": KIB, "Mi": MIB, "Gi": GIB}
_SIZE = re.compile(r"([0-9]{1,15})(?:(Ki|Mi|Gi)B?)?")
_TIME = re.compile(r"([0-9]{1,15})(s|m|h)?")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
_CLUSTER = {
    "chart-archive": "reduce the chart, or raise the limit if source-controller has a higher --helm-chart-max-size",
    "chart": "reduce the chart, or raise the limit if Helm has a higher one in the cluster",
    "chart-file": "reduce the file, or raise the limit if Helm has a higher one in the cluster",
}


def parse_limit(name: str, text: str) -> int:
    """The value of the limit `name` as a user writes it: `512MiB`, `64Ki`, `2000`. Raises ValueError, a sentence."""
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
    return min(value, 1 << 62)  # what a machine word holds


def ceiling(name: str) -> int:
    """The highest value that the project file can give a limit: who opens a pull request writes that file, too."""
    return _HELD.get(name, 4 * LIMITS.of(name))


def moved(limits: Limits, changes: Mapping[str, int]) -> Limits:
    """`limits` with other values for some, by their names on the command line."""
    return replace(limits, **{_FIELDS[name]: value for name, value in changes.items()})


def over_limit(
    what: str, name: str, limit: int, *, needed: int | None = None, position: Position | None = None
) -> Problem:
    """The error for what is beyond `limit`, which the command line calls `name`; `what` ends in «is larger» or alike.

    `needed` is the value with which it would be taken, if that is known; the hint says a limit that is high enough.
    """
    advice = _CLUSTER.get(name, "if you trust the package, raise the limit")
    return Problem(
        "package-limit",
        f"{what} than the limit of {worded(name, limit)}",
        position=position,
        hint=f"{advice}: --limit {setting(name, limit, needed)}",
    )


def setting(name: str, limit: int, needed: int | None = None) -> str:
    """The `NAME=VALUE` for `--limit` that doubles `limit` until `needed`, if that is known, is within it."""
    enough = 2 * limit
    while needed is not None and enough < needed and enough < 1024 * GIB:
        enough *= 2
    return f"{name}={worded(name, enough).replace(' ', '').removesuffix('bytes').removesuffix('seconds')}"


def worded(name: str, value: int) -> str:
    """`value` of the limit `name` with its unit, as messages print it: `5 MiB`, `1000`, `40 seconds`."""
    if name in _COUNTS:
        return str(value)
    if name in _TIMES:
        return f"{value} seconds"
    size, unit = next((size, unit) for size, unit in _WORDS if value % size == 0)
    return f"{value // size} {unit}"


_WORDS = ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB"), (1, "bytes"))
