"""Validate, default and normalize resources as the API server and KuboCD's webhook do, and return them as records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.diagnostics.wording import dotted, quoted
from kubocd_gen.kube_yaml.reprinting import UnreadableError, reprinted, reread
from kubocd_gen.model.resources import KUBOCD_GROUP, Config, Context, ContextRef, ModuleOverride, Release, Resource
from kubocd_gen.package_data import schema
from kubocd_gen.schema.durations import DurationError, normal_duration
from kubocd_gen.schema.names import LABEL, LABEL_HINT, is_label
from kubocd_gen.schema.structural import admit

API_VERSION = f"{KUBOCD_GROUP}/v1alpha1"
_STATUS: dict[str, Any] = {  # the status of a new Release, as Go's encoding/json prints it
    "dependencies": None,
    "missingDependency": "",
    "phase": "",
    "printProtected": "",
    "protected": False,
    "readyReleases": "",
    "roles": None,
}


def admit_release(resource: Resource, default_namespace: str) -> Release:
    """Return the Release in `resource`. Raises ProblemsError with all reasons for which the cluster would refuse it."""
    namespace = resource.namespace or default_namespace
    spec, errors = _admit_spec(resource)
    package = _mapping(spec.get("package"))
    overrides = _maps(spec.get("moduleOverrides"))
    malformed = _normalize_durations(resource, package, ("spec", "package"), ("interval", "timeout"))
    for index, override in overrides:
        path = ("spec", "moduleOverrides", index)
        malformed += _normalize_durations(resource, override, path, ("interval", "timeout"))
    # Some durations also have a pattern in the CRD. Report an invalid duration only once.
    reported = {error.position for error in malformed}
    errors = [error for error in errors if error.code != "invalid-value" or error.position not in reported] + malformed
    target_namespace = spec.get("targetNamespace") or namespace
    if target_namespace != namespace and isinstance(target_namespace, str) and not is_label(target_namespace):
        # The API server stores any string, but no namespace can have this name.
        message = f"spec.targetNamespace must be {LABEL}, not {quoted(target_namespace)}"
        errors.append(Problem("invalid-value", message, resource.position("spec", "targetNamespace"), LABEL_HINT))
    if errors:
        raise ProblemsError(*errors)
    contexts = tuple(_reference(item, namespace) for item in spec.get("contexts") or ())
    try:
        model = reprinted(_release_model(resource, namespace, spec, contexts, target_namespace), strict=False)
    except UnreadableError as error:
        raise _unreadable(resource, error.path, error) from error
    return Release(
        resource=resource,
        namespace=namespace,
        name=resource.name,
        description=spec.get("description") or "",
        package=package,
        contexts=contexts,
        parameters=spec.get("parameters"),
        overrides=tuple(_override(item) for _, item in overrides),
        roles=tuple(spec.get("roles") or ()),
        dependencies=tuple(spec.get("dependencies") or ()),
        target_namespace=target_namespace,
        create_namespace=bool(spec.get("createNamespace")),
        skip_default_context=bool(spec.get("skipDefaultContext")),
        suspended=bool(spec.get("suspended")),
        protected=spec.get("protected"),
        model=model,
    )


def admit_context(resource: Resource, default_namespace: str) -> Context:
    """Return the Context in `resource`. Raises ProblemsError with all reasons for which the cluster would refuse it."""
    namespace = resource.namespace or default_namespace
    spec, errors = _admit_spec(resource)
    if errors:
        raise ProblemsError(*errors)
    parents = tuple(_reference(item, namespace) for item in spec.get("parents") or ())
    try:
        context = reread(spec.get("context"))
    except UnreadableError as error:
        raise _unreadable(resource, ("spec", "context", *error.path), error) from error
    return Context(resource, ContextRef(namespace, resource.name), parents, context)


def _unreadable(resource: Resource, path: tuple[str | int, ...], error: UnreadableError) -> ProblemsError:
    return ProblemsError.of("invalid-value", f"{dotted(path)} {error}", resource.position(*path), error.hint)


def admit_config(resource: Resource) -> Config:
    """Return the Config in `resource`. Raises ProblemsError with everything that makes it invalid."""
    spec, errors = _admit_spec(resource)
    names = ("defaultHelmTimeout", "defaultHelmInterval", "defaultPackageInterval")
    errors += _normalize_durations(resource, spec, ("spec",), names)
    for index, redirect in _maps(spec.get("packageRedirects")):
        path = ("spec", "packageRedirects", index)
        errors += _normalize_durations(resource, redirect, path, ("interval", "timeout"))
    if errors:
        raise ProblemsError(*errors)
    return Config(resource, resource.name, spec)


def _admit_spec(resource: Resource) -> tuple[dict[str, Any], list[Problem]]:
    """Return the `spec` as the API server would store it, and all reasons for which it would refuse the resource."""
    errors: list[Problem] = [fault.error.problem for fault in resource.faults]
    if resource.api_version != API_VERSION:
        given = quoted(resource.api_version) if resource.api_version else "an empty or missing string"
        message = f"{given} is not a supported apiVersion of {resource.kind}"
        hint = f"use 'apiVersion: {API_VERSION}'"
        return {}, [*errors, Problem("unknown-version", message, resource.position("apiVersion"), hint)]
    value, violations = admit(resource.value, _schema(resource.kind))
    errors += [one.problem(f"{dotted(one.path)} {one.message}", resource.position(*one.path)) for one in violations]
    # The CRDs do not require these fields; the API server and the controller do.
    misspelled = {one.hint for one in violations if len(one.path) == 1}
    for field, (required, hint) in _REQUIRED.items():
        if field in value or f"did you mean '{field}'?" in misspelled:
            continue
        if field == "metadata" or resource.kind == "Release":
            errors.append(Problem("missing-field", f"{required} is required", resource.position(), hint))
    return _mapping(value.get("spec")), errors


_REQUIRED = {
    "metadata": ("metadata.name", "set it to a string"),
    "spec": ("spec.package", "set it to a map with 'repository' and 'tag'"),
}


@lru_cache(maxsize=8)
def _schema(kind: str) -> Mapping[str, Any]:
    loaded: Mapping[str, Any] = schema(f"kubocd/{kind.lower()}-v1alpha1")["schema"]
    return loaded


def _normalize_durations(
    resource: Resource, mapping: dict[str, Any], path: Sequence[str | int], names: Sequence[str]
) -> list[Problem]:
    """Rewrite the durations of `mapping` in Go's canonical form, and return a problem for each invalid one."""
    errors = []
    for name in names:
        duration = mapping.get(name)
        if isinstance(duration, str):
            try:
                mapping[name] = normal_duration(duration)
            except DurationError as error:
                message = f"{dotted((*path, name))} {error}"
                errors.append(Problem("invalid-duration", message, resource.position(*path, name), error.hint))
    return errors


