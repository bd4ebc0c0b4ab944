"""Checks for templates whose result depends on where and when they are rendered."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from kubocd_gen.diagnostics.problems import Problem, Severity
from kubocd_gen.helm.calls import Call, calls, unordered_lists, whole_number_ranges
from kubocd_gen.helm.functions import UNSUPPORTED
from kubocd_gen.pipeline.reproducibility import MOST, varying_functions
from kubocd_gen.pipeline.template_sources import TemplateText

_DNS = ("getHostByName", "resolveDNS")
_NEW = {"sha512sum": (3, 16)}  # functions that the oldest supported helm, 3.14, lacks
_WHOLE_NUMBERS = (3, 18)  # the first helm built with Go 1.24, whose `range` accepts integers


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the project fixes: the addresses of hosts, and helm's minor version in the lock file, such as `3.17`."""

    hosts: Mapping[str, str] = field(default_factory=dict)
    helm: str | None = None


def template_problems(template: TemplateText, surroundings: Surroundings) -> Iterator[tuple[Severity, Problem]]:
    """Yield the first problems of a template with their severities, also in branches that are not rendered."""
    for problem in varying_functions([template]):
        yield "warning", problem
    yield from islice(_problems(template, surroundings), MOST)


def _problems(template: TemplateText, surroundings: Surroundings) -> Iterator[tuple[Severity, Problem]]:
    for call in calls(template.text):
        if call.name in _DNS:
            yield from _dns(template, call, surroundings.hosts)
        elif call.name == "lookup":
            message = "'lookup' always returns nothing in packages"
            hint = "take the value from a Context or a parameter, or use 'lookup' in the chart"
            yield "warning", _problem(template, call, message, "empty-lookup", hint)
        elif call.name in UNSUPPORTED:
            message = f"'{call.name}' is not supported; rendering it fails"
            yield "warning", _problem(template, call, message, "unsupported-function", UNSUPPORTED[call.name])
        elif call.name in _NEW and not _is_locked(surroundings.helm, _NEW[call.name]):
            yield "warning", _newer(template, call, f"'{call.name}'", _NEW[call.name], "")
    for call in whole_number_ranges(template.text):
        if not _is_locked(surroundings.helm, _WHOLE_NUMBERS):
            other = "use 'range until N', which works with every helm, or "
            yield "warning", _newer(template, call, "'range' over an integer", _WHOLE_NUMBERS, other)
    for call in unordered_lists(template.text):
        message = f"'{call.name}' returns its items in random order"
        yield "warning", _problem(template, call, message, "unordered-list", "sort the result with '| sortAlpha'")


def _dns(template: TemplateText, call: Call, hosts: Mapping[str, str]) -> Iterator[tuple[Severity, Problem]]:
    """Yield a note for a DNS function, or a warning if `hosts` has no address of its name."""
    message = f"'{call.name}' does not query DNS: addresses from 'hosts' in kcd-gen.yaml are compiled in"
    if call.text is None:
        hint = "keep 'hosts' up to date; a build reports an error for a missing name"
        yield "note", _problem(template, call, message, "dns-function", hint)
    elif _is_address(call.text):
        return
    elif _is_known(call.text, hosts):
        hint = "keep 'hosts' up to date"
        yield "note", _problem(template, call, message, "dns-function", hint)
    else:
        message = f"'{call.name}' does not query DNS, and 'hosts' in kcd-gen.yaml has no address of '{call.text}'"
        hint = f"add the name to 'hosts', or use --resolve {call.text}=ADDRESS; otherwise rendering it fails"
        yield "warning", _problem(template, call, message, "dns-function", hint)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_known(name: str, hosts: Mapping[str, str]) -> bool:
    """Return whether `hosts` contains the name, or a parent domain with a leading dot."""
    labels = name.lower().removesuffix(".").split(".")
    names = {".".join(labels), *("." + ".".join(labels[at:]) for at in range(len(labels)))}
    return any(known.lower().rstrip(".") in names for known in hosts)


def _is_locked(helm: str | None, since: tuple[int, int]) -> bool:
    """Return whether the lock file requires a version of helm that is new enough."""
    return helm is not None and tuple(int(part) for part in helm.split(".")[:2]) >= since


def _newer(template: TemplateText, call: Call, what: str, since: tuple[int, int], other: str) -> Problem:
    version = ".".join(map(str, since))
    hint = f"{other}run 'kcd-gen lock' with such a helm, to require it for the project"
    return _problem(template, call, f"{what} needs helm {version} or later", "helm-dependent", hint)


def _problem(template: TemplateText, call: Call, message: str, code: str, hint: str) -> Problem:
    position = template.position(call.line, call.column)
    return Problem(code, f"{template.label}: {message}", position=position, hint=hint)
