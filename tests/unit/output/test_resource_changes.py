from __future__ import annotations

import pytest

from kubocd_gen.kube_yaml.emitter import emit_documents
from kubocd_gen.output.resource_changes import resource_changes

PATH = "flux/default/web.yaml"


def text(**replicas: int) -> str:
    return emit_documents(
        [
            {
                "apiVersion": "v2",
                "kind": "HelmRelease",
                "metadata": {"annotations": {"name": "not this"}, "labels": {"a": "b\nname: nor this\n"}, "name": name},
                "spec": {"kind": "not this", "text": "---\nkind: nor this\n", "replicas": number},
            }
            for name, number in replicas.items()
        ]
    )


def changes(old: str | None, new: str | None) -> dict[str, str]:
    before, after = (None if text is None else text.encode() for text in (old, new))
    return {f"{one.kind} {one.name}": one.change for one in resource_changes(PATH, before, after)}


def test_resources_are_compared_by_kind_and_name() -> None:
    assert changes(text(stays=1, changes=1, goes=1), text(comes=1, changes=2, stays=1)) == {
        "HelmRelease comes": "created",
        "HelmRelease changes": "updated",
        "HelmRelease stays": "unchanged",
        "HelmRelease goes": "removed",
    }


def test_a_new_file_creates_and_a_removed_file_removes_all_its_resources() -> None:
    assert changes(None, text(a=1)) == {"HelmRelease a": "created"}
    assert changes(text(a=1), None) == {"HelmRelease a": "removed"}
    assert resource_changes(PATH, None, None) == ()


def test_names_that_yaml_quotes_are_reported_without_quotes() -> None:
    assert changes(None, text(**{"123": 1, "y": 1})) == {"HelmRelease 123": "created", "HelmRelease y": "created"}


@pytest.mark.parametrize(
    "damage",
    [
        *[
            "<<<<<<< HEAD\n",
            "{kind: HelmRelease, metadata: {name: gone}}",
            "[" * 60_000,
            "\x00\ufffd",
            "kind: HelmRelease\n",
        ],
        "metadata:\n" + "  a: b\n" * 50_000,
    ],
)
def test_if_the_old_file_cannot_be_split_everything_is_updated(damage: str) -> None:
    assert changes(damage, text(a=1)) == {"HelmRelease a": "updated"}
    assert changes(f"{damage}\n{text(a=1, gone=1)}", text(a=1, b=1)) == {
        "HelmRelease a": "unchanged",
        "HelmRelease b": "updated",
    }


def test_line_breaks_at_the_end_of_a_document_count() -> None:
    def ending(text: str) -> str:
        return emit_documents([{"kind": "HelmRelease", "metadata": {"name": "a"}, "text": text}])

    assert changes(ending("a\n\n"), ending("a\n\n\n")) == {"HelmRelease a": "updated"}
