"""What identifies the inputs of a Release."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kubocd_gen.helm.process import find_helm
from kubocd_gen.model.resources import Context, ContextRef
from kubocd_gen.pipeline.known_inputs import context_digests, helm_identity
from kubocd_gen.state.store import State
from tests.support.records import context

pytestmark = pytest.mark.usefixtures("later")


def digest(name: str, *contexts: Context) -> str:
    return context_digests(contexts, ())[ContextRef("default", name)]


def test_equal_contexts_have_equal_digests_in_any_order() -> None:
    contexts = [context("a", {"x": 1}), context("b", {}, "a"), context("c", {"y": {"z": [1]}}, "b", "a", "missing")]
    assert context_digests(contexts, ()) == context_digests(contexts[::-1], ())
    assert len(set(context_digests(contexts, ()).values())) == 3


def test_a_digest_contains_all_that_is_inherited() -> None:
    def chain(end: int) -> list[Context]:
        links = [context(f"c{number}", {}, f"c{number + 1}") for number in range(5000)]
        return [*links, context("c5000", {"end": end})]

    one, two = context_digests(chain(1), ()), context_digests(chain(2), ())
    assert all(one[ref] != two[ref] for ref in one)
    assert one == context_digests(chain(1), ())


def test_a_parent_that_appears_and_the_order_of_parents_matter() -> None:
    own, one, two = context("own", {}, "one", "two"), context("one", {}), context("two", {})
    found = [
        digest("own", own),
        digest("own", own, one),
        digest("own", own, one, two),
        digest("own", context("own", {}, "two", "one"), one, two),
        digest("own", own, replace(one, context={"a": 1}), two),
    ]
    assert len(set(found)) == len(found)


def test_what_has_errors_is_never_the_same() -> None:
    """Also what inherits from a cycle, or from a Context that the API server rejects."""
    contexts = [context("a", {}, "b"), context("b", {}, "a"), context("c", {}, "b"), context("d", {}, "broken")]
    contexts += [context("self", {}, "self"), replace(context("inexact", {}), context={"n": float("nan")})]
    broken = [ContextRef("default", "broken")]
    one, two = context_digests(contexts, broken), context_digests(contexts, broken)
    same = {ref.name for ref in one if one[ref] == two[ref]}
    assert same <= {"d"}
    assert len(one) == 7


def script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_a_binary_of_helm_is_read_once() -> None:
    state = State(None)
    helm = find_helm(None)
    found = helm_identity(helm, state)
    assert found
    known = state.get("binaries", str(helm))
    assert known
    assert known["is_helm"]
    state.put("binaries", str(helm), {**known, "digest": "as remembered"})
    assert helm_identity(helm, state) == "as remembered"


def test_a_program_that_starts_helm_is_asked_for_the_version(tmp_path: Path) -> None:
    state = State(None)
    behind = script(tmp_path / "behind", f'#!/bin/sh\nexec {find_helm(None)} "$@"\n')
    shim = script(tmp_path / "helm", f'#!/bin/sh\nexec {behind} "$@"\n')
    one = helm_identity(shim, state)
    assert one == helm_identity(shim, state)
    script(behind, "#!/bin/sh\necho v3.99.0\n")
    two = helm_identity(shim, state)
    assert one and two and one != two
    script(behind, "#!/bin/sh\nexit 1\n")
    assert helm_identity(shim, state) is None


def test_a_missing_helm_has_no_identity(tmp_path: Path) -> None:
    assert helm_identity(tmp_path / "helm", State(None)) is None
