"""The schemas in a package's manifest, `schema.parameters` and `schema.context`, as KuboCD reads and applies them.

A schema with a `$schema` key is JSON Schema and used as it is; any other is KuboCD's short form. Rules: KuboCD's user
guide («package schemas») and gojsonschema v1.2, the library it validates with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from kubocd_gen.budget.spending import Budget
from kubocd_gen.diagnostics.problems import nearest
from kubocd_gen.diagnostics.wording import HINTED, TYPE_WORDS, described, dotted, known_names, quoted
from kubocd_gen.schema.json_schema import CompiledSchema, compile_schema
from kubocd_gen.schema.json_validation import TooMuchWorkError, errors_of, plainly_valid, predicate
from kubocd_gen.schema.short_form import DEEPEST, INVALID, translate
from kubocd_gen.schema.structural import TooManyViolationsError, Violation, Violations

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

Role = Literal["parameters", "context"]


class PackageSchemaError(Exception):
    """A schema that KuboCD would not package or load, with all its violations.

    The caller makes problems of them: it knows which schema this is, and where it is written. A violation's `path`
    leads into the schema; that of a missing part, to the place where it is missing.
    """

    def __init__(self, violations: Iterable[Violation]) -> None:
        self.violations = tuple(violations)
        super().__init__("; ".join(map(sentence, self.violations)))


def sentence(violation: Violation) -> str:
    """Return what is wrong with a schema as a sentence: its subject is the path into the schema."""
    return f"{dotted(violation.path) or 'the schema'} {violation.message}"


@dataclass(frozen=True, slots=True)
class PackageSchema:
    """A schema that is in order, and what it gives where a user says nothing."""

    role: Role
    schema: Mapping[str, Any]  # JSON Schema; the translation where the manifest has the short form
    defaults: dict[str, Any]
    compiled: CompiledSchema = field(repr=False, compare=False)


def load_schema(raw: Any, *, role: Role, budget: Budget | None = None) -> PackageSchema | None:
    """The schema of a manifest's `schema.<role>`, absent being None.

    None where there is nothing to check: a context without schema. Parameters without schema accept no parameter.
    Raises PackageSchemaError with what is wrong with the schema, and BudgetExceededError.
    """
    problems = Violations()
    spend = (budget or Budget()).meter("schema-steps")
    if raw is None or raw == {}:
        if role == "context":
            return None
        raw = {"properties": {}}
    if not isinstance(raw, dict):
        problems.append(Violation((), f"must be a map, not {described(raw)}", INVALID))
        raise PackageSchemaError(problems)
    try:
        schema = raw if "$schema" in raw else translate(raw, open_maps=role == "context", problems=problems)
        if not problems:
            compiled = compile_schema(schema, problems, spend)
        if not problems:
            defaults = _defaults(schema, (), problems)
            if defaults is not None and not isinstance(defaults, dict):
                problems.append(Violation((), f"must have a map as its default, not {described(defaults)}", INVALID))
        spend.settle()
    except TooManyViolationsError:
        pass
    except RecursionError:
        problems = Violations([Violation((), f"is nested deeper than {DEEPEST} levels", INVALID)])
    if problems:
        raise PackageSchemaError(problems)
    return PackageSchema(role, schema, defaults or {}, compiled)


def validate(schema: PackageSchema, value: Mapping[str, Any], budget: Budget | None = None) -> list[Violation]:
    """That for which KuboCD would refuse the merged parameters or context, up to MOST; none where it takes them.

    Paths lead into `value`; that of a missing value ends with its name. Messages are whole sentences. Codes:
    `unknown-parameter`, `missing-parameter`, `invalid-parameter`; of a context `missing-context-value` and
    `invalid-context`. Steps are spent from `budget`. Raises BudgetExceededError.
    """
    spend = (budget or Budget()).meter("schema-steps")
    try:
        if plainly_valid(schema.compiled.schema, value, spend):
            spend.settle()
            return []
        errors = errors_of(schema.compiled, value, spend)
        spend.settle()
        found = (_violation(schema.role, error, hinted=i < HINTED) for i, error in enumerate(errors))
        return list(dict.fromkeys(found))  # two branches of a schema may say the same
    except RecursionError:
        problem = "are nested too deeply for their schema" if schema.role == "parameters" else "is nested too deeply"
    except TooMuchWorkError:
        problem = "cannot be checked: the schema's references lead to too many others"
    return [Violation((), f"the {schema.role} {problem}", _code(schema.role, None))]


def _defaults(node: Mapping[str, Any], path: tuple[str, ...], problems: list[Violation]) -> Any:
    """What a schema gives where nothing is said, None for nothing.

    An array gives the empty list whatever its default, and an object with `properties` what those give.
    """
    if "properties" not in node:
        return [] if node.get("type") == "array" else node.get("default")
    found = {}
    for name, child in node["properties"].items():
        place = (*path, "properties", name)
        if not isinstance(child, dict):
            problems.append(Violation(place, f"must be a schema (a map), not {described(child)}", INVALID))
        elif (default := _defaults(child, place, problems)) is not None:
            found[name] = default
    return found or None


def _violation(role: Role, error: ValidationError, *, hinted: bool) -> Violation:
    path = tuple(error.absolute_path)
    message, hint = predicate(error)
    noun = "parameter" if role == "parameters" else "context value"
    subject = f"{noun} '{dotted(path)}'" if path else f"the {role}"
    if error.validator == "additionalProperties" and isinstance(error.schema, dict):
        known = error.schema.get("properties", {})
        close = nearest("did you mean '{}'?", str(error.path[-1]), known) if hinted else None
        hint = close or known_names(f"the {noun}s here are", known, str(error.path[-1]) if hinted else "")
    return Violation(path, f"{subject} {message}", _code(role, error.validator), hint or _advice(error))


def _advice(error: ValidationError) -> str | None:
    """What the author of the schema says of the place: its description when it is missing, else its default."""
    if not isinstance(error.schema, dict):
        return None
    if error.validator == "required":
        missing = error.schema.get("properties", {}).get(error.path[-1], {})
        lines = str(missing.get("description", "")).strip().splitlines()
        if lines:
            return f"it is described as {quoted(lines[0])}"
        types = missing.get("type", ())
        return f"it is {TYPE_WORDS[types[0]]}" if len(types) == 1 else None
    default = error.schema.get("default")
    if default is None:
        return None
    if default == error.instance:
        return "this is the package's own default; give another value"
    return f"its default is {quoted(default)}"


def _code(role: Role, keyword: Any) -> str:
    if role == "context":
        return "missing-context-value" if keyword == "required" else "invalid-context"
    return {"additionalProperties": "unknown-parameter", "required": "missing-parameter"}.get(
        str(keyword), "invalid-parameter"
    )
