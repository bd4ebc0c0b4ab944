"""Read the rendered templates of a package back as values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.compiler.values import invalid_utf8, parse_map, parse_rendered, rendered_hint, strip_empty
from kubocd_gen.diagnostics.problems import MOST, Problem, ProblemsError, nearest
from kubocd_gen.diagnostics.wording import quoted
from kubocd_gen.kube_yaml.scalars import number_text
from kubocd_gen.model.compilation import RenderedModule, RenderedPackage
from kubocd_gen.model.package import Module, Package, TemplateSource
from kubocd_gen.schema.durations import DurationError, normal_duration
from kubocd_gen.schema.go_strings import has_invalid_utf8, trim_space, valid_utf8

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
            what = f"package {package.label}, {label}"
            return parse(_utf8(texts[template.path], what), what)
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
            "timeout": ("timeout", partial(_duration, given=bool(item.timeout.text)), None),
            "interval": ("interval", partial(_duration, given=bool(item.interval.text)), None),
            "targetNamespace": ("target_namespace", _trimmed, ""),
            "enabled": ("enabled", _boolean, True),
            "dependsOn": ("depends_on", names, ()),
            "onFailureStrategy": ("on_failure_strategy", _trimmed, ""),
        }
        found = {}
        for field, template in item.templates():
            attribute, parse, default = fields[field]
            found[attribute] = read(f"module '{item.name}', {field}", template, parse, default)
        return RenderedModule(item.name, **found, create_namespace=_created_namespace(package, item, texts, errors))

    rendered = RenderedPackage(
        usage={key: valid_utf8(texts.get(template.path, "")) for key, template in package.usage.items()},
        roles=read("roles", package.roles, names, ()),
        dependencies=read("dependencies", package.dependencies, names, ()),
        description=valid_utf8(texts.get(package.description.path, "")),
        modules=tuple(module(item) for item in package.modules),
    )
    errors += _unknown_modules(package, rendered)
    if errors:
        raise ProblemsError(*errors)
    return rendered


def create_namespace_of_model(module: Module) -> tuple[str, TemplateSource]:
    """Return label and template of the Release's `createNamespace` as it is in the model.

    KuboCD reads it from the model after it has rendered a module's `dependsOn`, so what templates changed in the model
    counts. The template prints kind and value, and is needed only if a template can change the model.
    """
    text = "{{ $created := .Release.spec.createNamespace }}{{ kindOf $created }} {{ $created }}"
    path = (*module.depends_on.path[:-1], "createNamespace")
    return f"module '{module.name}', createNamespace of the model", TemplateSource(path, text, header=False)


def _created_namespace(
    package: Package, module: Module, texts: Mapping[tuple[str | int, ...], str], errors: list[Problem]
) -> bool | None:
    label, source = create_namespace_of_model(module)
    text = texts.get(source.path)
    if text not in (None, "bool true", "bool false"):
        message = (
            f"package {package.label}, {label}: a template changed '.Release.spec.createNamespace' to a value that "
        )
        hint = "set it to true or false, and do not remove it"
        errors.append(Problem("bad-rendering", f"{message}is not a boolean", package.position(*source.path), hint))
    return None if text is None else text == "bool true"


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


def _utf8(text: str, what: str) -> str:
    """Return `text`, or raise ProblemsError if a template printed a part of a character or binary data."""
    if has_invalid_utf8(text):
        raise ProblemsError(invalid_utf8(text, what))
    return text


def _trimmed(text: str, _what: str) -> str:
    return trim_space(text)


def _duration(text: str, what: str, *, given: bool) -> str | None:
    """Return the duration in `text`, or None if the template is not `given`: it is absent or an empty string.

    A template that renders to nothing is an error, not the default: KuboCD parses the result of every given template.
    """
    trimmed = trim_space(text)
    if not trimmed and not given:
        return None
    if not trimmed:
        raise ProblemsError.of(
            "invalid-duration",
            f"{what} must render to a duration, but renders to nothing",
            hint="print a duration in every case, such as with '{{ else }}5m{{ end }}', or remove the field",
        )
    try:
        return normal_duration(trimmed)
    except DurationError as error:
        raise ProblemsError.of("invalid-duration", f"{what} {error}", hint=error.hint) from error


def _boolean(text: str, what: str) -> bool:
    trimmed = trim_space(text)
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
