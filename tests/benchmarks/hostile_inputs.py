"""Hostile input of every kind: what an attacker can put into a package, a pull request or a chart.

Each function writes one input into an empty directory and returns kcd-gen's arguments for it.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.charts import commit_all, git
from tests.support.git_traps import commit_tree, tree, tree_bomb
from tests.support.images import chart_archive, gzipped, package_layer, tarred, write_layout

Input = Callable[[Path], Sequence[str]]

_HOST = "registry.example.com/stranger"
_SOURCE = {"helmRepository": {"url": "https://charts.example.com", "chart": "app", "version": "1.0.0"}}
_BUILD = ("build", "--source", "sources", "--vendor", "layout", "--output", "out", "--offline")
_BIG = 15_000_000
_DRAFT7 = "http://json-schema.org/draft-07/schema#"


def _release(number: int = 0, **spec: Any) -> str:
    package = {"repository": f"{_HOST}/app{number}", "tag": "1.0.0"}
    metadata = {"name": f"r{number}", "namespace": "apps"}
    head = {"apiVersion": "kubocd.kubotal.io/v1alpha1", "kind": "Release", "metadata": metadata}
    return json.dumps({**head, "spec": {"package": package, **spec}}) + "\n"


def _layer(texts: Sequence[str], schema: Mapping[str, Any] | None = None, template: str = "a: 1\n") -> bytes:
    """Return a package with a module for each of the `texts`, its values, and a chart with a single `template`."""
    names = [f"m{number}" for number in range(len(texts))]
    modules = [{"name": name, "source": _SOURCE, "values": text} for name, text in zip(names, texts, strict=True)]
    manifest: dict[str, Any] = {"apiVersion": "v1alpha1", "type": "Package", "name": "app", "tag": "1.0.0"}
    manifest["modules"] = modules
    if schema:
        manifest["schema"] = {"parameters": {"$schema": _DRAFT7, "type": "object", **schema}}
    status = {"apiVersion": "v1alpha1", "chartByModule": {name: {"name": "app", "version": "1.0.0"} for name in names}}
    files = {
        "app/Chart.yaml": b"apiVersion: v2\nname: app\nversion: 1.0.0\n",
        "app/templates/a.yaml": template.encode(),
    }
    return package_layer(json.dumps(manifest), json.dumps(status), {"app-1.0.0.tgz": chart_archive(files)})


def _write(directory: Path, layers: Sequence[bytes], *sources: str) -> Sequence[str]:
    write_layout(directory / "layout", {f"{_HOST}/app{number}:1.0.0": layer for number, layer in enumerate(layers)})
    (directory / "sources").mkdir()
    (directory / "sources/all.yaml").write_text("---\n".join(sources))
    return _BUILD


def _templates(*texts: str) -> Input:
    """Write a package with these values."""
    return lambda directory: _write(directory, [_layer(texts)], _release())


def _endless(packages: int, modules: int) -> Input:
    texts = [
        f"a: {{{{ range until 50000 }}}}{{{{ range until 50000 }}}}{{{{ end }}}}{{{{ end }}}}#{n}"
        for n in range(modules)
    ]
    return lambda directory: _write(
        directory,
        [_layer([f"{text}p{number}" for text in texts]) for number in range(packages)],
        *map(_release, range(packages)),
    )


def _schema(schema: Mapping[str, Any], parameters: Mapping[str, Any]) -> Input:
    return lambda directory: _write(directory, [_layer(["a: 1"], schema)], _release(parameters=parameters))


def _chart(template: str) -> Input:
    """Write a Release added by a pull request, whose chart `diff --charts` renders."""

    def write(directory: Path) -> Sequence[str]:
        _write(directory, [_layer(["a: 1"], template=template)], "a: 1\n")
        return _project(directory, lambda: (directory / "sources/new.yaml").write_text(_release()), "--charts")

    return write


def _project(directory: Path, change: Callable[[], object], *more: str) -> Sequence[str]:
    """Create a repository with the directory's content as its first commit and `change` uncommitted."""
    project = {
        "apiVersion": "kcd-gen/v1alpha1",
        "kind": "Project",
        "packages": {"vendor": "layout"},
        "clusters": [{"name": "prod", "sources": ["sources"], "output": "out"}],
    }
    (directory / "kcd-gen.yaml").write_text(json.dumps(project))
    git(directory, "init", "--quiet")
    commit_all(directory)
    change()
    return ("diff", "--offline", "--ref", "HEAD", *more)


