"""The limits of one git process."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from kubocd_gen.budget.limits import MIB
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.git.process import Done, run
from kubocd_gen.git.setup import Setup, for_questions
from tests.support.charts import git
from tests.support.git_traps import instead_of_git, tree_bomb


def failure(setup: Setup, *arguments: str, seconds: float = 60.0, most: int = MIB) -> str:
    with pytest.raises(ProblemsError) as caught:
        run(setup, *arguments, name="thing", seconds=seconds, most=most)
    assert caught.value.problem.code == "git-failed"
    return caught.value.problem.message


def test_an_endless_listing_is_stopped(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    bomb = tree_bomb(tmp_path, 9)  # a listing of about 100 GB
    message = failure(for_questions(), f"--git-dir={tmp_path}/.git", "ls-tree", "-r", bomb)
    assert message == "'git thing' printed more than the limit of 1 MiB"


def test_a_git_process_that_does_not_end_is_killed(tmp_path: Path) -> None:
    setup = instead_of_git(tmp_path, "exec sleep 600")
    assert failure(setup, seconds=0.1) == "'git thing' did not finish within 0.1 seconds"
    setup = instead_of_git(tmp_path, "exec >&- 2>&-\nexec sleep 600")  # closed output looks like the end of the process
    assert "did not finish within" in failure(setup, seconds=0.1)
    setup = instead_of_git(tmp_path, "while :; do echo x; sleep 0.01; done")
    assert "did not finish within" in failure(setup, seconds=0.2)


def test_endless_error_output_is_discarded(tmp_path: Path) -> None:
    setup = instead_of_git(tmp_path, "i=0; while [ $i -lt 3000 ]; do printf '%0100d\\n' $i >&2; i=$((i+1)); done")
    done = run(setup, name="thing")
    assert done.status == 0
    assert len(done.stderr) < 2 * (64 << 10)


def test_input_is_written_while_output_is_read(tmp_path: Path) -> None:
    data = b"0123456789abcde\n" * 20_000
    assert run(instead_of_git(tmp_path, "cat"), name="thing", given=data).stdout == data
    assert run(instead_of_git(tmp_path, "head -c 10"), name="thing", given=data).stdout == data[:10]
    assert run(instead_of_git(tmp_path, "exit 3"), name="thing", given=data).status == 3


def test_child_processes_of_git_inherit_its_limits(tmp_path: Path) -> None:
    setup = instead_of_git(tmp_path, "sh -c 'ulimit -d; ulimit -f; ulimit -t; ulimit -c'")
    printed = run(setup, name="thing").stdout.decode().split()
    assert printed == [str(512 << 10), str(4 << 20), "40", "0"]


def test_the_error_names_the_limit_that_ended_git() -> None:
    def reason(status: int, stderr: str = "") -> str:
        return Done(status, b"", stderr).reason

    assert reason(-signal.SIGXCPU) == "it exceeded the limit of 40 seconds of CPU time"
    assert reason(128, "error: index-pack died of signal 25\nfatal: x") == "it exceeded the file size limit of 2 GiB"
    assert reason(128, "fatal: Out of memory, malloc failed") == "it exceeded the memory limit of 512 MiB"
    assert reason(128, "warning: a\nfatal: b\n") == "b"
    assert reason(1) == "exit code 1"
