"""Digests of what Releases are compiled from, so that an equal digest means an equal result."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.model.resources import Context, ContextRef
from kubocd_gen.state.signatures import is_settled, signature
from kubocd_gen.state.store import State, digest_of
from kubocd_gen.state.values import value_text

_BINARIES = "binaries"
_IS_HELM = b"helm.sh/helm/"  # the module that a binary of helm is built from, which Go records in it


def context_digests(contexts: Sequence[Context], broken: Iterable[ContextRef]) -> dict[ContextRef, str]:
    """Return a digest of each Context with all that it inherits from.

    A Context that is broken, has no exact text, or inherits from itself or such a Context has errors that depend on
    more than its value, so its digest is different in each run.
    """
    by_ref = {context.ref: context for context in contexts}
    digests = dict.fromkeys(broken, "")
    digests = {ref: _unique() for ref in digests}
    open_refs: set[ContextRef] = set()
    for first in by_ref:
        waiting = [first]  # a chain of parents can be longer than Python's recursion limit
        while waiting:
            ref = waiting[-1]
            context = by_ref.get(ref)
            if ref in digests or context is None:
                waiting.pop()
            elif ref not in open_refs:
                open_refs.add(ref)
                waiting += [parent for parent in context.parents if parent not in open_refs]
            else:
                parents = [
                    [str(one), "" if one not in by_ref else digests.get(one) or _unique()] for one in context.parents
                ]
                own = context.resource.digest or value_text(context.context) or _unique()
                digests[ref] = digest_of(json.dumps([str(ref), own, parents]).encode())
                waiting.pop()
    return digests


def _unique() -> str:
    return os.urandom(16).hex()


def helm_identity(binary: Path, state: State) -> str | None:
    """Return what tells one helm from another: the digest of the binary, computed again only if the file has changed.

    A program that only starts helm, such as the script of a version manager, stays the same if helm changes: for that,
    helm is asked for its version in each run. Returns None if it does not tell.
    """
    try:
        status = os.stat(binary)  # noqa: PTH116 - follows symlinks
        known = state.get(_BINARIES, str(binary))
        if known is None or known["signature"] != signature(status):
            data = binary.read_bytes()
            known = {"signature": signature(status), "digest": digest_of(data), "is_helm": _IS_HELM in data}
            if is_settled(status):
                state.put(_BINARIES, str(binary), known)
    except OSError:
        return None
    if known["is_helm"]:
        return str(known["digest"])
    from kubocd_gen.helm.process import helm_version

    try:
        return f"{known['digest']} {helm_version(binary)}"
    except ProblemsError:
        return None
