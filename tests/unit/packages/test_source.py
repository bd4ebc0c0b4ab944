from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from kubocd_gen.budget.spending import BudgetExceededError
from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.oci.descriptors import Descriptor
from kubocd_gen.oci.endpoints import Access
from kubocd_gen.oci.layout import OciLayout
from kubocd_gen.oci.reference import Reference, parse_reference
from kubocd_gen.packages.cache import Cache
from kubocd_gen.packages.chart_index import indexed_charts
from kubocd_gen.packages.image import PackageImage
from kubocd_gen.packages.lock import Lock, Pin
from kubocd_gen.packages.remote import Remote
from kubocd_gen.packages.source import Fetched, PackageRequest, PackageSources
from tests.support.images import package_layer, write_layout
from tests.support.packages import CHART, LAYER, REFERENCE
from tests.support.registries import MemoryRegistry

ONE, TWO, THREE = (f"x.io/p:{tag}" for tag in (1, 2, 3))
OTHER = package_layer("name: other\n", "{}\n", {"p-1.0.0.tgz": CHART})


@dataclass(slots=True)
class Origins:
    """A registry, a cache and a vendor layout below `root`, and the packages fetched from them."""

    root: Path
    registry: MemoryRegistry = field(default_factory=MemoryRegistry)
    cache: bool = True
    vendored: bool = False

    def vendor(self, **layers: bytes) -> None:
        write_layout(self.root / "vendor", {_NAMES[name]: layer for name, layer in layers.items()})
        self.vendored = True

    def sources(self, **settings: Any) -> PackageSources:
        cache = Cache(self.root / "cache") if self.cache else None
        settings.setdefault("remote", Remote(self.registry.client, cache))
        vendor = OciLayout(self.root / "vendor", "vendor") if self.vendored else None
        return PackageSources(vendor=vendor, **settings)

    def fetch(self, *references: str, **settings: Any) -> list[Fetched]:
        requests = [PackageRequest(parse_reference(reference)) for reference in references]
        return list(self.sources(**settings).fetch_all(requests).values())

    def fetched(self, reference: str, **settings: Any) -> PackageImage:
        (one,) = self.fetch(reference, **settings)
        assert isinstance(one.package, PackageImage), one.package
        return one.package

    def problem(self, reference: str, **settings: Any) -> Problem:
        (one,) = self.fetch(reference, **settings)
        assert isinstance(one.package, ProblemsError), one.package
        return one.package.problem

    def lock(self, reference: str, image: PackageImage) -> Lock:
        return Lock({reference: Pin(image.manifest, image.layer, indexed_charts(image.files))})


_NAMES = {"one": ONE, "two": TWO, "three": THREE, "reference": REFERENCE}


@pytest.fixture
def origins(tmp_path: Path) -> Origins:
    return Origins(tmp_path)


def test_the_vendor_layout_precedes_the_registry(origins: Origins) -> None:
    origins.vendor(one=LAYER)
    origins.registry.push(ONE, OTHER)
    assert origins.fetched(ONE).files["original.yaml"] == b"name: p\n"
    assert origins.registry.asked == []


def test_a_damaged_vendored_package_is_not_fetched_from_the_registry(origins: Origins) -> None:
    origins.vendor(one=LAYER)
    for blob in (origins.root / "vendor" / "blobs" / "sha256").iterdir():
        blob.write_bytes(b"damaged")
    origins.registry.push(ONE, LAYER)
    assert origins.problem(ONE).code == "corrupt-blob"


def test_a_package_that_is_not_vendored_is_fetched_from_the_registry(origins: Origins) -> None:
    origins.vendor(one=LAYER)
    digest = origins.registry.push(TWO, OTHER).digest
    assert origins.fetched(TWO).digest == digest


def test_with_a_warm_cache_a_package_costs_one_request(origins: Origins) -> None:
    origins.registry.push(ONE, LAYER)
    origins.fetched(ONE)
    origins.registry.asked.clear()
    origins.fetched(ONE)
    assert origins.registry.asked == [f"resolve {ONE}"]


def test_with_a_lock_and_a_warm_cache_no_request_is_made(origins: Origins) -> None:
    origins.registry.push(ONE, LAYER)
    lock = origins.lock(ONE, origins.fetched(ONE))
    origins.registry.asked.clear()
    assert origins.fetched(ONE, lock=lock, offline=True).digest == lock.packages[ONE].manifest.digest
    assert origins.registry.asked == []


def test_a_locked_package_is_used_even_if_its_tag_has_moved(origins: Origins) -> None:
    origins.registry.push(ONE, LAYER)
    lock = origins.lock(ONE, origins.fetched(ONE))
    moved = origins.registry.push(ONE, OTHER)
    origins.cache = False
    (one,) = origins.fetch(ONE, lock=lock)
    assert isinstance(one.package, PackageImage)
    assert one.package.digest == lock.packages[ONE].manifest.digest
    (warning,) = one.warnings
    assert warning.code == "moved-tag"
    assert moved.digest in warning.message
    assert warning.hint == f"this build uses the locked image; to use the new one, run 'kcd-gen lock --update {ONE}'"


