"""Templates with a lexical error. They are never rendered; helm parses each one alone to get its error message."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kubocd_gen.budget.spending import BudgetExceededError
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.helm.chart import FILE_SIZE, Chart, parsing_chart, renderings, yaml_chart
from kubocd_gen.helm.lexer import actions
from kubocd_gen.helm.locations import error_at
from kubocd_gen.helm.messages import ParseFailure, parse_error, read_failure
from kubocd_gen.helm.process import Run
from kubocd_gen.helm.rewrite import Rewritten
from kubocd_gen.helm.template import Template, TemplateFailure


def refusals(run: Callable[[Chart], Run], texts: Sequence[tuple[Rewritten, Template]]) -> list[TemplateFailure]:
    """Return the error of each template in `texts`, in order: helm's error for a chart with only that template.

    A template that helm accepts is an error, too, because it is not known how helm reads it, and so is one that the
    budget does not cover. Raises ProblemsError `helm-failed` if helm itself does not work.
    """
    runs: dict[str, Run] = {}
    errors = []
    for rewritten, template in texts:
        try:
            if rewritten.path not in runs:
                runs[rewritten.path] = run(parsing_chart([rewritten]))
            errors.append(_error(run, runs[rewritten.path], rewritten, template))
        except BudgetExceededError as error:
            errors.append(TemplateFailure(error.problem.message, hint=error.problem.hint, code=error.problem.code))
    return errors


def too_large_error() -> TemplateFailure:
    """Return the error of a template that does not fit in a chart file, as it is or after rewriting."""
    return TemplateFailure(f"the template is larger than {FILE_SIZE >> 20} MiB", code="template-too-large")


def _error(run: Callable[[Chart], Run], done: Run, rewritten: Rewritten, template: Template) -> TemplateFailure:
    failure = read_failure(done.stderr, rewritten.names) if done.stopped is None else None
    if isinstance(failure, ParseFailure) and failure.path == rewritten.path:
        return parse_error(failure, rewritten, template)
    if done.stopped is None and done.returncode == 0:
        start, end = next(((one.start, one.end) for one in actions(rewritten.source) if one.broken), (0, 0))
        return error_at(
            template,
            start,
            f"kcd-gen can't parse '{rewritten.source[start : min(end + 1, start + 80)]}', but helm accepts it",
            "use only ASCII characters outside of strings, and report this as a bug of kcd-gen",
            code="unreadable-template",
        )
    works = run(yaml_chart([0]))
    if works.returncode != 0 or renderings(works.stdout) != ["0"]:
        raise ProblemsError.of("helm-failed", f"helm failed to render a test chart: {works.summary}")
    return TemplateFailure(f"helm failed to parse the template: {done.summary}", code="template-parse")
