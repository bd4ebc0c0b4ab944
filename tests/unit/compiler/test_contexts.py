"""The merged Context of a Release."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from kubocd_gen.budget.limits import LIMITS, moved
from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.compiler.contexts import ContextTrees, select_contexts
from kubocd_gen.compiler.settings import combine_configs
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.model.resources import Config, Context, ContextRef, Release
from tests.support.records import config, context, release

HERE = Position("here")


def effective(*contexts: Context, of: str) -> Mapping[str, Any]:
    return ContextTrees(contexts, {}).effective(ContextRef("default", of), lambda: HERE)


def selected(one: Release, *contexts: Context, configs: tuple[Config, ...] = ()) -> tuple[str, ...]:
    refs, _ = select_contexts(one, combine_configs(configs, "kubocd"), ContextTrees(contexts, {}), configs)
    return tuple(map(str, refs))


def seen(one: Release, *contexts: Context, configs: tuple[Config, ...] = (), default: Any = None) -> Mapping[str, Any]:
    """Return the merged context of a Release; `default` is the default of its package's schema."""
    trees = ContextTrees(contexts, {})
    refs, positions = select_contexts(one, combine_configs(configs, "kubocd"), trees, configs)
    return trees.together(refs, positions, default or {})


def only_error(found: pytest.ExceptionInfo[ProblemsError]) -> Problem:
    (error,) = found.value.problems
    return error


def test_a_context_overrides_its_parents() -> None:
    assert effective(context("top", {"a": {"x": 1, "y": 1}}), context("own", {"a": {"y": 2}}, "top"), of="own") == {
        "a": {"x": 1, "y": 2}
    }


def test_a_later_parent_overrides_an_earlier_one() -> None:
    parents = context("one", {"a": 1, "b": 1}), context("two", {"a": 2})
    assert effective(*parents, context("own", {}, "one", "two"), of="own") == {"a": 2, "b": 1}


def test_in_a_diamond_the_second_parent_overrides_with_its_inherited_values() -> None:
    diamond = (
        context("base", {"a": "base"}),
        context("left", {"a": "left"}, "base"),
        context("right", {}, "base"),
        context("own", {}, "left", "right"),
    )
    assert effective(*diamond, of="own") == {"a": "base"}


def test_a_parent_without_a_namespace_is_in_the_context_s_namespace() -> None:
    trees = ContextTrees([context("p", {"a": 1}, namespace="infra"), context("c", {}, "p", namespace="infra")], {})
    assert trees.effective(ContextRef("infra", "c"), lambda: HERE) == {"a": 1}


def test_a_cycle_is_an_error_that_lists_its_contexts() -> None:
    with pytest.raises(ProblemsError) as found:
        effective(context("a", {}, "b"), context("b", {}, "c"), context("c", {}, "a"), of="a")
    error = only_error(found)
    assert error.code == "context-cycle"
    assert "default:a -> default:b -> default:c -> default:a" in error.message
    assert error.position is not None
    assert error.position.path == "c.yaml"


def test_a_context_that_is_its_own_parent_is_a_cycle() -> None:
    with pytest.raises(ProblemsError) as found:
        effective(context("a", {}, "a"), of="a")
    assert only_error(found).code == "context-cycle"


def test_a_missing_parent_is_an_error_at_the_line_that_names_it() -> None:
    with pytest.raises(ProblemsError) as found:
        effective(context("own", {}, "bsae"), context("base", {}), of="own")
    error = only_error(found)
    assert (error.code, error.hint) == ("missing-context", "did you mean 'base'?")
    assert error.position is not None
    assert (error.position.path, error.position.line) == ("own.yaml", 10)


def test_a_missing_context_is_an_error_at_the_line_of_the_release_that_names_it() -> None:
    with pytest.raises(ProblemsError) as found:
        seen(release(contexts=[{"name": "a"}, {"name": "b"}]), context("a", {}))
    error = only_error(found)
    assert error.position is not None
    assert (error.code, error.position.path) == ("missing-context", "web.yaml")


