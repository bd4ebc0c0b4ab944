"""Checks of templates without a model: syntax errors and calls of unsupported functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.helm.chart import Chart, fits, parsing_chart
from kubocd_gen.helm.lexer import MOST_TOKENS, TooManyTokensError
from kubocd_gen.helm.messages import ParseFailure, parse_error, presentable, read_failure, unsupported_calls
from kubocd_gen.helm.names import Names
from kubocd_gen.helm.process import Run
from kubocd_gen.helm.rewrite import Rewritten, rewrite
from kubocd_gen.helm.template import Template, TemplateFailure
from kubocd_gen.helm.unreadable import refusals, too_large_error


def too_many_tokens() -> TemplateFailure:
    """Return the error of a template with too many tokens."""
    hint = "move long content into the chart, or into a file in it"
    return TemplateFailure(f"the template has more than {MOST_TOKENS} tokens", hint=hint, code="template-too-large")


def admitted(source: str, rewritten: Callable[[str], Rewritten]) -> Rewritten | TemplateFailure:
    """Return the result of `rewritten` for `source`, or the error if no chart can hold it."""
    try:
        if fits(source) and fits((made := rewritten(source)).text):
            return made
    except TooManyTokensError:
        return too_many_tokens()
    return too_large_error()


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
        if done.stopped is None and done.returncode == 0:
            break
        failure = read_failure(done.stderr, names) if done.stopped is None else None
        culprits = [
            index
            for index, rewritten in waiting.items()
            if isinstance(failure, ParseFailure) and rewritten.path == failure.path
        ]
        if not culprits or not isinstance(failure, ParseFailure):
            raise ProblemsError.of("helm-failed", f"helm failed to parse the templates: {done.summary}")
        for index in culprits:
            found[index].append(parse_error(failure, waiting.pop(index), templates[index]))
    for index, rewritten in waiting.items():
        found[index] += unsupported_calls(rewritten, templates[index])
    return [[presentable(error, names) for error in errors] for errors in found]
