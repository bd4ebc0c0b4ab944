"""Combining all Configs of a cluster, and redirecting packages."""

from __future__ import annotations

from typing import Any

import pytest

from kubocd_gen.compiler.settings import (
    Settings,
    combine_configs,
    default_context_position,
    package_source,
    split_image,
    strategy_position,
    with_package_interval,
)
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.model.compilation import PackageSourceSpec
from kubocd_gen.model.resources import Config, ContextRef
from tests.support.records import config, release


def combined(*configs: Config) -> Settings:
    return combine_configs(configs, "kubocd")


def strategies(name: str, body: object) -> dict[str, object]:
    return {"onFailureStrategies": [{"name": name, "strategy": body}]}


def test_without_a_config_the_defaults_of_kubocd_apply() -> None:
    assert combined() == Settings()
    assert (Settings().helm_timeout, Settings().helm_interval, Settings().package_interval) == (
        "2m0s",
        "30m0s",
        "30m0s",
    )


def test_lists_are_appended_in_the_order_of_the_config_names() -> None:
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


def test_the_last_config_that_sets_a_duration_wins() -> None:
    settings = combined(config("a", defaultHelmTimeout="1m"), config("b", defaultHelmTimeout="4m"), config("c"))
    assert settings.helm_timeout == "4m0s"


def test_the_spec_patch_is_that_of_the_last_config_even_if_it_has_none() -> None:
    assert combined(config("a", specPatch={"maxHistory": 1}), config("b")).spec_patch is None


def test_the_later_of_two_strategies_of_one_name_wins() -> None:
    settings = combined(config("a", **strategies("s", {"install": {}})), config("b", **strategies("s", {})))
    assert settings.strategies == {"s": {}}


def test_two_default_strategies_of_different_names_are_an_error() -> None:
    one = config("a", defaultOnFailureStrategy="s", **strategies("s", {}))
    two = config("b", defaultOnFailureStrategy="t", **strategies("t", {}))
    with pytest.raises(ProblemsError) as found:
        combined(one, two)
    (error,) = found.value.problems
    assert (error.code, str(error.position).partition(":")[0]) == ("config-conflict", "b.yaml")


def test_the_same_default_strategy_in_two_configs_is_valid() -> None:
    one = config("a", defaultOnFailureStrategy="s", **strategies("s", {}))
    assert combined(one, config("b", defaultOnFailureStrategy="s")).default_strategy == "s"


def test_a_default_strategy_can_be_defined_in_another_config() -> None:
    assert (
        combined(config("a", defaultOnFailureStrategy="s"), config("b", **strategies("s", {}))).default_strategy == "s"
    )


def test_an_undefined_default_strategy_is_an_error_with_the_nearest_name() -> None:
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


def test_a_default_context_is_located_in_the_config_that_names_it() -> None:
    one = config("a", defaultContexts=[{"name": "x"}, {"name": "site", "namespace": "infra"}])
    other = config("b", defaultContexts=[{"name": "site"}])
    for ref, file, line in (("infra", "a.yaml", 10), ("kubocd", "b.yaml", 9)):
        position = default_context_position([one, other], ContextRef(ref, "site"))
        assert (position.path, position.line) == (file, line)


def test_a_strategy_is_located_in_the_last_config_that_defines_it() -> None:
    configs = [config("b", **strategies("s", {"install": 1})), config("a", **strategies("s", {"install": 2}))]
    position = strategy_position(configs, "s", ("install",))
    assert position.path == "b.yaml"
    assert position.line == 11


ONE = release(package={"repository": "quay.io/a/web", "tag": "1.0"})


def redirected(*redirects: dict[str, Any]) -> PackageSourceSpec:
    return package_source(ONE, Settings(package_redirects=redirects))


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("web", ("web", "latest")),
        ("quay.io/a/web", ("quay.io/a/web", "latest")),
        ("quay.io/a/web:1.0", ("quay.io/a/web", "1.0")),
        ("localhost:5000/web", ("localhost:5000/web", "latest")),
        ("localhost:5000/web:1.0", ("localhost:5000/web", "1.0")),
        ("oci://quay.io/a/web:1.0", ("quay.io/a/web", "1.0")),
    ],
)
def test_an_image_is_split_by_its_colons_and_slashes(image: str, parts: tuple[str, str]) -> None:
    assert split_image(image) == parts


@pytest.mark.parametrize("image", ["a:b:c:d", "web:1.0"])
def test_an_image_that_kubocd_cannot_split_is_refused(image: str) -> None:
    with pytest.raises(ValueError, match=f"'{image}'"):
        split_image(image)


def test_without_a_redirect_the_fields_come_from_the_release() -> None:
    source = redirected({"oldPrefix": "docker.io/", "newPrefix": "mirror/"})
    assert (source.repository, source.tag) == ("quay.io/a/web", "1.0")
    assert source.fields is ONE.package


def test_a_redirect_replaces_the_prefix_and_all_other_fields() -> None:
    redirect = {"oldPrefix": "quay.io/", "newPrefix": "mirror:5000/quay/", "insecure": True}
    assert redirected(redirect) == PackageSourceSpec("mirror:5000/quay/a/web", "1.0", redirect)


def test_the_first_matching_redirect_is_used() -> None:
    first, second = {"oldPrefix": "quay.io/a", "newPrefix": "one"}, {"oldPrefix": "quay.io/", "newPrefix": "two/"}
    assert redirected(first, second).repository == "one/web"
    assert redirected(second, first).repository == "two/a/web"


def test_a_redirect_can_match_and_replace_the_tag() -> None:
    assert redirected({"oldPrefix": "quay.io/a/web:1.0", "newPrefix": "r.io/web:2.0"}).tag == "2.0"


def test_a_redirect_with_an_empty_new_prefix_keeps_the_image_and_replaces_the_fields() -> None:
    redirect = {"oldPrefix": "quay.io/", "newPrefix": "", "secretRef": {"name": "s"}}
    assert redirected(redirect) == PackageSourceSpec("quay.io/a/web", "1.0", redirect)


def test_a_redirect_to_an_invalid_image_is_an_error_that_names_both() -> None:
    with pytest.raises(ProblemsError, match=r"'quay.io/a/web:1.0'.*'x:y:z:a/web:1.0'") as found:
        redirected({"oldPrefix": "quay.io/", "newPrefix": "x:y:z:"})
    assert found.value.problem.code == "bad-reference"


def test_the_interval_comes_from_the_release_unless_it_is_zero() -> None:
    settings = Settings(package_interval="7m0s")
    for given, expected in {"": "5m0s", "1m": "1m0s", "0s": "7m0s"}.items():
        found = with_package_interval(release(package={"interval": given} if given else {}), settings)
        assert found.package["interval"] == found.model["spec"]["package"]["interval"] == expected


@pytest.mark.parametrize(("given", "expected"), [(None, None), ([], ()), (["s"], ("s",))])
def test_an_image_redirect_keeps_an_empty_list_of_pull_secrets(given: list[str] | None, expected: object) -> None:
    redirect = {"oldPrefix": "a", "newPrefix": "b", "imagePullSecrets": given}
    assert combined(config("c", imageRedirects=[redirect])).image_redirects[0].image_pull_secrets == expected
