"""Read the rendered templates of a package back as values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.compiler.values import parse_map, parse_rendered, rendered_hint, strip_empty
from kubocd_gen.diagnostics.problems import MOST, Problem, ProblemsError, nearest
from kubocd_gen.diagnostics.wording import quoted
from kubocd_gen.kube_yaml.scalars import number_text
from kubocd_gen.model.compilation import RenderedModule, RenderedPackage
from kubocd_gen.model.package import Module, Package, TemplateSource
from kubocd_gen.schema.durations import DurationError, normal_duration

_TRUE = ("1", "t", "T", "TRUE", "true", "True")  # Go's strconv.ParseBool
_FALSE = ("0", "f", "F", "FALSE", "false", "False")


def read_rendered(
    package: Package, texts: Mapping[tuple[str | int, ...], str], budget: Budget | None = None
) -> RenderedPackage:
    """Parse the rendered `texts`, by the paths of their templates in the manifest, and return the package's values.

    Disabled modules are read too. A template without a text failed to render and is skipped. Raises ProblemsError with
    all texts that cannot be parsed, and BudgetExceededError.
    """
    errors: list[Problem] = []
    names = partial(_names, budget=budget)

    def read(label: str, template: TemplateSource, parse: Callable[[str, str], Any], default: Any) -> Any:
        if template.path not in texts:
            return default
        try:
            return parse(texts[template.path], f"package {package.label}, {label}")
        except BudgetExceededError:
            raise
        except ProblemsError as error:
            if package.template_header and not package.is_written(template):
                errors.append(_printing_header(package))
            else:
                position = package.template_position(template, None)
                errors.append(replace(error.problem, position=position))
            return default

    def module(item: Module) -> RenderedModule:
        fields: dict[str, tuple[str, Callable[[str, str], Any], Any]] = {
            "values": ("values", partial(_map, budget=budget), {}),
            "specPatch": ("spec_patch", partial(_map, budget=budget), {}),
            "timeout": ("timeout", _duration, None),
            "interval": ("interval", _duration, None),
            "targetNamespace": ("target_namespace", _trimmed, ""),
            "enabled": ("enabled", _boolean, True),
            "dependsOn": ("depends_on", names, ()),
            "onFailureStrategy": ("on_failure_strategy", _trimmed, ""),
        }
        found = {}
        for field, template in item.templates():
            attribute, parse, default = fields[field]
            found[attribute] = read(f"module '{item.name}', {field}", template, parse, default)
        return RenderedModule(item.name, **found)

    rendered = RenderedPackage(
        usage={key: texts.get(template.path, "") for key, template in package.usage.items()},
        roles=read("roles", package.roles, names, ()),
        dependencies=read("dependencies", package.dependencies, names, ()),
        description=texts.get(package.description.path, ""),
        modules=tuple(module(item) for item in package.modules),
    )
    errors += _unknown_modules(package, rendered)
    if errors:
        raise ProblemsError(*errors)
    return rendered


def _printing_header(package: Package) -> Problem:
    """Return the problem of a default template that cannot be parsed: only `templateHeader` can be the cause."""
    return Problem(
        "bad-rendering",
        f"package {package.label}, templateHeader prints text before every template, including the default ones",
        position=package.position("templateHeader"),
        hint="keep only definitions in it, and trim whitespace with '{{-' and '-}}'",
    )


def _unknown_modules(package: Package, rendered: RenderedPackage) -> list[Problem]:
    known = dict.fromkeys(module.name for module in package.modules)
    unknown = (
        Problem(
            "unknown-module",
            f"package {package.label}, module '{module.name}' depends on the unknown module '{name}'",
            position=package.position(*source.depends_on.path),
            hint=nearest("did you mean '{}'?", name, known) or f"modules of the package: {', '.join(known)}",
        )
        for module, source in zip(rendered.modules, package.modules, strict=True)
        for name in module.depends_on
        if name not in known
    )
    return list(islice(unknown, MOST))


def _map(text: str, what: str, budget: Budget | None) -> Mapping[str, Any]:
    return strip_empty(parse_map(text, what, budget))


def _trimmed(text: str, _what: str) -> str:
    return text.strip()


def _duration(text: str, what: str) -> str | None:
    trimmed = text.strip()
    if not trimmed:
        return None
    try:
        return normal_duration(trimmed)
    except DurationError as error:
        raise ProblemsError.of("invalid-duration", f"{what} {error}", hint=error.hint) from error


def _boolean(text: str, what: str) -> bool:
    trimmed = text.strip()
    if trimmed not in _TRUE + _FALSE:
        raise ProblemsError.of(
            "bad-rendering",
            f"{what} must render to true or false, but renders to {quoted(trimmed) if trimmed else 'nothing'}",
            hint=f"use one of {', '.join(_TRUE + _FALSE)}",
        )
    return trimmed in _TRUE


def _names(text: str, what: str, budget: Budget | None) -> tuple[str, ...]:
    """Parse a list of names. Like in any field of Go type string, a number or boolean becomes a string and null ""."""
    value = parse_rendered(text, what, exact_integers=True, budget=budget)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ProblemsError.of("bad-rendering", f"{what} must render to a list of names", hint=rendered_hint(text))
    names = []
    for item in value:
        if isinstance(item, (dict, list)):
            raise ProblemsError.of(
                "bad-rendering",
                f"{what} must render to a list of names, but an item is a map or a list",
                hint=rendered_hint(text),
            )
        if isinstance(item, bool):
            names.append("true" if item else "false")
        else:
            names.append("" if item is None else item if isinstance(item, str) else number_text(item))
    return tuple(names)
