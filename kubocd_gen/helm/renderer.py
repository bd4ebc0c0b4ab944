"""What the template engine does: renders templates in batches, with few helm processes, and reports each failure."""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from kubocd_gen.budget.spending import BudgetExceededError
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.diagnostics.wording import dotted
from kubocd_gen.files.directory import make_directory
from kubocd_gen.helm.batch_run import PATIENCE, Attempt, Outcome, Runner
from kubocd_gen.helm.chart import Chart, Job, renderings, yaml_chart
from kubocd_gen.helm.functions import library
from kubocd_gen.helm.lexer import TooManyTokensError
from kubocd_gen.helm.messages import presentable
from kubocd_gen.helm.names import Names
from kubocd_gen.helm.process import HELM_HINT, HelmPool, Run, helm_version, unwritable_input
from kubocd_gen.helm.rewrite import Rewritten, rewrite
from kubocd_gen.helm.template import Functions, Template, TemplateFailure, Unit
from kubocd_gen.helm.template_check import admitted, check_templates, refusals
from kubocd_gen.kube_yaml.reprinting import UnreadableError, reread
from kubocd_gen.processes.children import scratch

# With fewer renderings, a second process costs more time than it saves.
_WORTH_A_PROCESS = 400
# Characters. In helm's memory, which all processes share, JSON takes up to 30 times its size.
_BATCH_DATA = 4 << 20
_SECONDS = 30.0  # CPU time for printing or parsing everything at once
# A string that Go's YAML printer writes unquoted and on one line, and that every YAML parser reads as a string.
_WORD = re.compile(r"(?!(?:y|n|yes|no|on|off|true|false|null|nan|inf)$)[A-Za-z][A-Za-z0-9_-]{0,40}", re.IGNORECASE)


