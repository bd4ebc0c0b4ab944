"""Combine the Configs of a cluster, global defaults, redirects and failure strategies, and apply the redirects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError, nearest
from kubocd_gen.model.compilation import PackageSourceSpec
from kubocd_gen.model.resources import Config, ContextRef, ImageRedirect, Release


@dataclass(frozen=True, slots=True)
class Settings:
    """The combined Configs of the KuboCD namespace, with KuboCD's defaults. Durations are strings as Go prints them.

    A strategy without a body is None and counts as undefined.
    """

    package_redirects: tuple[Mapping[str, Any], ...] = ()
    image_redirects: tuple[ImageRedirect, ...] = ()
    default_contexts: tuple[ContextRef, ...] = ()
    default_namespace_contexts: tuple[str, ...] = ()
    strategies: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    default_strategy: str = ""
    helm_timeout: str = "2m0s"
    helm_interval: str = "30m0s"
    package_interval: str = "30m0s"
    cluster_roles: frozenset[str] = frozenset()
    spec_patch: Any = None


def combine_configs(configs: Sequence[Config], kubocd_namespace: str) -> Settings:
    """Combine the Configs in the order of their names: lists are concatenated, the last of other values counts.

    `specPatch` is always that of the last Config, None if it has none. Raises ProblemsError for two different default
    strategies and for a default strategy that is not defined.
    """
    ordered = sorted(configs, key=lambda config: config.name)

    def items(name: str) -> list[Any]:
        return [item for config in ordered for item in config.spec.get(name) or ()]

    def last(name: str, default: str) -> str:
        return next((config.spec[name] for config in reversed(ordered) if config.spec.get(name)), default)

    strategies = {item["name"]: item.get("strategy") for item in items("onFailureStrategies")}
    return Settings(
        package_redirects=tuple(items("packageRedirects")),
        image_redirects=tuple(map(_image_redirect, items("imageRedirects"))),
        default_contexts=tuple(
            ContextRef(item.get("namespace") or kubocd_namespace, item["name"]) for item in items("defaultContexts")
        ),
        default_namespace_contexts=tuple(items("defaultNamespaceContexts")),
        strategies=strategies,
        default_strategy=_default_strategy(ordered, strategies),
        helm_timeout=last("defaultHelmTimeout", "2m0s"),
        helm_interval=last("defaultHelmInterval", "30m0s"),
        package_interval=last("defaultPackageInterval", "30m0s"),
        cluster_roles=frozenset(items("clusterRoles")),
        spec_patch=ordered[-1].spec.get("specPatch") if ordered else None,
    )


def default_context_position(configs: Sequence[Config], ref: ContextRef) -> Position:
    """Return the position at which a Config makes the Context a default one. `configs` must not be empty."""
    for config in configs:
        for index, item in enumerate(config.spec.get("defaultContexts") or ()):
            if item["name"] == ref.name and item.get("namespace") in (None, "", ref.namespace):
                return config.position("spec", "defaultContexts", index)
    return configs[0].position("spec")


def strategy_position(configs: Sequence[Config], name: str, path: Sequence[str | int]) -> Position:
    """Return the position of the value at `path` of a defined failure strategy."""
    definitions = [
        (config, index)
        for config in sorted(configs, key=lambda config: config.name)
        for index, item in enumerate(config.spec.get("onFailureStrategies") or ())
        if item["name"] == name
    ]
    config, index = definitions[-1]
    return config.position("spec", "onFailureStrategies", index, "strategy", *path)


def _image_redirect(item: Mapping[str, Any]) -> ImageRedirect:
    secrets = item.get("imagePullSecrets")
    return ImageRedirect(
        old_prefix=item["oldPrefix"],
        new_prefix=item["newPrefix"],
        image_pull_policy=item.get("imagePullPolicy") or "",
        image_pull_secrets=None if secrets is None else tuple(secrets),
    )


def _default_strategy(configs: Sequence[Config], strategies: Mapping[str, Any]) -> str:
    name = ""
    for config in configs:
        own = config.spec.get("defaultOnFailureStrategy") or ""
        if name and own and own != name:
            raise ProblemsError.of(
                "config-conflict",
                f"two Configs set different default failure strategies, '{name}' and '{own}'",
                position=config.position("spec", "defaultOnFailureStrategy"),
                hint="set 'defaultOnFailureStrategy' in only one of them",
            )
        name = own or name
        if own and strategies.get(own) is None:
            position = config.position("spec", "defaultOnFailureStrategy")
            raise ProblemsError(undefined_strategy(own, strategies, position))
    return name


def undefined_strategy(name: str, strategies: Mapping[str, Any], position: Position) -> Problem:
    """Return the problem of a reference at `position` to a strategy that is not defined or has no body."""
    known = [known for known, body in strategies.items() if body is not None]
    if name in strategies:
        hint = f"add 'strategy' to '{name}', 'strategy: {{}}' for an empty one"
    else:
        others = f"defined strategies: {', '.join(known)}" if known else None
        hint = nearest("did you mean '{}'?", name, known) or others or "define it in 'onFailureStrategies' of a Config"
    return Problem("undefined-strategy", f"the failure strategy '{name}' is not defined", position=position, hint=hint)


def split_image(image: str) -> tuple[str, str]:
    """Return the repository and tag of an image name, by KuboCD's rule: only the colons and slashes count.

    Raises ValueError for a name that KuboCD rejects.

    >>> split_image("localhost:5000/x:1"), split_image("quay.io/a/b")
    (('localhost:5000/x', '1'), ('quay.io/a/b', 'latest'))
    """
    parts = image.removeprefix("oci://").split(":")
    if len(parts) == 1:
        return parts[0], "latest"
    if len(parts) == 2 and "/" in parts[0]:
        return parts[0], parts[1]
    if len(parts) == 2 and "/" in parts[1]:
        return f"{parts[0]}:{parts[1]}", "latest"
    if len(parts) == 3:
        return f"{parts[0]}:{parts[1]}", parts[2]
    raise ValueError(f"'{image}' is not a valid image name")


def package_source(release: Release, settings: Settings) -> PackageSourceSpec:
    """Return the package source of a Release after the redirects of the Configs.

    The first redirect whose `oldPrefix` matches replaces all fields of the Release's `package`. Raises ProblemsError if
    KuboCD cannot pull the resulting image name.
    """
    image = release.image
    fields: Mapping[str, Any] = release.package
    for redirect in settings.package_redirects:
        if image.startswith(redirect["oldPrefix"]):
            if redirect["newPrefix"]:
                image = redirect["newPrefix"] + image.removeprefix(redirect["oldPrefix"])
            fields = redirect
            break
    try:
        repository, tag = split_image(image)
    except ValueError as error:
        redirected = f"a package redirect turns '{release.image}' into '{image}', which is not a valid image name"
        raise ProblemsError.of(
            "bad-reference",
            str(error) if image == release.image else redirected,
            position=release.position("spec", "package", "repository"),
            hint="use 'REGISTRY/REPOSITORY' and a tag",
        ) from error
    return PackageSourceSpec(repository, tag, fields)


def with_package_interval(release: Release, settings: Settings) -> Release:
    """Return the Release with the default of the Configs as the interval of its package if that is `0s`.

    KuboCD sets it before it renders templates, so their `.Release` has it, too.
    """
    if release.package.get("interval", "0s") != "0s":
        return release
    interval = {"interval": settings.package_interval}
    spec = release.model["spec"]
    model = {**release.model, "spec": {**spec, "package": {**spec["package"], **interval}}}
    return replace(release, package={**release.package, **interval}, model=model)
