from __future__ import annotations

from pathlib import Path

from kubocd_gen.budget.limits import Limits
from kubocd_gen.checkout.discovery import find_files
from kubocd_gen.server.watch import Watched, changed, look


def tree(root: Path) -> None:
    for name in ("src/a/one.yaml", "src/b/two.yml", "src/b/notes.txt", "src/out/flux/three.yaml", "lock"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_what_discovery_finds_is_looked_at(tmp_path: Path) -> None:
    tree(tmp_path)
    for sources in (("src",), ("src/*",), ("src/**/*.yaml", "gone"), ("src/a/one.yaml",)):
        what = Watched((tmp_path / "lock",), tmp_path, sources, (tmp_path / "src/out",))
        files, _ = find_files(sources, tmp_path, [tmp_path / "src/out"])
        seen = look(what)
        assert {path for path, state in seen.items() if state} == {str(tmp_path / "lock"), *map(str, files)}
    assert str(tmp_path / "gone") in look(Watched((), tmp_path, ("gone",)))


def test_a_change_is_seen(tmp_path: Path) -> None:
    tree(tmp_path)
    what = Watched((), tmp_path, ("src",))
    before = look(what)
    assert look(what) == before
    (tmp_path / "src/new.yaml").touch()
    assert changed(before, look(what)) == [str(tmp_path / "src/new.yaml")]


def test_directories_that_link_to_each_other_are_looked_at_once(tmp_path: Path) -> None:
    for one in range(12):
        (tmp_path / f"src/d{one}").mkdir(parents=True)
        (tmp_path / f"src/d{one}/r.yaml").touch()
    for one in range(12):
        for other in range(12):
            (tmp_path / f"src/d{one}/l{other}").symlink_to(f"../d{other}")
    assert len(look(Watched((), tmp_path, ("src",)))) == 12
    assert len(look(Watched((), tmp_path, ("src/**/r.yaml",)))) == 12


def test_a_look_ends_where_a_build_would(tmp_path: Path) -> None:
    tree(tmp_path)
    assert look(Watched((), tmp_path, ("src",), limits=Limits(files=2))) == {}
