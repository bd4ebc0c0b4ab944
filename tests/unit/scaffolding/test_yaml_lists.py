"""Adding an item to a list in a user's file: nothing else changes, or the file is left unchanged."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kubocd_gen.scaffolding.yaml_lists import scalars, with_item

ITEM = "- repo: new\n  hooks:\n  - id: one\n"
NEW = {"repo": "new", "hooks": [{"id": "one"}]}

FILES = {
    "one item": "repos:\n- repo: a\n  hooks: [{id: x}]\n",
    "indented": "repos:\n  - repo: a\n    rev: v1 # of today\n    hooks:\n      - id: x\n",
    "no line break at the end": "repos:\n  - repo: a",
    "keys after the list": "# mine\nrepos:\n- repo: a\n\n# of CI\nci:\n  skip: [x]\n",
    "comments of the last item": "repos:\n  - repo: a\n    hooks:\n      - id: x\n      # - id: y\n    # later\n#\n",
    "a block at the end": "repos:\n- repo: local\n  entry: |\n    one\n    two\n\nci: {}\n",
    "no list yet": "ci: {}\n",
    "nothing yet": "# to be filled\n",
    "empty": "",
    "windows": "repos:\r\n- repo: a\r\nci: {}\r\n",
    "tags and anchors": "repos:\n- &a {repo: a}\n- *a\nx: !reference [y, z]\n",
    "a flow item at the end": "repos:\n- {repo: a,\n   rev: b}\nci: {}\n",
    "a document mark": "---\nrepos:\n- repo: a\n",
}


class Reader(yaml.SafeLoader):
    """A reader that accepts unknown tags."""


def sequence(loader: Reader, node: yaml.SequenceNode) -> list[object]:
    return loader.construct_sequence(node)


Reader.add_constructor("!reference", sequence)


@pytest.mark.parametrize("name", FILES)
def test_the_item_is_added_and_nothing_else_changes(name: str) -> None:
    text = FILES[name]
    after = with_item(text, "repos", ITEM)
    assert after is not None
    before = yaml.load(text, Loader=Reader) or {}  # noqa: S506 - a safe one
    assert yaml.load(after, Loader=Reader) == {**before, "repos": [*before.get("repos", []), NEW]}  # noqa: S506
    # All old lines are kept, in their order.
    rest = iter(after.splitlines())
    assert all(line in rest for line in text.splitlines())
    assert after.count("\n") == after.count("\r\n") or "\r" not in after


def test_the_item_is_added_at_the_end_of_the_list() -> None:
    after = with_item(FILES["comments of the last item"], "repos", ITEM)
    assert after == (
        "repos:\n  - repo: a\n    hooks:\n      - id: x\n      # - id: y\n    # later\n"
        "  - repo: new\n    hooks:\n    - id: one\n#\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "repos: []\n",
        "repos: [{repo: a}]\n",
        "{repos: [{repo: a}]}\n",
        "repos: local.yaml\n",
        "repos:\n",
        "repos:\n- repo: a\nrepos:\n- repo: b\n",
        "repos: &list\n- repo: a\nother: *list\n...\n---\n",
        "a: 1\n---\nb: 2\n",
        "- repo: a\n",
        "text\n",
        "a: 1\n...\n",
        "a: [\n",
        "\x00",
        "#" * (1024 * 1024 + 1),
        "[" * 60_000,
    ],
)
def test_other_notations_are_left_unchanged(text: str) -> None:
    assert with_item(text, "repos", ITEM) is None


@given(
    st.lists(st.sampled_from(["repos:", "- a", "  - b: |", "    x", "# c", "", "  # d", "ci: {}", "- [", "]", "---"])),
)
def test_any_generated_file_keeps_its_other_values(lines: list[str]) -> None:
    text = "\n".join(lines)
    after = with_item(text, "repos", ITEM)
    if after is not None:
        before = yaml.safe_load(text) or {}
        assert yaml.safe_load(after) == {**before, "repos": [*(before.get("repos") or []), NEW]}


def test_hash_signs_in_scalars_are_not_comments() -> None:
    assert scalars("# a: b\nc: [d, {e: f}]\n") == ["c", "d", "e", "f"]
    assert scalars("a: [") == []
