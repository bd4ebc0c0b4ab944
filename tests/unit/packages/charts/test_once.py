from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from kubocd_gen.processes.single_flight import Once


def test_a_value_is_made_by_who_asks_first_and_waited_for_by_the_others() -> None:
    once: Once[str, int] = Once()
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


def test_an_exception_is_an_answer_for_all() -> None:
    once: Once[str, int] = Once()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            once.get("a", lambda: 1 // 0)
    assert once.get("b", lambda: 1) == 1
