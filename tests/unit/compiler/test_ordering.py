"""Dependencies between Releases, computed from their roles."""

from __future__ import annotations

from collections.abc import Iterable
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as some

from kubocd_gen.compiler import ordering
from kubocd_gen.compiler.ordering import Absence, Order, Party, order_by_roles
from kubocd_gen.diagnostics.problems import Position


def party(key: str, *, gives: Iterable[str] = (), needs: Iterable[str] = ()) -> Party:
    return Party(f"default/{key}", tuple(gives), tuple(needs), lambda role: Position(f"{key}.yaml", len(role)))


def order(*parties: Party, cluster_roles: Iterable[str] = (), absent: dict[str, str] | None = None) -> Order:
    reasons = {role: Absence(reason) for role, reason in (absent or {}).items()}
    return order_by_roles(parties, frozenset(cluster_roles), reasons)


def providers(found: Order) -> dict[str, list[str]]:
    return {
        key.removeprefix("default/"): [one.removeprefix("default/") for one in providers]
        for key, providers in found.providers.items()
        if providers
    }


def errors(found: Order) -> dict[str, list[str]]:
    return {key.removeprefix("default/"): [error.code for error in one.problems] for key, one in found.errors.items()}


def test_a_release_that_depends_on_a_role_waits_for_its_provider() -> None:
    assert providers(order(party("app", needs=["db"]), party("pg", gives=["db"]))) == {"app": ["pg"]}


def test_a_provider_of_several_roles_is_listed_once() -> None:
    found = order(
        party("app", needs=["db", "sql", "log"]), party("pg", gives=["db", "sql"]), party("el", gives=["log"])
    )
    assert providers(found) == {"app": ["el", "pg"]}


def test_a_cluster_role_adds_no_dependency_even_if_a_release_provides_it() -> None:
    assert providers(order(party("app", needs=["db"]), party("pg", gives=["db"]), cluster_roles=["db"])) == {}


def test_the_first_of_several_providers_by_name_is_used_and_a_note_names_the_others() -> None:
    found = order(
        party("app", needs=["db"]), party("z", gives=["db"]), party("b", gives=["db"]), party("c", gives=["db"])
    )
    assert providers(found) == {"app": ["b"]}
    (note,) = found.notes["default/app"]
    assert note.code == "several-providers"
    assert all(words in note.message for words in ("default/app waits for default/b", "'db'", "default/c, default/z"))
    assert note.position == Position("app.yaml", 2)


def test_the_hint_for_an_unmet_role_considers_releases_with_errors() -> None:
    def hint(*unread: str) -> str | None:
        found = order_by_roles([party("app", needs=["db"])], frozenset(), {}, unread)
        return found.errors["default/app"].problems[0].hint

    assert (hint("a/a", "b/b") or "").endswith(": a/a, b/b")
    assert (hint("a/a", "b/b", "c/c", "d/d") or "").endswith(": a/a, b/b, c/c and 1 more")
    assert "clusterRoles" in (hint() or "")


def test_namespaces_are_ordered_before_names() -> None:
    there = [Party(key, ("db",), (), lambda _role: Position("x")) for key in ("a-b/a", "a/z")]
    assert order(party("app", needs=["db"]), *there).providers["default/app"] == ("a/z",)


def test_a_provider_without_a_cycle_is_preferred() -> None:
    found = order(
        party("app", needs=["db"], gives=["ui"]),
        party("a", gives=["db"], needs=["ui"]),
        party("b", gives=["db"]),
    )
    assert providers(found) == {"a": ["app"], "app": ["b"]}
    assert errors(found) == {}


def test_roles_with_a_single_provider_are_resolved_first() -> None:
    """`a` is first by name and would use `b`, but `a` is the only provider for `b`."""
    found = order(party("a", needs=["x"], gives=["y"]), party("b", gives=["x"], needs=["y"]), party("c", gives=["x"]))
    assert providers(found) == {"a": ["c"], "b": ["a"]}


def test_a_cycle_is_an_error_that_lists_its_releases() -> None:
    found = order(party("a", needs=["x"], gives=["y"]), party("b", needs=["y"], gives=["x"]))
    assert errors(found) == {"a": ["dependency-cycle"], "b": ["dependency-cycle"]}
    (error,) = found.errors["default/b"].problems
    assert found.errors["default/a"].problems == (error,)
    assert "'y'" in error.message
    assert error.message.endswith(": default/b -> default/a -> default/b")
    assert error.position == Position("b.yaml", 1)