def _nested_aliases(levels: int, wide: int = 10) -> str:
    lines = [f"a0: &a0 [{', '.join('x' * wide)}]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * wide)}]" for n in range(1, levels)]
    return "\n".join(f"    {line}" for line in lines)


def _aliases(directory: Path) -> Sequence[str]:
    text = f"parameters:\n{_nested_aliases(5)}\n"
    sources = [
        "apiVersion: kubocd.kubotal.io/v1alpha1\nkind: Release\n"
        f"metadata: {{name: r{number}, namespace: apps}}\n"
        f"spec:\n  package: {{repository: {_HOST}/app0, tag: 1.0.0}}\n  {text}"
        for number in range(80)
    ]
    return _write(directory, [_layer(["a: {{ toJson .Parameters }}"], {"additionalProperties": True})], *sources)


def _contexts(directory: Path) -> Sequence[str]:
    """Write forty Releases, each with a chain of forty Contexts of ten thousand keys."""
    names = [{"name": f"c{number}", "namespace": "apps"} for number in range(40)]
    head = {"apiVersion": "kubocd.kubotal.io/v1alpha1", "kind": "Context"}
    contexts = [
        json.dumps({**head, "metadata": name, "spec": {"context": {f"k{key}": key + at for key in range(10_000)}}})
        + "\n"
        for at, name in enumerate(names)
    ]
    releases = [_release(number, contexts=names) for number in range(40)]
    return _write(directory, [_layer(["a: {{ len .Context }}"])] * 40, *contexts, *releases)


def _maze(directory: Path) -> Sequence[str]:
    result = _write(directory, [_layer(["a: 1"])], _release())
    for one in range(300):
        (directory / f"sources/d{one}").mkdir()
    for one in range(300):
        for other in range(300):
            (directory / f"sources/d{one}/to{other}").symlink_to(f"../d{other}")
    return result


def _with_charts(packages: int, charts: int, data: Callable[[], bytes], pack: Callable[[bytes], bytes]) -> Input:
    """Write packages with `charts` charts each, every one with its own data."""
    chart = {"name": "app", "version": "1.0.0"}
    manifest = {"apiVersion": "v1alpha1", "type": "Package", "name": "app", "tag": "1.0.0"}
    modules = [{"name": "m", "source": _SOURCE, "values": "a: 1"}]
    status = {"apiVersion": "v1alpha1", "chartByModule": {"m": chart}}

    def layer() -> bytes:
        archives = {}
        for number in range(1, charts + 1):
            head = f"apiVersion: v2\nname: app\nversion: {number}.0.0\n".encode()
            archives[f"app-{number}.0.0.tgz"] = pack(tarred({"app/Chart.yaml": head, "app/data": data()}))
        return package_layer(json.dumps({**manifest, "modules": modules}), json.dumps(status), archives)

    return lambda directory: _write(directory, [layer() for _ in range(packages)], *map(_release, range(packages)))


def _commit(directory: Path) -> Sequence[str]:
    """Create a commit whose sources expand to a billion files."""
    _write(directory, [_layer(["a: 1"])], _release())
    command = list(_project(directory, lambda: None))
    sources = tree(directory, [(b"bomb", "40000", tree_bomb(directory, 9))])
    commit_tree(directory, tree(directory, [(b"sources", "40000", sources)]), "bomb")
    command[command.index("HEAD")] = "bomb"
    return command


def _source(text: str) -> Input:
    return lambda directory: _write(directory, [_layer(["a: 1"])], text)


def _parameters(text: str) -> Input:
    head = _release().rstrip().removesuffix("}}")
    return _source(f'{head}, "parameters": {text}}}}}\n')