def test_a_context_of_the_same_name_in_another_namespace_is_suggested() -> None:
    with pytest.raises(ProblemsError) as found:
        seen(release(contexts=[{"name": "shared"}]), context("shared", {}, namespace="infra"))
    assert "infra:shared" in (only_error(found).hint or "")


@pytest.mark.parametrize("value", [None, [], "text"])
def test_a_context_without_a_map_of_variables_is_never_usable(value: Any) -> None:
    with pytest.raises(ProblemsError) as found:
        effective(context("own", value), of="own")
    assert only_error(found).code == "invalid-context"


def test_the_children_of_an_unusable_context_are_unusable() -> None:
    with pytest.raises(ProblemsError) as found:
        effective(context("top", None), context("own", {"a": 1}, "top"), of="own")
    assert only_error(found).code == "invalid-context"


def test_an_empty_map_of_variables_is_valid() -> None:
    assert effective(context("own", {}), of="own") == {}


def test_a_release_that_names_a_refused_context_gets_its_problems() -> None:
    refused = ProblemsError.of("unknown-field", "spec.foo is not a known field")
    trees = ContextTrees([context("child", {}, "bad")], {ContextRef("default", "bad"): refused})
    with pytest.raises(ProblemsError) as found:
        trees.effective(ContextRef("default", "child"), lambda: HERE)
    assert found.value is refused


def test_a_chain_of_parents_over_the_recursion_limit_is_an_error() -> None:
    chain = [context("c0", {}), *(context(f"c{number}", {}, f"c{number - 1}") for number in range(1, 500))]
    with pytest.raises(ProblemsError, match="more than 100 levels"):
        effective(*chain, of="c499")


DEFAULTS = config(
    defaultContexts=[{"name": "cluster"}, {"name": "site", "namespace": "infra"}],
    defaultNamespaceContexts=["project"],
)
ALL = (
    context("cluster", {"who": "cluster", "cluster": 1}, namespace="kubocd"),
    context("site", {"who": "site", "site": 1}, namespace="infra"),
    context("project", {"who": "project", "project": 1}),
    context("own", {"who": "own", "own": 1}),
)


def test_contexts_merge_in_the_order_default_then_namespace_then_release() -> None:
    one = release(contexts=[{"name": "own"}])
    assert selected(one, *ALL, configs=(DEFAULTS,)) == (
        "kubocd:cluster",
        "infra:site",
        "default:project",
        "default:own",
    )
    everything = {"who": "own", "cluster": 1, "site": 1, "project": 1, "own": 1, "schema": 1}
    assert seen(one, *ALL, configs=(DEFAULTS,), default={"who": "schema", "schema": 1}) == everything


def test_default_contexts_default_to_the_kubocd_namespace_and_namespace_contexts_to_the_release_s() -> None:
    one = release(namespace="apps")
    theirs = context("project", {}, namespace="apps")
    assert selected(one, *ALL, theirs, configs=(DEFAULTS,)) == ("kubocd:cluster", "infra:site", "apps:project")


def test_skip_default_context_drops_the_contexts_of_the_config_and_keeps_schema_defaults() -> None:
    one = release(contexts=[{"name": "own"}], skipDefaultContext=True)
    assert selected(one, *ALL, configs=(DEFAULTS,)) == ("default:own",)
    assert seen(one, *ALL, configs=(DEFAULTS,), default={"schema": 1}) == {"who": "own", "own": 1, "schema": 1}


def test_a_context_named_twice_is_merged_twice() -> None:
    one = release(contexts=[{"name": "own"}, {"name": "project"}, {"name": "own"}])
    assert selected(one, *ALL) == ("default:own", "default:project", "default:own")


def test_a_missing_namespace_context_is_skipped() -> None:
    assert selected(release(namespace="other"), *ALL, configs=(DEFAULTS,)) == ("kubocd:cluster", "infra:site")


