"""Read a package's manifest (`original.yaml`) and `status.yaml` as strictly as KuboCD's packager does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from kubocd_gen.archives.chart import as_text
from kubocd_gen.budget.spending import Budget
from kubocd_gen.diagnostics.problems import MOST, Position, Problem, ProblemsError, nearest
from kubocd_gen.diagnostics.wording import dotted, quoted, type_name
from kubocd_gen.kube_yaml.locations import find_position
from kubocd_gen.kube_yaml.reader import Document, first_document
from kubocd_gen.kube_yaml.reprinting import UnreadableError, reprinted
from kubocd_gen.kube_yaml.scalars import float64
from kubocd_gen.model.package import ChartRef, Module, Package, TemplateSource
from kubocd_gen.package_data import schema
from kubocd_gen.packages.chart_index import REBUILD
from kubocd_gen.packages.image import PackageImage
from kubocd_gen.packages.module_charts import STATUS, read_status
from kubocd_gen.schema.package_schema import PackageSchema, PackageSchemaError, Role, load_schema, sentence
from kubocd_gen.schema.structural import admit, canonical_fields

MANIFEST = "original.yaml"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
MANIFEST_MENTION = re.compile(rb"""apiVersion["']?\s*:\s*["']?v1alpha1\b""")
_TARGET_NAMESPACE = "{{.Release.spec.targetNamespace}}"


def is_manifest(value: Mapping[str, Any]) -> bool:
    """Return whether a document is a package manifest, whose type can be omitted."""
    is_typed = value.get("type") == "Package" or ({"name", "tag", "modules"} <= value.keys() and "type" not in value)
    return value.get("apiVersion") == "v1alpha1" and "kind" not in value and is_typed


def manifest_path(reference: str) -> str:
    """Return the path of a package's manifest for positions in messages."""
    return f"oci://{reference}/{MANIFEST}"


def read_package(image: PackageImage, budget: Budget | None = None) -> Package:
    """Read the package in `image`. Raises ProblemsError with all problems of its manifest, each with its line."""
    return read_files(image.files, manifest_path(image.reference), image.reference, image.digest, budget)


def read_files(
    files: Mapping[str, bytes], path: str, reference: str, digest: str = "", budget: Budget | None = None
) -> Package:
    """Read the package from the files of its layer; messages call its manifest `path`. Raises ProblemsError."""
    try:
        text = files[MANIFEST].decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ProblemsError.of("bad-package", "the manifest is not valid UTF-8", position=Position(path)) from error
    reader = _reader(text, path, REBUILD, budget)
    return reader.package(reference, digest, files, reader.charts(files))


def read_manifest(text: str, path: str) -> tuple[Package, Mapping[str, Any]]:
    """Return the package of a manifest, still without charts, and the manifest's fields as KuboCD's types read them.

    `path` is the file. Raises ProblemsError with all problems of the manifest, each with its line.
    """
    reader = _reader(text, path)
    return reader.package("", "", {}, {}), reader.manifest


def _reader(text: str, path: str, hint: str | None = None, budget: Budget | None = None) -> _Reader:
    document = first_document(text, path, exact_integers=True, budget=budget)
    if document.value is None:
        raise ProblemsError.of("bad-package", "the manifest is empty", position=Position(path), hint=hint)
    return _Reader(text, path, document, budget)


@cache
def _schema() -> Any:
    return schema("kubocd/package-v1alpha1")["schema"]


class _Reader:
    """The reader of one manifest, with the problems found so far."""

    def __init__(self, text: str, path: str, document: Document, budget: Budget | None) -> None:
        self.text = text
        self.path = path
        self.budget = budget
        self.errors: list[Problem] = [fault.error.problem for fault in document.faults]
        value = _strings(canonical_fields(document.value, _schema()), _schema())
        self.manifest, violations = admit(value, _schema())
        for violation in violations:
            where = f"{dotted(violation.path)} " if violation.path else "the manifest "
            self.error(where + violation.message, *violation.path, code=violation.code, hint=violation.hint)
        if any(violation.code in ("invalid-type", "unknown-field") for violation in violations):
            raise ProblemsError(*self.errors)
        try:
            # KuboCD's packager prints the manifest, and the controller reads it again.
            self.manifest = reprinted(self.manifest, strict=True)
        except UnreadableError as error:
            where = f"{dotted(error.path)} " if error.path else "the manifest "
            self.error(f"{where}{error}", *error.path, code="invalid-value", hint=error.hint)
            raise ProblemsError(*self.errors) from error

    def error(self, message: str, *keys: str | int, code: str = "bad-package", hint: str | None = None) -> None:
        if len(self.errors) >= MOST:
            raise ProblemsError(*self.errors)
        position = find_position(self.text, self.path, 0, keys)
        self.errors.append(Problem(code, message, position=position, hint=hint))

    def package(
        self, reference: str, digest: str, files: Mapping[str, bytes], charts: Mapping[str, ChartRef]
    ) -> Package:
        manifest = self.manifest
        version = manifest.get("apiVersion", "")
        if version != "v1alpha1":
            self.error(f"apiVersion must be 'v1alpha1'{f', not {quoted(version)}' if version else ''}", "apiVersion")
        if manifest.get("type") not in (None, "", "Package"):
            self.error(f"type must be 'Package', not {quoted(manifest['type'])}", "type")
        name, tag = manifest.get("name", ""), manifest.get("tag", "")
        for field, value in (("name", name), ("tag", tag)):
            if not value:
                hint = f"add '{field}: …': it is part of the reference of the package"
                self.error(f"{field} must be set", field, hint=hint)
        if name and not _NAME.fullmatch(name):
            hint = "use lowercase letters, digits, and '-' between them"
            self.error(f"{quoted(name)} is not a valid package name", "name", hint=hint)
        modules = self.modules(manifest.get("modules") or [])
        schemas = manifest.get("schema") or {}
        parameters = self.schema(schemas, "parameters")
        context = self.schema(schemas, "context")
        roles = self.tree(manifest.get("roles"), "[]", "roles")
        dependencies = self.tree(manifest.get("dependencies"), "[]", "dependencies")
        if self.errors:
            raise ProblemsError(*self.errors)
        assert parameters is not None  # only the schema of the context is optional
        return Package(
            reference=reference or f"{name}:{tag}",
            digest=digest,
            path=self.path,
            text=self.text,
            files=files,
            name=name,
            tag=tag,
            protected=bool(manifest.get("protected")),
            template_header=manifest.get("templateHeader") or "",
            description=TemplateSource(("description",), manifest.get("description") or ""),
            usage={
                key: TemplateSource(("usage", key), text or "") for key, text in (manifest.get("usage") or {}).items()
            },
            roles=roles,
            dependencies=dependencies,
            parameters_schema=parameters,
            context_schema=context,
            modules=modules,
            charts=charts,
        )

    def schema(self, schemas: Mapping[str, Any], role: Role) -> PackageSchema | None:
        try:
            return load_schema(_float64(schemas.get(role)), role=role, budget=self.budget)
        except PackageSchemaError as errors:
            for one in errors.violations:
                self.error(f"schema.{role}: {sentence(one)}", "schema", role, *one.path, code=one.code, hint=one.hint)
            return None

    def modules(self, items: list[Any]) -> tuple[Module, ...]:
        if not items:
            hint = "add a module with its chart: [{name: main, source: {…}}]"
            self.error("a package must have at least one module", "modules", hint=hint)
        modules: list[Module] = []
        names: set[str] = set()
        for index, item in enumerate(items):
            module = self.module(item or {}, index)
            if module.name in names:
                message = f"two modules are named {quoted(module.name)}"
                self.error(message, "modules", index, "name", hint="rename one of them")
            modules.append(module)
            names.add(module.name)
        return tuple(modules)

    def module(self, item: Mapping[str, Any], index: int) -> Module:
        at = ("modules", index)
        name = item.get("name") or f"module{index:02d}"
        if item.get("type") not in (None, "", "HelmChart"):
            self.error(f"module {quoted(name)}: type must be 'HelmChart', not {quoted(item['type'])}", *at, "type")
        if item.get("parameters") not in (None, ""):
            self.error(f"module {quoted(name)}: 'parameters' is reserved and must be omitted", *at, "parameters")
        self.source(item.get("source") or {}, name, (*at, "source"))

        def text(field: str, default: str = "") -> TemplateSource:
            return TemplateSource((*at, field), item.get(field) or default)

        return Module(
            name=name,
            values=self.tree(item.get("values"), None, *at, "values"),
            spec_patch=self.tree(item.get("specPatch"), None, *at, "specPatch"),
            timeout=text("timeout"),
            interval=text("interval"),
            target_namespace=text("targetNamespace", _TARGET_NAMESPACE),
            enabled=text("enabled", "true"),
            depends_on=self.tree(item.get("dependsOn"), "[]", *at, "dependsOn"),
            on_failure_strategy=text("onFailureStrategy"),
        )

    def tree(self, value: Any, absent: str | None, *path: str | int) -> TemplateSource:
        """Return the template in `value`, a string or a tree.

        `absent` is the text if the field is missing; None means that the template renders to nothing.
        """
        if value is None:
            return TemplateSource(path, absent or "", header=absent is not None)
        if isinstance(value, str):
            return TemplateSource(path, value)
        if isinstance(value, (dict, list)):
            return TemplateSource(path, tree=_float64(value))
        self.error(f"{dotted(path)} must be a string, a map or a list, not {quoted(value)}", *path, code="invalid-type")
        return TemplateSource(path)

    def source(self, source: Mapping[str, Any], module: str, at: tuple[str | int, ...]) -> None:
        kinds = ("helmRepository", "oci", "git", "local")
        given = [kind for kind in kinds if source.get(kind) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            message = f"module {quoted(module)}: source must have exactly one of {', '.join(kinds)}, not {found}"
            self.error(message, *at, hint="remove all others" if given else "add one of them")
            return
        kind = given[0]
        required = {"helmRepository": ("url", "chart", "version"), "oci": ("repository", "tag"), "git": ("url", "path")}
        for field in required.get(kind, ()):
            if not source[kind].get(field):
                message = f"module {quoted(module)}: source.{kind}.{field} must be set"
                self.error(message, *at, kind, field, hint="set it to a string")
        if kind == "git" and bool(source[kind].get("branch")) == bool(source[kind].get("tag")):
            self.error(f"module {quoted(module)}: source.git must have either a branch or a tag", *at, kind)

    def charts(self, files: Mapping[str, bytes]) -> Mapping[str, ChartRef]:
        """Return the chart of each module, which the packager records in `status.yaml`."""
        path = f"{self.path.removesuffix(MANIFEST)}{STATUS}"
        found, errors = read_status(files[STATUS], path, self.budget)
        self.errors += errors
        return found


def missing_chart(package: Package, module: str) -> Problem:
    """Return the error for an enabled module that is not in `status.yaml`."""
    return Problem(
        "bad-package",
        f"package {package.label} has no chart for module '{module}'",
        position=package.position("modules"),
        hint=nearest("did you mean '{}'?", module, package.charts)
        or f"'chartByModule' in 'status.yaml' lacks this module; {REBUILD}",
    )


def _strings(value: Any, rules: Mapping[str, Any]) -> Any:
    """Convert numbers and booleans to strings where the schema requires strings, like sigs.k8s.io/yaml."""
    if isinstance(value, dict):
        fields, others = rules.get("properties", {}), rules.get("additionalProperties", {})
        if others.get("type") == "string":
            value = {key: "" if item is None else item for key, item in value.items()}  # Go's zero value
        return {key: _strings(item, fields.get(key, others)) for key, item in value.items()}
    if isinstance(value, list):
        return [_strings(item, rules.get("items", {})) for item in value]
    return as_text(value) if rules.get("type") == "string" else value


def _float64(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _float64(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_float64(item) for item in value]
    return float64(value) if type_name(value) == "number" else value
