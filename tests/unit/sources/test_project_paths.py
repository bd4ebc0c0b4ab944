from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kubocd_gen.budget.limits import LIMITS, NAMES, ceiling
from kubocd_gen.budget.spending import RUN_LIMITS
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.model.project import Flags, Project
from kubocd_gen.sources.project_file import load_project
from kubocd_gen.sources.project_paths import DisjointDirectories

PROJECT = """\
apiVersion: kcd-gen/v1alpha1
kind: Project
clusters:
  - name: prod
    sources: [{sources}]
    output: {output}
packages:
  vendor: {vendor}
"""
GIVEN = {"sources": "clusters", "output": "deploy", "vendor": "vendor"}

Load = Callable[..., Project]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load a project in the directory `apps` of a checkout with another checkout next to it."""
    for directory in ("co/.git/hooks", "co/apps/clusters", "co/shared", "other/.git", "other/releases"):
        (tmp_path / directory).mkdir(parents=True)
    root = tmp_path / "co/apps"
    monkeypatch.chdir(root)

    def run(flags: Flags | None = None, *, outputs: bool = True, **changes: str) -> Project:
        (root / "kcd-gen.yaml").write_text(PROJECT.format(**(GIVEN | changes)))
        return load_project(flags or Flags(), root, outputs=outputs)

    return run


def messages_of(load: Load, *arguments: Any, **changes: Any) -> list[str]:
    with pytest.raises(ProblemsError) as caught:
        load(*arguments, **changes)
    return [f"{one.position or '-'} {one.code} {one.message}" for one in caught.value.problems]


@pytest.mark.parametrize(("field", "line"), [("sources", 5), ("output", 6), ("vendor", 8)])
def test_no_path_contains_a_null_character(load: Load, field: str, line: int) -> None:
    (error,) = messages_of(load, **{field: '"a\\0b"'})
    assert error.startswith(f"kcd-gen.yaml:{line}:")
    assert error.endswith(" invalid-value a path can't contain the character U+0000")


OUTSIDE = [
    ("sources", "../../other/releases", 5),
    ("sources", "../../other/*/web.yaml", 5),
    ("sources", "'../../**'", 5),
    ("sources", "/etc", 5),
    ("sources", "'/**/*.yaml'", 5),
    ("sources", "clusters/../../../other", 5),
    ("sources", "link", 5),
    ("sources", "link/below", 5),
    ("output", "../../other/deploy", 6),
    ("output", "../../new/deploy/prod", 6),
    ("output", "/var/lib/deploy", 6),
    ("output", "link", 6),
    ("output", "link/not/there/yet", 6),
    ("output", "clusters/../../../new", 6),
    ("vendor", "../../other/packages", 8),
    ("vendor", "link/packages", 8),
]


@pytest.mark.parametrize(("field", "path", "line"), OUTSIDE)
def test_a_path_outside_the_checkout_is_an_error_at_its_line(
    load: Load, tmp_path: Path, field: str, path: str, line: int
) -> None:
    (tmp_path / "co/apps/link").symlink_to("../../other")
    (problem,) = messages_of(load, **{field: path})
    assert problem.startswith(f"kcd-gen.yaml:{line}:")
    assert " outside-checkout the " in problem


@pytest.mark.parametrize(("field", "path", "line"), OUTSIDE)
def test_the_user_can_allow_a_path_outside_the_checkout(
    load: Load, tmp_path: Path, field: str, path: str, line: int
) -> None:
    (tmp_path / "co/apps/link").symlink_to("../../other")
    load(Flags(allow_outside=(Path("/"),)), **{field: path})
    assert line


def test_only_the_given_directory_is_allowed(load: Load, tmp_path: Path) -> None:
    flags = Flags(allow_outside=(Path("../../other"),))
    assert load(flags, output="../../other/deploy", sources="../../other/releases").files.root == tmp_path / "co"
    assert len(messages_of(load, flags, output="../../other2/deploy")) == 1
    assert len(messages_of(load, flags, output="../../deploy")) == 1
    (tmp_path / "other/up").symlink_to("..")
    assert len(messages_of(load, flags, output="../../other/up/deploy")) == 1


def test_the_hint_is_the_flag_that_allows_the_path(load: Load, tmp_path: Path) -> None:
    with pytest.raises(ProblemsError) as caught:
        load(output="../../a b/deploy")
    assert caught.value.problems[0].hint == (
        f"move it into the checkout, or allow it with --allow-outside '{tmp_path}/a b/deploy'"
    )


def test_paths_can_leave_the_project_directory_within_the_checkout(load: Load, tmp_path: Path) -> None:
    (tmp_path / "co/apps/link").symlink_to("../shared")
    load(sources="../shared, link, clusters", output="../deploy", vendor="../shared/packages")
    load(output="link/deploy")


def test_without_git_the_project_directory_is_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "apps").mkdir()
    monkeypatch.chdir(tmp_path / "apps")
    Path("kcd-gen.yaml").write_text(PROJECT.format(**GIVEN | {"output": "../deploy"}))
    with pytest.raises(ProblemsError, match="outside the checkout"):
        load_project(Flags(), Path.cwd())


def test_a_path_in_a_flag_is_allowed(load: Load, tmp_path: Path) -> None:
    elsewhere = {"output": "../../other/deploy", "vendor": "../../other/packages"}
    flags = Flags(output=Path("../../other/deploy"), vendor=Path("../../other/packages"))
    assert load(flags, **elsewhere).vendor == Path("../../other/packages")
    named = Flags(sources=("../../other/releases", "../../new/*/x"), output=Path("/var/lib/deploy"))
    assert load(named).files.allowed == (tmp_path / "other/releases", tmp_path / "new", Path("/var/lib/deploy"))
    assert len(messages_of(load, Flags(output=Path("../../other/deploy")), sources="../../other")) == 1


def test_a_path_in_a_flag_follows_no_symlink_of_the_checkout(load: Load, tmp_path: Path) -> None:
    (tmp_path / "co/apps/link").symlink_to("../../other")
    (tmp_path / "other/kcd-gen.yaml").write_text(PROJECT.format(**GIVEN))
    for flags in (
        Flags(sources=("link/releases",), output=Path("deploy")),
        Flags(sources=("clusters",), output=Path("link/deploy")),
        Flags(vendor=Path("link/packages")),
        Flags(project=Path("link/kcd-gen.yaml")),
    ):
        (problem,) = messages_of(load, flags)
        assert "- outside-checkout the symlink '" in problem
        load(Flags(**{**_fields(flags), "allow_outside": (Path("../../other"),)}))


def _fields(flags: Flags) -> dict[str, Any]:
    return {"project": flags.project, "sources": flags.sources, "output": flags.output, "vendor": flags.vendor}


@pytest.mark.parametrize(
    ("field", "path"),
    [
        ("output", "../.git"),
        ("output", "../.git/hooks"),
        ("output", "../.GIT/hooks"),
        ("output", "git/hooks"),
        ("output", "clusters/.git"),
        ("output", "../../other/.git/hooks"),
        ("vendor", "../.git/packages"),
        ("sources", "../.git"),
        ("sources", "'../.git/*'"),
        ("sources", "git"),
    ],
)
def test_a_git_directory_can_never_be_allowed(load: Load, tmp_path: Path, field: str, path: str) -> None:
    (tmp_path / "co/apps/git").symlink_to("../.git")
    (problem,) = messages_of(load, Flags(allow_outside=(Path("/"), Path("../.git"))), **{field: path})
    assert "outside-checkout" in problem
    assert "Git's own directory" in problem


def test_an_output_flag_in_a_git_directory_is_refused(load: Load) -> None:
    assert "Git's own directory" in messages_of(load, Flags(output=Path("../.git/hooks")))[0]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"vendor": "deploy"}, 8),
        ({"vendor": "deploy/hr"}, 8),
        ({"vendor": "deploy/HR/packages"}, 8),
        ({"vendor": "deploy/.kcd-gen"}, 8),
        ({"output": "vendor/deploy"}, 8),
        ({"sources": "deploy/flux"}, 5),
        ({"sources": "clusters, 'deploy/hr/*/x'"}, 5),
    ],
)
def test_paths_that_are_read_must_not_overlap_the_output(load: Load, changes: dict[str, str], line: int) -> None:
    (problem,) = messages_of(load, **changes)
    assert problem.startswith(f"kcd-gen.yaml:{line}:")
    assert " overlapping-paths the " in problem


def test_sources_and_vendored_packages_can_contain_or_adjoin_the_output(load: Load) -> None:
    load(sources=".", output="deploy", vendor="deploy/packages")
    load(sources="deploy", output="deploy")


def test_clusters_that_are_not_selected_need_no_permission(load: Load, tmp_path: Path) -> None:
    load()
    text = (tmp_path / "co/apps/kcd-gen.yaml").read_text()
    other = "  - {name: other, sources: [/etc], output: /var/lib/deploy}\n"
    (tmp_path / "co/apps/kcd-gen.yaml").write_text(text.replace("packages:", other + "packages:"))
    assert len(load_project(Flags(clusters=("prod",)), Path.cwd()).clusters) == 1
    with pytest.raises(ProblemsError) as caught:
        load_project(Flags(), Path.cwd())
    assert [str(one.position) for one in caught.value.problems] == ["kcd-gen.yaml:7:29", "kcd-gen.yaml:7:36"]


def test_commands_without_an_output_do_not_check_it(load: Load) -> None:
    load(outputs=False, output="/var/lib/deploy")


def test_the_project_file_must_be_in_the_checkout(load: Load, tmp_path: Path) -> None:
    load()
    path = tmp_path / "co/apps/kcd-gen.yaml"
    path.rename(tmp_path / "co/shared/kcd-gen.yaml")
    path.symlink_to("../shared/kcd-gen.yaml")
    assert load_project(Flags(), path.parent).root == path.parent
    path.unlink()
    path.symlink_to(tmp_path / "secret")
    (tmp_path / "secret").write_text("hunter2: [hunter2\n")
    for flags in (Flags(), Flags(project=path)):
        with pytest.raises(ProblemsError) as caught:
            load_project(flags, path.parent)
        assert caught.value.problem.code == "outside-checkout"
        assert "hunter2" not in f"{caught.value.problem.message} {caught.value.problem.hint}"


def test_overlapping_directories_are_found_case_insensitively() -> None:
    apart = DisjointDirectories()
    assert apart.add("one", Path("/d/one")) is None
    assert apart.add("two", Path("/d/two/deep")) is None
    assert apart.add("three", Path("/d/ONE/below")) == "one"
    assert apart.add("four", Path("/d/two")) == "two"
    assert apart.add("five", Path("/d/one2")) is None


def test_the_number_of_clusters_of_a_project_file_is_limited(load: Load, tmp_path: Path) -> None:
    load()
    head = "apiVersion: kcd-gen/v1alpha1\nkind: Project\nclusters:\n"
    path = tmp_path / "co/apps/kcd-gen.yaml"
    path.write_text(head + "".join(f"- {{name: c{one}, sources: [a], output: d/{one}}}\n" for one in range(501)))
    with pytest.raises(ProblemsError, match="clusters must have at most 500 items, not 501"):
        load_project(Flags(), path.parent)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in RUN_LIMITS])
def test_a_project_file_can_raise_a_limit_up_to_its_ceiling(load: Load, tmp_path: Path, name: str) -> None:
    load()
    path = tmp_path / "co/apps/kcd-gen.yaml"
    text = path.read_text()

    def limited(value: int, **flags: Any) -> Project:
        path.write_text(f"{text}  limits:\n    {name}: {value}\n")
        return load_project(Flags(**flags), path.parent)

    highest = ceiling(name)
    assert LIMITS.of(name) <= highest <= 4 * LIMITS.of(name)
    assert limited(1).limits.of(name) == 1
    assert limited(highest).limits.of(name) == highest
    with pytest.raises(ProblemsError) as caught:
        limited(highest + 1)
    (error,) = caught.value.problems
    assert (error.code, str(error.position)) == ("invalid-value", "kcd-gen.yaml:10:5")
    assert f"--limit {name}=" in (error.hint or "")
    assert limited(highest + 1, limits={name: highest + 2}).limits.of(name) == highest + 2


def test_memory_limits_have_low_ceilings() -> None:
    assert ceiling("unpacked") == LIMITS.unpacked
    assert ceiling("layer") <= 512 << 20
