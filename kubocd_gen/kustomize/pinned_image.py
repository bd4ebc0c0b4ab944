"""Read the entry of the chart server's image in a kustomization.yaml.

images:
- name: kcd-gen-charts
  newName: registry.example.com/platform/charts
  digest: sha256:…
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubocd_gen.budget.spending import Budget
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError

IMAGE_NAME = "kcd-gen-charts"  # the image in the Deployment, replaced by `images:` in kustomization.yaml
LARGEST = 1 << 20  # bytes of a kustomization.yaml
KEYS = ("newName", "digest")


@dataclass(frozen=True, slots=True)
class Pinned:
    """The values of the entry; None if a key is missing. `position` is that of the digest or of the entry."""

    new_name: str | None
    digest: str | None
    new_tag: str | None = None
    position: Position | None = None


def read_pinned(text: str, path: str, budget: Budget | None = None) -> Pinned | None:
    """Return the image's entry in `text`, or None if there is none; `path` is for messages.

    Raises ProblemsError `bad-kustomization`, and those of invalid YAML.
    """
    from kubocd_gen.kube_yaml.locations import find_position

    found = find_entry(read_kustomization(text, path, budget), path)
    if found is None:
        return None
    number, entry = found
    new_name, digest = (entry.get(key) for key in KEYS)
    if not all(value is None or isinstance(value, str) for value in (new_name, digest)):
        raise ProblemsError(bad_kustomization(path, f"newName and digest of the image '{IMAGE_NAME}' must be strings"))
    keys = ("images", number, "digest") if digest is not None else ("images", number)
    tag = entry.get("newTag")
    return Pinned(new_name, digest, None if tag is None else str(tag), find_position(text, path, 0, keys))


def read_kustomization(text: str, path: str, budget: Budget | None = None) -> dict[str, Any]:
    """Return the value of a kustomization.yaml. Raises ProblemsError like `read_pinned`."""
    from kubocd_gen.kube_yaml.reader import read_document  # `kcd-gen image --help` needs only the image's name

    if len(text) > LARGEST:
        raise ProblemsError(bad_kustomization(path, f"it is larger than {LARGEST >> 20} MiB"))
    value = read_document(text, path, strict=True, budget=budget)
    if not isinstance(value, dict):
        raise ProblemsError(bad_kustomization(path, "it must be a map"))
    return value


def find_entry(document: Mapping[str, Any], path: str) -> tuple[int, dict[str, Any]] | None:
    """Return the number and value of the image's entry in `images`, or None. Raises `bad-kustomization`."""
    images = document.get("images") or []
    if not isinstance(images, list):
        raise ProblemsError(bad_kustomization(path, "images must be a list"))
    found = [(at, one) for at, one in enumerate(images) if isinstance(one, dict) and one.get("name") == IMAGE_NAME]
    if len(found) > 1:
        raise ProblemsError(bad_kustomization(path, f"it has {len(found)} entries for the image '{IMAGE_NAME}'"))
    return found[0] if found else None


def bad_kustomization(path: str, reason: str, hint: str | None = None) -> Problem:
    """Return the error for a kustomization whose image entry cannot be used."""
    message = f"cannot use the image entry of the kustomization: {reason}"
    return Problem("bad-kustomization", message, position=Position(path), hint=hint)
