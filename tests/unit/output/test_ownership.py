from __future__ import annotations

from pathlib import Path

import pytest

from kubocd_gen.output.ownership import read_records, record_content
from kubocd_gen.output.tree import Tree

RECORD = ".kcd-gen/default/web.list"
FLUX, INDEX = "flux/default/web.yaml", "hr/default/web/index.yaml"
ONE, TWO = "1" * 64, "2" * 64


def read(root: Path, text: str) -> dict[str, str | None]:
    path = root / RECORD
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return dict(read_records(Tree(root))[RECORD])


def test_a_record_is_what_sha256sum_writes_and_reads_back_the_same(tmp_path: Path) -> None:
    listed = {INDEX: TWO, FLUX: ONE}
    text = record_content(listed).decode()
    assert text == f"{ONE}  {FLUX}\n{TWO}  {INDEX}\n"
    assert read(tmp_path, text) == listed


@pytest.mark.parametrize(
    ("text", "listed"),
    [
        (f"{FLUX}\n", {FLUX: None}),  # of a kcd-gen that did not know digests
        (f"{ONE}  {FLUX}\n{TWO}  {FLUX}\n", {FLUX: None}),
        (
            f"<<<<<<< HEAD\n{ONE}  {FLUX}\n=======\n{TWO}  {FLUX}\n>>>>>>> other\n{ONE}  {INDEX}\n",
            {FLUX: None, INDEX: ONE},
        ),
        (f"{ONE}  {FLUX}\n{ONE}  {FLUX}\n", {FLUX: ONE}),
        (f"{ONE}  flux/default/other.yaml\n{ONE}  ../web.yaml\n{ONE}  \n{ONE}\n", {}),
        (f"{ONE} {FLUX}\n{ONE.upper()}x  {FLUX}\n", {}),
    ],
)
def test_whatever_is_in_a_record_only_the_release_s_own_paths_count(
    tmp_path: Path, text: str, listed: dict[str, str | None]
) -> None:
    assert read(tmp_path, text) == listed
