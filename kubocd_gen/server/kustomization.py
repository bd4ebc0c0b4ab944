"""The image's entry in a kustomization.yaml that a user owns: two values of it are set, and no other byte is touched.

    images:
    - name: kcd-gen-charts
      newName: registry.example.com/platform/charts
      digest: sha256:…

The text is cut at the marks of YAML's events. What was written is read again and has to be what was meant: a file in
which a cut does more or less than that, with anchors or in flow style, is refused and left to its owner.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.kube_yaml.reader import read_document
from kubocd_gen.server.layout import IMAGE_NAME

LARGEST = 1 << 20  # bytes of a kustomization.yaml
_KEYS = ("newName", "digest")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/@-]*(?::[A-Za-z0-9._/@-]+)*")  # needs no quotes in any YAML


@dataclass(frozen=True, slots=True)
class Pinned:
    """What the entry says now; None is not there."""

    new_name: str | None
    digest: str | None


def read_pinned(text: str, path: str) -> Pinned | None:
    """The image's entry in the file `path`, None where it has none.

    Raises ProblemsError: `bad-kustomization` and those of YAML.
    """
    found = _entry(_document(text, path), path)
    if found is None:
        return None
    values = [found[1].get(key) for key in _KEYS]
    if not all(value is None or isinstance(value, str) for value in values):
        raise ProblemsError(_bad(path, f"its image {IMAGE_NAME} has a newName or digest that is no text", {}))
    return Pinned(*values)


def with_pinned(text: str, path: str, new_name: str | None, digest: str) -> str:
    """The text with the entry's `digest`, and `newName` unless it is None.

    Raises ProblemsError as `read_pinned` does.
    """
    before = _document(text, path)
    found = _entry(before, path)
    changes = {key: value for key, value in zip(_KEYS, (new_name, digest), strict=True) if value is not None}
    if found is None:
        raise ProblemsError(_bad(path, f"it has no image {IMAGE_NAME}", changes))
    number, entry = found
    missing = [key for key in changes if key not in entry]
    wanted = {**before, "images": [*before["images"]]}
    wanted["images"][number] = {**entry, **changes}
    try:
        after = _edited(text, number, changes, missing)
        if _document(after, path) == wanted:
            return after
    except (ProblemsError, _UnsupportedError, yaml.YAMLError):
        pass
    raise ProblemsError(
        _bad(path, f"the entry of {IMAGE_NAME} is written in a way that kcd-gen does not change", changes)
    )


class _UnsupportedError(Exception):
    """The entry is not where it is looked for."""


def _edited(text: str, number: int, changes: Mapping[str, str], missing: list[str]) -> str:
    root = yaml.compose(text, Loader=yaml.SafeLoader)  # in characters, as `text` is; libyaml's marks are, too
    images = _value(root, "images")
    if not isinstance(images, yaml.SequenceNode):
        raise _UnsupportedError
    entry = images.value[number]
    cuts: list[tuple[int, int, str]] = []
    for key, value in changes.items():
        if key not in missing:
            node = _value(entry, key)
            if not isinstance(node, yaml.ScalarNode) or node.style in ("|", ">"):
                raise _UnsupportedError
            quote = node.style or ("" if _PLAIN.fullmatch(value) else "'")
            cuts.append((node.start_mark.index, node.end_mark.index, f"{quote}{value}{quote}"))
    if missing:
        first, last = entry.value[0][0], entry.value[-1][1]
        end = last.end_mark.index
        line_end = text.find("\n", end)
        line_break = "\r\n" if "\r\n" in text else "\n"
        lines = [f"{' ' * first.start_mark.column}{key}: {changes[key]}" for key in missing]
        if line_end < 0:
            cuts.append((len(text), len(text), line_break + line_break.join(lines)))
        else:
            cuts.append((line_end + 1, line_end + 1, "".join(line + line_break for line in lines)))
    for start, end, value in sorted(cuts, reverse=True):
        text = text[:start] + value + text[end:]
    return text


def _value(node: Any, key: str) -> Any:
    if not isinstance(node, yaml.MappingNode):
        raise _UnsupportedError
    return next((value for name, value in node.value if name.value == key), None)


def _document(text: str, path: str) -> dict[str, Any]:
    if len(text) > LARGEST:
        raise ProblemsError(_bad(path, f"it is larger than {LARGEST >> 20} MiB", {}))
    value = read_document(text, path, strict=True)
    if not isinstance(value, dict):
        raise ProblemsError(_bad(path, "it is no map", {}))
    return value


def _entry(document: Mapping[str, Any], path: str) -> tuple[int, dict[str, Any]] | None:
    images = document.get("images") or []
    if not isinstance(images, list):
        raise ProblemsError(_bad(path, "its images are no list", {}))
    found = [(at, one) for at, one in enumerate(images) if isinstance(one, dict) and one.get("name") == IMAGE_NAME]
    if len(found) > 1:
        raise ProblemsError(_bad(path, f"it has {len(found)} images {IMAGE_NAME}, and kustomize takes the last", {}))
    return found[0] if found else None


def _bad(path: str, what: str, changes: Mapping[str, str]) -> Problem:
    said = "".join(f", {key}: {value}" for key, value in changes.items())
    return Problem(
        "bad-kustomization",
        f"the image can't be written to the kustomization: {what}",
        position=Position(path),
        hint=f"write there, below 'images:': - {{name: {IMAGE_NAME}{said}}}" if changes else None,
    )
