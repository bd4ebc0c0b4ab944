"""Build the HelmRelease of each enabled module by merging the same layers in the same order as KuboCD."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from kubocd_gen.compiler.flux_objects import typed_spec
from kubocd_gen.compiler.settings import Settings, strategy_position, undefined_strategy
from kubocd_gen.compiler.values import merge
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.diagnostics.wording import described, dotted
from kubocd_gen.model.compilation import RenderedModule, RenderedPackage
from kubocd_gen.model.package import Package
from kubocd_gen.model.resources import Config, ModuleOverride, Release
from kubocd_gen.packages.manifest import missing_chart
from kubocd_gen.schema.flux import spec_violations
from kubocd_gen.schema.flux_versions import KUBOCD_FLUX, FluxVersion
from kubocd_gen.schema.structural import Violation

_CHART = ("chart", "chartref")
_NO_SUFFIX = "noname"


@dataclass(frozen=True, slots=True)
class Layer:
    """A tree that is merged onto the spec, and a function that returns the position of its values for messages.

    `origin` names a tree that many HelmReleases share: its problems then have one message for all of them.
    """

    tree: Mapping[str, Any]
    position: Callable[[tuple[str | int, ...]], Position]
    origin: str | None = None


Step: TypeAlias = Layer | Callable[[dict[str, Any]], dict[str, Any]]


def helm_release_name(release: Release, module: str) -> str:
    """Return `<release>-<module>`, or the Release's own name for the module named `noname`."""
    return release.name if module == _NO_SUFFIX else f"{release.name}-{module}"


def helm_release_specs(
    release: Release,
    package: Package,
    rendered: RenderedPackage,
    settings: Settings,
    configs: Sequence[Config],
    interval: str,
    flux: FluxVersion = KUBOCD_FLUX,
) -> list[tuple[str, dict[str, Any]]]:
    """Return the name and spec of the HelmRelease of each enabled module, in the package's order.

    `interval` is that of the package, and `flux` the oldest version of Flux that must accept the specs. Raises
    ProblemsError with all problems, each with the position of the layer that contains the invalid value.
    """
    found: list[tuple[str, dict[str, Any]]] = []
    errors: list[Problem] = []
    for index, module in enumerate(rendered.modules):
        if not module.enabled:
            continue
        name = helm_release_name(release, module.name)
        try:
            layers = _layers(release, package, module, index, settings, configs, interval)
            found.append((name, _checked(release, name, layers, flux)))
        except ProblemsError as several:
            errors += several.problems
    if errors:
        raise ProblemsError(*errors)
    return found


def _layers(
    release: Release,
    package: Package,
    module: RenderedModule,
    index: int,
    settings: Settings,
    configs: Sequence[Config],
    interval: str,
) -> list[Step]:
    """Return the layers of a module's spec, lowest first, and the steps that remove a replaced failure strategy."""

    def in_release(*prefix: str | int) -> Callable[[tuple[str | int, ...]], Position]:
        return lambda path: release.position(*prefix, *path)

    def in_package(*prefix: str | int) -> Callable[[tuple[str | int, ...]], Position]:
        return lambda path: package.position("modules", index, *prefix, *path)

    def in_base(path: tuple[str | int, ...]) -> Position:
        from_release = path == ("targetNamespace",) and module.target_namespace == release.target_namespace
        return release.position("spec", *path) if from_release else in_package()(path)

    layers: list[Step] = [Layer(_base(release, package, module, settings, interval), in_base)]
    if settings.default_strategy:
        layers.append(_strategy(settings.default_strategy, settings, configs))
    layers += _other_strategy(
        module.on_failure_strategy, settings, configs, partial(in_package("onFailureStrategy"), ())
    )
    if settings.spec_patch is not None:
        in_config = partial(configs[-1].position, "spec", "specPatch")
        patch = _map(settings.spec_patch, "specPatch of Config", in_config)
        layers.append(Layer(patch, lambda path: in_config(*path), "specPatch of Config"))
    patch = module.spec_patch
    if release.create_namespace if module.create_namespace is None else module.create_namespace:
        install = patch.get("install")
        patch = {**patch, "install": {**(install if isinstance(install, Mapping) else {}), "createNamespace": True}}
    origin = f"package {package.label}, module '{module.name}', specPatch"
    layers.append(Layer(patch, in_package("specPatch"), origin))
    override = _override(release, module.name)
    if override is not None:
        at, item = override
        prefix = ("spec", "moduleOverrides", at)
        locate = partial(release.position, *prefix, "onFailureStrategy")
        layers += _other_strategy(item.on_failure_strategy, settings, configs, locate)
        if item.spec_patch is not None:
            what = f"specPatch of the override of module '{module.name}'"
            patch = _map(item.spec_patch, what, partial(release.position, *prefix, "specPatch"))
            layers.append(Layer(patch, in_release(*prefix, "specPatch")))
        durations = {"timeout": item.timeout, "interval": item.interval}
        layers.append(Layer({key: text for key, text in durations.items() if text is not None}, in_release(*prefix)))
    return layers


