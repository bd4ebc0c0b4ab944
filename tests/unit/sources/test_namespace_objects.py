from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kubocd_gen.sources.flux_sync import survey
from kubocd_gen.sources.namespace_objects import NAMESPACE_MENTION, namespace_names

ONE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "one"}}


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (ONE, ["one"]),
        ({"kind": "List", "items": [ONE, "text", {"kind": "NamespaceList", "items": [ONE]}]}, ["one", "one"]),
        ({**ONE, "apiVersion": "example.com/v1"}, []),
        ({**ONE, "metadata": {"name": 3}}, []),
        ({**ONE, "metadata": ["one"]}, []),
        ({"kind": "Namespace"}, []),
        ("Namespace", []),
    ],
)
def test_the_names_of_namespaces_in_a_document(value: Any, names: list[str]) -> None:
    assert list(namespace_names(value)) == names


@pytest.mark.parametrize("text", [b"kind: Namespace\n", b"kind:   'Namespace'", b'{"kind":"Namespace"}'])
def test_a_file_with_a_namespace_is_recognized(text: bytes) -> None:
    assert NAMESPACE_MENTION.search(text)
    assert not NAMESPACE_MENTION.search(b"kind: NamespacedThing")


def test_a_survey_finds_namespaces_except_in_templates_of_charts(tmp_path: Path) -> None:
    manifest = "apiVersion: v1\nkind: Namespace\nmetadata: {name: one}\n"
    for name, text in (
        ("a/namespace.yaml", f"{manifest}---\nkind: ConfigMap\n---\ntext\n"),
        ("b/broken.yaml", f"{manifest}---\n[\n"),
        ("chart/Chart.yaml", "name: chart\n"),
        ("chart/templates/namespace.yaml", manifest),
        (".hidden/namespace.yaml", manifest),
        ("ignored/namespace.yaml", manifest),
        ("unread/namespace.yaml", manifest),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = survey(tmp_path, [tmp_path / "ignored"], [tmp_path / "unread"]).namespaces
    assert [(one.name, one.display) for one in found] == [("one", "a/namespace.yaml")]
