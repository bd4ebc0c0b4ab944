"""The same change in many Releases is reported once, with the common part of the values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubocd_gen.compiler.value_changes import changes
from kubocd_gen.diffing.records import Comparison, ReleaseDifference, ReleaseSide, ResourceDifference
from kubocd_gen.diffing.shared_changes import repeats

SIDE = ReleaseSide("registry.example.com/web:1.0.0", f"sha256:{'0' * 64}", False, False, {})


def found(*pairs: tuple[Mapping[str, Any], Mapping[str, Any]]) -> list[tuple[str | None, Any, Any, int]]:
    """Return the repeated changes of Releases with one changed HelmRelease each."""
    releases = [
        ReleaseDifference(
            "prod",
            "default",
            f"web{number}",
            SIDE,
            SIDE,
            (ResourceDifference("HelmRelease", "default", "main", "changed", tuple(changes(old, new))),),
            (),
        )
        for number, (old, new) in enumerate(pairs)
    ]
    comparison = Comparison("main", "0" * 40, (3, 3), tuple(releases), False)
    return [(one.path, one.old, one.new, len(one.occurrences)) for one in repeats(comparison)]


def hosts(old: str, new: str, *templates: str) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    return [({"host": one.format(old)}, {"host": one.format(new)}) for one in templates]


def test_a_changed_domain_in_many_releases_is_reported_once() -> None:
    pairs = hosts(
        "apps.example.com", "apps.example.org", "a.{}", "https://b.{}/login", "c.{0},d.{0}", "line\nhost: e.{}\n"
    )
    assert found(*pairs) == [(None, "apps.example.com", "apps.example.org", 4)]


def test_the_common_part_has_no_punctuation_at_its_ends() -> None:
    pairs = hosts("old.lab", "new.lab.example.com", "a.x-{}/a", "b.x-{}/b", "c.x-{}/c")
    assert found(*pairs) == [(None, "x-old.lab", "x-new.lab.example.com", 3)]


def test_two_domains_with_a_common_suffix_are_separate() -> None:
    pairs = hosts("first.com", "first.org", "a.{}", "b.{}", "c.{}") + hosts(
        "second.com", "second.org", "a.{}", "b.{}", "c.{}"
    )
    assert [one[1:3] for one in found(*pairs)] == [("first.com", "first.org"), ("second.com", "second.org")]


def test_short_values_are_common_only_at_the_same_path() -> None:
    versions = [({"v": f"app{n}-1"}, {"v": f"app{n}-2"}) for n in "xyz"]
    assert found(*versions) == []
    same = [({"timeout": "2m0s", "n": 1}, {"timeout": "3m0s", "n": 2})] * 3
    assert found(*same) == [("n", 1, 2, 3), ("timeout", "2m0s", "3m0s", 3)]


def test_changes_of_only_two_releases_are_listed_separately() -> None:
    assert found(*hosts("apps.example.com", "apps.example.org", "a.{}", "b.{}")) == []


def test_a_value_added_to_many_releases_is_reported_once() -> None:
    assert found(*[({}, {"flag": True})] * 3)[0][0] == "flag"
