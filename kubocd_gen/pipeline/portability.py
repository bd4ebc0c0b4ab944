"""Checks for templates whose result depends on where and when they are rendered."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice

from kubocd_gen.compiler.values import parameters_text
from kubocd_gen.diagnostics.problems import Position, Problem, Problems, ProblemsError, Severity
from kubocd_gen.helm.calls import Call, calls, int64_ranges, mixes_prereleases, unordered_lists
from kubocd_gen.helm.functions import UNSUPPORTED, VARYING
from kubocd_gen.model.compilation import Resolved, WithParameters
from kubocd_gen.model.package import Package, TemplateSource
from kubocd_gen.model.resources import Release
from kubocd_gen.pipeline.rendering import Texts, packages_of, position_in_template

_MOST = 100  # problems reported per template; finding the position of each scans the whole text
_DNS = ("getHostByName", "resolveDNS")
_NEW = {"sha512sum": (3, 16)}  # functions that the oldest supported helm, 3.14, lacks
_GROUPED_PRERELEASES = (3, 19)  # the first helm with version 3.4 of the semver library
_WHOLE_NUMBERS = (3, 18)  # the first helm built with Go 1.24, whose `range` accepts integers


@dataclass(frozen=True, slots=True)
class TemplateText:
    """A template. Messages start with `label`; `position` maps a line and column of `text` to a position."""

    label: str
    text: str
    position: Callable[[int, int], Position]

    def problem(self, call: Call, message: str, code: str, hint: str, severity: Severity = "warning") -> Problem:
        """Return a problem at a call in the template."""
        position = self.position(call.line, call.column)
        return Problem(code, f"{self.label}: {message}", position, hint, severity)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the project fixes: the addresses of hosts, and helm's minor version in the lock file, such as `3.17`."""

    hosts: Mapping[str, str] = field(default_factory=dict)
    helm: str | None = None

    def has_helm(self, since: tuple[int, int]) -> bool:
        """Return whether the lock file requires a version of helm that is new enough."""
        return self.helm is not None and tuple(int(part) for part in self.helm.split(".")[:2]) >= since

    def has_host(self, name: str) -> bool:
        """Return whether `hosts` contains the name, or a parent domain with a leading dot."""
        labels = name.lower().removesuffix(".").split(".")
        names = {".".join(labels), *("." + ".".join(labels[at:]) for at in range(len(labels)))}
        return any(known.lower().rstrip(".") in names for known in self.hosts)


def release_templates(release: Release) -> Iterator[TemplateText]:
    """Yield the template of the Release's parameters, if there are any."""
    text = parameters_text(release.parameters)
    if text is not None:
        yield TemplateText("spec.parameters", text, partial(position_in_template, release))


def package_templates(package: Package, texts: Texts) -> Iterator[TemplateText]:
    """Yield the package's header and templates. `texts` are the sources of the templates by path."""
    header = TemplateSource(("templateHeader",))
    written = [("templateHeader", header, package.template_header)]
    written += [(label, source, texts[source.path]) for label, source in package.templates()]
    for label, source, text in written:
        yield TemplateText(f"package {package.label}, {label}", text, partial(package.template_position, source))


def refuse_varying(
    releases: Sequence[WithParameters], texts: Mapping[str, Texts], problems: Problems
) -> list[WithParameters]:
    """Return the Releases whose templates are reproducible, as `--locked` requires; report the others.

    Branches that are not rendered count as well, because other values could select them later.
    """
    refused = ", which --locked does not allow"
    errors = {
        reference: list(_varying_functions(package_templates(package, texts[reference]), refused))
        for reference, package in packages_of([one.resolved for one in releases]).items()
    }
    valid = []
    for one in releases:
        release = one.resolved.release
        own = _varying_functions(release_templates(release), refused)
        if found := [*own, *errors[one.resolved.package.reference]]:
            problems.error(ProblemsError(*found), release=release.key)
        else:
            valid.append(one)
    return valid


_VARYING_WORD = re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(VARYING)))})\b")


def varies(what: Release | Package, texts: Texts | None = None) -> bool:
    """Return whether a template of a Release, or of a package with the `texts` of its templates, varies.

    Such a template calls a function of the clock or of randomness, also in a branch that is not rendered.
    """
    templates = release_templates(what) if isinstance(what, Release) else package_templates(what, texts or {})
    return any(
        _VARYING_WORD.search(template.text) and any(call.name in VARYING for call in calls(template.text))
        for template in templates
    )


