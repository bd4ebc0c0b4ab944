"""What the shell completes if something fails."""

from __future__ import annotations

import click
import pytest

from kubocd_gen.cli import completion
from kubocd_gen.diagnostics.problems import ProblemsError


@pytest.mark.parametrize(
    ("error", "debug", "printed"),
    [
        (RuntimeError("a defect"), "", ""),
        (RuntimeError("a defect"), "1", "internal error in kcd-gen: RuntimeError: a defect"),
        (ProblemsError.of("missing-project", "no project"), "1", ""),
    ],
)
def test_a_defect_is_printed_only_for_debugging(
    error: Exception,
    debug: str,
    printed: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(_: click.Context) -> None:
        raise error

    monkeypatch.setenv("KCD_GEN_DEBUG", debug)
    monkeypatch.setattr(completion, "_clusters", fail)
    assert completion.offered("clusters", click.Context(click.Command("build")), "") == []
    captured = capsys.readouterr()
    assert captured.out == ""
    assert printed in captured.err
    assert bool(captured.err) == bool(printed)
