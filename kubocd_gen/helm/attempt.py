"""One helm run, and what it leaves to do: outcomes, renderings known to be good, and those to be tried again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from kubocd_gen.diagnostics import KcdError
from kubocd_gen.helm.chart import Chart, Job, rendering_chart, renderings, yaml_chart
from kubocd_gen.helm.messages import ParseFailure, RenderFailure, parse_error, read_failure, render_error
from kubocd_gen.helm.names import Names
from kubocd_gen.helm.process import ADDRESS_SPACE, Run
from kubocd_gen.helm.template import TemplateError, Unit

Outcome: TypeAlias = str | TemplateError

# A text of this size is no YAML for a HelmRelease: the API server refuses an object of 3 MiB.
RENDERED_SIZE = 16 << 20
# Where a batch ran into a limit, its pieces get this part of the time: the good ones need little of it, and the one
# that is looked for takes it all, once for each division. Many pieces: a run of a good one is cheaper than a division.
_PIECE_TIME = 1 / 6
_PIECES = 64
# Seconds for a rendering of a batch, a hundred times what it takes.
_RENDERING_TIME = 0.01
# So many Releases in which one text ran into a limit are enough to know it: the others of its package are not tried.
PATIENCE = 4
HELM_HINT = "'kcd-gen version' says which helm is in use; name another one with --helm (KCD_GEN_HELM)"


@dataclass(slots=True)
class Attempt:
    """What became of a batch. `good` rendered, but its texts are lost; `rest` is to be attempted, each within its
    seconds. `stopped` are the chart files that ran into a limit.
    """

    outcomes: dict[tuple[int, int], Outcome] = field(default_factory=dict)
    good: list[Job] = field(default_factory=list)
    rest: list[tuple[list[Job], float]] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Runner:
    """Attempts batches of the renderings of `units`. It holds no state, so that threads may share it."""

    run: Callable[[Chart, float], Run]
    units: Sequence[Unit]
    library: str
    names: Names
    timeout: float

    def seconds(self, jobs: Sequence[Job]) -> float:
        """How long a batch may take. One that is too slow for that is divided, so that too little costs no outcome."""
        renderings = sum(len(job.templates) for job in jobs)
        return min(self.timeout, self.timeout * _PIECE_TIME + renderings * _RENDERING_TIME)

    def attempt(self, jobs: list[Job], timeout: float) -> Attempt:
        """Run helm on `jobs` for at most `timeout` seconds."""
        chart = rendering_chart(jobs, self.library, self.names)
        run = self.run(chart, timeout)
        if run.stopped is None and run.returncode == 0:
            texts = renderings(run.stdout)
            if len(texts) == len(chart.lines):
                return Attempt(dict(zip(chart.lines.values(), map(_sized, texts), strict=True)))
        failure = read_failure(run.stderr, self.names) if run.stopped is None else None
        if isinstance(failure, ParseFailure):
            attempt = self._without_unparsable(jobs, failure, timeout)
        elif isinstance(failure, RenderFailure) and failure.line in chart.lines:
            attempt = self._without_failed(jobs, chart.lines[failure.line], failure, timeout)
        else:
            attempt = self._in_pieces(jobs, run, timeout)
        attempt.rest = [(batch, seconds) for batch, seconds in attempt.rest if batch]
        return attempt

    def _without_unparsable(self, jobs: list[Job], failure: ParseFailure, timeout: float) -> Attempt:
        attempt = Attempt()
        rest: list[Job] = []
        for job in jobs:
            culprits = [one for one in job.templates if one[1].path == failure.path]
            for index, rewritten in culprits:
                template = self.units[job.unit].templates[index]
                attempt.outcomes[job.unit, index] = parse_error(failure, rewritten, template)
            remaining = job.without([index for index, _ in culprits])
            if remaining.templates:
                rest.append(remaining)
        attempt.rest.append((rest, timeout))
        return attempt

    def _without_failed(self, jobs: list[Job], key: tuple[int, int], failure: RenderFailure, timeout: float) -> Attempt:
        unit, index = key
        at = next(number for number, job in enumerate(jobs) if job.unit == unit)
        rewritten = dict(jobs[at].templates)[index]
        error = render_error(failure, rewritten, self.units[unit].templates[index])
        remaining = jobs[at].without([index])
        rest = [remaining, *jobs[at + 1 :]] if remaining.templates else jobs[at + 1 :]
        return Attempt({key: error}, good=jobs[:at], rest=[(rest, timeout)])

    def _in_pieces(self, jobs: list[Job], run: Run, timeout: float) -> Attempt:
        """After a run that ended without naming a template."""
        if run.stopped is None and not run.out_of_memory:
            self._check_helm()
        piece_timeout = min(timeout, self.timeout * _PIECE_TIME)
        if len(jobs) > 1:
            size = -(-len(jobs) // _PIECES)
            pieces = [jobs[start : start + size] for start in range(0, len(jobs), size)]
            return Attempt(rest=[(piece, piece_timeout) for piece in pieces])
        job = jobs[0]
        if len(job.templates) == 1:
            index, rewritten = job.templates[0]
            return Attempt({(job.unit, index): _limit_error(run, timeout)}, stopped=[rewritten.path])
        return self._one_by_one(job, piece_timeout)

    def _one_by_one(self, job: Job, timeout: float) -> Attempt:
        """A Release's templates, each behind the good ones before it, because those may have changed its model."""
        found = Attempt()
        good: list[int] = []
        for index, rewritten in job.templates:
            others = [other for other, _ in job.templates if other not in good and other != index]
            prefix = job.without(others)
            chart = rendering_chart([prefix], self.library, self.names)
            run = self.run(chart, timeout)
            texts = renderings(run.stdout) if run.stopped is None and run.returncode == 0 else []
            if len(texts) == len(chart.lines):
                good.append(index)
                found.outcomes.update(zip(chart.lines.values(), map(_sized, texts), strict=True))
                continue
            failure = read_failure(run.stderr, self.names) if run.stopped is None else None
            if isinstance(failure, RenderFailure):
                found.outcomes[job.unit, index] = render_error(
                    failure, rewritten, self.units[job.unit].templates[index]
                )
            else:
                found.outcomes[job.unit, index] = _limit_error(run, timeout)
                found.stopped.append(rewritten.path)
        return found

    def _check_helm(self) -> None:
        run = self.run(yaml_chart([0]), self.timeout)
        if run.returncode != 0 or renderings(run.stdout) != ["0"]:
            raise KcdError(f"helm does not work: {run.summary}", code="helm-failed", hint=HELM_HINT)


def _sized(text: str) -> Outcome:
    return text if len(text) <= RENDERED_SIZE else _too_large(f"more than {RENDERED_SIZE >> 20} MiB")


def _limit_error(run: Run, timeout: float) -> TemplateError:
    if run.stopped == "timeout":
        return TemplateError(
            f"rendering was stopped after {timeout:g} seconds",
            hint="a range over a very large number, or templates that call each other?",
            code="template-timeout",
        )
    if run.stopped == "output":
        return _too_large(f"more than {RENDERED_SIZE >> 20} MiB")
    if run.out_of_memory:
        return _too_large(f"more than helm can hold in {ADDRESS_SPACE >> 30} GiB")
    hint = "a map that was set into itself?" if "stack" in run.summary else None
    return TemplateError(f"helm crashed while rendering it: {run.summary}", hint=hint)


def untried_error() -> TemplateError:
    """For a template that ran into a limit in other Releases, and is not tried in this one."""
    return TemplateError(
        f"it was not rendered: it ran into a limit in {PATIENCE} other Releases", code="template-timeout"
    )


def _too_large(what: str) -> TemplateError:
    return TemplateError(f"it renders {what}", hint="a range over a very large number?", code="template-too-large")