def varying_results(resolved: Resolved, texts: Texts) -> Iterator[Problem]:
    """Yield a warning for each call, in the templates of a Release, whose result can differ between two runs."""
    consequence = ", so helm is not necessarily the cause of a difference"
    hint = "compare again: if other values differ, helm is not the cause"
    for template in (*release_templates(resolved.release), *package_templates(resolved.package, texts)):
        yield from (replace(one, hint=hint) for one in _varying_functions([template], consequence))
        for call in islice(unordered_lists(template.text), _MOST):
            message = f"'{call.name}' returns its items in random order{consequence}"
            yield template.problem(call, message, "unordered-list", hint)


def template_problems(template: TemplateText, surroundings: Surroundings) -> Iterator[Problem]:
    """Yield the first problems of a template, warnings and notes, also in branches that are not rendered."""
    yield from _varying_functions([template])
    yield from islice(_unportable_calls(template, surroundings), _MOST)


def _varying_functions(templates: Iterable[TemplateText], refused: str = "") -> Iterator[Problem]:
    """Yield a problem for each call of a function of the clock or of randomness. `refused` is appended to messages."""
    hint = "take the value from a Context or a parameter, or generate it in the chart"
    for template in templates:
        for call in islice((one for one in calls(template.text) if one.name in VARYING), _MOST):
            message = f"'{call.name}' returns a different result each time{refused}"
            yield template.problem(call, message, "varying-function", hint)


def _unportable_calls(template: TemplateText, surroundings: Surroundings) -> Iterator[Problem]:
    for call in calls(template.text):
        if call.name in _DNS:
            yield from _dns(template, call, surroundings)
        elif call.name == "lookup":
            message = "'lookup' always returns nothing in packages"
            hint = "take the value from a Context or a parameter, or use 'lookup' in the chart"
            yield template.problem(call, message, "empty-lookup", hint)
        elif call.name in UNSUPPORTED:
            message = f"'{call.name}' is not supported; rendering fails"
            yield template.problem(call, message, "unsupported-function", UNSUPPORTED[call.name])
        elif call.name in _NEW and not surroundings.has_helm(_NEW[call.name]):
            yield _newer(template, call, f"'{call.name}'", _NEW[call.name], "")
        elif call.name == "semverCompare" and call.text and not surroundings.has_helm(_GROUPED_PRERELEASES):
            yield from _semver(template, call, call.text)
    if not surroundings.has_helm(_WHOLE_NUMBERS):
        for call in int64_ranges(template.text):
            other = "use 'range until (int …)', which works with every helm, or "
            yield _newer(template, call, "'range' over an int64", _WHOLE_NUMBERS, other)
    for call in unordered_lists(template.text):
        message = f"'{call.name}' returns its items in random order"
        yield template.problem(call, message, "unordered-list", "sort the result with '| sortAlpha'")


def _dns(template: TemplateText, call: Call, surroundings: Surroundings) -> Iterator[Problem]:
    """Yield a note for a DNS function, or a warning if the project has no address of its name."""
    name, hint = call.text, "keep 'hosts' up to date"
    severity: Severity = "note"
    message = f"'{call.name}' does not query DNS: addresses from 'hosts' in kcd-gen.yaml are compiled into the output"
    if name is None:
        hint = "keep 'hosts' up to date; a build reports an error for a missing name"
    elif _is_address(name):
        return
    elif not surroundings.has_host(name):
        message = f"'{call.name}' does not query DNS, and 'hosts' in kcd-gen.yaml has no address for '{name}'"
        hint = f"add the name to 'hosts', or use --resolve {name}=ADDRESS; otherwise rendering fails"
        severity = "warning"
    yield template.problem(call, message, "dns-function", hint, severity)


def _semver(template: TemplateText, call: Call, constraint: str) -> Iterator[Problem]:
    if mixes_prereleases(constraint):
        what = f"'semverCompare' of a version with a prerelease and '{constraint}'"
        yield _newer(template, call, what, _GROUPED_PRERELEASES, "use a prerelease in each part, or ")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _newer(template: TemplateText, call: Call, what: str, since: tuple[int, int], other: str) -> Problem:
    version = ".".join(map(str, since))
    hint = f"{other}run 'kcd-gen lock' with that version, which the project then requires"
    return template.problem(call, f"{what} needs helm {version} or later", "helm-dependent", hint)
