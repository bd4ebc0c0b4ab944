"""`--locked` wants the same bytes tomorrow: no template may ask for the time or for chance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError
from kubocd_gen.helm.calls import calls
from kubocd_gen.helm.functions import VARYING
from kubocd_gen.model.compilation import WithParameters
from kubocd_gen.pipeline.package_rendering import Texts
from kubocd_gen.pipeline.template_sources import Written, of_package, of_release, packages_of

MOST = 100  # problems of one template that are told: for the place of each the whole text is read again
_HINT = "let a Context or a parameter bring the value, or let the chart make it"


def refuse_varying(
    releases: Sequence[WithParameters], texts: Mapping[str, Texts], findings: Problems
) -> list[WithParameters]:
    """The Releases whose templates give the same text at any time; the others' problems go to `findings`.

    A template is refused for what it holds, whether or not it comes to it: that may depend on a value of tomorrow.
    """
    packages = packages_of([one.resolved for one in releases])
    refused = ", which --locked does not allow"
    errors = {
        reference: list(varying_functions(of_package(package, texts[reference]), refused))
        for reference, package in packages.items()
    }
    good = []
    for one in releases:
        release = one.resolved.release
        own = varying_functions(of_release(release), refused)
        if found := [*own, *errors[one.resolved.package.reference]]:
            findings.error(ProblemsError(*found), release=release.key)
        else:
            good.append(one)
    return good


def varying_functions(templates: Iterable[Written], refused: str = "") -> Iterator[Problem]:
    """A problem for each call of a function of the clock or of chance; `refused` ends its sentence."""
    for template in templates:
        found = (call for call in calls(template.text) if call.name in VARYING)
        for call in islice(found, MOST):
            yield Problem(
                "varying-function",
                f"{template.label}: '{call.name}' gives another result each time{refused}",
                position=template.place(call.line, call.column),
                hint=_HINT,
            )
