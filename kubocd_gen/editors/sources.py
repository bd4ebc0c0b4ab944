"""One schema for all YAML of a project's sources: what each document is held to depends on its apiVersion and kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from kubocd_gen.editors.parameters import parameters_schema
from kubocd_gen.editors.shipped import DIALECT, resource_schema
from kubocd_gen.model.package import Package
from kubocd_gen.model.resources import KUBOCD_GROUP

Schema = dict[str, Any]

_KINDS = {
    "Release": "kubocd/release-v1alpha1",
    "Context": "kubocd/context-v1alpha1",
    "Config": "kubocd/config-v1alpha1",
}
_LATER_KINDS = ("Connection", "ClusterConnection", "Contract", "ClusterContract")  # a build passes them over
_GROUP = f"^{KUBOCD_GROUP.replace('.', '[.]')}(/|$)"
TITLE = "kcd-gen sources"
_DESCRIPTION = "What an editor checks the YAML of this project by. Written by `kcd-gen schema sources`; do not edit."


@dataclass(frozen=True, slots=True)
class Known:
    """What a project's sources have: the packages by the repository and tag that Releases write, and names.

    Of one repository and tag there are several packages where the Configs of clusters redirect to different ones.
    `contexts` are (namespace, name).
    """

    packages: Mapping[tuple[str, str], Sequence[Package]]
    contexts: Iterable[tuple[str, str]] = ()
    roles: Iterable[str] = ()
    strategies: Iterable[str] = ()


def sources_schema(known: Known) -> Schema:
    """The schema, which depends on nothing but `known`: the same sources give the same bytes.

    Documents of other kinds are accepted as they are. Names that the project has are suggestions, for others may come.
    """
    definitions: Schema = {kind: resource_schema(place) for kind, place in _KINDS.items()}
    definitions["Project"] = resource_schema("kcd-gen/project-v1alpha1")
    _suggest(definitions, known)
    rules = []
    for (repository, tag), packages in sorted(known.packages.items()):
        names = {}
        for package in packages:
            name = f"{repository}:{tag}" if len(packages) == 1 else f"{repository}:{tag}@{package.digest}"
            names[name] = _package(package, _pointer(name))
        definitions |= {name: names[name] for name in sorted(names)}
        choices = [{"$ref": _pointer(name)} for name in sorted(names)]
        rules.append(
            {
                "if": {
                    "required": ["package"],
                    "properties": {
                        "package": {
                            "required": ["repository", "tag"],
                            "properties": {"repository": {"const": repository}, "tag": {"const": tag}},
                        }
                    },
                },
                "then": choices[0] if len(choices) == 1 else {"anyOf": choices},
            }
        )
    if rules:
        definitions["Release"]["properties"]["spec"]["allOf"] = rules
    definitions["document"] = _document()
    return {
        "$schema": DIALECT,
        "title": TITLE,
        "description": _DESCRIPTION,
        "allOf": [{"$ref": "#/definitions/document"}],
        "definitions": definitions,
    }


def _document() -> Schema:
    def when(api_version: Schema, kind: str, then: Schema) -> Schema:
        properties = {"apiVersion": api_version, "kind": {"const": kind}}
        return {
            "if": {"type": "object", "required": ["apiVersion", "kind"], "properties": properties},
            "then": then,
        }

    group = {"type": "string", "pattern": _GROUP}
    kinds = {"enum": [*_KINDS, *_LATER_KINDS]}
    return {
        "properties": {
            "apiVersion": {"examples": [f"{KUBOCD_GROUP}/v1alpha1"]},
            "kind": {"examples": list(_KINDS)},
        },
        "allOf": [
            *(when(group, kind, {"$ref": f"#/definitions/{kind}"}) for kind in _KINDS),
            when({"const": "kcd-gen/v1alpha1"}, "Project", {"$ref": "#/definitions/Project"}),
            when({"const": "v1"}, "List", {"properties": {"items": {"items": {"$ref": "#/definitions/document"}}}}),
            {
                "if": {"type": "object", "required": ["apiVersion"], "properties": {"apiVersion": group}},
                "then": {"required": ["kind"], "properties": {"kind": kinds}},
            },
        ],
    }


def _package(package: Package, pointer: str) -> Schema:
    """What the `spec` of a Release of this package is held to besides the rules for all Releases."""
    parameters = parameters_schema(package.parameters_schema, lambda name: f"{pointer}/definitions/{name}")
    about = package.description.text
    told = f"The parameters of {package.label}." + (f" {about}" if about and "{{" not in about else "")
    modules = {"enum": [module.name for module in package.modules]}
    schema: Schema = {
        "properties": {
            "parameters": {"description": told, **parameters.schema},
            "moduleOverrides": {"items": {"properties": {"module": modules}}},
        }
    }
    if parameters.required:
        schema["required"] = ["parameters"]
    if parameters.definitions:
        schema["definitions"] = dict(parameters.definitions)
    return schema


def _pointer(name: str) -> str:
    return f"#/definitions/{quote(name.replace('~', '~0').replace('/', '~1'), safe='~:@')}"


def _suggest(definitions: Mapping[str, Schema], known: Known) -> None:
    contexts = sorted(set(known.contexts))
    names, namespaces = (sorted({one[at] for one in contexts}) for at in (1, 0))
    release, context, config = (definitions[kind]["properties"]["spec"]["properties"] for kind in _KINDS)
    repository, tag = (release["package"]["properties"][field] for field in ("repository", "tag"))
    suggestions = [
        (repository, sorted({one for one, _ in known.packages})),
        (tag, sorted({one for _, one in known.packages})),
        *((node["items"], sorted(set(known.roles))) for node in (release["roles"], release["dependencies"])),
        (config["clusterRoles"]["items"], sorted(set(known.roles))),
        (release["moduleOverrides"]["items"]["properties"]["onFailureStrategy"], sorted(set(known.strategies))),
        (config["defaultOnFailureStrategy"], sorted(set(known.strategies))),
        (config["defaultNamespaceContexts"]["items"], names),
    ]
    for node in (release["contexts"], context["parents"], config["defaultContexts"]):
        fields = node["items"]["properties"]
        suggestions += [(fields["name"], names), (fields["namespace"], namespaces)]
    for node, values in suggestions:
        if values:
            node["examples"] = values
