"""`kcd-gen.lock`: the image digest of each package when it was locked.

The file has one block per package, sorted, so branches that lock different packages merge without conflict. Only
`kcd-gen lock` and `kcd-gen build --push-charts` write it; all other commands read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubocd_gen.checkout.conflicts import conflict_line
from kubocd_gen.checkout.files import LOCK, CheckoutFiles
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.kube_yaml.emitter import emit_documents
from kubocd_gen.kube_yaml.locations import find_position
from kubocd_gen.oci.descriptors import CONTENT_TYPE, MANIFEST_TYPE, Descriptor
from kubocd_gen.oci.reference import parse_reference
from kubocd_gen.schema.validated_file import admit_own_text, read_own_text

if TYPE_CHECKING:
    from kubocd_gen.packages.chart_index import IndexedChart

_HEAD = "# Written by 'kcd-gen lock'. Do not edit; commit it with the sources.\n"


@dataclass(frozen=True, slots=True)
class Pin:
    """The image that a tag pointed to: its manifest, its content layer, and the charts in it, sorted."""

    manifest: Descriptor
    layer: Descriptor
    charts: tuple[IndexedChart, ...]


@dataclass(frozen=True, slots=True)
class Lock:
    """The pins by reference (`registry/repository:tag`); `helm` is the minor version of helm, such as `3.17`.

    `charts` are the digests of the charts that were pushed for `delivery: oci`, by reference.
    """

    packages: Mapping[str, Pin] = field(default_factory=dict)
    helm: str | None = None
    charts: Mapping[str, str] = field(default_factory=dict)


def read_lock(path: Path, display: str, files: CheckoutFiles | None = None) -> Lock:
    """Read the lock file `path`, which must be one of `files` (default: those of its checkout).

    Raises ProblemsError: `bad-lock`, `outside-checkout`, and the errors of YAML and schema.
    """
    files = files or CheckoutFiles.around(path.parent)
    try:
        text = read_own_text(path, display, files, LOCK, what="the lock", code="bad-lock")
        _refuse_conflicts(text, path, display)
        admitted = admit_own_text(text, display, what="the lock", schema_name="lock-v1alpha1")
    except ProblemsError as errors:
        raise ProblemsError(*(replace(one, hint=one.hint or _repair_hint(path)) for one in errors.problems)) from None
    problems = []
    names = [(section, name) for section in ("packages", "charts") for name in admitted.get(section, ())]
    for section, name in names:
        try:
            parse_reference(name)
        except ProblemsError as error:
            position = find_position(text, display, 0, (section, name))
            message = f"a key of '{section}' is not an image reference such as registry.example.com/redis:1.0.0"
            problems.append(Problem(error.problem.code, message, position=position, hint=_repair_hint(path)))
    if problems:
        raise ProblemsError(*problems)
    pins = {name: _pin(block) for name, block in admitted["packages"].items()}
    return Lock(pins, admitted.get("helm"), admitted.get("charts", {}))


def lock_text(lock: Lock) -> str:
    """Return the file's content, which does not depend on the order of `lock.packages`."""
    document: dict[str, Any] = {"apiVersion": "kcd-gen/v1alpha1", "kind": "Lock"}
    if lock.helm is not None:
        document["helm"] = lock.helm
    document["packages"] = {name: _block(pin) for name, pin in sorted(lock.packages.items())}
    if lock.charts:
        document["charts"] = dict(sorted(lock.charts.items()))
    return _HEAD + emit_documents([document]).removeprefix("---\n")


def changed_charts(old: Pin, new: Pin) -> list[IndexedChart]:
    """Return the charts of `new` that differ from those of the same version in `old`: Flux would not roll them out."""
    known = {(chart.name, chart.version): chart.sha256 for chart in old.charts}
    return [chart for chart in new.charts if known.get((chart.name, chart.version), chart.sha256) != chart.sha256]


def _refuse_conflicts(text: str, path: Path, display: str) -> None:
    """Raise ProblemsError `bad-lock` if the file has Git conflict markers."""
    if (number := conflict_line(text)) is not None:
        pushed = ", and 'kcd-gen build --push-charts' to record the charts" if "\ncharts:" in text else ""
        raise ProblemsError.of(
            "bad-lock",
            "the lock file has an unresolved merge conflict",
            position=Position(display, number, 1),
            hint=f"run 'git checkout --ours {path.name}', then 'kcd-gen lock' to add the missing packages{pushed}",
        )


def _pin(block: Mapping[str, Any]) -> Pin:
    from kubocd_gen.packages.chart_index import IndexedChart

    return Pin(
        manifest=Descriptor(MANIFEST_TYPE, block["digest"], block["size"]),
        layer=Descriptor(CONTENT_TYPE, block["layer"]["digest"], block["layer"]["size"]),
        charts=tuple(sorted(IndexedChart(**chart) for chart in block["charts"])),
    )


def _block(pin: Pin) -> dict[str, Any]:
    return {
        "digest": pin.manifest.digest,
        "size": pin.manifest.size,
        "layer": {"digest": pin.layer.digest, "size": pin.layer.size},
        "charts": [asdict(chart) for chart in sorted(pin.charts)],
    }


def _repair_hint(path: Path) -> str:
    return f"restore {path.name} from Git, or delete it and run 'kcd-gen lock' to pin all packages again"