def _base(
    release: Release, package: Package, module: RenderedModule, settings: Settings, interval: str
) -> dict[str, Any]:
    chart = package.charts.get(module.name)
    if chart is None:
        raise ProblemsError(missing_chart(package, module.name))
    source = {"kind": "HelmRepository", "name": f"kcd-{release.name}", "namespace": release.namespace}
    depends_on = [
        {"name": helm_release_name(release, name), "namespace": release.namespace} for name in module.depends_on
    ]
    return {
        "chart": {"spec": {"chart": chart.name, "version": chart.version, "sourceRef": source, "interval": interval}},
        "releaseName": helm_release_name(release, module.name),
        "targetNamespace": module.target_namespace,
        "interval": module.interval or settings.helm_interval,
        "timeout": module.timeout or settings.helm_timeout,
        "dependsOn": depends_on,
        "values": module.values,
    }


def _strategy(name: str, settings: Settings, configs: Sequence[Config]) -> Layer:
    """Return the layer of a failure strategy that a Config defines."""
    origin = f"the failure strategy '{name}'"
    body = _map(settings.strategies[name], origin, partial(strategy_position, configs, name, ()))
    return Layer(body, partial(strategy_position, configs, name), origin)


def _other_strategy(
    name: str, settings: Settings, configs: Sequence[Config], locate: Callable[[], Position]
) -> list[Step]:
    """Return the steps that replace the failure strategy with `name`; none if `name` is empty.

    `locate` returns the position of the reference to the strategy.
    """
    if not name:
        return []
    if settings.strategies.get(name) is None:
        raise ProblemsError(undefined_strategy(name, settings.strategies, locate()))
    return [_without_strategy, _strategy(name, settings, configs)]


def _without_strategy(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the spec without its failure strategy; the other fields of `install` and `upgrade` stay."""
    cleared = dict(spec)
    for action in ("install", "upgrade"):
        if isinstance(spec.get(action), Mapping):
            cleared[action] = {
                key: item for key, item in spec[action].items() if key not in ("strategy", "remediation")
            }
    return cleared


def _override(release: Release, module: str) -> tuple[int, ModuleOverride] | None:
    found = [(index, item) for index, item in enumerate(release.overrides) if item.module == module]
    if len(found) > 1:
        raise ProblemsError.of(
            "duplicate-override",
            f"module '{module}' has two overrides",
            position=release.position("spec", "moduleOverrides", found[1][0]),
            hint="merge them into one",
        )
    return found[0] if found else None


def _map(value: Any, what: str, locate: Callable[[], Position]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ProblemsError.of("invalid-type", f"{what} must be a map, not {described(value)}", position=locate())
    return value


def _checked(release: Release, name: str, layers: Sequence[Step], flux: FluxVersion) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    for layer in layers:
        spec = merge(spec, layer.tree) if isinstance(layer, Layer) else layer(spec)
    typed, violations = typed_spec("helmrelease-v2", spec)
    if not violations and flux != KUBOCD_FLUX:  # otherwise, the schema is the same
        violations = spec_violations("helmrelease-v2", typed, flux)
    if violations:
        raise ProblemsError(*(_as_problem(release, name, violation, layers) for violation in violations))
    return typed


def _as_problem(release: Release, name: str, violation: Violation, layers: Sequence[Step]) -> Problem:
    """Return the violation as a problem at the topmost layer that contains the value or, if it is missing, its parent.

    A `releaseName` that no patch sets is reported at the name of the Release.
    """
    trees = [layer for layer in reversed(layers) if isinstance(layer, Layer)]
    # A missing field is in no layer: its parent is.
    prefixes = [violation.path[:length] for length in range(len(violation.path), 0, -1)]
    source = next((layer for prefix in prefixes for layer in trees if _holds(layer.tree, prefix)), None)
    if not violation.path:  # the rule about `chart` and `chartRef`; the lowest layer is always valid
        source = next((layer for layer in trees[:-1] if any(key.lower() in _CHART for key in layer.tree)), None)
    if source is None or (violation.path == ("releaseName",) and source is layers[0]):
        position, origin = release.position("metadata", "name"), None
    else:
        position, origin = source.position(violation.path), source.origin
    field = dotted(violation.path) or "the spec" if origin else dotted(("spec", *violation.path))
    subject = origin or f"HelmRelease '{name}'"
    hint = None
    if not violation.path:
        hint = "remove 'chart' and 'chartRef' from the patch; KuboCD sets 'chart' to the chart in the package"
    elif violation.path == ("releaseName",):
        hint = "shorten the name of the Release, or set 'releaseName' in a specPatch"
    return violation.problem(f"{subject}: {field} {violation.message}", position, hint)


def _holds(tree: Any, path: tuple[str | int, ...]) -> bool:
    for key in path:
        if isinstance(tree, Mapping):
            spelled = key if key in tree else next((own for own in tree if own.lower() == str(key).lower()), None)
            if spelled is None:
                return False
            tree = tree[spelled]
        elif isinstance(tree, list) and isinstance(key, int) and key < len(tree):
            tree = tree[key]
        else:
            return False
    return bool(path)