class Renderer:
    """The methods of `Helm`, with what its runs share: names that are different in each run, and rewritten templates.

    Processes run in `pool`. Temporary charts are removed, or kept in `debug_dir` if it is given.
    """

    def __init__(self, pool: HelmPool, debug_dir: Path | None) -> None:
        self.pool = pool
        self._debug_dir = debug_dir
        self._names = Names()
        self._rewritten: dict[str, Rewritten] = {}
        self._found_version: str | None = None

    def render(self, units: Sequence[Unit], functions: Functions) -> list[list[Outcome]]:
        """Return the output or the failure of each Unit's `all_templates`, in order, without `<no value>` in outputs.

        A template that fails does not affect the others: they are rendered as if it did not exist, without its changes
        to the model. Templates that the budget does not cover fail, too. Unknown hosts are added to `functions`. Raises
        ProblemsError `helm-failed` if helm itself does not work, never because of a template.
        """
        outcomes: dict[tuple[int, int], Outcome] = {}
        jobs: list[Job] = []
        contexts: dict[int, str] = {}
        unreadable: dict[tuple[int, int], tuple[Rewritten, Template]] = {}
        for number, unit in enumerate(units):
            pending: list[tuple[int, Rewritten]] = []
            for index, template in enumerate(unit.all_templates):
                source = template.source
                if "{{" not in source:
                    outcomes[number, index] = source
                elif isinstance(made := self._admitted(source), TemplateFailure):
                    outcomes[number, index] = made
                elif made.readable:
                    pending.append((index, made))
                else:
                    unreadable[number, index] = made, template
            if not pending:
                continue
            if id(unit.context) not in contexts:
                contexts[id(unit.context)] = json.dumps(unit.context, allow_nan=False)
            model = json.dumps({**unit.model, "Context": None}, allow_nan=False)
            first = 0 if unit.parameters is not None else None
            jobs.append(Job(number, contexts[id(unit.context)], model, tuple(pending), first))
        if jobs:
            runner = Runner(
                self._run, self._version, units, library(functions, self._names), self._names, self.pool.budget
            )
            outcomes.update(self._settle(runner, jobs))
        errors = refusals(lambda chart: self._run(chart, _SECONDS), list(unreadable.values()))
        outcomes.update(zip(unreadable, errors, strict=True))
        failures = (one for one in outcomes.values() if isinstance(one, TemplateFailure))
        functions.unknown.update(one.host for one in failures if one.host is not None)
        return [
            [self._presentable(outcomes[number, index]) for index in range(len(unit.all_templates))]
            for number, unit in enumerate(units)
        ]

    def to_yaml(self, values: Sequence[Any]) -> list[str]:
        """Return each JSON-like value as helm's `toYaml` prints it, plus the final newline that KuboCD's dump has.

        Raises ProblemsError `bad-rendering` for a value that helm cannot print: its `toYaml` then prints nothing.
        """
        printed = [_words_as_yaml(value) for value in values]
        others = [value for value, text in zip(values, printed, strict=True) if text is None]
        texts: Iterator[str] = iter(())
        if others:
            run = self._run(yaml_chart(others), _SECONDS)
            if (found := renderings(run, len(others))) is None:
                raise ProblemsError.of("helm-failed", f"helm failed to print YAML: {run.summary}", hint=HELM_HINT)
            for value, text in zip(others, found, strict=True):
                if not text:
                    raise _unprintable(value)
            texts = iter(found)
        return [f"{next(texts) if text is None else text}\n" for text in printed]

    def check(self, templates: Sequence[Template]) -> list[list[TemplateFailure]]:
        """Return the errors of each template that do not depend on a model. Nothing is rendered.

        Raises ProblemsError `helm-failed` if helm itself does not work.
        """
        return check_templates(lambda chart: self._run(chart, _SECONDS), templates, self._names)

    def prepare(self, templates: Iterable[Template]) -> None:
        """Rewrite templates for `render` ahead of time, while another helm run is in progress."""
        for template in templates:
            if "{{" in template.source:
                with suppress(TooManyTokensError, BudgetExceededError):
                    self._rewrite(template.source)

    def _version(self) -> str:
        if self._found_version is None:
            self._found_version = helm_version(self.pool.binary)
        return self._found_version

    def _presentable(self, outcome: Outcome) -> Outcome:
        if isinstance(outcome, TemplateFailure):
            return presentable(outcome, self._names)
        return _without_missing(outcome)

    def _admitted(self, source: str) -> Rewritten | TemplateFailure:
        try:
            return admitted(source, self._rewrite)
        except BudgetExceededError as error:
            return TemplateFailure.of(error)

    def _rewrite(self, source: str) -> Rewritten:
        # Two phases of a compilation render the same templates, and Releases of one package share theirs.
        if source not in self._rewritten:
            self.pool.budget.check()
            self._rewritten[source] = rewrite(source, self._names)
        return self._rewritten[source]

    def _settle(self, runner: Runner, jobs: Sequence[Job]) -> dict[tuple[int, int], Outcome]:
        """Run batches until every rendering has an outcome.

        helm stops at the first failure and does not print what it rendered before. So the failed template is removed,
        the templates after it are run again, and those before it, which are known to succeed, are rendered at the end
        or when a process is idle.
        """
        outcomes: dict[tuple[int, int], Outcome] = {}
        queue = [(batch, runner.seconds(batch)) for batch in _batches(jobs, self.pool.jobs)]
        good: list[Job] = []
        stopped: Counter[str] = Counter()
        running: dict[Future[Attempt], list[Job]] = {}
        with ThreadPoolExecutor(self.pool.jobs) as pool:
            while queue or good or running:
                if not queue and good:
                    queue, good = [(good, runner.seconds(good))], []
                while queue and len(running) < self.pool.jobs:
                    batch, seconds = queue.pop()
                    batch = _without_hopeless(batch, stopped, outcomes)
                    if batch:
                        running[pool.submit(runner.attempt, batch, seconds)] = batch
                if not running:
                    continue
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    batch = running.pop(future)
                    try:
                        attempt = future.result()
                    except BudgetExceededError as error:
                        failure = TemplateFailure.of(error)
                        outcomes.update({(job.unit, index): failure for job in batch for index, _ in job.templates})
                        continue
                    outcomes.update(attempt.outcomes)
                    good.extend(attempt.good)
                    queue.extend(attempt.rest)
                    stopped.update(attempt.stopped)
        return outcomes

    def _run(self, chart: Chart, timeout: float, *, whole: bool = False) -> Run:
        with ExitStack() as stack:
            try:
                if self._debug_dir is None:
                    directory = stack.enter_context(scratch("kcd-gen-helm-"))
                else:
                    make_directory(self._debug_dir)
                    directory = Path(tempfile.mkdtemp(prefix="helm-", dir=self._debug_dir)).absolute()
                chart.write(directory / "chart")
                (directory / "home").mkdir()
            except OSError as error:
                raise unwritable_input(error, self._debug_dir) from error
            arguments = ["template", "kcd", str(directory / "chart")]
            return self.pool.run(arguments, directory / "home", timeout, size=chart.size, whole=whole)


