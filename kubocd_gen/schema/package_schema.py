"""Load and apply the schemas in a package's manifest, `schema.parameters` and `schema.context`, like KuboCD.

A schema with a `$schema` key is JSON Schema; any other is KuboCD's short form. The rules are those of KuboCD's user
guide (chapter "package schemas") and of gojsonschema v1.2, with which KuboCD validates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from kubocd_gen.budget.spending import Budget
from kubocd_gen.diagnostics.problems import nearest
from kubocd_gen.diagnostics.wording import HINTED, TYPE_WORDS, described, dotted, known_names, quoted
from kubocd_gen.schema.json_schema import CompiledSchema, compile_schema
from kubocd_gen.schema.json_validation import TooMuchWorkError, errors_of, predicate
from kubocd_gen.schema.plain_validation import plainly_valid
from kubocd_gen.schema.short_form import DEEPEST, INVALID, translate
from kubocd_gen.schema.structural import TooManyViolationsError, Violation, Violations

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

Role = Literal["parameters", "context"]


class PackageSchemaError(Exception):
    """A schema that KuboCD would reject, with all reasons in `violations`.

    The caller converts them to problems, because it knows which schema this is and its position. The `path` of a
    violation is a path in the schema; that of a missing keyword is the path of the node without it.
    """

    def __init__(self, violations: Iterable[Violation]) -> None:
        self.violations = tuple(violations)
        super().__init__("; ".join(map(sentence, self.violations)))


def sentence(violation: Violation) -> str:
    """Return the violation of a schema as a sentence whose subject is the path in the schema."""
    return f"{dotted(violation.path) or 'the schema'} {violation.message}"


@dataclass(frozen=True, slots=True)
class PackageSchema:
    """A valid schema and its defaults."""

    role: Role
    schema: Mapping[str, Any]  # JSON Schema, translated if the manifest has the short form
    defaults: dict[str, Any]
    compiled: CompiledSchema = field(repr=False, compare=False)


def load_schema(raw: Any, *, role: Role, budget: Budget | None = None) -> PackageSchema | None:
    """Load `schema.<role>` of a manifest; `raw` is None if it is absent.

    Returns None for a context without schema, which accepts any value; parameters without schema accept no parameter.
    Raises PackageSchemaError for an invalid schema, and BudgetExceededError.
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
        problems = Violations([Violation((), f"is nested more than {DEEPEST} levels deep", INVALID)])
    if problems:
        raise PackageSchemaError(problems)
    return PackageSchema(role, schema, defaults or {}, compiled)


def validate(schema: PackageSchema, value: Mapping[str, Any], budget: Budget | None = None) -> list[Violation]:
    """Return the reasons, at most MOST, for which KuboCD rejects merged parameters or a context; empty if valid.

    `path` of a violation is a path in `value`; that of a missing value ends with its name. Messages are complete
    sentences. Codes: `unknown-parameter`, `missing-parameter`, `invalid-parameter`; for a context
    `missing-context-value` and `invalid-context`. Steps are counted against `budget`. Raises BudgetExceededError.
    """
    spend = (budget or Budget()).meter("schema-steps")
    try:
        if plainly_valid(schema.compiled, value, spend):
            spend.settle()
            return []
        errors = errors_of(schema.compiled, value, spend)
        spend.settle()
        found = (_violation(schema.role, error, hinted=i < HINTED) for i, error in enumerate(errors))
        return list(dict.fromkeys(found))  # two branches of a schema can report the same error
    except RecursionError:
        problem = "are nested too deeply for their schema" if schema.role == "parameters" else "is nested too deeply"
    except TooMuchWorkError:
        problem = "cannot be validated, because the schema follows too many references"
    return [Violation((), f"the {schema.role} {problem}", _code(schema.role, None))]


def _defaults(node: Mapping[str, Any], path: tuple[str, ...], problems: list[Violation]) -> Any:
    """Return the default value of a schema, or None if it has none.

    Like in KuboCD, the default of an array is always the empty list, and that of an object with `properties` is the map
    of their defaults.
    """
    if "properties" not in node:
        return [] if node.get("type") == "array" else node.get("default")
    found = {}
    for name, child in node["properties"].items():
        child_path = (*path, "properties", name)
        if not isinstance(child, dict):
            problems.append(Violation(child_path, f"must be a schema (a map), not {described(child)}", INVALID))
        elif (default := _defaults(child, child_path, problems)) is not None:
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
        hint = close or known_names(f"known {noun}s", known, str(error.path[-1]) if hinted else "")
    return Violation(path, f"{subject} {message}", _code(role, error.validator), hint or _advice(error))


def _advice(error: ValidationError) -> str | None:
    """Return a hint from the schema: the description of a missing value, otherwise the default; None if absent."""
    if not isinstance(error.schema, dict):
        return None
    if error.validator == "required":
        missing = error.schema.get("properties", {}).get(error.path[-1], {})
        lines = str(missing.get("description", "")).strip().splitlines()
        if lines:
            return f"description in the schema: {quoted(lines[0])}"
        types = missing.get("type", ())
        return f"set it to {TYPE_WORDS[types[0]]}" if len(types) == 1 else None
    default = error.schema.get("default")
    if default is None:
        return None
    if default == error.instance:
        return "set another value; this is the default of the package"
    return f"the default is {quoted(default)}"


def _code(role: Role, keyword: Any) -> str:
    if role == "context":
        return "missing-context-value" if keyword == "required" else "invalid-context"
    return {"additionalProperties": "unknown-parameter", "required": "missing-parameter"}.get(
        str(keyword), "invalid-parameter"
    )
