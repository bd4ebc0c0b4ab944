"""What in a template depends on where and when it is rendered."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from kubocd_gen.diagnostics.problems import Problem, Severity
from kubocd_gen.helm.calls import Call, calls, unordered_lists, whole_number_ranges
from kubocd_gen.helm.functions import UNSUPPORTED
from kubocd_gen.pipeline.reproducibility import MOST, varying_functions
from kubocd_gen.pipeline.template_sources import Written

_DNS = ("getHostByName", "resolveDNS")
_NEW = {"sha512sum": (3, 16)}  # functions that the oldest helm, 3.14, does not have
_WHOLE_NUMBERS = (3, 18)  # the first helm that was built with Go 1.24, whose `range` takes them


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a project fixes: the answers to questions of DNS, and by its lock the minor version of helm, `3.17`."""

    hosts: Mapping[str, str] = field(default_factory=dict)
    helm: str | None = None


def template_problems(template: Written, surroundings: Surroundings) -> Iterator[tuple[Severity, Problem]]:
    """The first problems of a template with their severities, whether or not a rendering comes to them."""
    for problem in varying_functions([template]):
        yield "warning", problem
    yield from islice(_problems(template, surroundings), MOST)


def _problems(template: Written, surroundings: Surroundings) -> Iterator[tuple[Severity, Problem]]:
    for call in calls(template.text):
        if call.name in _DNS:
            yield from _dns(template, call, surroundings.hosts)
        elif call.name == "lookup":
            message = "'lookup' finds nothing: KuboCD gives packages no cluster to look into"
            hint = "it works in charts; let a Context or a parameter bring the value, or let the chart look"
            yield "warning", _problem(template, call, message, "empty-lookup", hint)
        elif call.name in UNSUPPORTED:
            message = f"'{call.name}' is not supported; what comes to it fails"
            yield "warning", _problem(template, call, message, "unsupported-function", UNSUPPORTED[call.name])
        elif call.name in _NEW and not _is_locked(surroundings.helm, _NEW[call.name]):
            yield "warning", _newer(template, call, f"'{call.name}'", _NEW[call.name], "")
    for call in whole_number_ranges(template.text):
        if not _is_locked(surroundings.helm, _WHOLE_NUMBERS):
            other = "write 'range until N', which every helm takes; or "
            yield "warning", _newer(template, call, "'range' over a whole number", _WHOLE_NUMBERS, other)
    for call in unordered_lists(template.text):
        message = f"'{call.name}' comes in another order each time"
        yield "warning", _problem(template, call, message, "unordered-list", "sort it first: | sortAlpha")


def _dns(template: Written, call: Call, hosts: Mapping[str, str]) -> Iterator[tuple[Severity, Problem]]:
    """A note, since somebody has to know; a warning of a name for which there is no answer."""
    what = f"'{call.name}' asks no DNS: what stands in 'hosts' of kcd-gen.yaml is compiled in"
    if call.text is None:
        hint = "an address that changes is changed there; a name that is missing there is an error where it is met"
        yield "note", _problem(template, call, what, "dns-function", hint)
    elif _is_address(call.text):
        return
    elif _is_known(call.text, hosts):
        hint = "an address that changes is changed there"
        yield "note", _problem(template, call, what, "dns-function", hint)
    else:
        message = f"'{call.name}' asks no DNS, and 'hosts' of kcd-gen.yaml has no address of '{call.text}'"
        hint = f"add it there, or give --resolve {call.text}=ADDRESS: what comes to it fails"
        yield "warning", _problem(template, call, message, "dns-function", hint)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_known(name: str, hosts: Mapping[str, str]) -> bool:
    """Whether `hosts` answers for the name: itself, or a domain above it that begins with a dot."""
    labels = name.lower().removesuffix(".").split(".")
    names = {".".join(labels), *("." + ".".join(labels[at:]) for at in range(len(labels)))}
    return any(known.lower().rstrip(".") in names for known in hosts)


def _is_locked(helm: str | None, since: tuple[int, int]) -> bool:
    """Whether the lock holds the project to a helm that is new enough; another one is told, or refused."""
    return helm is not None and tuple(int(part) for part in helm.split(".")[:2]) >= since


def _newer(template: Written, call: Call, what: str, since: tuple[int, int], other: str) -> Problem:
    version = ".".join(map(str, since))
    hint = f"{other}run 'kcd-gen lock' with such a helm, which holds the project to it"
    return _problem(template, call, f"{what} needs helm {version} or later", "helm-dependent", hint)


def _problem(template: Written, call: Call, message: str, code: str, hint: str) -> Problem:
    position = template.place(call.line, call.column)
    return Problem(code, f"{template.label}: {message}", position=position, hint=hint)