def test_an_exhausted_budget_is_an_error_even_if_only_the_tag_is_resolved(
    origins: Origins, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(*_: object) -> Descriptor:
        raise BudgetExceededError("network-time", 1)

    origins.registry.push(ONE, LAYER)
    lock = origins.lock(ONE, origins.fetched(ONE))
    origins.cache = False
    monkeypatch.setattr(MemoryRegistry, "resolve", resolve)
    assert origins.problem(ONE, lock=lock).code == "run-limit"


def test_an_outdated_vendor_layout_is_skipped_with_a_warning(origins: Origins) -> None:
    origins.registry.push(ONE, LAYER)
    lock = origins.lock(ONE, origins.fetched(ONE))
    origins.vendor(one=OTHER)
    (one,) = origins.fetch(ONE, lock=lock)
    assert isinstance(one.package, PackageImage)
    assert one.package.files["original.yaml"] == b"name: p\n"
    assert [warning.code for warning in one.warnings] == ["moved-tag"]


def test_a_vendored_and_locked_package_needs_neither_cache_nor_registry(origins: Origins) -> None:
    origins.vendor(one=LAYER)
    lock = origins.lock(ONE, origins.fetched(ONE, remote=None))
    assert origins.fetched(ONE, remote=None, lock=lock, locked=True).digest == lock.packages[ONE].manifest.digest


def test_locked_refuses_packages_that_are_not_in_the_lock(origins: Origins) -> None:
    origins.vendor(one=LAYER)
    problem = origins.problem(ONE, locked=True)
    assert (problem.code, problem.hint) == ("not-locked", "run 'kcd-gen lock' and commit kcd-gen.lock")


def test_a_lock_whose_layer_differs_from_its_manifest_is_refused(origins: Origins) -> None:
    origins.registry.push(ONE, LAYER)
    image = origins.fetched(ONE)
    pin = Pin(image.manifest, Descriptor(image.layer.media_type, f"sha256:{'0' * 64}", 1), ())
    assert origins.problem(ONE, lock=Lock({ONE: pin})).code == "bad-lock"


def test_one_package_with_two_kinds_of_access_is_two_requests(origins: Origins) -> None:
    origins.registry.push(ONE, LAYER)
    requests = [PackageRequest(parse_reference(ONE), Access(insecure=insecure)) for insecure in (True, False)]
    assert len(origins.sources().fetch_all(requests)) == 2
    assert origins.registry.asked.count(f"resolve {ONE}") == 2


def test_each_distinct_request_is_made_once_and_results_keep_the_input_order(origins: Origins) -> None:
    origins.vendor(one=LAYER, two=LAYER, three=LAYER)
    sources = origins.sources()
    requests = [PackageRequest(parse_reference(name)) for name in (THREE, ONE, THREE, TWO, ONE)]
    fetched = sources.fetch_all(requests)
    assert [str(request.reference) for request in fetched] == [THREE, ONE, TWO]
    again = sources.fetch_all(requests)
    assert [one.package for one in again.values()] == [one.package for one in fetched.values()]


def test_one_bad_package_does_not_hide_the_others(origins: Origins) -> None:
    origins.registry.push(ONE, LAYER)
    origins.registry.push(THREE, LAYER)
    kinds = [type(one.package).__name__ for one in origins.fetch(ONE, TWO, THREE)]
    assert kinds == ["PackageImage", "NetworkError", "PackageImage"]


@pytest.mark.parametrize("jobs", [0, 1, 8])
def test_any_number_of_jobs_gives_the_same_results(origins: Origins, jobs: int) -> None:
    origins.vendor(one=LAYER, two=OTHER)
    packages = [one.package for one in origins.fetch(TWO, ONE, jobs=jobs)]
    assert [package.reference for package in packages if isinstance(package, PackageImage)] == [TWO, ONE]


def test_without_references_there_are_no_results(origins: Origins) -> None:
    assert origins.fetch() == []


def test_several_packages_are_fetched_concurrently(origins: Origins) -> None:
    meeting = threading.Barrier(2, timeout=10)

    class Waiting(MemoryRegistry):
        def resolve(self, reference: Reference, access: Access) -> Descriptor:
            meeting.wait()
            return super().resolve(reference, access)

    origins.registry = Waiting()
    origins.registry.push(ONE, LAYER)
    origins.registry.push(TWO, LAYER)
    assert len(origins.fetch(ONE, TWO, jobs=2)) == 2


def test_an_interrupted_fetch_closes_the_connections(origins: Origins) -> None:
    class Interrupted(MemoryRegistry):
        def resolve(self, reference: Reference, access: Access) -> Descriptor:
            raise KeyboardInterrupt

    origins.registry = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        origins.fetch(ONE)
    assert origins.registry.closed


def test_offline_a_missing_package_is_an_error_that_names_the_vendor_layout(origins: Origins) -> None:
    origins.vendor(one=LAYER)
    problem = origins.problem("x.io/q:9", offline=True)
    assert problem.code == "missing-package"
    assert "the vendor layout 'vendor'" in problem.message
    assert "--offline" in problem.message
    assert problem.hint == "vendor it: skopeo copy docker://x.io/q:9 oci:vendor:x.io/q:9"


def test_offline_the_nearest_vendored_reference_is_suggested(origins: Origins) -> None:
    origins.vendor(reference=LAYER)
    wrong = REFERENCE.replace("/p:", "/pp:")
    assert origins.problem(wrong, offline=True).hint == f"did you mean '{REFERENCE}'?"


def test_offline_a_missing_package_without_a_vendor_layout_is_an_error(origins: Origins) -> None:
    problem = origins.problem(ONE, offline=True)
    assert problem.code == "missing-package"
    assert ONE in problem.message
    assert "--offline" in problem.message


def test_offline_vendoring_is_suggested_for_a_missing_locked_package(origins: Origins) -> None:
    origins.registry.push(ONE, LAYER)
    lock = origins.lock(ONE, origins.fetched(ONE))
    origins.cache = False
    problem = origins.problem(ONE, lock=lock, offline=True)
    assert problem.code == "missing-package"
    assert f"locked to {lock.packages[ONE].manifest.digest}, is not in the cache" in problem.message
    assert problem.hint == "run 'kcd-gen vendor' on a machine that can reach the registry"


def test_a_broken_layout_is_one_error_per_package(origins: Origins) -> None:
    (origins.root / "vendor").mkdir()
    origins.vendored = True
    problems = [one.package for one in origins.fetch(ONE, TWO)]
    assert [problem.problem.code for problem in problems if isinstance(problem, ProblemsError)] == ["bad-layout"] * 2


def test_a_locked_package_is_used_even_if_its_tag_was_deleted(origins: Origins) -> None:
    origins.registry.push(ONE, LAYER)
    lock = origins.lock(ONE, origins.fetched(ONE))
    del origins.registry.tags[ONE]
    origins.cache = False
    (one,) = origins.fetch(ONE, lock=lock)
    assert isinstance(one.package, PackageImage)
    assert [warning.code for warning in one.warnings] == ["moved-tag"]
    assert "no longer exists" in one.warnings[0].message


@pytest.mark.parametrize("part", ["manifest", "layer"])
def test_a_size_that_was_edited_in_the_lock_is_an_error(origins: Origins, part: str) -> None:
    origins.registry.push(ONE, LAYER)
    pin = origins.lock(ONE, origins.fetched(ONE)).packages[ONE]
    wrong = replace(pin, **{part: replace(getattr(pin, part), size=10)})
    error = origins.problem(ONE, lock=Lock({ONE: wrong}))
    assert error.code == ("corrupt-blob" if part == "manifest" else "bad-lock")


def test_requests_with_different_timeouts_resolve_a_tag_once(origins: Origins) -> None:
    origins.registry.push(ONE, LAYER)
    requests = [PackageRequest(parse_reference(ONE), Access(timeout=float(seconds))) for seconds in (10, 20, 30)]
    fetched = origins.sources().fetch_all(requests)
    assert len({one.package.digest for one in fetched.values() if isinstance(one.package, PackageImage)}) == 1
    assert origins.registry.asked.count(f"resolve {ONE}") == 1


def test_concurrent_threads_share_one_client(tmp_path: Path) -> None:
    made: list[MemoryRegistry] = []
    together = threading.Barrier(4)

    def connect() -> Any:
        time.sleep(0.05)  # as long as the import of the client
        made.append(MemoryRegistry())
        return made[-1].client()

    remote = Remote(connect, None)

    def ask() -> object:
        together.wait(10)
        return remote.registry

    with ThreadPoolExecutor(4) as pool:
        clients = [future.result() for future in [pool.submit(ask) for _ in range(4)]]
    assert len(made) == 1
    assert all(client is clients[0] for client in clients)


@pytest.mark.parametrize("wrong", [1, 100_000])
@pytest.mark.parametrize("cache", [True, False])
def test_a_wrong_length_in_the_answer_for_a_tag_is_ignored(wrong: int, cache: bool, origins: Origins) -> None:
    pushed = origins.registry.push(ONE, LAYER)
    origins.registry.tags[ONE] = replace(pushed, size=wrong)
    origins.cache = cache
    for _ in range(2):
        assert origins.fetched(ONE).manifest == pushed
    assert origins.registry.asked.count(f"manifest {ONE}") == 2
    assert origins.registry.asked.count(f"blob {ONE}") == (1 if cache else 2)


def test_a_client_created_after_the_end_of_the_run_is_closed() -> None:
    registry = MemoryRegistry()
    remote = Remote(registry.client, None)
    remote.close()
    assert remote.registry is registry.client()
    assert registry.closed
