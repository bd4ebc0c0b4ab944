from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from kubocd_gen.processes.single_flight import SingleFlight


def test_a_value_is_computed_once_and_shared_by_concurrent_callers() -> None:
    once: SingleFlight[str, int] = SingleFlight(keep=True)
    made: list[int] = []
    meeting = threading.Barrier(4)

    def ask(number: int) -> int:
        def make() -> int:
            made.append(number)
            return number

        meeting.wait(5)
        return once.get("a", make)

    with ThreadPoolExecutor(4) as pool:
        answers = set(pool.map(ask, range(4)))
    assert answers == set(made)
    assert len(made) == 1


def test_an_exception_is_raised_in_all_concurrent_callers() -> None:
    once: SingleFlight[str, int] = SingleFlight(keep=True)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            once.get("a", lambda: 1 // 0)
    assert once.get("b", lambda: 1) == 1


def two_callers(flight: SingleFlight[str, int], origins: tuple[str, str]) -> list[object]:
    """Return the outcomes of two callers, of which the second calls while the first is about to fail."""
    waiting, go = threading.Event(), threading.Event()

    def fail() -> int:
        waiting.set()
        go.wait(10)
        raise ZeroDivisionError

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(flight.get, "a", fail, origin=origins[0])
        waiting.wait(10)
        second = pool.submit(flight.get, "a", lambda: 1, origin=origins[1])
        while not second.running():
            pass
        go.set()
        return [type(one.exception()) if one.exception() else one.result() for one in (first, second)]


def test_a_value_that_is_not_kept_is_computed_again() -> None:
    flight: SingleFlight[str, int] = SingleFlight(keep=False)
    assert [flight.get("a", lambda: 1), flight.get("a", lambda: 2)] == [1, 2]


def test_a_failure_is_not_shared_with_callers_of_another_origin() -> None:
    assert two_callers(SingleFlight(keep=False), ("quay.io", "mirror.example.com")) == [ZeroDivisionError, 1]


def test_a_failure_is_not_kept() -> None:
    flight: SingleFlight[str, int] = SingleFlight(keep=False)
    two_callers(flight, ("quay.io", "quay.io"))
    assert flight.get("a", lambda: 2, origin="quay.io") == 2
