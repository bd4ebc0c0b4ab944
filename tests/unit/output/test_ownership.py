from __future__ import annotations

from pathlib import Path

import pytest

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.output.inventory import SHARED_RECORD, is_output_path, is_unit, may_list, read_records, record_content
from kubocd_gen.output.tree import Tree

RECORD = ".kcd-gen/default/web.list"
FLUX, INDEX = "flux/default/web.yaml", "hr/default/web/index.yaml"
ONE, TWO = "1" * 64, "2" * 64


def read(root: Path, text: str) -> dict[str, str | None]:
    path = root / RECORD
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return dict(read_records(Tree(root))[RECORD])


def test_an_inventory_has_the_format_of_sha256sum_and_reads_back(tmp_path: Path) -> None:
    listed = {INDEX: TWO, FLUX: ONE}
    text = record_content(listed).decode()
    assert text == f"{ONE}  {FLUX}\n{TWO}  {INDEX}\n"
    assert read(tmp_path, text) == listed


@pytest.mark.parametrize(
    ("text", "listed"),
    [
        (f"{FLUX}\n", {FLUX: None}),  # written by a version without digests
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
def test_only_paths_of_its_own_release_count_in_an_inventory(
    tmp_path: Path, text: str, listed: dict[str, str | None]
) -> None:
    assert read(tmp_path, text) == listed


@pytest.mark.parametrize(
    ("record", "path"),
    [
        (RECORD, "flux/default/Web.yaml"),
        (RECORD, "Flux/default/web.yaml"),
        (RECORD, "flux/default/web.yaml/x"),
        (RECORD, "flux/default/other.yaml"),
        (RECORD, "flux/kustomization.yaml"),
        (RECORD, "hr/default/web"),
        (RECORD, "hr/default/web/"),
        (RECORD, "hr/default/web/notes.txt"),
        (RECORD, "hr/default/web/.git"),
        (RECORD, "hr/default/web/.hidden.tgz"),
        (RECORD, "hr/default/web/INDEX.YAML"),
        (RECORD, "hr/default/web/a/x.tgz"),
        (RECORD, "hr/default/web/../other/x.tgz"),
        (RECORD, "hr/default/web/x\n.tgz"),
        (RECORD, "hr/default/other/x.tgz"),
        (RECORD, "/flux/default/web.yaml"),
        (SHARED_RECORD, "flux/README.md"),
        (SHARED_RECORD, "flux/Kustomization.yaml"),
        (SHARED_RECORD, "flux/default/web.yaml"),
        (".kcd-gen/Default/web.list", "flux/Default/web.yaml"),
        (".kcd-gen/default/Web.list", "flux/default/Web.yaml"),
        (".kcd-gen/default/.list", "flux/default/.yaml"),
        (".kcd-gen/../web.list", "flux/../web.yaml"),
        (".kcd-gen/default/...list", "flux/default/..yaml"),
        (".kcd-gen/.staging/web.list", "flux/.staging/web.yaml"),
    ],
)
def test_an_inventory_never_lists_paths_of_others(tmp_path: Path, record: str, path: str) -> None:
    assert not may_list(record, path)
    (tmp_path / record).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / record).write_text(f"{path}\n")
    assert path not in {listed for paths in read_records(Tree(tmp_path)).values() for listed in paths}


@pytest.mark.parametrize("record", [RECORD, SHARED_RECORD])
def test_an_inventory_has_a_size_limit(tmp_path: Path, record: str) -> None:
    (tmp_path / record).parent.mkdir(parents=True)
    with (tmp_path / record).open("wb") as file:
        file.truncate((16 << 20) + 1)
    with pytest.raises(ProblemsError) as caught:
        read_records(Tree(tmp_path))
    assert caught.value.problem.code == "unreadable-output"


def test_output_paths_and_the_units_that_are_moved_as_a_whole() -> None:
    files = ["flux/kustomization.yaml", FLUX, RECORD, SHARED_RECORD]
    assert all(is_output_path(path) and is_unit(path) for path in files)
    assert is_output_path(INDEX)
    assert not is_unit(INDEX)
    assert is_unit("hr/default/web")
    for path in (
        "",
        "flux",
        "hr",
        ".kcd-gen",
        "hr/default",
        "flux/default",
        ".git/config",
        "hr/default/web/x",
        "flux//x.yaml",
    ):
        assert not is_output_path(path)
        assert not is_unit(path)
