"""Edit the image's entry in a user's kustomization.yaml: set two values without changing any other byte.

    images:
    - name: kcd-gen-charts
      newName: registry.example.com/platform/charts
      digest: sha256:…

The text is edited at the marks of YAML nodes. The result is parsed again and compared with the intended document. If
they differ, because of anchors or flow style, the file is refused and its owner must edit it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.kustomize.pinned_image import IMAGE_NAME, KEYS, bad_kustomization, find_entry, read_kustomization

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/@-]*(?::[A-Za-z0-9._/@-]+)*")  # needs no quotes in any YAML


def with_pinned(text: str, path: str, new_name: str | None, digest: str) -> str:
    """Return `text` with the entry's `digest` set, and its `newName` unless it is None.

    Raises ProblemsError `bad-kustomization`, and those of invalid YAML.
    """
    before = read_kustomization(text, path)
    found = find_entry(before, path)
    changes = {key: value for key, value in zip(KEYS, (new_name, digest), strict=True) if value is not None}
    if found is None:
        raise ProblemsError(_bad(path, f"it has no image '{IMAGE_NAME}'", changes))
    number, entry = found
    missing = [key for key in changes if key not in entry]
    wanted = {**before, "images": [*before["images"]]}
    wanted["images"][number] = {**entry, **changes}
    try:
        after = _edited(text, number, changes, missing)
        if read_kustomization(after, path) == wanted:
            return after
    except (ProblemsError, _UnsupportedError, yaml.YAMLError):
        pass
    raise ProblemsError(_bad(path, f"kcd-gen cannot edit the YAML style of the image '{IMAGE_NAME}'", changes))


class _UnsupportedError(Exception):
    """The YAML of the entry has a style that can't be edited."""


def _edited(text: str, number: int, changes: Mapping[str, str], missing: list[str]) -> str:
    root = yaml.compose(text, Loader=yaml.SafeLoader)  # marks are indexes of characters in `text`
    images = _value(root, "images")
    if not isinstance(images, yaml.SequenceNode):
        raise _UnsupportedError
    entry = images.value[number]
    edits: list[tuple[int, int, str]] = []
    for key, value in changes.items():
        if key not in missing:
            node = _value(entry, key)
            if not isinstance(node, yaml.ScalarNode) or node.style in ("|", ">"):
                raise _UnsupportedError
            quote = node.style or ("" if _PLAIN.fullmatch(value) else "'")
            edits.append((node.start_mark.index, node.end_mark.index, f"{quote}{value}{quote}"))
    if missing:
        first, last = entry.value[0][0], entry.value[-1][1]
        end = last.end_mark.index
        line_end = text.find("\n", end)
        line_break = "\r\n" if "\r\n" in text else "\n"
        lines = [f"{' ' * first.start_mark.column}{key}: {changes[key]}" for key in missing]
        if line_end < 0:
            edits.append((len(text), len(text), line_break + line_break.join(lines)))
        else:
            edits.append((line_end + 1, line_end + 1, "".join(line + line_break for line in lines)))
    for start, end, value in sorted(edits, reverse=True):
        text = text[:start] + value + text[end:]
    return text


def _value(node: Any, key: str) -> Any:
    if not isinstance(node, yaml.MappingNode):
        raise _UnsupportedError
    return next((value for name, value in node.value if name.value == key), None)


def _bad(path: str, reason: str, changes: Mapping[str, str]) -> Problem:
    values = "".join(f", {key}: {value}" for key, value in changes.items())
    return bad_kustomization(path, reason, f"add to 'images:': - {{name: {IMAGE_NAME}{values}}}")
