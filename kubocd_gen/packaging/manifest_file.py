"""Read and groom the source file of a package manifest as KuboCD's packager does, and check its chart sources."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from kubocd_gen.archives.chart import is_version
from kubocd_gen.checkout.discovery import read_source
from kubocd_gen.checkout.files import CheckoutFiles
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError, shown
from kubocd_gen.files.paths import checkout_root
from kubocd_gen.kube_yaml.locations import find_position
from kubocd_gen.kube_yaml.reader import first_document
from kubocd_gen.model.finishing import sorted_maps
from kubocd_gen.model.package import Package
from kubocd_gen.model.resources import KUBOCD_GROUP
from kubocd_gen.oci.reference import Reference, parse_reference
from kubocd_gen.packages.manifest import MANIFEST_MENTION, is_manifest, read_manifest
from kubocd_gen.sources.environment import expand_environment
from kubocd_gen.sources.yaml_files import find_documents

_CREDENTIALS = "set KCD_OCI_<HOST>_USER and KCD_OCI_<HOST>_SECRET instead; the manifest is published with the package"
# The rules of git check-ref-format, without characters that are special in a refspec.
_REF = re.compile(
    r"(?!-)(?!.*(?:\.\.|//|@\{|\.lock(?:/|$)|/\.|/$|\.$))[^\x00-\x20\x7f~^:?*\[\\+/.][^\x00-\x20\x7f~^:?*\[\\]*"
)
_GIT_SCHEMES = ("https", "http", "ssh", "git", "file")
_SHOWN_KIND = 60  # characters
_SCP_LIKE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*@[A-Za-z0-9][A-Za-z0-9.-]*:[^:].*")  # git@github.com:org/repo


@dataclass(frozen=True, slots=True)
class HelmRepositoryChart:
    """A chart in a Helm repository. `url` has no trailing slash."""

    url: str
    chart: str
    version: str


@dataclass(frozen=True, slots=True)
class RegistryChart:
    """A chart in an OCI registry."""

    reference: Reference
    insecure: bool = False


@dataclass(frozen=True, slots=True)
class GitChart:
    """A chart in a Git repository. `ref` is `refs/heads/…` or `refs/tags/…`; `path` is relative to the root."""

    url: str
    ref: str
    path: str
    extra_prefixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LocalChart:
    """A chart in a directory: `path` is relative to the manifest's `directory`, and must be among `files`."""

    directory: Path
    path: str
    files: CheckoutFiles | None = None  # None: the caller has checked the path


ChartSource: TypeAlias = HelmRepositoryChart | RegistryChart | GitChart | LocalChart


def source_kind(source: Mapping[str, Any]) -> str:
    """Return which of the four kinds of source is set."""
    return next(kind for kind in ("helmRepository", "oci", "git", "local") if source.get(kind) is not None)


def chart_source(source: Mapping[str, Any], directory: Path, files: CheckoutFiles | None = None) -> ChartSource:
    """Return the source of a module, which `read_manifest` has validated; `directory` is the manifest's directory.

    A local chart must be among `files`. Raises ProblemsError `bad-package` or `bad-reference`, without a position, if
    the source is not valid.
    """
    kind = source_kind(source)
    given: Mapping[str, Any] = source[kind]
    if kind == "helmRepository":
        return _helm_repository(given)
    if kind == "oci":
        tag = str(given["tag"]).replace("+", "_")  # like `helm push`, because a tag can't contain "+"
        return RegistryChart(parse_reference(f"{given['repository']}:{tag}"), bool(given.get("insecure")))
    if kind == "git":
        return _git(given)
    path = given.get("path") or "."  # optional in KuboCD; the default is the manifest's directory
    if "\0" in path:
        raise _bad(f"source.local.path is not a valid path: {shown(path)}")
    return LocalChart(directory, path, files)


def _bad(message: str, hint: str | None = None) -> ProblemsError:
    return ProblemsError.of("bad-package", message, hint=hint)


def _helm_repository(given: Mapping[str, Any]) -> HelmRepositoryChart:
    url, version = given["url"], given["version"]
    if str(url).startswith("oci://"):
        repository = f"{url.removeprefix('oci://').rstrip('/')}/{given['chart']}"
        hint = f"use source.oci instead: oci: {{repository: {repository}, tag: {version}}}"
        raise _bad(f"source.helmRepository.url is an OCI registry: {shown(url)}", hint)
    _check_url(url, "source.helmRepository.url", ("https", "http"))
    if not is_version(version):
        hint = "use an exact version: with a range, the package would not be reproducible"
        raise _bad(f"source.helmRepository.version is not a valid version: {shown(version)}", hint)
    return HelmRepositoryChart(url.rstrip("/"), given["chart"], version)


def _git(given: Mapping[str, Any]) -> GitChart:
    url, path = given["url"], given["path"]
    if not _SCP_LIKE.fullmatch(url):
        _check_url(url, "source.git.url", _GIT_SCHEMES)
    name = str(given.get("branch") or given.get("tag"))
    if not _REF.fullmatch(name):
        raise _bad(f"source.git has an invalid branch or tag: {shown(name)}")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or ".git" in parts or "\0" in path:
        hint = "use a path relative to the root of the repository"
        raise _bad(f"source.git.path leaves the repository: {shown(path)}", hint)
    prefixes = tuple(given.get("extraFilePrefixes") or ())
    for prefix in prefixes:
        if not prefix.startswith("/"):
            message = f"source.git.extraFilePrefixes has {shown(prefix)}, which matches no file"
            raise _bad(message, f"use '/{prefix}'")
    return GitChart(url, f"refs/{'heads' if given.get('branch') else 'tags'}/{name}", "/".join(parts), prefixes)