def _without_missing(text: str) -> str:
    """Return `text` without `<no value>`, which Go prints for missing values and KuboCD removes.

    The parts around it are joined as bytes: together they can be a character.
    """
    removed = text.replace("<no value>", "")
    if removed is text or removed.isascii():
        return removed
    return removed.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


def _words_as_yaml(value: Any) -> str | None:
    """Return a list of plain words as YAML; None for any other value, which helm must print.

    Roles and dependencies of most packages are such lists. If all values are, no helm run is needed.
    """
    if not isinstance(value, list) or not all(isinstance(item, str) and _WORD.fullmatch(item) for item in value):
        return None
    return "\n".join(f"- {item}" for item in value) or "[]"


def _unprintable(value: Any) -> ProblemsError:
    """Return the error for a value of which helm's `toYaml` prints nothing. Every valid value is at least one word."""
    try:
        reread(value)
    except UnreadableError as error:
        where = f"{dotted(error.path)} " if error.path else "it "
        return ProblemsError.of("bad-rendering", f"helm cannot print a tree: {where}{error}", hint=error.hint)
    hint = "write the tree as a string with a literal block ('|')"
    return ProblemsError.of("bad-rendering", "helm cannot print a tree of the package as YAML", hint=hint)


def _batches(jobs: Sequence[Job], processes: int) -> list[list[Job]]:
    """Split `jobs` into consecutive batches: one per process if that saves time, more if a batch has too much data."""
    total = sum(len(job.templates) for job in jobs)
    share = -(-total // max(1, min(processes, total // _WORTH_A_PROCESS)))
    batches: list[list[Job]] = []
    count = size = 0
    contexts: set[str] = set()
    for job in jobs:
        if not batches or count >= share or size > _BATCH_DATA:
            batches.append([])
            contexts.clear()
            count = size = 0
        batches[-1].append(job)
        count += len(job.templates)
        size += len(job.model) + (len(job.context) if job.mutates or job.context not in contexts else 0)
        contexts.add(job.context)
    return batches


def _without_hopeless(
    batch: Sequence[Job], stopped: Mapping[str, int], outcomes: dict[tuple[int, int], Outcome]
) -> list[Job]:
    """Return `batch` without the templates that exceeded a limit too often, and add their outcomes."""
    message = f"the template was not rendered: it exceeded a limit in {PATIENCE} other Releases"
    failure = TemplateFailure(message, code="template-timeout")
    hopeless = {path for path, count in stopped.items() if count >= PATIENCE}
    rest = []
    for job in batch:
        indexes = [index for index, rewritten in job.templates if rewritten.path in hopeless]
        outcomes.update({(job.unit, index): failure for index in indexes})
        job = job.without(indexes) if indexes else job
        if job.templates:
            rest.append(job)
    return rest
