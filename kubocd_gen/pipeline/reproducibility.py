"""Refuse templates that use the clock or random numbers, because `--locked` requires a reproducible output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError
from kubocd_gen.helm.calls import calls
from kubocd_gen.helm.functions import VARYING
from kubocd_gen.model.compilation import WithParameters
from kubocd_gen.pipeline.package_rendering import Texts
from kubocd_gen.pipeline.template_sources import TemplateText, package_templates, packages_of, release_templates

MOST = 100  # problems reported per template; finding the position of each scans the whole text
_HINT = "take the value from a Context or a parameter, or generate it in the chart"


def refuse_varying(
    releases: Sequence[WithParameters], texts: Mapping[str, Texts], findings: Problems
) -> list[WithParameters]:
    """Return the Releases whose templates are reproducible. The problems of the others go to `findings`.

    Branches that are not rendered count as well, because other values could select them later.
    """
    packages = packages_of([one.resolved for one in releases])
    refused = ", which --locked does not allow"
    errors = {
        reference: list(varying_functions(package_templates(package, texts[reference]), refused))
        for reference, package in packages.items()
    }
    valid = []
    for one in releases:
        release = one.resolved.release
        own = varying_functions(release_templates(release), refused)
        if found := [*own, *errors[one.resolved.package.reference]]:
            findings.error(ProblemsError(*found), release=release.key)
        else:
            valid.append(one)
    return valid


def varying_functions(templates: Iterable[TemplateText], refused: str = "") -> Iterator[Problem]:
    """Yield a problem for each call of a function of the clock or of randomness. `refused` is appended to messages."""
    for template in templates:
        found = (call for call in calls(template.text) if call.name in VARYING)
        for call in islice(found, MOST):
            yield Problem(
                "varying-function",
                f"{template.label}: '{call.name}' returns a different result each time{refused}",
                position=template.position(call.line, call.column),
                hint=_HINT,
            )
