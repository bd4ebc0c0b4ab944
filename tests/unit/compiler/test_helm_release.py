"""The layers of a HelmRelease: module, Config, strategy, overrides and patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from kubocd_gen.compiler.helm_release import helm_release_specs
from kubocd_gen.compiler.settings import combine_configs
from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.model.compilation import RenderedModule, RenderedPackage
from kubocd_gen.model.resources import Config, Release
from kubocd_gen.schema.flux_versions import FLUX_VERSIONS, FluxVersion
from tests.support.records import config, package, release

_MANIFEST = """\
apiVersion: v1alpha1
name: web
tag: 1.0.0
modules:
- {name: main, source: {helmRepository: {url: https://x, chart: web, version: 1.0.0}}}
- {name: side, source: {helmRepository: {url: https://x, chart: side, version: 1.0.0}}}
- {name: noname, source: {helmRepository: {url: https://x, chart: noname, version: 1.0.0}}}
"""
PACKAGE = package(_MANIFEST)
MODULE = RenderedModule("main", {}, {}, None, None, "default", True, (), "")
STOP = {"name": "stop", "strategy": {}}
RETRY = {"name": "retry", "strategy": {"install": {"strategy": {"name": "RetryOnFailure", "retryInterval": "1m"}}}}
ROLLBACK = {"name": "rollback", "strategy": {"upgrade": {"remediation": {"retries": 3}}}}
STRATEGIES = [STOP, RETRY, ROLLBACK, {"name": "none"}, {"name": "text", "strategy": "hello"}]


def specs(one: Release, *modules: RenderedModule, configs: Sequence[Config] = ()) -> dict[str, dict[str, Any]]:
    rendered = RenderedPackage({}, (), (), "", modules)
    settings = combine_configs(configs, "kubocd")
    return dict(helm_release_specs(one, PACKAGE, rendered, settings, configs, "5m0s"))


def too_new(flux: FluxVersion, *configs: Config, one: Release | None = None, **module: Any) -> list[Problem]:
    """The errors for the module `main` with this version of Flux."""
    rendered = RenderedPackage({}, (), (), "", (replace(MODULE, **module),))
    settings = combine_configs(configs, "kubocd")
    with pytest.raises(ProblemsError) as found:
        helm_release_specs(one or release(), PACKAGE, rendered, settings, configs, "5m0s", flux)
    return list(found.value.problems)


def spec(configs: Sequence[Config] = (), one: Release | None = None, /, **module: Any) -> dict[str, Any]:
    """The spec of module `main` with the fields `module`."""
    return specs(one or release(), replace(MODULE, **module), configs=configs)["web-main"]


def overridden(*configs: Config, module: Mapping[str, Any] | None = None, **override: Any) -> dict[str, Any]:
    return spec(configs, release(moduleOverrides=[{"module": "main", **override}]), **(module or {}))


def errors(*configs: Config, one: Release | None = None, **module: Any) -> list[Problem]:
    with pytest.raises(ProblemsError) as found:
        spec(configs, one, **module)
    return list(found.value.problems)


def error(*configs: Config, one: Release | None = None, **module: Any) -> Problem:
    (only,) = errors(*configs, one=one, **module)
    return only


def position_of(found: Problem) -> str:
    assert found.position is not None
    return found.position.path


def test_the_base_layer_sets_chart_and_repository() -> None:
    repository = {"kind": "HelmRepository", "name": "kcd-web", "namespace": "default"}
    assert spec() == {
        "chart": {"spec": {"chart": "main", "version": "1.0.0", "sourceRef": repository, "interval": "5m0s"}},
        "interval": "30m0s",
        "timeout": "2m0s",
        "releaseName": "web-main",
        "targetNamespace": "default",
        "values": {},
    }


def test_a_helm_release_is_named_release_module_or_just_release_for_noname() -> None:
    made = specs(release(), MODULE, replace(MODULE, name="noname"))
    assert {name: one["releaseName"] for name, one in made.items()} == {"web-main": "web-main", "web": "web"}


def test_a_disabled_module_has_no_helm_release() -> None:
    assert list(specs(release(), replace(MODULE, enabled=False), replace(MODULE, name="side"))) == ["web-side"]


def test_module_dependencies_are_in_the_release_s_namespace() -> None:
    made = specs(release(namespace="apps"), replace(MODULE, depends_on=("side", "noname")))
    assert made["web-main"]["dependsOn"] == [
        {"name": "web-side", "namespace": "apps"},
        {"name": "web", "namespace": "apps"},
    ]


def test_an_empty_target_namespace_is_omitted() -> None:
    assert "targetNamespace" not in spec(target_namespace="")


def test_durations_come_from_the_module_or_from_the_config() -> None:
    configs = [config(defaultHelmTimeout="3m", defaultHelmInterval="1h")]
    assert (spec(configs)["timeout"], spec(configs)["interval"]) == ("3m0s", "1h0m0s")
    own = spec(configs, None, timeout="7s", interval="8s")
    assert (own["timeout"], own["interval"]) == ("7s", "8s")


def test_a_module_s_strategy_overrides_the_default_strategy() -> None:
    configs = [config(onFailureStrategies=STRATEGIES, defaultOnFailureStrategy="retry")]
    assert spec(configs)["install"] == {"strategy": {"name": "RetryOnFailure", "retryInterval": "1m0s"}}
    replaced = spec(configs, None, on_failure_strategy="rollback")
    assert replaced["install"] == {}
    assert replaced["upgrade"] == {"remediation": {"retries": 3}}


def test_an_empty_strategy_leaves_install_and_upgrade_empty() -> None:
    both = {"install": {"remediation": {"retries": 1}}, "upgrade": {"remediation": {"retries": 1}}}
    configs = [
        config(
            onFailureStrategies=[STOP, {"name": "both", "strategy": both}],
            defaultOnFailureStrategy="both",
        )
    ]
    stopped = spec(configs, None, on_failure_strategy="stop")
    assert (stopped["install"], stopped["upgrade"]) == ({}, {})


def test_replacing_a_strategy_keeps_other_fields_of_install() -> None:
    configs = [config(onFailureStrategies=STRATEGIES, specPatch={"install": {"replace": True}})]
    made = overridden(*configs, module={"on_failure_strategy": "retry"}, onFailureStrategy="stop")
    assert made["install"] == {"replace": True}


@pytest.mark.parametrize("name", ["retri", "none"])
def test_an_undefined_strategy_is_an_error(name: str) -> None:
    assert error(config(onFailureStrategies=STRATEGIES), on_failure_strategy=name).code == "undefined-strategy"


def test_a_strategy_that_is_not_a_map_is_an_error_in_its_config() -> None:
    found = error(config(onFailureStrategies=STRATEGIES), on_failure_strategy="text")
    assert found.message == "the failure strategy 'text' must be a map, not a string ('hello')"
    assert position_of(found) == "conf.yaml"


def test_patches_apply_in_the_order_config_then_module_then_override() -> None:
    configs = [config(specPatch={"maxHistory": 1, "suspend": True, "storageNamespace": "a"})]
    made = overridden(
        *configs,
        module={"spec_patch": {"maxHistory": 2, "storageNamespace": "b"}},
        specPatch={"storageNamespace": "c"},
    )
    assert (made["maxHistory"], made["suspend"], made["storageNamespace"]) == (2, True, "c")


def test_create_namespace_is_set_after_the_module_s_patch_and_before_the_override() -> None:
    patch = {"install": {"createNamespace": False, "replace": True}}
    assert spec((), release(createNamespace=True), spec_patch=patch)["install"] == {
        "createNamespace": True,
        "replace": True,
    }
    override = [{"module": "main", "specPatch": {"install": {"createNamespace": False}}}]
    assert spec((), release(createNamespace=True, moduleOverrides=override))["install"] == {}


def test_create_namespace_replaces_an_install_field_that_is_not_a_map() -> None:
    made = spec((), release(createNamespace=True), spec_patch={"install": "yes"})
    assert made["install"] == {"createNamespace": True}


def test_an_override_applies_its_strategy_then_its_patch_then_its_durations() -> None:
    made = overridden(
        config(onFailureStrategies=STRATEGIES),
        onFailureStrategy="rollback",
        specPatch={"upgrade": {"remediation": {"retries": 9}}, "timeout": "1s", "interval": "1s"},
        timeout="10m",
    )
    assert made["upgrade"] == {"remediation": {"retries": 9}}
    assert (made["timeout"], made["interval"]) == ("10m0s", "1s")


def test_an_override_of_another_module_changes_nothing() -> None:
    assert spec((), release(moduleOverrides=[{"module": "side", "timeout": "1s"}])) == spec()


def test_two_overrides_of_a_module_are_an_error_only_if_the_module_is_enabled() -> None:
    twice = release(moduleOverrides=[{"module": "main"}, {"module": "main"}])
    assert error(one=twice).code == "duplicate-override"
    assert specs(twice, replace(MODULE, enabled=False)) == {}


@pytest.mark.parametrize("patch", [[1, 2], "text", 5, True])
def test_an_override_whose_patch_is_not_a_map_is_an_error(patch: object) -> None:
    found = error(one=release(moduleOverrides=[{"module": "main", "specPatch": patch}]))
    assert found.code == "invalid-type"
    assert found.message.startswith("specPatch of the override of module 'main' must be a map, not a")
    assert position_of(found) == "web.yaml"


def test_a_config_patch_that_is_not_a_map_is_an_error_in_its_config() -> None:
    found = error(config(specPatch=[1]))
    assert (found.message, position_of(found)) == ("specPatch of Config must be a map, not a list", "conf.yaml")


def test_patches_can_replace_values_and_their_nulls_are_written() -> None:
    made = overridden(config(specPatch={"values": {"a": None}}), specPatch={"values": {"b": {"c": None}}})
    assert made["values"] == {"a": None, "b": {"c": None}}


def test_a_patch_can_rename_the_helm_release() -> None:
    assert overridden(specPatch={"releaseName": "other"})["releaseName"] == "other"


def test_an_unknown_field_is_an_error_in_the_layer_that_sets_it() -> None:
    bad = {"install": {"remediation": {"retires": 1}}}
    in_release = error(one=release(moduleOverrides=[{"module": "main", "specPatch": bad}]))
    assert in_release.message == "HelmRelease 'web-main': spec.install.remediation.retires is not a known field"
    assert (position_of(in_release), in_release.hint) == ("web.yaml", "did you mean 'retries'?")
    in_config = error(config(specPatch=bad))
    assert in_config.message == "specPatch of Config: install.remediation.retires is not a known field"
    assert position_of(in_config) == "conf.yaml"
    in_package = error(spec_patch=bad)
    assert in_package.message.startswith("package web:1.0.0, module 'main', specPatch: install.remediation.retires")
    assert position_of(in_package).startswith("oci://")
    configs = config(onFailureStrategies=[{"name": "s", "strategy": bad}], defaultOnFailureStrategy="s")
    in_strategy = error(configs)
    assert in_strategy.message.startswith("the failure strategy 's': install.remediation.retires")
    assert in_strategy.position is not None
    assert in_strategy.position.line == 13


def test_a_release_name_over_53_characters_is_an_error_at_the_releases_name() -> None:
    long = release("x" * 49)
    with pytest.raises(ProblemsError) as found:
        specs(long, MODULE)
    (only,) = found.value.problems
    assert "spec.releaseName must have at most 53 characters, not 54" in only.message
    assert only.hint is not None
    assert "'releaseName'" in only.hint
    assert only.position is not None
    assert only.position.line == 5


def test_a_target_namespace_that_is_too_long_is_an_error_in_the_package() -> None:
    found = error(target_namespace="x" * 64)
    assert found.code == "invalid-value"
    assert position_of(found).endswith("original.yaml")


def test_every_module_with_an_error_is_reported() -> None:
    with pytest.raises(ProblemsError) as found:
        specs(release(), replace(MODULE, on_failure_strategy="x"), replace(MODULE, name="side", spec_patch={"y": 1}))
    assert [one.code for one in found.value.problems] == ["undefined-strategy", "unknown-field"]


def test_a_module_without_a_chart_in_the_package_is_an_error() -> None:
    with pytest.raises(ProblemsError) as found:
        specs(release(), replace(MODULE, name="other"))
    assert found.value.problems[0].code == "bad-package"


def test_a_field_that_the_version_of_flux_lacks_is_reported_at_the_layer_that_sets_it() -> None:
    configs = [config(onFailureStrategies=STRATEGIES, defaultOnFailureStrategy="retry")]
    (found,) = too_new("2.6", *configs)
    assert (found.code, found.position) == (
        "flux-version",
        configs[0].position("spec", "onFailureStrategies", 1, "strategy", "install", "strategy"),
    )
    assert found.message.startswith("the failure strategy 'retry': install.strategy needs Flux 2.7")
    patched = release(moduleOverrides=[{"module": "main", "specPatch": {"commonMetadata": {"labels": {"a": "b"}}}}])
    (found,) = too_new("2.6", one=patched)
    assert found.position == patched.position("spec", "moduleOverrides", 0, "specPatch", "commonMetadata")


def test_what_every_version_of_flux_accepts_is_accepted_for_each() -> None:
    configs = [config(onFailureStrategies=STRATEGIES, defaultOnFailureStrategy="rollback")]
    rendered = RenderedPackage({}, (), (), "", (MODULE,))
    settings = combine_configs(configs, "kubocd")
    first, *others = [
        helm_release_specs(release(), PACKAGE, rendered, settings, configs, "5m0s", flux) for flux in FLUX_VERSIONS
    ]
    assert others == [first] * 3
