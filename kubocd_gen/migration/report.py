"""The result of a check as text and as JSON: the findings, a summary, and the next command."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from kubocd_gen import __version__
from kubocd_gen.diagnostics.problems import Problem, Severity, printable
from kubocd_gen.diagnostics.text import envelope, plain
from kubocd_gen.migration.checks import Checked
from kubocd_gen.migration.commands import save_dump
from kubocd_gen.migration.findings import Finding
from kubocd_gen.migration.step import LAST, Step

_SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
_LISTED = 5  # objects of a finding
_VERBS = {
    "is": "are",
    "has": "have",
    "was": "were",
    "depends": "depend",
    "installs": "install",
    "runs": "run",
    "selects": "select",
    "sends": "send",
    "belongs": "belong",
    "stores": "store",
    "uninstalls": "uninstall",
}
_PLURAL = {"OCIRepository": "OCIRepositories", "HelmRepository": "HelmRepositories"}


def text_lines(
    checked: Checked, again: Sequence[str], dump: str, *, quiet: bool, paint: Callable[[str, str], str] = plain
) -> Iterator[str]:
    """Yield the lines of the report; with `quiet`, only errors.

    `again` is the command that checks the next dump, without the file; `dump` is that file, quoted for a shell.
    """
    for one in checked.findings:
        if one.severity == "error" or not quiet:
            yield from _finding(one, paint)
    if quiet:
        return
    if checked.findings:
        yield ""
    yield printable(_headline(checked))
    step = checked.step
    yield ""
    if step.dump is None:
        yield step.title
        return
    number = f" (step {step.number} of {LAST})" if step.number else ""
    yield f"next{number}: {step.title}"
    yield from (f"    {printable(line)}" for line in step.script)
    yield "then check again:"
    yield printable(f"    {save_dump(step.dump, dump)}")
    yield printable(f"    {shlex.join(again)} {dump}")


def _headline(checked: Checked) -> str:
    counts = Counter(one.severity for one in checked.findings)
    found = [f"{counts[word]} {word}{'' if counts[word] == 1 else 's'}" for word in _SEVERITIES if counts[word]]
    return (
        f"{checked.cluster}: {checked.applied} of {checked.compiled} compiled resources are applied by Flux; "
        f"{checked.releases} Release{'' if checked.releases == 1 else 's'} in the cluster; "
        f"{', '.join(found) or 'no findings'}"
    )


def _finding(one: Finding, paint: Callable[[str, str], str]) -> Iterator[str]:
    count = len(one.objects)
    if count == 0:
        subject = f"the {one.kind}"
    elif count == 1:
        subject = f"{one.kind} {one.objects[0]}"
    else:
        subject = f"{count} {_PLURAL.get(one.kind, one.kind + 's')}"
    separator = ":" if one.code.startswith("field-") or one.code == "would-reinstall" else ""
    sentence = printable(f"{subject}{separator} {_in_plural(one.message) if count > 1 else one.message}")
    yield f"{paint(one.severity, one.severity)}[{paint('code', printable(one.code))}]: {sentence}"
    if count > 1:
        more = f" and {count - _LISTED} more" if count > _LISTED else ""
        yield printable(f"    {', '.join(one.objects[:_LISTED])}{more}")
    if one.hint:
        yield paint("hint", printable(f"    {one.hint}"))


def _in_plural(message: str) -> str:
    """Return the predicate `message` for a subject in the plural."""
    verb, _, rest = message.partition(" ")
    return f"{_VERBS.get(verb, verb)} {rest}"


def migration_report(checked: Checked | None, diagnostics: Sequence[Problem]) -> dict[str, Any]:
    """Return the JSON report, described by `schemas/kcd-gen/migration-v1alpha1.json`.

    `checked` is None if `diagnostics` prevented the check.
    """
    body = {
        "version": {"kcd-gen": __version__},
        "cluster": checked.cluster if checked else None,
        "summary": _summary(checked) if checked else None,
        "findings": [
            {**asdict(one), "objects": list(one.objects), "details": dict(one.details)}
            for one in (checked.findings if checked else ())
        ],
        "next": _step(checked.step) if checked else None,
    }
    return envelope("Migration", body, diagnostics)


def _summary(checked: Checked) -> dict[str, int]:
    counts = Counter(one.severity for one in checked.findings)
    return {
        "releases": checked.releases,
        "live": checked.live,
        "compiled": checked.compiled,
        "applied": checked.applied,
        "errors": counts["error"],
        "warnings": counts["warning"],
        "notes": counts["note"],
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "step": step.name,
        "number": step.number,
        "title": step.title,
        "commands": "\n".join(step.script),
        "dump": step.dump,
    }