def _maps(value: Any) -> list[tuple[int, dict[str, Any]]]:
    """Return the maps in a list of maps with their index. Items of other types were reported by the schema check."""
    items = value if isinstance(value, list) else []
    return [(index, item) for index, item in enumerate(items) if isinstance(item, dict)]


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _reference(item: Mapping[str, Any], namespace: str) -> ContextRef:
    return ContextRef(item.get("namespace") or namespace, item["name"])


def _override(item: Mapping[str, Any]) -> ModuleOverride:
    return ModuleOverride(
        module=item["module"],
        spec_patch=item.get("specPatch"),
        on_failure_strategy=item.get("onFailureStrategy") or "",
        timeout=item.get("timeout"),
        interval=item.get("interval"),
    )


def _release_model(
    resource: Resource,
    namespace: str,
    spec: Mapping[str, Any],
    contexts: Sequence[ContextRef],
    target_namespace: str,
) -> dict[str, Any]:
    """Return the Release as Go's `encoding/json` prints it after KuboCD's grooming.

    Empty optional fields are omitted; `debug` and `createNamespace` are always present.
    """
    pointers = ("parameters", "protected")  # of which Go omits only nil as empty
    model = {key: value for key, value in spec.items() if (value is not None if key in pointers else value)}
    model["package"] = _package_model(_mapping(spec.get("package")))
    model["targetNamespace"] = target_namespace
    model["createNamespace"] = bool(spec.get("createNamespace"))
    model["debug"] = {key: value for key, value in _mapping(spec.get("debug")).items() if value}
    if contexts:
        model["contexts"] = [{"name": ref.name, "namespace": ref.namespace} for ref in contexts]
    metadata = {**resource.metadata, "name": resource.name, "namespace": namespace, "creationTimestamp": None}
    return {
        "apiVersion": API_VERSION,
        "kind": "Release",
        "metadata": metadata,
        "spec": model,
        "status": dict(_STATUS),
    }


def _package_model(package: Mapping[str, Any]) -> dict[str, Any]:
    model = {key: value for key, value in package.items() if value or key == "interval"}
    if package.get("ignore") is not None:  # a pointer in Go
        model["ignore"] = package["ignore"]
    if "verify" in model:
        model["verify"] = {key: value for key, value in model["verify"].items() if value != []}
    return model
