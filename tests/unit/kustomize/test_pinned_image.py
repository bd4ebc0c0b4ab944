"""The image's entry in a kustomization.yaml, as a build reads it."""

from __future__ import annotations

import pytest

from kubocd_gen.diagnostics.problems import Position, ProblemsError
from kubocd_gen.kustomize.pinned_image import LARGEST, Pinned, read_pinned

DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("resources: []\n", None),
        ("images: null\n", None),
        ("images:\n- name: other\n- 1\n", None),
        ("images:\n- name: kcd-gen-charts\n", Pinned(None, None, None, Position("k.yaml", 2, 3))),
        ("images:\n- name: kcd-gen-charts\n  newTag: 1\n", Pinned(None, None, "1", Position("k.yaml", 2, 3))),
        (
            f"images:\n- name: kcd-gen-charts\n  newName: a/b\n  digest: {DIGEST}\n",
            Pinned("a/b", DIGEST, None, Position("k.yaml", 4, 3)),
        ),
    ],
)
def test_the_entry_is_found_with_the_position_of_its_digest(text: str, expected: Pinned | None) -> None:
    assert read_pinned(text, "k.yaml") == expected


@pytest.mark.parametrize(
    "text",
    [
        "- a\n",
        "images: {name: kcd-gen-charts}\n",
        "images:\n- name: kcd-gen-charts\n  digest: [a]\n",
        "images:\n- name: kcd-gen-charts\n- name: kcd-gen-charts\n",
        "#" * (LARGEST + 1),
    ],
)
def test_other_kinds_of_values_are_refused(text: str) -> None:
    with pytest.raises(ProblemsError) as caught:
        read_pinned(text, "k.yaml")
    assert (caught.value.problem.code, caught.value.problem.position) == ("bad-kustomization", Position("k.yaml"))