def _check_url(url: str, field: str, schemes: tuple[str, ...]) -> None:
    try:
        parts = urlsplit(url)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_fine = urlsplit(""), False
    host = parts.hostname or ""
    host_is_fine = parts.scheme == "file" or (host != "" and not host.startswith("-"))
    if not url.isprintable() or " " in url or not port_is_fine or not host_is_fine or parts.scheme not in schemes:
        hint = f"use a URL such as {schemes[0]}://example.com"
        raise _bad(f"{field} is not a valid URL for a chart: {shown(url)}", hint)
    if parts.password is not None or (parts.username and parts.scheme in ("https", "http")):
        public = url.replace(parts.netloc, parts.netloc.rpartition("@")[2])
        raise _bad(f"{field} contains credentials for {shown(public)}", _CREDENTIALS)


@dataclass(frozen=True, slots=True)
class Authored:
    """A manifest from disk. `package` has no charts yet; `sources` has the chart source of each module.

    `text` is the manifest with environment variables expanded, as published in `original.yaml`.
    """

    path: str
    text: str = field(repr=False)
    package: Package = field(repr=False)
    fields: Mapping[str, Any] = field(repr=False, hash=False)
    sources: tuple[ChartSource, ...]

    def source_position(self, module: int) -> Position:
        """Return the position of a module's source."""
        return self.package.position("modules", module, "source")


def package_manifests(paths: Iterable[Path], allow_outside: Iterable[Path] = ()) -> list[Path]:
    """Return `paths`, with the package manifests below it for each directory.

    Raises ProblemsError `missing-source` for a directory without any, and `outside-checkout`.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        files = CheckoutFiles.of_named(path, allow_outside)
        documents = find_documents(path, (MANIFEST_MENTION,), files=files)
        below = dict.fromkeys(path / file for file, value in documents if is_manifest(value))
        if not below:
            hint = "pass a manifest, which has 'type: Package', or a directory that contains one"
            raise ProblemsError.of("missing-source", f"{shown(str(path))} contains no package manifest", hint=hint)
        found += below
    return found


def read_authored(
    file: Path, display: str, environment: Mapping[str, str], allow_outside: Iterable[Path] = ()
) -> Authored:
    """Read the manifest in `file`, a command-line argument that messages call `display`.

    Local charts must be in its checkout or in `allow_outside`. Raises ProblemsError with all problems that can be found
    without fetching charts.
    """
    try:
        files = manifest_files(file, allow_outside)
        source = read_source(file, display, (b"",), files)
    except ProblemsError as error:
        hint = error.problem.hint or "pass the manifest of a package"
        raise ProblemsError(replace(error.problem, hint=hint)) from None
    text = expand_environment(source.text if source else "", display, environment)
    _refuse_resource(text, display)
    package, fields = read_manifest(text, display)
    problems: list[Problem] = []
    sources = []
    for index, module in enumerate(fields["modules"]):
        position = package.position("modules", index, "source", source_kind(module["source"]))
        try:
            sources.append(chart_source(module["source"], file.parent, files))
        except ProblemsError as error:
            problems += error.at(position).problems
    if problems:
        raise ProblemsError(*problems)
    return Authored(display, text, package, fields, tuple(sources))


def _refuse_resource(text: str, display: str) -> None:
    """Raise ProblemsError `bad-package` for a Kubernetes resource, such as a Release."""
    value = first_document(text, display).value if "kind" in text else None
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if value is None or not isinstance(kind, str) or not kind:
        return
    is_release = kind == "Release" and KUBOCD_GROUP in str(value.get("apiVersion"))
    hint = "pass the manifest of a package, which has 'type: Package' and no kind"
    if is_release:
        hint = "compile it with 'kcd-gen build'; to see its package, pass the name of the Release to 'kcd-gen dump'"
    what = f"{'an' if kind[0] in 'AEIOU' else 'a'} {kind[:_SHOWN_KIND]}"
    message = f"{shown(display)} is {what}, not a package"
    raise ProblemsError.of("bad-package", message, find_position(text, display, 0, ("kind",)), hint)


def manifest_files(file: Path, allow_outside: Iterable[Path]) -> CheckoutFiles:
    """Return the files that a manifest's local charts can use: those of its checkout.

    Without Git that is the current directory if the manifest is in it, otherwise the manifest's directory. Raises
    ProblemsError `outside-checkout`.
    """
    current, directory = Path.cwd(), Path(os.path.realpath(file.parent))
    inside = checkout_root(directory) is None and directory.is_relative_to(current)
    return CheckoutFiles.around(current if inside else directory, allow_outside).naming(file)


def groomed(authored: Authored) -> dict[str, Any]:
    """Return the manifest with its defaults, and its schemas as JSON Schema: `groomed.yaml` and the image's config."""
    package, fields = authored.package, authored.fields
    schemas = {"parameters": package.parameters_schema.schema}
    if package.context_schema is not None:
        schemas["context"] = package.context_schema.schema
    modules = [
        {
            **_given(module or {}),
            "name": read.name,
            "type": "HelmChart",
            "source": _given(module["source"]),
            "enabled": read.enabled.text,
            "targetNamespace": read.target_namespace.text,
            "dependsOn": module.get("dependsOn") or [],
        }
        for module, read in zip(fields["modules"], package.modules, strict=True)
    ]
    lists = {name: fields.get(name) or [] for name in ("roles", "dependencies")}
    filled = {"type": "Package", "protected": package.protected, "schema": schemas, "modules": modules}
    result: dict[str, Any] = sorted_maps({**_given(fields), **filled, **lists})
    return result


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields without empty values, which Go's `omitempty` drops."""
    return {key: value for key, value in fields.items() if value not in (None, "", {}, [])}
