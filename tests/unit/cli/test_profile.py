"""The trace of `--profile`, and the file that it is written to."""

from __future__ import annotations

import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import get_native_id
from typing import Any

import pytest

from kubocd_gen.cli.profile import Trace, process_start, profiled
from kubocd_gen.processes.timing import Operation, report, timed

LOG = logging.getLogger("kubocd_gen.helm.process")


def events(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(text)["traceEvents"]
    return found


def test_each_operation_is_an_event_of_its_thread(tmp_path: Path) -> None:
    def run() -> int:
        with ThreadPoolExecutor(1, "helm") as pool, timed(logging.getLogger("kubocd_gen.pipeline"), "render", "prod"):
            with timed(LOG, "helm template") as details:
                details += ["exit code 0", "5 bytes"]
            pool.submit(lambda: report(LOG, "other", time.monotonic(), 0.0)).result()
        return 3

    assert profiled(tmp_path / "new/trace.json", "kcd-gen build", run) == 3
    text = (tmp_path / "new/trace.json").read_text()
    names = [one["args"]["name"] for one in events(text) if one["ph"] == "M"]
    assert names[0] == "kcd-gen build"
    assert sorted(names[1:]) == ["helm_0", "main"]
    whole, start, render, template, other = complete = [one for one in events(text) if one["ph"] == "X"]
    assert [one["name"] for one in complete] == ["kcd-gen build", "start", "render", "helm template", "other"]
    assert [one["cat"] for one in complete] == ["cli", "cli", "pipeline", "helm", "helm"]
    assert (render["args"], template["args"]) == ({"details": "prod"}, {"details": "exit code 0, 5 bytes"})
    assert {one["tid"] for one in (whole, start, render, template)} == {get_native_id()} != {other["tid"]}
    for outer, inner in ((whole, start), (whole, render), (render, template), (render, other)):
        assert outer["ts"] <= inner["ts"]
        assert inner["ts"] + inner["dur"] <= outer["ts"] + outer["dur"] + 0.0005  # of a microsecond


def test_nothing_is_recorded_after_the_run(tmp_path: Path) -> None:
    profiled(tmp_path / "trace", "kcd-gen build", lambda: 0)
    before = (tmp_path / "trace").read_text()
    with timed(LOG, "helm template"):
        pass
    assert (tmp_path / "trace").read_text() == before
    assert "helm template" not in before


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_the_trace_of_a_failed_run_is_written(tmp_path: Path, error: type[BaseException]) -> None:
    def run() -> int:
        with timed(LOG, "helm template"):
            raise error

    with pytest.raises(error):
        profiled(tmp_path / "trace", "kcd-gen build", run)
    assert "helm template" in [one["name"] for one in events((tmp_path / "trace").read_text())]


def test_a_file_that_became_unwritable_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> int:
        (tmp_path / "trace").mkdir()
        return 0

    assert profiled(tmp_path / "trace", "kcd-gen build", run) == 1
    assert "error[unusable-file]: cannot write the profile" in capsys.readouterr().err


def test_names_cannot_break_the_trace() -> None:
    trace = Trace("kcd-gen build")
    name = 'kustomize build "a"\n]}\x1b[31m\udcff</script>'
    trace.record(Operation("kubocd_gen.kustomize.build", name, time.monotonic(), 0.1, ("é", name)))
    text = trace.text()
    assert text.isascii()
    assert "\x1b" not in text
    assert (events(text)[-1]["name"], events(text)[-1]["args"]["details"]) == (name, f"é, {name}")


def test_the_trace_begins_when_the_process_started() -> None:
    now = time.monotonic()
    assert process_start(now, now) <= now
    if Path("/proc/self/stat").exists():
        assert now - process_start(now, now) > time.process_time() / 8  # the threads of a process on 8 cores
