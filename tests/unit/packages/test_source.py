from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from kubocd_gen.diagnostics import KcdError
from kubocd_gen.packages.layout import OciLayout
from kubocd_gen.packages.reference import Reference, parse_reference
from kubocd_gen.packages.source import PackageImage, PackageSource, PackageSources, VendorSource
from tests.support.images import write_layout
from tests.unit.packages.conftest import LAYER, REFERENCE, WriteOne

ONE, TWO, THREE = (parse_reference(f"x.io/p:{number}") for number in (1, 2, 3))


class Shelf:
    """A source that has the references that it is given, and remembers what it was asked for."""

    def __init__(self, name: str, *has: Reference, broken: bool = False) -> None:
        self.name, self.has, self.broken = name, has, broken
        self.asked: list[Reference] = []

    def fetch(self, reference: Reference) -> PackageImage | None:
        self.asked.append(reference)
        if self.broken:
            raise KcdError(f"{self.name} is broken", code="corrupt-blob")
        return PackageImage(str(reference), self.name, "", {}) if reference in self.has else None

    def describe(self) -> str:
        return f"the {self.name}"

    def references(self) -> Iterable[str]:
        return map(str, self.has)

    def advice(self, reference: Reference) -> str | None:
        return f"put {reference} on the {self.name}"


def fetch(reference: Reference, *sources: PackageSource) -> PackageImage | KcdError:
    return PackageSources(sources).fetch_all([reference])[reference]


def test_a_vendored_package_comes_from_the_layout(write_one: WriteOne) -> None:
    outcome = fetch(parse_reference(REFERENCE), VendorSource(OciLayout(write_one())))
    assert isinstance(outcome, PackageImage)
    assert outcome.reference == REFERENCE


def test_the_first_source_that_has_a_package_gives_it() -> None:
    first, second, third = Shelf("first"), Shelf("second", ONE), Shelf("third", ONE)
    outcome = fetch(ONE, first, second, third)
    assert isinstance(outcome, PackageImage)
    assert outcome.digest == "second"
    assert third.asked == []


def test_a_source_that_fails_is_not_passed_over() -> None:
    outcome = fetch(ONE, Shelf("first", broken=True), Shelf("second", ONE))
    assert isinstance(outcome, KcdError)
    assert outcome.message == "first is broken"


def test_each_distinct_reference_is_fetched_once_and_results_keep_the_input_s_order() -> None:
    shelf = Shelf("shelf", ONE, TWO, THREE)
    outcomes = PackageSources([shelf]).fetch_all([THREE, ONE, THREE, TWO, ONE])
    assert list(outcomes) == [THREE, ONE, TWO]
    assert sorted(shelf.asked) == [ONE, TWO, THREE]


def test_one_bad_package_does_not_hide_the_others() -> None:
    outcomes = PackageSources([Shelf("shelf", ONE, THREE)]).fetch_all([ONE, TWO, THREE])
    assert [type(outcome) for outcome in outcomes.values()] == [PackageImage, KcdError, PackageImage]


@pytest.mark.parametrize("jobs", [0, 1, 8])
def test_any_number_of_jobs_gives_the_same_results(jobs: int) -> None:
    assert list(PackageSources([Shelf("shelf", ONE, TWO)], jobs=jobs).fetch_all([TWO, ONE])) == [TWO, ONE]


def test_no_references_are_no_results() -> None:
    assert PackageSources([Shelf("shelf")]).fetch_all([]) == {}


def test_several_packages_are_fetched_at_a_time() -> None:
    meeting = threading.Barrier(2, timeout=10)

    class Waiting(Shelf):
        def fetch(self, reference: Reference) -> PackageImage | None:
            meeting.wait()
            return super().fetch(reference)

    assert len(PackageSources([Waiting("shelf", ONE, TWO)], jobs=2).fetch_all([ONE, TWO])) == 2


def test_a_missing_package_s_error_says_where_it_was_looked_for() -> None:
    outcome = fetch(ONE, Shelf("vendor layout"), Shelf("cache"))
    assert isinstance(outcome, KcdError)
    assert outcome.code == "missing-package"
    assert outcome.message == "package x.io/p:1 is not in the vendor layout or the cache"


def test_a_missing_package_s_error_suggests_the_nearest_reference_that_is_there() -> None:
    outcome = fetch(parse_reference("x.io/podinfoo:1.0"), Shelf("shelf", ONE, parse_reference("x.io/podinfo:1.0")))
    assert isinstance(outcome, KcdError)
    assert outcome.hint == "did you mean 'x.io/podinfo:1.0'?"


def test_a_missing_package_s_error_says_how_to_vendor_it(tmp_path: Path) -> None:
    write_layout(tmp_path, {REFERENCE: LAYER})
    outcome = fetch(parse_reference("x.io/q:9"), VendorSource(OciLayout(tmp_path)))
    assert isinstance(outcome, KcdError)
    assert outcome.hint == f"vendor it: skopeo copy docker://x.io/q:9 oci:{tmp_path}:x.io/q:9"


def test_without_any_source_the_error_says_so() -> None:
    outcome = fetch(ONE)
    assert isinstance(outcome, KcdError)
    assert outcome.message == "package x.io/p:1 is nowhere: no place to look for packages is configured"


def test_a_broken_layout_is_one_error_a_package_not_a_crash(tmp_path: Path) -> None:
    outcomes = PackageSources([VendorSource(OciLayout(tmp_path))]).fetch_all([ONE, TWO])
    assert [outcome.code for outcome in outcomes.values() if isinstance(outcome, KcdError)] == ["bad-layout"] * 2
