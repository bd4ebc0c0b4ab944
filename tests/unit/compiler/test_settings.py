"""All Configs of a cluster as one."""

from __future__ import annotations

import pytest

from kubocd_gen.compiler.settings import Settings, combine_configs, default_context_position, strategy_position
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.model.resources import Config, ContextRef
from tests.support.records import config


def combined(*configs: Config) -> Settings:
    return combine_configs(configs, "kubocd")


def strategies(name: str, body: object) -> dict[str, object]:
    return {"onFailureStrategies": [{"name": name, "strategy": body}]}


def test_without_a_config_kubocds_own_defaults_hold() -> None:
    assert combined() == Settings()
    assert (Settings().helm_timeout, Settings().helm_interval, Settings().package_interval) == (
        "2m0s",
        "30m0s",
        "30m0s",
    )


def test_lists_are_appended_in_the_order_of_the_configs_names() -> None:
    two = config("b", defaultContexts=[{"name": "x"}], defaultNamespaceContexts=["n1"], clusterRoles=["r"])
    one = config(
        "a", defaultContexts=[{"name": "y", "namespace": "n"}], defaultNamespaceContexts=["n2"], clusterRoles=["s"]
    )
    settings = combined(two, one)
    assert settings.default_contexts == (ContextRef("n", "y"), ContextRef("kubocd", "x"))
    assert settings.default_namespace_contexts == ("n2", "n1")
    assert settings.cluster_roles == {"r", "s"}


def test_redirects_are_appended() -> None:
    first = {"oldPrefix": "a", "newPrefix": "b"}
    settings = combined(
        config("b", packageRedirects=[first]), config("a", packageRedirects=[first], imageRedirects=[first])
    )
    assert [redirect["oldPrefix"] for redirect in settings.package_redirects] == ["a", "a"]
    assert [redirect.image_pull_secrets for redirect in settings.image_redirects] == [None]


def test_of_durations_the_last_one_given_counts() -> None:
    settings = combined(config("a", defaultHelmTimeout="1m"), config("b", defaultHelmTimeout="4m"), config("c"))
    assert settings.helm_timeout == "4m0s"


def test_the_spec_patch_is_the_last_configs_even_where_it_has_none() -> None:
    assert combined(config("a", specPatch={"maxHistory": 1}), config("b")).spec_patch is None


def test_of_strategies_of_one_name_the_later_wins() -> None:
    settings = combined(config("a", **strategies("s", {"install": {}})), config("b", **strategies("s", {})))
    assert settings.strategies == {"s": {}}


def test_two_default_strategies_of_different_names_are_an_error() -> None:
    one = config("a", defaultOnFailureStrategy="s", **strategies("s", {}))
    two = config("b", defaultOnFailureStrategy="t", **strategies("t", {}))
    with pytest.raises(ProblemsError) as found:
        combined(one, two)
    (error,) = found.value.problems
    assert (error.code, str(error.position).partition(":")[0]) == ("config-conflict", "b.yaml")


def test_the_same_default_strategy_in_two_configs_is_fine() -> None:
    one = config("a", defaultOnFailureStrategy="s", **strategies("s", {}))
    assert combined(one, config("b", defaultOnFailureStrategy="s")).default_strategy == "s"


def test_a_default_strategy_may_be_defined_in_another_config() -> None:
    assert (
        combined(config("a", defaultOnFailureStrategy="s"), config("b", **strategies("s", {}))).default_strategy == "s"
    )


def test_a_default_strategy_that_nobody_defines_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(ProblemsError) as found:
        combined(config(defaultOnFailureStrategy="stopp", **strategies("stop", {})))
    (error,) = found.value.problems
    assert (error.code, error.hint) == ("undefined-strategy", "did you mean 'stop'?")


def test_a_strategy_without_a_body_counts_as_undefined() -> None:
    with pytest.raises(ProblemsError) as found:
        combined(config(defaultOnFailureStrategy="s", onFailureStrategies=[{"name": "s"}]))
    (error,) = found.value.problems
    assert error.code == "undefined-strategy"
    assert "'strategy: {}'" in (error.hint or "")


def test_a_default_context_is_found_where_its_config_names_it() -> None:
    one = config("a", defaultContexts=[{"name": "x"}, {"name": "site", "namespace": "infra"}])
    other = config("b", defaultContexts=[{"name": "site"}])
    for ref, file, line in (("infra", "a.yaml", 10), ("kubocd", "b.yaml", 9)):
        position = default_context_position([one, other], ContextRef(ref, "site"))
        assert (position.path, position.line) == (file, line)


def test_a_strategy_is_found_in_the_last_config_that_defines_it() -> None:
    configs = [config("b", **strategies("s", {"install": 1})), config("a", **strategies("s", {"install": 2}))]
    position = strategy_position(configs, "s", ("install",))
    assert position.path == "b.yaml"
    assert position.line == 11
