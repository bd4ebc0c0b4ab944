"""What `kcd-gen build --check` prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kubocd_gen.cli.console import paint_difference
from kubocd_gen.diagnostics.problems import printable
from kubocd_gen.files.paths import shown_path
from kubocd_gen.output.drift import drift_lines, drift_summary
from kubocd_gen.output.journal import is_interrupted
from kubocd_gen.pipeline.build import Built, is_current


def check_lines(built: Sequence[Built], fix_command: str, *, full: bool, quiet: bool) -> Iterator[str]:
    """Yield the result of `--check` for each cluster: the diff, a summary and the command that updates the output.

    `fix_command` is that command.
    """
    for one in built:
        name = f"{one.cluster.name}: " if len(built) > 1 else ""
        output = shown_path(one.cluster.output)
        if is_current(one):
            if not quiet:
                yield printable(f"{name}{output} is up to date")
            continue
        changes = one.drift
        if not quiet:
            for line in drift_lines(changes, output, full=full):
                yield paint_difference(printable(line))
        notices = [drift_summary(changes)] if changes else []
        if is_interrupted(one.cluster.output):
            notices.append("an earlier build was interrupted")
        yield printable(f"{name}{output}: {'; '.join(notices)}; run: {fix_command}")
