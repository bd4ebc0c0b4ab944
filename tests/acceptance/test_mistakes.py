"""Make each mistake of `mistakes/*.yaml` in a working project, and compare what the user sees.

Each row of these files is a mistake that users make. It starts with a copy of `mistakes/project/`, built, and has
- `mistake`: what is wrong, in a user's words;
- the mistake itself: `files` (path: content), `change` (path: {old string: new string}), `encode` (path: encoding or
  `gzip`), `symlinks` (path: target), `image` (layout: media types), `remove` (paths) and `before` (commands that
  succeed), in the order in which they are made, and `environment`;
- `command`: the command that reports the mistake;
- `what`: the string in the message that names the wrong thing; by default, a quoted value, a field, a path or a flag;
- `exit`, `code` and `where`: the exit code, the code of the first problem, and its position, or the flag, variable or
  command that is wrong;
- `message`: everything that is printed to standard error, or to standard output if there is nothing on standard error.

`vendor/packages` has a package for each manifest in `packages/`. A command is `kcd-gen` or `git`; USED-PORT in it is a
port that another program uses. In messages, `/srv` is the parent of the project.

After an intended change, `UPDATE_CASES=1 pytest tests/acceptance/test_mistakes.py` rewrites the last four keys. Read
every message: it must name what is wrong, where, and what to do.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubocd_gen.oci.descriptors import REF_NAME
from tests.support.charts import git
from tests.support.images import write_blob, write_image, write_index, write_layout
from tests.support.workspace import Outcome, kcd_gen, package_content, status_of

HERE = Path(__file__).parent / "mistakes"
PROJECT = HERE / "project"
ERRORS = (Path(__file__).parents[2] / "docs/errors.md").read_text(encoding="utf-8")
PROBLEM = re.compile(r"^(?:(?P<where>\S.*?): )?(?:error|warning|note)\[(?P<code>[a-z0-9-]+)\]: (?P<text>.+)$")
NAMED = re.compile(r"""'[^']+'|"[^"]+"|\w[./]\w|--\w""")
REQUIRED = {"mistake", "command", "exit", "code", "where", "message"}
OPTIONAL = {"files", "change", "encode", "symlinks", "image", "remove", "before", "environment", "what"}


@dataclass(frozen=True, slots=True)
class Row:
    """A mistake, and what kcd-gen prints about it."""

    file: Path
    index: int
    data: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.file.stem}-{self.index + 1}-{re.sub('[^a-z0-9]+', '-', self.data['mistake'].lower()).strip('-')}"


def rows() -> Iterator[Row]:
    for file in sorted(HERE.glob("*.yaml")):
        for index, data in enumerate(yaml.safe_load(file.read_text(encoding="utf-8"))):
            yield Row(file, index, data)


