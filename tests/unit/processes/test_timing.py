"""The log of requests, processes and writes: the operation and its duration, even if it fails, without credentials."""

from __future__ import annotations

import logging
import re

import pytest

from kubocd_gen.processes.timing import timed, without_user_info

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
