"""One helm run of a batch: its outcomes, the renderings known to succeed, and those to run again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.helm.chart import TEST_CHART, Chart, Job, check_helm, rendering_chart, renderings
from kubocd_gen.helm.messages import TOO_LARGE_TO_STORE, HelmError, failure_of, read_error, too_large
from kubocd_gen.helm.names import Names
from kubocd_gen.helm.process import Run, old_helm
from kubocd_gen.helm.template import TemplateFailure, Unit

Outcome: TypeAlias = str | TemplateFailure

# Seconds of CPU time; starting helm takes about a tenth of a second. A batch gets _BATCH_TIME plus _RENDERING_TIME per
# rendering, which is 20 times what a rendering needs. If it exceeds that, it is split into pieces with smaller limits:
# good pieces need little time, and the failing one uses its whole limit once per split. There are many pieces because
# running a good one is cheaper than splitting again. In the end each template runs alone.
_BATCH_TIME = 3.0
_RENDERING_TIME = 0.002
_PIECE_TIME = 1.0
_PIECES = 64
_ALONE = 2.0
# After a template has exceeded a limit in this many Releases, it is skipped in the others. Likewise, after this many
# templates of one Release, its remaining templates are skipped.
PATIENCE = 4


@dataclass(slots=True)
class Attempt:
    """The result of running a batch.

    `good` rendered, but helm did not print its output. `rest` must still be run, each batch within its number of
    seconds. `stopped` lists the paths of the chart files that exceeded a limit.
    """

    outcomes: dict[tuple[int, int], Outcome] = field(default_factory=dict)
    good: list[Job] = field(default_factory=list)
    rest: list[tuple[list[Job], float]] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)


class RunChart(Protocol):
    """Render a chart with helm."""

    def __call__(self, chart: Chart, timeout: float, /, *, whole: bool = False) -> Run: ...


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs batches of the renderings of `units`. It is stateless, so threads can share it.

    `run` takes a chart and a time limit in seconds; with `whole`, the run gets all of helm's memory. `version` returns
    helm's version.
    """

    run: RunChart
    version: Callable[[], str]
    units: Sequence[Unit]
    library: str
    names: Names
    budget: Budget

    def seconds(self, jobs: Sequence[Job], base: float = _BATCH_TIME) -> float:
        """Return a batch's time limit in seconds. A batch over it is split, so a low limit changes no outcome."""
        return base + sum(len(job.templates) for job in jobs) * _RENDERING_TIME

    def attempt(self, jobs: list[Job], timeout: float) -> Attempt:
        """Run helm on `jobs` for at most `timeout` seconds of CPU time. Raises BudgetExceededError."""
        self.budget.check()
        chart = rendering_chart(jobs, self.library, self.names)
        run = self.run(chart, timeout)
        if (outputs := renderings(run, len(chart.lines))) is not None:
            return Attempt(self._outcomes(chart, outputs))
        error = read_error(run, self.names)
        if error is not None and error.path is not None:
            attempt = self._without_unparsable(jobs, error, timeout)
        elif error is not None and error.line in chart.lines:
            attempt = self._without_failed(jobs, chart.lines[error.line], error, timeout)
        else:
            attempt = self._in_pieces(jobs, run, timeout)
        attempt.rest = [(batch, seconds) for batch, seconds in attempt.rest if batch]
        return attempt

    def _without_unparsable(self, jobs: list[Job], error: HelmError, timeout: float) -> Attempt:
        attempt = Attempt()
        rest: list[Job] = []
        for job in jobs:
            culprits = {index: rewritten for index, rewritten in job.templates if rewritten.path == error.path}
            for index, rewritten in culprits.items():
                template = self.units[job.unit].all_templates[index]
                attempt.outcomes[job.unit, index] = failure_of(error, rewritten, template)
            remaining = job.without(culprits)
            if remaining.templates:
                rest.append(remaining)
        attempt.rest.append((rest, timeout))
        return attempt

    def _without_failed(self, jobs: list[Job], key: tuple[int, int], error: HelmError, timeout: float) -> Attempt:
        unit, index = key
        at = next(number for number, job in enumerate(jobs) if job.unit == unit)
        failure = failure_of(error, dict(jobs[at].templates)[index], self.units[unit].all_templates[index])
        remaining = jobs[at].without([index])
        rest = [remaining, *jobs[at + 1 :]] if remaining.templates else jobs[at + 1 :]
        return Attempt({key: failure}, good=jobs[:at], rest=[(rest, timeout)])

    def _in_pieces(self, jobs: list[Job], run: Run, timeout: float) -> Attempt:
        """Split `jobs` after a run that failed without naming a template."""
        if run.stopped is None and not run.out_of_memory:
            check_helm(self.run(TEST_CHART, _ALONE))
            if problem := old_helm(self.version()):
                raise ProblemsError(problem)
        if len(jobs) > 1:
            size = -(-len(jobs) // _PIECES)
            pieces = [jobs[start : start + size] for start in range(0, len(jobs), size)]
            return Attempt(rest=[(piece, self._piece_time(piece, timeout)) for piece in pieces])
        (job,) = jobs
        if len(job.templates) == 1 and run.stopped == "timeout":  # it already ran alone
            ((index, rewritten),) = job.templates
            return Attempt({(job.unit, index): _limit_error(run)}, stopped=[rewritten.path])
        return self._one_by_one(job)

    def _piece_time(self, jobs: Sequence[Job], timeout: float) -> float:
        if len(jobs) == 1 and len(jobs[0].templates) == 1:
            return _ALONE
        return min(timeout, self.seconds(jobs, _PIECE_TIME))

    def _one_by_one(self, job: Job) -> Attempt:
        """Render a Release's templates one by one, each after the good ones before it: they can change the model.

        A template that runs out of memory is run again with all of helm's memory. Each gets its share of the time left.
        """
        attempt = Attempt()
        good: list[int] = []
        for number, (index, rewritten) in enumerate(job.templates):
            if len(attempt.stopped) >= PATIENCE:
                message = f"the template was not rendered: {PATIENCE} templates of its Release exceeded a limit"
                attempt.outcomes[job.unit, index] = TemplateFailure(message, code="template-timeout")
                continue
            others = [other for other, _ in job.templates if other not in good and other != index]
            chart = rendering_chart([job.without(others)], self.library, self.names)
            share = self.budget.left("helm-time") / (len(job.templates) - number + 1)
            seconds = max(_PIECE_TIME, min(_ALONE, share))
            try:
                run = self.run(chart, seconds)
                if run.out_of_memory:
                    run = self.run(chart, seconds, whole=True)
            except BudgetExceededError as exceeded:
                failure = TemplateFailure.of(exceeded)
                attempt.outcomes.update({(job.unit, left): failure for left, _ in job.templates[number:]})
                return attempt
            if (outputs := renderings(run, len(chart.lines))) is not None:
                good.append(index)
                attempt.outcomes.update(self._outcomes(chart, outputs[-1:]))
            elif error := read_error(run, self.names):
                template = self.units[job.unit].all_templates[index]
                attempt.outcomes[job.unit, index] = failure_of(error, rewritten, template)
            else:
                attempt.outcomes[job.unit, index] = _limit_error(run)
                attempt.stopped.append(rewritten.path)
        return attempt

    def _outcomes(self, chart: Chart, outputs: Sequence[str]) -> dict[tuple[int, int], Outcome]:
        """Return the outcomes of a chart's last lines and count their size in the budget."""
        self.budget.spend("rendered", sum(map(len, outputs)))
        keys = list(chart.lines.values())[len(chart.lines) - len(outputs) :]
        return dict(zip(keys, outputs, strict=True))


def _limit_error(run: Run) -> TemplateFailure:
    if run.stopped == "timeout":
        return TemplateFailure(
            "rendering took too long and was stopped",
            hint="check for a range over a very large number, or templates that call each other",
            code="template-timeout",
        )
    if run.stopped == "output":
        return too_large(TOO_LARGE_TO_STORE)
    if run.out_of_memory:
        return too_large("helm can hold in memory", ", or a map that is set as a value of itself")
    hint = "check for a map that is set as a value of itself" if "stack" in run.summary else None
    return TemplateFailure(f"helm crashed while rendering the template: {run.summary}", hint=hint)