_REFERENCES: Mapping[str, Any] = {
    "definitions": {f"d{n}": {"anyOf": [{"$ref": f"#/definitions/d{n + 1}"}] * 8} for n in range(9)}
    | {"d9": {"type": "integer"}},
    "properties": {"a": {"$ref": "#/definitions/d0"}},
}

INPUTS: Mapping[str, Input] = {
    "a package with 10 templates that never end": _endless(1, 10),
    "a package with 40 templates that never end": _endless(1, 40),
    "20 packages with templates that never end": _endless(20, 4),
    "8 templates that print 15 MB each": _templates(*[f"a: {{{{ repeat {_BIG} `x` }}}}#{n}" for n in range(8)]),
    "a template that prints 20 GB": _templates(
        "a: {{ $x := repeat 20000000 `x` }}{{ range until 1000 }}{{ $x }}{{ end }}"
    ),
    "6 templates that allocate without end": _templates(
        *[
            f"a: {{{{ $l := list }}}}{{{{ range until 50000 }}}}"
            f"{{{{ $l = append $l (repeat 90000 `x`) }}}}{{{{ end }}}}#{n}"
            for n in range(6)
        ]
    ),
    "a template that calls itself": _templates("{{ define `x` }}{{ template `x` . }}{{ end }}a: {{ template `x` . }}"),
    "a template that prints 400,000 keys": _templates("{{ range $n := until 400000 }}k{{ $n }}: v\n{{ end }}"),
    "a template of 1.5 million parentheses": _templates(f"a: {{{{ {'(' * 750_000}1{')' * 750_000} }}}}"),
    "a template of 700,000 actions": _templates("a: " + "{{1}}" * 700_000),
    "a parameter of 15 MB": _parameters(json.dumps("y" * _BIG)),
    "a parameter of 7.5 million escapes": _parameters('"' + "\\n" * (_BIG // 2) + '"'),
    "300,000 parameters": _parameters(json.dumps({f"k{n}": n for n in range(300_000)})),
    "a key given 300,000 times": _parameters("{" + ", ".join(["a: 1"] * 300_000) + "}"),
    "aliases for 100,000 values in 80 Releases": _aliases,
    "150,000 documents": _source("---\n".join(f"kubocd.kubotal.io: {n}\n" for n in range(150_000))),
    "4,000 Releases, each with an error": _source("---\n".join(_release(n, nothing=1) for n in range(4_000))),
    "40 chains of 40 Contexts with 10,000 keys": _contexts,
    "a schema of 90,000 required parameters": _schema({"required": [f"p{n}" for n in range(90_000)]}, {}),
    "20,000 items under a schema of 3,000 parts": _schema(
        {"properties": {"a": {"items": {"allOf": [{"minLength": 0}] * 3_000}}}}, {"a": ["y"] * 20_000}
    ),
    "15,000 names under 15,000 patterns": _schema(
        {"patternProperties": {f"^q{n}$": {} for n in range(15_000)}}, {f"n{n}": 1 for n in range(15_000)}
    ),
    "a schema with 8^9 references": _schema(_REFERENCES, {"a": "y"}),
    "300 directories that link to each other": _maze,
    "20 packages with 100 charts that unpack to 5 MB each": _with_charts(
        20, 100, lambda: os.urandom(16) + bytes(4_900_000), gzip.compress
    ),
    "8 packages with 20 charts of 5 MB": _with_charts(8, 20, lambda: os.urandom(4_900_000), gzipped),
    "a commit of 10^9 files (`diff --ref`)": _commit,
    "a chart that never ends (`diff --charts`)": _chart(
        "{{ range untilStep 0 30000 1 }}{{ range untilStep 0 60000 1 }}{{ end }}{{ end }}"
    ),
    "a chart of 100,000 resources (`diff --charts`)": _chart(
        "{{ range $n := until 100000 }}---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: c{{ $n }}}}\n{{ end }}"
    ),
    "a chart that prints 40 MB (`diff --charts`)": _chart(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ repeat 40000000 `y` }}}\n"
    ),
}


def chosen(words: Sequence[str]) -> Iterator[tuple[str, Input]]:
    """Return the inputs whose names contain one of the words, or all if there are none."""
    for name, made in INPUTS.items():
        if not words or any(word in name for word in words):
            yield name, made
