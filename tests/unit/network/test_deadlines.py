"""The maximum time of a single wait for a socket."""

from __future__ import annotations

import errno
import time

import pytest

from kubocd_gen.network.connections import Deadline, ExpiredError


def late(seconds: float) -> None:
    time.sleep(seconds)
    raise TimeoutError("timed out")


def test_a_wait_ends_at_its_own_limit() -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        Deadline(10, 10, lambda: False).wait(0.1, late)
    assert 0.1 <= time.monotonic() - began < 5


@pytest.mark.parametrize(("seconds", "most"), [(0.1, 10), (10, 0.1)])
def test_a_wait_ends_at_the_deadline(seconds: float, most: float) -> None:
    with pytest.raises(ExpiredError):
        Deadline(seconds, most, lambda: False).wait(10, late)


def test_a_response_without_data_is_silent_not_slow() -> None:
    deadline = Deadline(10, 10, lambda: False)
    deadline.begin(0.1)
    with pytest.raises(TimeoutError):
        deadline.wait(10, late)
    deadline.begin(0.1)
    deadline.wait(10, lambda _: None)
    with pytest.raises(ExpiredError):
        deadline.wait(10, late)


def test_received_bytes_extend_the_deadline_up_to_that_of_the_run() -> None:
    deadline = Deadline(0.0, 0.3, lambda: False)
    deadline.extend(10, 10)
    assert deadline.wait(10, lambda seconds: seconds) > 0
    time.sleep(0.3)
    deadline.extend(10, 10)
    with pytest.raises(ExpiredError):
        deadline.wait(10, late)


def test_a_wait_ends_with_the_run() -> None:
    waits: list[float] = []

    def attempt(seconds: float) -> None:
        waits.append(seconds)
        raise TimeoutError

    with pytest.raises(ExpiredError):
        Deadline(60, 60, lambda: len(waits) == 3).wait(60, attempt)
    assert waits == [0.25, 0.25, 0.25]


def test_a_connection_the_system_closed_is_not_waited_for() -> None:
    """Otherwise the closed connection could be read as the end of the body."""
    calls: list[float] = []

    def attempt(seconds: float) -> None:
        calls.append(seconds)
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")

    with pytest.raises(TimeoutError):
        Deadline(10, 10, lambda: False).wait(10, attempt)
    assert len(calls) == 1
