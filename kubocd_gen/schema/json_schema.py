"""Compile a JSON Schema for validation, by the rules of gojsonschema v1.2 (drafts 4, 6, 7 and their union).

`compile_schema` does the same as that library when it loads a schema: it detects the draft, rejects an invalid schema,
and ignores unknown keywords such as those of later drafts. The result does not depend on the draft: `exclusiveMinimum`
is a number, a `$ref` has no siblings and its target is in `references`, unknown formats are removed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urldefrag, urljoin

from kubocd_gen.budget.spending import Meter
from kubocd_gen.diagnostics.problems import nearest
from kubocd_gen.diagnostics.wording import KeyPath, comparable, described, known_names, quoted, type_name
from kubocd_gen.schema.go_formats import FORMATS, PatternError, compile_pattern
from kubocd_gen.schema.references import Schema, endless, find_anchors, identifier, target
from kubocd_gen.schema.short_form import DEEPEST, INVALID
from kubocd_gen.schema.structural import Violation

_ADDRESS, _INSTRUCTIONS = 64, 8  # characters of a URI and instructions of a pattern that count as one step
NEVER = "never"  # the keyword into which the schema `false` is compiled

_TYPES = ("array", "boolean", "integer", "number", "object", "string", "null")
_HYBRID = 99  # not a draft: every keyword of 4, 6 and 7 counts
_NEVER = 100
_DRAFTS = {f"http://json-schema.org/draft-0{number}/schema": number for number in (4, 6, 7)}
# The keywords that gojsonschema reads before `$ref`: the only siblings of it that can be errors.
_BESIDE_REFERENCE = ("definitions", "title", "description", "$schema")


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class CompiledSchema:
    """A schema in the form for validation, and the targets of its `$ref`s by absolute reference."""

    schema: Schema
    references: Mapping[str, Schema]


def compile_schema(raw: Mapping[str, Any], problems: list[Violation], spend: Meter) -> CompiledSchema:
    """Return the compiled schema, and append the errors in it to `problems`, each with its path in `raw`.

    A `$ref` can refer only to locations in the schema itself; nothing is fetched. Raises BudgetExceededError.
    """
    dialect = raw.get("$schema", "")
    draft = _DRAFTS.get(dialect.removesuffix("#"), _HYBRID) if isinstance(dialect, str) else _HYBRID
    compiler = _Compiler(draft, find_anchors(raw, spend), problems, spend)
    schema = compiler.node(raw, (), "")
    compiler.follow_references()
    if not problems and (absolute := endless(compiler.references, spend)):
        compiler.wrong(compiler.wanted[absolute], f"refers to itself in an endless loop: {quoted(absolute)}")
    return CompiledSchema(schema, compiler.references)


@dataclass(slots=True)
class _Compiler:
    draft: int
    anchors: Mapping[str, Any]  # URI → raw schema
    problems: list[Violation]
    spend: Meter
    compiled: dict[int, Schema] = field(default_factory=dict)  # by the identity of the raw schema
    wanted: dict[str, KeyPath] = field(default_factory=dict)  # absolute `$ref` → path of its first use
    pending: list[str] = field(default_factory=list)
    references: dict[str, Schema] = field(default_factory=dict)

    def wrong(self, path: KeyPath, message: str, hint: str | None = None) -> None:
        self.problems.append(Violation(path, message, INVALID, hint))

    def node(self, raw: Any, path: KeyPath, base: str) -> Schema:
        """Return the compiled schema of one node; `base` is the base URI of its references."""
        self.spend(1 + len(base) // _ADDRESS)
        if isinstance(raw, bool) and self.draft >= 6:
            return {} if raw else {NEVER: True}
        if not isinstance(raw, dict):
            self.wrong(path, f"must be a schema (a map), not {described(raw)}")
            return {}
        if len(path) > 2 * DEEPEST:
            self.wrong(path[:2], f"is nested more than {DEEPEST} levels deep")
            return {}
        self.check_identifier(raw, path)
        base = urljoin(base, identifier(raw) or "")
        schema: dict[str, Any] = {}
        if "$ref" not in raw:
            self.compiled[id(raw)] = schema
        for keyword, value in raw.items():
            if "$ref" in raw and keyword not in _BESIDE_REFERENCE:
                continue
            first_draft, read = _READERS.get(keyword, (_NEVER, _kept))
            if self.draft >= first_draft:
                result = read(self, value, (*path, keyword), base)
                if result is not _NOTHING:
                    schema[keyword] = result
        if "$ref" in raw:
            return self.reference(raw["$ref"], (*path, "$ref"), base)
        for low, high in (("minLength", "maxLength"), ("minProperties", "maxProperties")):
            if low in schema and high in schema and schema[low] > schema[high]:
                self.wrong((*path, low), f"is greater than '{high}'")
        for bound in ("minimum", "maximum"):
            self.exclusive(raw, schema, bound, path)
        return schema

    def check_identifier(self, raw: Mapping[str, Any], path: KeyPath) -> None:
        old = self.draft == 4 or (self.draft == _HYBRID and "id" in raw)
        keyword = "id" if old else "$id"
        if not isinstance(raw.get(keyword, ""), str):
            self.wrong((*path, keyword), f"must be a string, not {described(raw[keyword])}")

    def reference(self, reference: Any, path: KeyPath, base: str) -> Schema:
        if not isinstance(reference, str):
            self.wrong(path, f"must be a string, not {described(reference)}")
            return {}
        self.spend((len(base) + len(reference)) // _ADDRESS)
        absolute = urljoin(base, reference) or "#"
        if absolute not in self.wanted:
            self.wanted[absolute] = path
            self.pending.append(absolute)
        return {"$ref": absolute}

    def follow_references(self) -> None:
        """Compile the targets of all references, including those in the targets."""
        for absolute in self.pending:  # compiling a target can append to it
            path = self.wanted[absolute]
            if (found := target(absolute, self.anchors)) is None:
                external = urldefrag(absolute).url not in self.anchors
                message = "refers to a schema outside the package" if external else "refers to a missing schema"
                hint = "copy the schema into 'definitions', because schemas are never fetched" if external else None
                self.wrong(path, f"{message}: {quoted(absolute)}", hint)
            else:
                raw, base = found
                known = self.compiled.get(id(raw))
                self.references[absolute] = self.node(raw, path, base) if known is None else known

    def exclusive(self, raw: Mapping[str, Any], schema: dict[str, Any], bound: str, path: KeyPath) -> None:
        """Read an exclusive bound, which is `true` next to `minimum` in draft 4 and a number in later drafts."""
        keyword = f"exclusive{bound.capitalize()}"
        if keyword not in raw:
            return
        value = raw[keyword]
        if isinstance(value, bool) and (self.draft == 4 or self.draft == _HYBRID):
            if bound not in raw:
                self.wrong((*path, keyword), f"cannot be used without '{bound}'")
            elif value and bound in schema:
                schema[keyword] = schema.pop(bound)
        elif self.draft != 4 and type_name(value) == "number":
            schema[keyword] = value
        else:
            wanted = "true or false" if self.draft == 4 else "a number"
            self.wrong((*path, keyword), f"must be {wanted}, not {described(value)}")


# A reader checks the value of a keyword and returns its compiled form, or `_NOTHING` if validation does not need it.
Reader = Callable[[_Compiler, Any, KeyPath, str], Any]
_NOTHING = object()


def _kept(compiler: _Compiler, value: Any, path: KeyPath, base: str) -> Any:
    return value


def _remark(compiler: _Compiler, value: Any, path: KeyPath, base: str) -> Any:
    if not isinstance(value, str):
        compiler.wrong(path, f"must be a string, not {described(value)}")
    return value if path[-1] in ("title", "description") else _NOTHING


def _format(compiler: _Compiler, value: Any, path: KeyPath, base: str) -> Any:
    if not isinstance(value, str):
        compiler.wrong(path, f"must be a string, not {described(value)}")
        return _NOTHING
    return value if value in FORMATS else _NOTHING


def _flag(compiler: _Compiler, value: Any, path: KeyPath, base: str) -> Any:
    if not isinstance(value, bool):
        compiler.wrong(path, f"must be true or false, not {described(value)}")
    return True if value else _NOTHING


def _number(compiler: _Compiler, value: Any, path: KeyPath, base: str) -> Any:
    if type_name(value) != "number":
        compiler.wrong(path, f"must be a number, not {described(value)}")
        return _NOTHING
    if path[-1] == "multipleOf" and value <= 0:
        compiler.wrong(path, f"must be greater than 0, not {quoted(value)}")
    return value


def _count(compiler: _Compiler, value: Any, path: KeyPath, base: str) -> Any:
    if type_name(value) != "number" or value != value // 1 or value >= 2**63:
        compiler.wrong(path, f"must be an integer, not {described(value)}")
        return _NOTHING
    if value < 0:
        compiler.wrong(path, f"must be 0 or more, not {quoted(value)}")
    return int(value)


def _type(compiler: _Compiler, value: Any, path: KeyPath, base: str) -> Any:
    names = value if isinstance(value, list) else [value]
    for index, name in enumerate(names):
        location = (*path, index) if isinstance(value, list) else path
        if not isinstance(name, str):
            compiler.wrong(location, f"must be the name of a type, not {described(name)}")
        elif name not in _TYPES:
            hint = nearest("did you mean '{}'?", name, _TYPES) or known_names("valid types", _TYPES)
            compiler.wrong(location, f"is not a valid type: {quoted(name)}", hint)
        elif name in names[:index]:
            compiler.wrong(location, f"lists {quoted(name)} twice")
    return names or _NOTHING


def _pattern(compiler: _Compiler, value: Any, path: KeyPath, base: str) -> Any:
    if not isinstance(value, str):
        compiler.wrong(path, f"must be a string, not {described(value)}")
        return _NOTHING
    try:
        compiler.spend(compile_pattern(value).programsize // _INSTRUCTIONS)
    except PatternError as error:
        hint = "use RE2 syntax, which has no lookahead, lookbehind or backreferences"
        compiler.wrong(path, f"is not a valid pattern ({error}): {quoted(value)}", hint)
        return _NOTHING
    return value


def _names(compiler: _Compiler, value: Any, path: KeyPath, base: str) -> Any:
    if not isinstance(value, list):
        hint = "in JSON Schema, list the names in 'required' next to 'properties'" if path[-1] == "required" else None
        compiler.wrong(path, f"must be a list of names, not {described(value)}", hint)
        return _NOTHING
    seen: set[str] = set()
    compiler.spend(len(value))
    for index, name in enumerate(value):
        if not isinstance(name, str):
            compiler.wrong((*path, index), f"must be a name, not {described(name)}")
        elif name in seen:
            compiler.wrong((*path, index), f"lists {quoted(name)} twice")
        else:
            seen.add(name)
    return value


def _enum(compiler: _Compiler, value: Any, path: KeyPath, base: str) -> Any:
    if not isinstance(value, list):
        compiler.wrong(path, f"must be a list of values, not {described(value)}")
        return _NOTHING
    seen: set[Hashable] = set()
    for index, item in enumerate(value):
        compiler.spend()
        key = comparable(item)
        if key in seen:
            compiler.wrong((*path, index), f"repeats the value {quoted(item)}")
        seen.add(key)
    return value or _NOTHING  # gojsonschema ignores an empty list


def _schema(compiler: _Compiler, value: Any, path: KeyPath, base: str) -> Any:
    return compiler.node(value, path, base)


def _schema_or_flag(compiler: _Compiler, value: Any, path: KeyPath, base: str) -> Any:
    return value if isinstance(value, bool) else compiler.node(value, path, base)  # a boolean also in draft 4


def _schemas(compiler: _Compiler, value: Any, path: KeyPath, base: str) -> Any:
    if not isinstance(value, list):
        compiler.wrong(path, f"must be a list of schemas, not {described(value)}")
        return _NOTHING
    return [compiler.node(item, (*path, index), base) for index, item in enumerate(value)] or _NOTHING


def _schema_map(compiler: _Compiler, value: Any, path: KeyPath, base: str) -> Any:
    if not isinstance(value, dict):
        compiler.wrong(path, f"must be a map of schemas, not {described(value)}")
        return _NOTHING
    schemas = {name: compiler.node(item, (*path, name), base) for name, item in value.items()}
    # Definitions matter only as targets of a `$ref`, and then they are in `references`.
    return _NOTHING if path[-1] == "definitions" else schemas


def _pattern_map(compiler: _Compiler, value: Any, path: KeyPath, base: str) -> Any:
    for pattern in value if isinstance(value, dict) else ():
        _pattern(compiler, pattern, (*path, pattern), base)
    return _schema_map(compiler, value, path, base)


def _items(compiler: _Compiler, value: Any, path: KeyPath, base: str) -> Any:
    return (_schemas if isinstance(value, list) else _schema)(compiler, value, path, base)


def _dependencies(compiler: _Compiler, value: Any, path: KeyPath, base: str) -> Any:
    if not isinstance(value, dict):
        compiler.wrong(path, f"must be a map, not {described(value)}")
        return _NOTHING
    return {
        name: (_names if isinstance(item, list) else _schema)(compiler, item, (*path, name), base)
        for name, item in value.items()
    }


# Each keyword with its first draft and its reader. `exclusiveMinimum` and `exclusiveMaximum` depend on other keywords
# and are read after them.
_READERS: Mapping[str, tuple[int, Reader]] = {
    "$schema": (4, _remark),
    "title": (4, _remark),
    "description": (4, _remark),
    "default": (4, _kept),
    "type": (4, _type),
    "enum": (4, _enum),
    "const": (6, _kept),
    "multipleOf": (4, _number),
    "minimum": (4, _number),
    "maximum": (4, _number),
    "minLength": (4, _count),
    "maxLength": (4, _count),
    "pattern": (4, _pattern),
    "format": (4, _format),
    "properties": (4, _schema_map),
    "patternProperties": (4, _pattern_map),
    "additionalProperties": (4, _schema_or_flag),
    "propertyNames": (6, _schema),
    "required": (4, _names),
    "minProperties": (4, _count),
    "maxProperties": (4, _count),
    "dependencies": (4, _dependencies),
    "definitions": (4, _schema_map),
    "items": (4, _items),
    "additionalItems": (4, _schema_or_flag),
    "contains": (6, _schema),
    "minItems": (4, _count),
    "maxItems": (4, _count),
    "uniqueItems": (4, _flag),
    "allOf": (4, _schemas),
    "anyOf": (4, _schemas),
    "oneOf": (4, _schemas),
    "not": (4, _schema),
    "if": (7, _schema),
    "then": (7, _schema),
    "else": (7, _schema),
}
