"""A computation in a copy of this process."""

from __future__ import annotations

import os
import sys
import time

import pytest

from kubocd_gen.processes.children import programs
from kubocd_gen.processes.forked import Copy, CopyError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="copies are made on Linux only")


def test_the_result_comes_from_another_process() -> None:
    with Copy(lambda: (os.getpid(), ["x" * 1_000_000]), 10) as copy:
        assert copy.pid in programs()
        pid, found = copy.result(60)
    assert (pid, found) == (copy.pid, ["x" * 1_000_000])
    assert copy.pid not in programs()


def test_a_failure_in_the_copy_has_no_result() -> None:
    with Copy(lambda: 1 // 0, 10) as copy, pytest.raises(CopyError, match="it ended with 1"):
        copy.result(60)


def test_a_copy_that_takes_too_long_is_killed() -> None:
    with Copy(lambda: time.sleep(60), 10) as copy, pytest.raises(CopyError, match="it took too long"):
        copy.result(0.05)
    with pytest.raises(ProcessLookupError):
        os.kill(copy.pid, 0)


def test_a_process_that_cannot_be_started_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    with pytest.raises(CopyError, match="it cannot be started: Resource temporarily unavailable"):
        Copy(int, 10)
