"""Only two values of a kustomization.yaml are changed, and no other byte."""

from __future__ import annotations

import pytest
import yaml

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.kustomize.pinned_image import read_pinned
from kubocd_gen.server.kustomization import with_pinned

DIGEST = f"sha256:{'a' * 64}"
OLD = f"sha256:{'0' * 64}"
NAME = "registry.example.com/platform/charts"

# The file before and after.
EDITS = {
    "both are there": (
        f"images:\n- name: kcd-gen-charts\n  newName: old/name\n  digest: {OLD}\n",
        f"images:\n- name: kcd-gen-charts\n  newName: {NAME}\n  digest: {DIGEST}\n",
    ),
    "neither is there": (
        "images:\n- name: kcd-gen-charts\n",
        f"images:\n- name: kcd-gen-charts\n  newName: {NAME}\n  digest: {DIGEST}\n",
    ),
    "no line break at the end": (
        "images:\n- name: kcd-gen-charts",
        f"images:\n- name: kcd-gen-charts\n  newName: {NAME}\n  digest: {DIGEST}",
    ),
    "comments and quotes": (
        f"# a\nimages:  # b\n  - name: 'kcd-gen-charts' # c\n    newName: \"x/y\" # d\n    digest: '{OLD}' # e\n# f\n",
        f"# a\nimages:  # b\n  - name: 'kcd-gen-charts' # c\n    newName: \"{NAME}\" # d\n"
        f"    digest: '{DIGEST}' # e\n# f\n",
    ),
    "another order, and others around it": (
        f"images:\n- name: a\n  digest: {OLD}\n- digest: {OLD}\n  name: kcd-gen-charts\n- name: b\nresources: [x]\n",
        f"images:\n- name: a\n  digest: {OLD}\n- digest: {DIGEST}\n  name: kcd-gen-charts\n  newName: {NAME}\n"
        "- name: b\nresources: [x]\n",
    ),
    "a comment after the entry": (
        f"images:\n- name: kcd-gen-charts  # mine\n  newName: {NAME}  # where\n\n# the end\n",
        f"images:\n- name: kcd-gen-charts  # mine\n  newName: {NAME}  # where\n  digest: {DIGEST}\n\n# the end\n",
    ),
    "line breaks of Windows": (
        "images:\r\n- name: kcd-gen-charts\r\n  newName: x/y\r\n",
        f"images:\r\n- name: kcd-gen-charts\r\n  newName: {NAME}\r\n  digest: {DIGEST}\r\n",
    ),
    "characters of many bytes before it": (
        "namePrefix: 'äöü😀'\nimages:\n- name: kcd-gen-charts\n  newName: x/y\n",
        f"namePrefix: 'äöü😀'\nimages:\n- name: kcd-gen-charts\n  newName: {NAME}\n  digest: {DIGEST}\n",
    ),
    "in one line, both there": (
        f"images: [{{name: kcd-gen-charts, newName: x/y, digest: '{OLD}'}}]\n",
        f"images: [{{name: kcd-gen-charts, newName: {NAME}, digest: '{DIGEST}'}}]\n",
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_pinned_digest_is_edited(name: str) -> None:
    before, after = EDITS[name]
    assert with_pinned(before, "k.yaml", NAME, DIGEST) == after
    assert with_pinned(after, "k.yaml", NAME, DIGEST) == after
    pinned = read_pinned(after, "k.yaml")
    assert pinned is not None
    assert (pinned.new_name, pinned.digest) == (NAME, DIGEST)
    entry = next(one for one in yaml.safe_load(after)["images"] if one["name"] == "kcd-gen-charts")
    assert (entry["newName"], entry["digest"]) == (NAME, DIGEST)


ODD = {
    "in one line, and the digest is missing": "images: [{name: kcd-gen-charts}]\n",
    "anchors": f"x: &a {OLD}\nimages:\n- name: kcd-gen-charts\n  newName: n\n  digest: *a\n",
    "a merge": "x: &a {newName: n}\nimages:\n- name: kcd-gen-charts\n  <<: *a\n",
    "a multiline string": f"images:\n- name: kcd-gen-charts\n  newName: n\n  digest: >-\n    {OLD}\n",
    "twice": "images:\n- name: kcd-gen-charts\n- name: kcd-gen-charts\n",
    "not a list": "images: {name: kcd-gen-charts}\n",
    "not a map": "- a\n",
    "not YAML": "images: [\n",
}


@pytest.mark.parametrize("name", ODD)
def test_an_unsupported_notation_is_an_error_and_not_edited(name: str) -> None:
    with pytest.raises(ProblemsError) as caught:
        with_pinned(ODD[name], "k.yaml", NAME, DIGEST)
    assert str(caught.value.problem.position).startswith("k.yaml")


def test_the_hint_shows_what_to_write() -> None:
    with pytest.raises(ProblemsError) as caught:
        with_pinned(ODD["in one line, and the digest is missing"], "k.yaml", NAME, DIGEST)
    assert caught.value.problem.hint is not None
    assert DIGEST in caught.value.problem.hint
    assert NAME in caught.value.problem.hint


def test_a_file_without_a_pinned_image_has_none() -> None:
    assert read_pinned("resources: []\n", "k.yaml") is None