def test_a_missing_default_context_is_an_error_in_the_config() -> None:
    with pytest.raises(ProblemsError) as found:
        seen(release(), ALL[0], configs=(DEFAULTS,))
    error = only_error(found)
    assert (error.code, "'infra:site'" in error.message) == ("missing-context", True)
    assert error.position is not None
    assert error.position.path == "conf.yaml"


def test_a_missing_default_context_that_is_also_a_namespace_context_is_skipped() -> None:
    both = config(defaultContexts=[{"name": "project", "namespace": "default"}], defaultNamespaceContexts=["project"])
    assert selected(release(), configs=(both,)) == ()


def test_equal_contexts_are_one_object_and_reach_helm_once() -> None:
    trees = ContextTrees(ALL, {})
    refs = (ContextRef("default", "own"),)
    positions = {refs[0]: lambda: HERE}
    assert trees.together(refs, positions, {"a": 1}) is trees.together(refs, positions, {"a": 1})


def test_a_value_is_located_in_the_last_context_that_sets_it() -> None:
    trees = ContextTrees(ALL, {})
    refs = [ContextRef("kubocd", "cluster"), ContextRef("infra", "site")]
    for path, file in ((("who",), "site.yaml"), (("cluster",), "cluster.yaml")):
        position = trees.position_of(refs, path)
        assert position is not None
        assert position.path == file
    assert trees.position_of(refs, ("nowhere",)) is None


def test_an_inherited_value_is_located_in_the_parent_that_won() -> None:
    family = (context("one", {"a": [1, 2]}), context("two", {"a": [3, None]}), context("own", {"b": 1}, "one", "two"))
    position = ContextTrees(family, {}).position_of([ContextRef("default", "own")], ("a", 1))
    assert position is not None
    assert position.path == "two.yaml"


def test_ancestors_that_are_reached_on_many_paths_are_searched_once() -> None:
    levels = 60  # with 2 parents each: 2^60 paths
    family = [context("l0", {}), context("r0", {})]
    for level in range(1, levels):
        family += [context(f"{side}{level}", {}, f"l{level - 1}", f"r{level - 1}") for side in "lr"]
    last = ContextRef("default", f"l{levels - 1}")
    assert ContextTrees(family, {}).position_of([last], ("nowhere",)) is None


def test_each_merged_context_is_counted_even_if_it_shares_values() -> None:
    own = [context(f"c{number}", {f"k{number}": 1}) for number in range(20)]
    big = context("big", {"list": list(range(400))})
    budget = Budget(moved(LIMITS, {"yaml-values": 4000}))
    trees = ContextTrees([big, *own], {}, budget)
    with pytest.raises(BudgetExceededError):
        for one in own:
            refs = (big.ref, one.ref)
            trees.together(refs, {ref: lambda: HERE for ref in refs}, {})


def test_whether_a_context_has_too_many_levels_does_not_depend_on_others() -> None:
    chain = [context(f"c{number}", {f"v{number}": 1}, f"c{number + 1}") for number in range(150)]
    trees = ContextTrees([*chain, context("c150", {"v150": 1})], {})
    for name in ("c0", "c49", "c20"):
        with pytest.raises(ProblemsError) as found:
            trees.effective(ContextRef("default", name), lambda: HERE)
        assert only_error(found).code == "invalid-context"
        assert only_error(found).message == "the Context 'default:c49' has more than 100 levels of parents"
    assert len(trees.effective(ContextRef("default", "c50"), lambda: HERE)) == 101


def test_a_long_cycle_is_an_error() -> None:
    trees = ContextTrees([context(f"c{number}", {}, f"c{(number + 1) % 2000}") for number in range(2000)], {})
    for name in ("c0", "c1000"):
        with pytest.raises(ProblemsError):
            trees.effective(ContextRef("default", name), lambda: HERE)
