"""Comparison of `kube_yaml` with helm, whose functions use the same YAML library as KuboCD."""

from __future__ import annotations

import base64
import json
import os
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kubocd_gen.compiler.values import go_json
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.helm.engine import Helm
from kubocd_gen.helm.process import find_helm
from kubocd_gen.kube_yaml.parser import YamlError
from kubocd_gen.kube_yaml.reader import read_document
from kubocd_gen.kube_yaml.reprinting import UnreadableError, reprinted, reread
from tests.support.thorough import count

CHARTS = count(2, 8)
TREES = 500  # of a chart, because helm limits the size of a file
KEYS = ["<<", "a", "b", "!", "<", "<<<", "<=", "0", "12", "é", "", "1.0", "-", "<!", "<5", "x\x85y", "Z", "٣", "_", "~"]
KEYS += ["k" * 1021, "k" * 1022, "k" * 1023, "<" + "k" * 1016, "<" + "k" * 1017, '"' + "é" * 1020, '"' + "é" * 1021]
STRINGS = ["a\x85b", "\x85", " \x85 \x85", "x", "\x85---", "\x85--- ", "\x85...\x85", "\ufffe", "\x80", "a\x7fb", "<<"]
STRINGS += ["\x85 ---\x85", "\u2028", "\\x85", "\\\x85", '"\x85"', "\t\x85\t", "\ufeff", "k" * 2000]


def tree(rng: random.Random, depth: int = 3) -> Any:
    kind = rng.random()
    if depth == 0 or kind < 0.25:
        return rng.choice([1, -0.0, 1.5, True, None, 1e21, rng.choice(STRINGS), "ok", "ok"])
    if kind < 0.45:
        return [tree(rng, depth - 1) for _ in range(rng.randint(0, 3))]
    made = {key: tree(rng, depth - 1) for key in rng.sample(KEYS, rng.randint(0, 3))}
    if rng.random() < 0.3:
        parts = [{key: tree(rng, depth - 1) for key in rng.sample(KEYS, 2)} for _ in range(rng.randint(0, 2))]
        made["<<"] = parts if len(parts) != 1 else parts[0]
    return made


def trees_of(seed: int) -> list[Any]:
    rng = random.Random(seed)  # noqa: S311 (examples of a test)
    return [{"v": tree(rng), "z": "the last line, because helm trims it"} for _ in range(TREES)]


def read_by_helm(directory: Path, trees: list[Any], pipeline: str) -> list[Any]:
    """Return each tree after helm's `pipeline`; the map of `fromYaml` has a key `Error` if it fails."""
    chart = directory / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: kcd\nversion: 0.0.0\n")
    (chart / "data.json").write_text(json.dumps(trees))
    body = '{{ range fromJsonArray (.Files.Get "data.json") }}\n# {{ . | %s | toJson | b64enc }}\n{{ end }}'
    (chart / "templates" / "out.yaml").write_text(f"{body % pipeline}\n")
    environment = {"HOME": str(directory), "PATH": os.defpath}
    done = subprocess.run(
        [find_helm(), "template", "kcd", str(chart)], env=environment, capture_output=True, text=True, check=True
    )
    return [json.loads(base64.b64decode(line[2:])) for line in done.stdout.splitlines() if line.startswith("# e")]


@pytest.mark.parametrize("seed", range(CHARTS))
@pytest.mark.parametrize(("pipeline", "strict"), [("toJson | fromYaml", None), ("toYaml | fromYaml", False)])
def test_trees_change_as_in_helm(tmp_path: Path, seed: int, pipeline: str, strict: bool | None) -> None:
    trees = trees_of(seed)
    read = read_by_helm(tmp_path, trees, pipeline)
    assert len(read) == len(trees)
    refused = 0
    for value, theirs in zip(trees, read, strict=True):
        try:
            ours = reread(value) if strict is None else reprinted(value, strict=strict)
        except UnreadableError:
            refused += 1
            # helm's toYaml prints nothing on an error, and an empty text is an empty map.
            assert "Error" in theirs or theirs == {}, value
        else:
            assert go_json(ours) == go_json(theirs), value
    assert len(trees) / 20 < refused < len(trees) / 2


def text_of(rng: random.Random) -> str:
    """Return a map with keys and values that JSON cannot have, some of which duplicate keys and merges hide."""
    anchors: list[str] = []

    def key() -> str:
        plain = ["a", "a", "b", "c", "d", "~", "18446744073709551615", "<<", "<<", "'<<'", ".inf", "1", "!!null ''"]
        return rng.choice([*plain, *(f"*{anchor} " for anchor in anchors)])

    def value(depth: int) -> str:
        if anchors and rng.random() < 0.1:
            return f"*{rng.choice(anchors)}"
        anchor = ""
        if rng.random() < 0.2:
            anchors.append(rng.choice("pqr"))
            anchor = f"&{anchors[-1]} "
        kind = rng.random()
        if depth == 0 or kind < 0.35:
            return anchor + rng.choice([".inf", "1", "x", "~", "!!null", "!t,u 2", "!!float .inf", "'\ufeffx'"])
        if kind < 0.55:
            return f"{anchor}[{', '.join(value(depth - 1) for _ in range(rng.randint(0, 3)))}]"
        return f"{anchor}{{{', '.join(f'{key()}: {value(depth - 1)}' for _ in range(rng.randint(0, 4)))}}}"

    marks = ["", "", "", "\ufeff"]
    return "z: 1\n" + "".join(f"{rng.choice(marks)}{key()}: {value(2)}\n" for _ in range(rng.randint(1, 4)))


@pytest.mark.parametrize("seed", range(CHARTS))
def test_rendered_texts_are_read_as_in_helm(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 (examples of a test)
    texts = [text_of(rng) for _ in range(4 * TREES)]
    refused = 0
    for text, theirs in zip(texts, read_by_helm(tmp_path, texts, "fromYaml"), strict=True):
        try:
            ours = read_document(text, "text", keep_marks=True)
        except YamlError:
            refused += 1
            assert "Error" in theirs, text
        else:
            assert go_json(ours) == go_json(theirs), text
    assert refused < 0.95 * len(texts)


@pytest.mark.parametrize("value", [{"a": "It\x92s"}, ["\x7f"], "\ufffe", {"k" * 1023: 1}, {"a\x85": 1}])
def test_a_tree_that_helm_cannot_print_is_an_error_and_not_nothing(helm: Helm, value: Any) -> None:
    with pytest.raises(ProblemsError) as found:
        helm.to_yaml([{"b": 1}, value])
    assert found.value.problem.code == "bad-rendering"
    assert "helm cannot print a tree" in found.value.problem.message
