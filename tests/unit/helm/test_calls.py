"""Finding the function calls of a template without rendering it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from kubocd_gen.helm.calls import calls, int64_ranges, mixes_prereleases, unordered_lists
from kubocd_gen.helm.process import find_helm, helm_version

INT_RANGES = ["3", "$i := int `3`", "(len `abc`)", "((int 3.0))"]  # rewritten
INT64_RANGES = ["add 1 2", "$i := int64 `3`", "((int64 3.0))", "1 | max 2"]
OLD_RANGES = [
    "until 3",
    "until (int `3`)",
    "int `3` | until",
    "$i := (`3` | int | until)",
    "list 1 2",
    "(int 3.0) | until",
]
NEVER = ["$i, $e := 3", "$i, $e := `3` | int", "1.5", "-3.0"]  # with every version of helm


def named(template: str) -> list[tuple[str, int, int, str | None]]:
    return [(call.name, call.line, call.column, call.text) for call in calls(template)]


@pytest.mark.parametrize(
    ("template", "found"),
    [
        ("now", []),
        ("{{ now }}", [("now", 1, 4, None)]),
        ("é\n{{- if .a.now }}{{ $now }}{{ now }}{{ end }}", [("now", 2, 30, None)]),
        ("{{/* now */}}{{ `now` }}{{ template `now` . }}", []),
        ("{{ if false }}{{ $x := (now | date `2006`) }}{{ end }}", [("now", 1, 25, None), ("date", 1, 31, "2006")]),
        ('{{ resolveDNS "a.b" }}', [("resolveDNS", 1, 4, "a.b")]),
        ("{{ if (`a.b` | resolveDNS) }}", [("resolveDNS", 1, 16, "a.b")]),
        ('{{ resolveDNS .a }}{{ resolveDNS "\\x61" }}', [("resolveDNS", 1, 4, None), ("resolveDNS", 1, 23, None)]),
        ('{{ print "a" "b" | resolveDNS }}', [("print", 1, 4, "a"), ("resolveDNS", 1, 20, None)]),
        ("{{ now }}{{ now ~ }}{{ now }}", [("now", 1, 4, None), ("now", 1, 13, None), ("now", 1, 24, None)]),
    ],
)
def test_function_calls_are_found_with_their_positions(
    template: str, found: Sequence[tuple[str, int, int, str | None]]
) -> None:
    assert named(template) == found


@pytest.mark.parametrize("pipeline", INT64_RANGES)
def test_a_range_over_an_int64_is_found(pipeline: str) -> None:
    assert [call.name for call in int64_ranges(f"{{{{ range {pipeline} }}}}{{{{ end }}}}")] == ["range"]


@pytest.mark.parametrize("pipeline", [*INT_RANGES, *OLD_RANGES, *NEVER, ".a", "$x", "-3", "(.a).b"])
def test_other_ranges_are_not_found(pipeline: str) -> None:
    assert not list(int64_ranges(f"{{{{ range {pipeline} }}}}{{{{ end }}}}"))


def test_the_helm_in_use_agrees_about_ranges(render_all: Callable[..., list[object]]) -> None:
    outcomes = render_all(
        *(f"{{{{ range {one} }}}}x{{{{ end }}}}" for one in (*INT64_RANGES, *INT_RANGES, *OLD_RANGES, *NEVER))
    )
    rendered = [isinstance(outcome, str) for outcome in outcomes]
    major, minor = map(int, helm_version(find_helm()).split(".")[:2])
    always = [True] * len(INT_RANGES + OLD_RANGES)
    assert rendered == [(major, minor) >= (3, 18)] * len(INT64_RANGES) + always + [False] * len(NEVER)


@pytest.mark.parametrize(
    "template",
    [
        "{{ keys .m }}",
        "{{ keys .m | join `,` }}",
        "{{ join `,` (keys .m) }}",
        "{{ toYaml (values .m) | nindent 2 }}",
        "{{ with .m | values | toJson }}{{ end }}",
        "{{ $x := printf `%v` (keys .a .b) }}",
    ],
)
def test_a_list_in_random_order_is_found(template: str) -> None:
    assert len(list(unordered_lists(template))) == 1


@pytest.mark.parametrize(
    "template",
    [
        "{{ keys .m | sortAlpha | join `,` }}",
        "{{ join `,` (sortAlpha (keys .m)) }}",
        "{{ keys .m | toStrings | sortAlpha | toYaml }}",
        "{{ len (keys .m) }}",
        "{{ printf `%d` (len (keys .m)) }}",
        "{{ has `x` (keys .m) }}",
        "{{ if keys .m }}{{ end }}",
        "{{ $k := keys .m }}",
        "{{ range keys .m }}{{ end }}",
        "{{ keys .m | first }}",
        "{{ .values }}{{ .keys | join `,` }}{{ `keys` }}",
        "{{ template `x` (keys .m) }}",
    ],
)
def test_a_list_whose_order_is_not_visible_is_not_found(template: str) -> None:
    assert not list(unordered_lists(template))


@pytest.mark.parametrize(
    ("constraint", "mixed"),
    [
        (">=1.0.0-0 <2.0.0", True),
        ("1 || >=1-0, <2", True),
        (">=1.0.0-0 <2.0.0-0", False),
        (">=1.0.0-0 || <2", False),
        (">=1.2 <2.x, !=1.5.0+a-b", False),
        ("", False),
    ],
)
def test_a_constraint_mixes_prereleases_if_a_group_has_one_in_a_part_of_it(constraint: str, mixed: bool) -> None:
    assert mixes_prereleases(constraint) is mixed
