"""The log of requests, processes and writes: the operation and its duration, even if it fails, without credentials."""

from __future__ import annotations

import logging
import re

import pytest

from kubocd_gen.processes.timing import Operation, recording, timed, without_user_info

LOG = logging.getLogger("kubocd_gen.test")


def test_an_operation_is_one_log_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kubocd_gen")
    with timed(LOG, "git fetch") as details:
        details.append("exit code 0")
    (line,) = caplog.messages
    assert re.fullmatch(r"git fetch \(exit code 0\) in 0\.0\d\d s", line)


def test_a_failed_operation_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kubocd_gen")
    with pytest.raises(ZeroDivisionError), timed(LOG, "git fetch"):
        _ = 1 / 0
    assert [line.partition(" in ")[0] for line in caplog.messages] == ["git fetch"]


def test_an_operation_can_be_a_detail_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kubocd_gen")
    with timed(LOG, "plan", "prod", level=logging.DEBUG):
        pass
    assert not caplog.messages
    caplog.set_level(logging.DEBUG, "kubocd_gen")
    with timed(LOG, "plan", "prod", level=logging.DEBUG):
        pass
    assert [line.partition(" in ")[0] for line in caplog.messages] == ["plan (prod)"]


def test_operations_are_recorded_without_a_log() -> None:
    found: list[Operation] = []
    with recording(found.append), pytest.raises(ZeroDivisionError), timed(LOG, "outer"):
        with timed(LOG, "inner", "prod") as details:
            details.append("3 files")
        _ = 1 / 0
    with timed(LOG, "later"):
        pass
    inner, outer = found
    assert (inner.kind, inner.name, inner.details) == ("kubocd_gen.test", "inner", ("prod", "3 files"))
    assert (outer.name, outer.details) == ("outer", ())
    assert outer.began <= inner.began <= inner.began + inner.seconds <= outer.began + outer.seconds


@pytest.mark.parametrize(
    ("text", "logged"),
    [
        ("fetch https://me:secret@git.example.com/x", "fetch https://git.example.com/x"),
        ("fetch https://token@git.example.com/x ssh://git@host/y", "fetch https://git.example.com/x ssh://host/y"),
        ("fetch https://git.example.com/a@b", "fetch https://git.example.com/a@b"),
    ],
)
def test_urls_are_logged_without_credentials(text: str, logged: str) -> None:
    assert without_user_info(text) == logged
