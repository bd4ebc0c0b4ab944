from __future__ import annotations

import pytest

from kubocd_gen.budget.limits import LIMITS, NAMES, Limits, moved, over_limit, parse_limit
from kubocd_gen.budget.spending import RUN_LIMITS
from kubocd_gen.diagnostics.problems import Position
from kubocd_gen.package_data import schema

MIB = 1 << 20


def test_the_limits_match_the_documentation() -> None:
    assert (
        Limits(
            layer=256 * MIB,
            unpacked=512 * MIB,
            members=1000,
            text=5 * MIB,
            extended_header=16 << 10,
            gzip_members=10_000,
            manifest=4 * MIB,
            token=4 * MIB,
            chart_members=50_000,
            chart_archive=10 * MIB,
            chart=100 * MIB,
            chart_file=5 * MIB,
        )
        == LIMITS
    )


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("layer", "512MiB", 512 * MIB),
        ("layer", "512Mi", 512 * MIB),
        ("layer", "64KiB", 64 << 10),
        ("layer", "64Ki", 64 << 10),
        ("layer", "2GiB", 2 << 30),
        ("layer", "2Gi", 2 << 30),
        ("layer", "1000", 1000),
        ("members", "2000", 2000),
        ("gzip-members", "7", 7),
        ("layer", "999999999999999GiB", 1 << 62),
        ("helm-time", "90", 90),
        ("helm-time", "90s", 90),
        ("network-time", "2h", 7200),
        ("files", "1000000", 1_000_000),
    ],
)
def test_a_limit_is_a_number_with_or_without_a_unit(name: str, text: str, value: int) -> None:
    assert parse_limit(name, text) == value


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("layr", "1", "the limit 'layr' does not exist; did you mean 'layer'?"),
        ("zzz", "1", f"the limit 'zzz' does not exist; available limits: {', '.join(NAMES)}"),
        ("chart_file", "1", "the limit 'chart_file' does not exist; did you mean 'chart-file'?"),
        ("layer", "", "the limit 'layer' must be a size such as 512MiB (KiB, MiB, GiB), not ''"),
        ("layer", "512MB", "the limit 'layer' must be a size such as 512MiB (KiB, MiB, GiB), not '512MB'"),
        ("layer", "512mib", "the limit 'layer' must be a size such as 512MiB (KiB, MiB, GiB), not '512mib'"),
        ("layer", "1.5GiB", "the limit 'layer' must be a size such as 512MiB (KiB, MiB, GiB), not '1.5GiB'"),
        ("layer", "-1", "the limit 'layer' must be a size such as 512MiB (KiB, MiB, GiB), not '-1'"),
        ("layer", "5B", "the limit 'layer' must be a size such as 512MiB (KiB, MiB, GiB), not '5B'"),
        ("layer", "\u0665", "the limit 'layer' must be a size such as 512MiB (KiB, MiB, GiB), not '\u0665'"),
        ("layer", "0", "the limit 'layer' must be greater than 0"),
        ("members", "2Ki", "the limit 'members' must be a number such as 2000, not '2Ki'"),
        ("helm-time", "1MiB", "the limit 'helm-time' must be a time such as 90s or 2m, not '1MiB'"),
        ("helm-time", "0s", "the limit 'helm-time' must be greater than 0"),
        ("files", "1MiB", "the limit 'files' must be a number such as 2000, not '1MiB'"),
        ("members", "many", "the limit 'members' must be a number such as 2000, not 'many'"),
    ],
)
def test_an_invalid_limit_is_refused(name: str, text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match="limit") as caught:
        parse_limit(name, text)
    assert str(caught.value) == sentence


def test_limits_are_set_by_their_command_line_names() -> None:
    assert moved(LIMITS, {"chart-file": 1, "layer": 2}) == Limits(chart_file=1, layer=2)
    assert moved(LIMITS, {}) == LIMITS


@pytest.mark.parametrize("name", NAMES)
def test_the_error_names_the_limit_and_a_sufficient_flag(name: str) -> None:
    limit = LIMITS.of(name)
    error = over_limit("it is larger", name, limit, needed=3 * limit, position=Position("x"))
    assert error.code == "package-limit"
    assert error.position == Position("x")
    assert error.hint is not None
    flag, _, value = error.hint.rpartition(": --limit ")[2].partition("=")
    assert flag == name
    assert parse_limit(name, value) == 4 * limit
    message = error.message.removeprefix("it is larger than the limit of ")
    assert parse_limit(name, message.replace(" ", "").removesuffix("bytes").removesuffix("seconds")) == limit


def test_without_a_known_need_the_suggested_flag_doubles_the_limit() -> None:
    assert str(over_limit("it is larger", "layer", 100).hint).endswith(": --limit layer=200")


def test_a_project_file_can_set_package_limits_but_not_run_limits() -> None:
    properties = schema("kcd-gen/project-v1alpha1")["schema"]["properties"]["packages"]["properties"]
    assert sorted(properties["limits"]["properties"]) == sorted(set(NAMES) - set(RUN_LIMITS))
