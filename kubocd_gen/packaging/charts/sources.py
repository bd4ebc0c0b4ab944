"""Read and check the chart source of a module before anything is fetched."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from kubocd_gen.archives.chart import is_version
from kubocd_gen.checkout.files import CheckoutFiles
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError, shown
from kubocd_gen.oci.reference import Reference, parse_reference

_CREDENTIALS = "set KCD_OCI_<HOST>_USER and KCD_OCI_<HOST>_SECRET instead; the manifest is published with the package"
# The rules of git check-ref-format, without characters that are special in a refspec.
_REF = re.compile(
    r"(?!-)(?!.*(?:\.\.|//|@\{|\.lock(?:/|$)|/\.|/$|\.$))[^\x00-\x20\x7f~^:?*\[\\+/.][^\x00-\x20\x7f~^:?*\[\\]*"
)
_GIT_SCHEMES = ("https", "http", "ssh", "git", "file")
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


def chart_source(
    source: Mapping[str, Any], directory: Path, position: Position, files: CheckoutFiles | None = None
) -> ChartSource:
    """Return the source of a module, which `read_manifest` has validated; `directory` is the manifest's directory.

    A local chart must be among `files`. Raises ProblemsError `bad-package` or `bad-reference` if the source is not
    valid.
    """
    kind = source_kind(source)
    given: Mapping[str, Any] = source[kind]

    def bad(message: str, hint: str | None = None) -> Problem:
        return Problem("bad-package", message, position=position, hint=hint)

    if kind == "helmRepository":
        return _helm_repository(given, bad)
    if kind == "oci":
        tag = str(given["tag"]).replace("+", "_")  # like `helm push`, because a tag can't contain "+"
        try:
            reference = parse_reference(f"{given['repository']}:{tag}")
        except ProblemsError as error:
            raise ProblemsError.of(
                error.problem.code, error.problem.message, position=position, hint=error.problem.hint
            ) from None
        return RegistryChart(reference, bool(given.get("insecure")))
    if kind == "git":
        return _git(given, bad)
    path = given.get("path") or "."  # optional in KuboCD; the default is the manifest's directory
    if "\0" in path:
        raise ProblemsError(bad(f"source.local.path is not a valid path: {shown(path)}"))
    return LocalChart(directory, path, files)


def _helm_repository(given: Mapping[str, Any], bad: Any) -> HelmRepositoryChart:
    url, version = given["url"], given["version"]
    if str(url).startswith("oci://"):
        repository = f"{url.removeprefix('oci://').rstrip('/')}/{given['chart']}"
        hint = f"use source.oci instead: oci: {{repository: {repository}, tag: {version}}}"
        raise ProblemsError(bad(f"source.helmRepository.url is an OCI registry: {shown(url)}", hint))
    _check_url(url, "source.helmRepository.url", ("https", "http"), bad)
    if not is_version(version):
        hint = "use an exact version: a range would make the package not reproducible"
        raise ProblemsError(bad(f"source.helmRepository.version is not a valid version: {shown(version)}", hint))
    return HelmRepositoryChart(url.rstrip("/"), given["chart"], version)


def _git(given: Mapping[str, Any], bad: Any) -> GitChart:
    url = given["url"]
    if not _SCP_LIKE.fullmatch(url):
        _check_url(url, "source.git.url", _GIT_SCHEMES, bad)
    name = str(given.get("branch") or given.get("tag"))
    if not _REF.fullmatch(name):
        raise ProblemsError(bad(f"source.git has an invalid branch or tag: {shown(name)}"))
    parts = [part for part in given["path"].split("/") if part not in ("", ".")]
    if ".." in parts or ".git" in parts or "\0" in given["path"]:
        raise ProblemsError(
            bad(
                f"source.git.path leaves the repository: {shown(given['path'])}",
                "use a path relative to the root of the repository",
            )
        )
    prefixes = tuple(given.get("extraFilePrefixes") or ())
    for prefix in prefixes:
        if not prefix.startswith("/"):
            raise ProblemsError(
                bad(f"source.git.extraFilePrefixes has {shown(prefix)}, which matches no file", f"use '/{prefix}'")
            )
    return GitChart(url, f"refs/{'heads' if given.get('branch') else 'tags'}/{name}", "/".join(parts), prefixes)


def _check_url(url: str, field: str, schemes: tuple[str, ...], bad: Any) -> None:
    try:
        parts = urlsplit(url)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_fine = urlsplit(""), False
    host_is_fine = bool(parts.hostname) and not str(parts.hostname).startswith("-")
    if parts.scheme == "file":
        host_is_fine = True
    if not url.isprintable() or " " in url or not port_is_fine or not host_is_fine or parts.scheme not in schemes:
        raise ProblemsError(
            bad(
                f"{field} is not a valid URL for a chart: {shown(url)}", f"use a URL such as {schemes[0]}://example.com"
            )
        )
    if parts.password is not None or (parts.username and parts.scheme in ("https", "http")):
        public = url.replace(parts.netloc, parts.netloc.rpartition("@")[2])
        raise ProblemsError(bad(f"{field} contains credentials for {shown(public)}", _CREDENTIALS))