ROWS = [*rows()]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project without a mistake, built."""
    root = tmp_path_factory.mktemp("mistakes") / "project"
    shutil.copytree(PROJECT, root)
    vendor(root)
    outcome = run("kcd-gen build --offline", root)
    assert (outcome.exit, outcome.err) == (0, "")
    return root


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_mistake_is_reported_with_what_where_and_what_to_do(row: Row, project: Path, tmp_path: Path) -> None:
    root = tmp_path / "project"
    shutil.copytree(project, root, symlinks=True)
    make_mistake(row.data, root)
    with socket.create_server(("127.0.0.1", 0)) as used:
        port = str(used.getsockname()[1])
        outcome = run(row.data["command"].replace("USED-PORT", port), root, row.data.get("environment"))
    outcome = Outcome(outcome.exit, outcome.out, outcome.err.replace(port, "USED-PORT"))
    message = (outcome.err or outcome.out).replace(str(tmp_path), "/srv")
    found = {"exit": outcome.exit, "code": row.data["code"], "where": row.data["where"], "message": message}
    if first := next((match for line in message.splitlines() if (match := PROBLEM.match(line))), None):
        found |= {"code": first["code"], "where": first["where"] or row.data["where"]}
    if os.environ.get("UPDATE_CASES"):
        update(row, found)
    assert found == {key: row.data[key] for key in found}


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_message_names_what_where_and_what_to_do(row: Row) -> None:
    data = row.data
    assert data.keys() >= REQUIRED
    assert data.keys() <= REQUIRED | OPTIONAL
    lines = data["message"].splitlines()
    problems = [(match, index) for index, line in enumerate(lines) if (match := PROBLEM.match(line))]
    assert "Traceback" not in data["message"]
    assert data["exit"] in (0, 1, 2, 3, 4)
    usage = next((line for line in lines if line.startswith("Error: ")), None)
    text = problems[0][0]["text"] if problems else usage or lines[-1]
    if "what" in data:
        assert data["what"] in text
    else:
        assert NAMED.search(text), "the message quotes no value or field: name the wrong thing in `what`"
    if problems and problems[0][0]["where"]:
        assert re.search(r"[./\w]", data["where"])
    else:
        assert data["where"] in data["message"], "neither a position nor the name of what is wrong"
    for problem, index in problems:
        assert not problem["text"].endswith(".")
        assert index + 1 < len(lines), "no hint"
        assert lines[index + 1].startswith("    "), "no hint"
        assert not lines[index + 1].startswith("    affects "), "no hint"
    if usage:
        assert any(re.match(r"Try 'kcd-gen.* --help' for help\.", line) for line in lines)
    elif not problems:
        assert data["exit"] == 3
        assert re.search(r"; run:? '?kcd-gen \w+", text)


def test_the_mistakes_are_distinct_and_many() -> None:
    assert len(ROWS) >= 60
    for key in ("mistake", "message"):
        values = [row.data[key] for row in ROWS]
        assert len({*values}) == len(values), f"two rows with the same {key}"
    made = [str({key: row.data.get(key) for key in (*OPTIONAL, "command") if key != "what"}) for row in ROWS]
    assert len({*made}) == len(made)


def test_every_code_of_a_mistake_is_documented() -> None:
    for row in ROWS:
        assert f"`{row.data['code']}`" in ERRORS, row


def vendor(root: Path) -> None:
    """Write `vendor/packages` with the packages of the manifests in `packages/`."""
    shutil.rmtree(root / "vendor", ignore_errors=True)
    layers = {}
    for path in sorted((root / "packages").glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        layers[f"registry.example.com/demo/{path.stem}:1.0.0"] = package_content(text, status_of(text))
    write_layout(root / "vendor/packages", layers)


def run(command: str, root: Path, environment: dict[str, str] | None = None) -> Outcome:
    program, *arguments = shlex.split(command)
    if program == "git":
        return Outcome(0, git(root, *arguments), "")
    assert program == "kcd-gen"
    alone = {"HOME": str(root), "DOCKER_CONFIG": str(root / "no-docker"), "NO_PROXY": "*"}
    return kcd_gen(*arguments, directory=root, environment=alone | (environment or {}))


def make_mistake(data: dict[str, Any], root: Path) -> None:
    """Make the changes of a row, in their order."""
    for key, value in data.items():
        if key == "before":
            for command in value:
                outcome = run(command, root)
                assert outcome.exit == 0, outcome.text
        elif key == "remove":
            for name in value:
                shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink()
        elif key in CHANGES:
            for name, change in value.items():
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                CHANGES[key](path, change)
            if any(name.startswith("packages/") for name in value):
                vendor(root)


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    if text.startswith("#!"):
        path.chmod(0o755)


def change(path: Path, replaced: dict[str, str]) -> None:
    """Replace strings, each of which occurs once in a file, or in only one of the files in a directory."""
    for old, new in replaced.items():
        (file,) = [path] if path.is_file() else [one for one in path.iterdir() if old.encode() in one.read_bytes()]
        content = file.read_bytes()
        assert path.is_dir() or content.count(old.encode()) == 1, f"{path} does not contain {old!r} once"
        file.write_bytes(content.replace(old.encode(), new.encode()))


def encode(path: Path, encoding: str) -> None:
    content = path.read_bytes()
    path.write_bytes(gzip.compress(content, mtime=0) if encoding == "gzip" else content.decode().encode(encoding))


def image(layout: Path, types: dict[str, str]) -> None:
    """Replace the package in a layout by an image with other media types of its config and its layer."""
    config, layer = (write_blob(layout, b"{}", types[key]) for key in ("config", "layer"))
    name = {REF_NAME: "registry.example.com/demo/web:1.0.0"}
    others = [one for one in json.loads((layout / "index.json").read_text())["manifests"] if one["annotations"] != name]
    descriptor = write_image(layout, b"{}", config=config, layers=[layer])
    write_index(layout, [*others, {**descriptor, "annotations": name}])


CHANGES: dict[str, Callable[[Path, Any], None]] = {
    "files": write,
    "change": change,
    "encode": encode,
    "symlinks": Path.symlink_to,
    "image": image,
}


def update(row: Row, found: dict[str, Any]) -> None:
    """Replace the expected values of the row in its file, and leave the rest of the file as it is."""
    text = row.file.read_text(encoding="utf-8")
    table = yaml.compose(text, yaml.SafeLoader)
    assert isinstance(table, yaml.SequenceNode)
    keys = {key.value: value for key, value in table.value[row.index].value}
    for key in sorted(found, key=lambda key: keys[key].start_mark.index, reverse=True):
        if found[key] == row.data[key]:
            continue
        start, end = keys[key].start_mark.index, keys[key].end_mark.index
        value = found[key]
        if key == "message":
            block = "".join(f"    {line}".rstrip() + "\n" for line in value.splitlines())
            value = f"|\n{block}" + ("\n" if end < len(text) else "")
        elif not re.fullmatch(r"[\w./:-]+", str(value)):
            value = f"'{value}'"
        text = text[:start] + str(value) + text[end:]
    row.file.write_text(text, encoding="utf-8")
    row.data.update(found)
