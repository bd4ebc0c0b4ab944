from __future__ import annotations

from pathlib import Path

import pytest

from kubocd_gen.checkout.exclusions import Exclusions
from kubocd_gen.checkout.walk import PatternError

ROOT = Path("/project")


@pytest.mark.parametrize(
    ("glob", "path", "excluded"),
    [
        ("charts/**", "charts/a.yaml", True),
        ("charts/**", "charts/a/b.yaml", True),
        ("charts/**", "charts", False),
        ("charts/**", "apps/charts/a.yaml", False),
        ("**/charts/**", "apps/charts/a.yaml", True),
        ("a/**/b/**", "a/b/c", True),
        ("a/**/b/**", "a/b", False),
        ("charts", "apps/charts/a.yaml", True),
        ("./charts", "apps/charts/a.yaml", False),
        ("/charts/", "charts/a.yaml", True),
        ("*.sops.yaml", "apps/x.sops.yaml", True),
        ("apps/*.yaml", "apps/x.yaml", True),
        ("apps/*.yaml", "apps/sub/x.yaml", False),
        ("", "apps", False),
    ],
)
def test_a_glob_excludes_what_it_matches_and_everything_below(glob: str, path: str, excluded: bool) -> None:
    assert Exclusions([glob], ROOT).excludes(ROOT / path) is excluded


def test_a_glob_can_be_relative_to_the_source() -> None:
    exclusions = Exclusions(["charts/**"], ROOT)
    assert exclusions.excludes(ROOT / "apps/charts/a.yaml", ROOT / "apps")
    assert not exclusions.excludes(ROOT / "apps/charts/a.yaml", ROOT / "other")


def test_paths_outside_the_project_are_not_excluded() -> None:
    assert not Exclusions(["**"], ROOT).excludes(Path("/elsewhere/a.yaml"))


def test_a_glob_that_is_too_long_is_an_error() -> None:
    with pytest.raises(PatternError):
        Exclusions(["*" * 501], ROOT)
