"""Checks of templates without a model: their size, syntax errors, and calls of unsupported functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kubocd_gen.budget.spending import BudgetExceededError
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.helm.chart import FILE_SIZE, TEST_CHART, Chart, check_helm, fits, parsing_chart
from kubocd_gen.helm.lexer import MOST_TOKENS, TooManyTokensError, actions
from kubocd_gen.helm.messages import error_at, failure_of, presentable, read_error, unsupported_calls
from kubocd_gen.helm.names import Names
from kubocd_gen.helm.process import Run
from kubocd_gen.helm.rewrite import Rewritten, rewrite
from kubocd_gen.helm.template import Template, TemplateFailure


def admitted(source: str, rewritten: Callable[[str], Rewritten]) -> Rewritten | TemplateFailure:
    """Return the result of `rewritten` for `source`, or the error if no chart can hold it."""
    try:
        if fits(source) and fits((made := rewritten(source)).text):
            return made
    except TooManyTokensError:
        hint = "move long content into the chart, or into a file in it"
        return TemplateFailure(f"the template has more than {MOST_TOKENS} tokens", hint=hint, code="template-too-large")
    return TemplateFailure(f"the template is larger than {FILE_SIZE >> 20} MiB", code="template-too-large")


def refusals(run: Callable[[Chart], Run], texts: Sequence[tuple[Rewritten, Template]]) -> list[TemplateFailure]:
    """Return the error of each template with a lexical error, in order: helm's error for a chart with only that one.

    Such templates are never rendered. One that helm accepts is an error, too, because it is not known how helm reads
    it, and so is one that the budget does not cover. Raises ProblemsError `helm-failed` if helm itself does not work.
    """
    runs: dict[str, Run] = {}
    errors = []
    for rewritten, template in texts:
        try:
            if rewritten.path not in runs:
                runs[rewritten.path] = run(parsing_chart([rewritten]))
            errors.append(_refusal(run, runs[rewritten.path], rewritten, template))
        except BudgetExceededError as error:
            errors.append(TemplateFailure.of(error))
    return errors


def _refusal(run: Callable[[Chart], Run], done: Run, rewritten: Rewritten, template: Template) -> TemplateFailure:
    error = read_error(done, rewritten.names)
    if error is not None and error.path == rewritten.path:
        return failure_of(error, rewritten, template)
    if done.succeeded:
        start, end = next(((one.start, one.end) for one in actions(rewritten.source) if one.broken), (0, 0))
        return error_at(
            template,
            start,
            f"kcd-gen cannot parse '{rewritten.source[start : min(end + 1, start + 80)]}', but helm accepts it",
            "use only ASCII characters outside of strings, and report this as a bug of kcd-gen",
            code="unreadable-template",
        )
    check_helm(run(TEST_CHART))
    return TemplateFailure(f"helm failed to parse the template: {done.summary}", code="template-parse")


def check_templates(
    run: Callable[[Chart], Run], templates: Sequence[Template], names: Names
) -> list[list[TemplateFailure]]:
    """Return each template's errors. helm stops at the first syntax error: its template is left out of the next run.

    Raises ProblemsError `helm-failed` if helm fails without naming a template.
    """
    found: list[list[TemplateFailure]] = [[] for _ in templates]
    waiting: dict[int, Rewritten] = {}
    for index, template in enumerate(templates):
        made = admitted(template.source, lambda source: rewrite(source, names))
        if isinstance(made, TemplateFailure):
            found[index].append(made)
        elif "{{" in template.source:
            waiting[index] = made
    unreadable = [index for index, rewritten in waiting.items() if not rewritten.readable]
    errors = refusals(run, [(waiting.pop(index), templates[index]) for index in unreadable])
    for index, error in zip(unreadable, errors, strict=True):
        found[index].append(error)
    while waiting:
        done = run(parsing_chart(list(waiting.values())))
        if done.succeeded:
            break
        reported = read_error(done, names)
        culprits = [index for index, rewritten in waiting.items() if reported and rewritten.path == reported.path]
        if reported is None or not culprits:
            raise ProblemsError.of("helm-failed", f"helm failed to parse the templates: {done.summary}")
        for index in culprits:
            found[index].append(failure_of(reported, waiting.pop(index), templates[index]))
    for index, rewritten in waiting.items():
        found[index] += unsupported_calls(rewritten, templates[index])
    return [[presentable(error, names) for error in errors] for errors in found]