def test_a_cycle_is_one_error_for_its_releases_and_the_reason_of_their_dependents() -> None:
    ring = [party("a", needs=["b"], gives=["a"]), party("b", needs=["c"], gives=["b"])]
    found = order(*ring, party("c", needs=["a"], gives=["c"]), party("d", needs=["b"], gives=["d"]))
    assert len({id(error) for key in "abc" for error in found.errors[f"default/{key}"].problems}) == 1
    (error,) = found.errors["default/d"].problems
    assert error.message.startswith("default/d depends on the role 'b': default/b provides it")


def test_a_release_does_not_satisfy_itself() -> None:
    found = order(party("a", needs=["x"], gives=["x"]))
    assert errors(found) == {"a": ["unmet-role"]}
    assert "default/a itself provides it" in found.errors["default/a"].problems[0].message


def test_an_unmet_role_is_an_error_with_the_nearest_role() -> None:
    found = order(party("app", needs=["databse"]), party("pg", gives=["database"]))
    assert errors(found) == {"app": ["unmet-role"]}
    assert found.errors["default/app"].problems[0].hint == "did you mean 'database'?"


def test_all_unmet_roles_are_reported() -> None:
    assert errors(order(party("app", needs=["x", "y"]))) == {"app": ["unmet-role", "unmet-role"]}


def test_the_reason_why_a_role_is_absent_is_reported() -> None:
    found = order(party("app", needs=["db"]), absent={"db": "default/pg would provide it, but is suspended"})
    assert found.errors["default/app"].problems[0].message == (
        "default/app depends on the role 'db': default/pg would provide it, but is suspended"
    )


def test_a_release_with_an_unmet_role_provides_no_role() -> None:
    found = order(
        party("a", needs=["none"], gives=["x"]), party("b", needs=["x"], gives=["y"]), party("c", needs=["y"])
    )
    assert errors(found) == {"a": ["unmet-role"], "b": ["unmet-role"], "c": ["unmet-role"]}
    assert "default/a provides it, but has errors" in found.errors["default/b"].problems[0].message


def test_a_failing_provider_is_replaced_by_another() -> None:
    found = order(party("a", needs=["none"], gives=["x"]), party("b", gives=["x"]), party("c", needs=["x"]))
    assert providers(found) == {"c": ["b"]}
    assert errors(found) == {"a": ["unmet-role"]}


def test_a_long_chain_of_unmet_roles_is_searched_for_cycles_only_if_there_can_be_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paths = mock.Mock(wraps=ordering._path)
    monkeypatch.setattr(ordering, "_path", paths)
    chain = [party(f"p{number:03}", gives=[f"r{number + 1}"], needs=[f"r{number}"]) for number in range(100)]
    assert len(order(*chain).errors) == 100
    assert paths.call_count == 0


def test_the_order_of_the_input_does_not_matter() -> None:
    there = [party("app", needs=["db"], gives=["ui"]), party("a", gives=["db"], needs=["ui"]), party("b", gives=["db"])]
    assert order(*there).providers == order(*reversed(there)).providers


_ROLES = some.lists(some.sampled_from("uvwxyz"), max_size=3, unique=True)
_FLEETS = some.lists(some.tuples(_ROLES, _ROLES), max_size=8)


@given(_FLEETS)
def test_for_any_roles_every_release_is_satisfied_or_an_error_without_cycles(
    resources: list[tuple[list[str], list[str]]],
) -> None:
    parties = [party(f"r{number}", gives=gives, needs=needs) for number, (gives, needs) in enumerate(resources)]
    found = order(*parties, cluster_roles="z")
    assert found.providers.keys() | found.errors.keys() == {one.key for one in parties}
    assert not found.providers.keys() & found.errors.keys()
    gives = {one.key: set(one.roles) for one in parties}
    for one in parties:
        if one.key in found.providers:
            given_roles = {role for key in found.providers[one.key] for role in gives[key]}
            assert set(one.dependencies) - {"z"} <= given_roles
            assert one.key not in found.providers[one.key]
    settled: set[str] = set()
    waiting = dict(found.providers)
    while waiting:
        ready = [key for key, needed in waiting.items() if set(needed) <= settled]
        assert ready, waiting
        settled.update(ready)
        for key in ready:
            del waiting[key]
