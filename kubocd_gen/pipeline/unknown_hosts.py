"""Find all host names without an address that the templates of a cluster ask for, and print what to add."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kubocd_gen.budget.spending import BudgetExceededError, Tallies
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError
from kubocd_gen.kube_yaml.emitter import string
from kubocd_gen.model.project import PROJECT_FILE, host_key, is_host_name

if TYPE_CHECKING:
    from kubocd_gen.helm.engine import Helm
    from kubocd_gen.helm.template import Functions
    from kubocd_gen.model.compilation import Compilation, Resolved
    from kubocd_gen.pipeline.rendering import Texts

_ROUNDS = 20  # each finds at least one more name in each template
_ANY_ADDRESS = "192.0.2.1"  # for documentation (RFC 5737); what is rendered with it is discarded
_LISTED = 50


def find_unknown_hosts(
    releases: Sequence[Resolved], texts: Mapping[str, Texts], functions: Functions, helm: Helm
) -> frozenset[str]:
    """Return the names in `functions.unknown`, and those that the templates of `releases` ask for after them.

    A rendering stops at the first unknown name, so the templates are rendered again with an address for each name that
    is found. The names are in lower case. If they depend on each other's addresses, some can be missing.
    """
    from kubocd_gen.pipeline.rendering import render_packages, render_parameters

    found = frozenset(map(host_key, functions.unknown))
    for _ in range(_ROUNDS):
        known = {**functions.hosts, **dict.fromkeys(found, _ANY_ADDRESS)}
        trial = replace(functions, hosts=known, unknown=set())
        ignored = Problems()
        try:
            tallies = Tallies(helm.pool.budget)
            parameters = render_parameters(releases, trial, helm, ignored, tallies)
            render_packages(parameters, texts, trial, helm)
        except (BudgetExceededError, ProblemsError):
            break
        more = frozenset(map(host_key, trial.unknown)) - found
        if not more:
            break
        found |= more
    return found


def unknown_hosts_note(compilations: Iterable[Compilation]) -> list[Problem]:
    """Return a note that lists the unknown host names of a run, with the YAML to add; none if all names are known."""
    names = sorted({name for one in compilations for name in one.unknown_hosts if is_host_name(name)})
    if not names:
        return []
    count = "1 host" if len(names) == 1 else f"{len(names)} hosts"
    entries = ", ".join(f"{string(name)}: ADDRESS" for name in names[:_LISTED])
    message = f"templates resolve {count} without a known address: {_listed(names)}"
    hint = f"add to {PROJECT_FILE}, with the addresses: hosts: {{{entries}}}"
    return [Problem("unknown-host", message, hint=hint, severity="note")]


def _listed(names: Collection[str]) -> str:
    shown = list(names)[:_LISTED]
    return ", ".join(shown) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
