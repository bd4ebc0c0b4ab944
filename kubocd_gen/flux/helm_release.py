"""One HelmRelease for each enabled module of a Release, layer upon layer as KuboCD lays them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubocd_gen.compiler.merge import merge
from kubocd_gen.compiler.rendered import RenderedModule, RenderedPackage
from kubocd_gen.compiler.settings import Settings, undefined_strategy
from kubocd_gen.compiler.structural import Violation
from kubocd_gen.compiler.wording import dotted
from kubocd_gen.diagnostics import KcdError, KcdErrors, Position
from kubocd_gen.flux.typed import typed_spec
from kubocd_gen.packages.manifest import Package, missing_chart
from kubocd_gen.sources.records import Config, ModuleOverride, Release

_NO_SUFFIX = "noname"


@dataclass(frozen=True, slots=True)
class Layer:
    """A tree that is merged onto the spec, and where its values were written, for messages."""

    tree: Mapping[str, Any]
    position: Callable[[tuple[str | int, ...]], Position]


def helm_release_name(release: Release, module: str) -> str:
    """`<release>-<module>`; the Release's own name for the module named `noname`."""
    return release.name if module == _NO_SUFFIX else f"{release.name}-{module}"


def helm_release_specs(
    release: Release,
    package: Package,
    rendered: RenderedPackage,
    settings: Settings,
    configs: Sequence[Config],
    interval: str,
) -> list[tuple[str, dict[str, Any]]]:
    """Name and spec of the HelmRelease of each enabled module, in the package's order.

    `interval` is that of the package. Raises KcdErrors with everything that makes one invalid, at the layer that
    brought it in.
    """
    found: list[tuple[str, dict[str, Any]]] = []
    errors: list[KcdError] = []
    for index, module in enumerate(rendered.modules):
        if not module.enabled:
            continue
        name = helm_release_name(release, module.name)
        try:
            layers = _layers(release, package, module, index, settings, configs, interval)
            found.append((name, _checked(release, name, layers)))
        except KcdErrors as several:
            errors += several.errors
        except KcdError as error:
            errors.append(error)
    if errors:
        raise KcdErrors(errors)
    return found


def _layers(
    release: Release,
    package: Package,
    module: RenderedModule,
    index: int,
    settings: Settings,
    configs: Sequence[Config],
    interval: str,
) -> list[Layer | Callable[[dict[str, Any]], dict[str, Any]]]:
    """The layers of a module's spec, lowest first; between them, what clears the way for a failure strategy."""

    def in_release(*prefix: str | int) -> Callable[[tuple[str | int, ...]], Position]:
        return lambda path: release.position(*prefix, *path)

    def in_package(path: tuple[str | int, ...]) -> Position:
        return package.position("modules", index, *path)

    def in_config(path: tuple[str | int, ...]) -> Position:
        return configs[-1].position(*path) if configs else release.position()

    layers: list[Layer | Callable[[dict[str, Any]], dict[str, Any]]] = [
        Layer(_base(release, package, module, settings, interval), in_package)
    ]
    if settings.default_strategy:
        layers.append(Layer(settings.strategies[settings.default_strategy] or {}, in_config))
    at_module = package.position("modules", index, "onFailureStrategy")
    layers += _strategy(module.on_failure_strategy, settings, at_module)
    if settings.spec_patch is not None:
        patch = _map(settings.spec_patch, "specPatch of Config", in_config(("spec", "specPatch")))
        layers.append(Layer(patch, lambda path: in_config(("spec", "specPatch", *path))))
    patch = module.spec_patch
    if release.create_namespace:
        install = patch.get("install")
        patch = {**patch, "install": {**(install if isinstance(install, Mapping) else {}), "createNamespace": True}}
    layers.append(Layer(patch, lambda path: in_package(("specPatch", *path))))
    override = _override(release, module.name)
    if override is not None:
        at, item = override
        prefix = ("spec", "moduleOverrides", at)
        strategy_at = release.position(*prefix, "onFailureStrategy")
        layers += _strategy(item.on_failure_strategy, settings, strategy_at)
        if item.spec_patch is not None:
            where = f"specPatch of the override of module '{module.name}'"
            patch = _map(item.spec_patch, where, release.position(*prefix, "specPatch"))
            layers.append(Layer(patch, in_release(*prefix, "specPatch")))
        durations = {"timeout": item.timeout, "interval": item.interval}
        layers.append(Layer({key: text for key, text in durations.items() if text is not None}, in_release(*prefix)))
    return layers


def _base(
    release: Release, package: Package, module: RenderedModule, settings: Settings, interval: str
) -> dict[str, Any]:
    chart = package.charts.get(module.name)
    if chart is None:
        raise missing_chart(package, module.name)
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


def _strategy(
    name: str, settings: Settings, position: Position
) -> list[Layer | Callable[[dict[str, Any]], dict[str, Any]]]:
    if not name:
        return []
    body = settings.strategies.get(name)
    if body is None:
        raise undefined_strategy(name, settings.strategies, KcdError("", code="", position=position))
    strategy = _map(body, f"the failure strategy '{name}'", position)
    return [_without_strategy, Layer(strategy, lambda _path: position)]


def _without_strategy(spec: dict[str, Any]) -> dict[str, Any]:
    """The spec without the strategy that is about to be replaced: `install` and `upgrade` themselves stay."""
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
        raise KcdError(
            f"two overrides of module '{module}'",
            code="duplicate-override",
            position=release.position("spec", "moduleOverrides", found[1][0]),
            hint="merge them into one",
        )
    return found[0] if found else None


def _map(value: Any, what: str, position: Position) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise KcdError(f"{what} must be a map", code="invalid-type", position=position)
    return value


def _checked(
    release: Release, name: str, layers: Sequence[Layer | Callable[[dict[str, Any]], dict[str, Any]]]
) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    for layer in layers:
        spec = merge(spec, layer.tree) if isinstance(layer, Layer) else layer(spec)
    typed, violations = typed_spec("helmrelease-v2", spec)
    if violations:
        raise KcdErrors(_located(release, name, violation, layers) for violation in violations)
    return typed


def _located(
    release: Release,
    name: str,
    violation: Violation,
    layers: Sequence[Layer | Callable[[dict[str, Any]], dict[str, Any]]],
) -> KcdError:
    """The violation as an error at the uppermost layer that holds the value; for a name, at the Release's own."""
    position = release.position("metadata", "name")
    if violation.path[:1] != ("releaseName",):
        for layer in reversed(layers):
            if isinstance(layer, Layer) and _holds(layer.tree, violation.path):
                position = layer.position(violation.path)
                break
    return KcdError(
        f"HelmRelease '{name}': {dotted(('spec', *violation.path))} {violation.message}",
        code=violation.code,
        position=position,
        hint=violation.hint,
    )


def _holds(tree: Any, path: tuple[str | int, ...]) -> bool:
    for key in path:
        if isinstance(tree, Mapping):
            spelled = next((own for own in tree if own.lower() == str(key).lower()), None)
            if spelled is None:
                return False
            tree = tree[spelled]
        elif isinstance(tree, list) and isinstance(key, int) and key < len(tree):
            tree = tree[key]
        else:
            return False
    return bool(path)
