"""Where a module's chart comes from, as the manifest says it, checked before anything is asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from kubocd_gen.archives.chart import is_version
from kubocd_gen.checkout.files import CheckoutFiles
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.diagnostics.quoting import shown
from kubocd_gen.oci.reference import Reference, parse_reference

_WAY_OUT = "set KCD_OCI_<HOST>_USER and KCD_OCI_<HOST>_SECRET instead; the manifest is published with the package"
# git check-ref-format, and nothing that would end a refspec or be a pattern in one.
_REF = re.compile(
    r"(?!-)(?!.*(?:\.\.|//|@\{|\.lock(?:/|$)|/\.|/$|\.$))[^\x00-\x20\x7f~^:?*\[\\+/.][^\x00-\x20\x7f~^:?*\[\\]*"
)
_GIT_SCHEMES = ("https", "http", "ssh", "git", "file")
_SCP_LIKE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*@[A-Za-z0-9][A-Za-z0-9.-]*:[^:].*")  # git@github.com:org/repo


@dataclass(frozen=True, slots=True)
class HelmRepositoryChart:
    """A chart of a Helm repository. `url` has no slash at its end."""

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
    """A chart in a Git repository: `ref` is `refs/heads/…` or `refs/tags/…`, `path` is relative to the root."""

    url: str
    ref: str
    path: str
    extra_prefixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LocalChart:
    """A chart's folder, as written in a manifest of `folder`, and the files that it has to be among."""

    folder: Path
    path: str
    files: CheckoutFiles | None = None  # None: the caller has looked at the path


ChartSource: TypeAlias = HelmRepositoryChart | RegistryChart | GitChart | LocalChart


def source_kind(source: Mapping[str, Any]) -> str:
    """Which of the four kinds of source is given."""
    return next(kind for kind in ("helmRepository", "oci", "git", "local") if source.get(kind) is not None)


def chart_source(
    source: Mapping[str, Any], folder: Path, position: Position, files: CheckoutFiles | None = None
) -> ChartSource:
    """The one source of a module that `read_manifest` has found complete; `folder` is the manifest's.

    A local chart must be among `files`.

    Raises ProblemsError `bad-package` or `bad-reference` for what could never be fetched.
    """
    kind = source_kind(source)
    given: Mapping[str, Any] = source[kind]

    def bad(message: str, hint: str | None = None) -> Problem:
        return Problem("bad-package", message, position=position, hint=hint)

    if kind == "helmRepository":
        return _helm_repository(given, bad)
    if kind == "oci":
        tag = str(given["tag"]).replace("+", "_")  # as helm names the tag of a version with a build
        try:
            reference = parse_reference(f"{given['repository']}:{tag}")
        except ProblemsError as error:
            raise ProblemsError(
                Problem(error.problem.code, error.problem.message, position=position, hint=error.problem.hint)
            ) from None
        return RegistryChart(reference, bool(given.get("insecure")))
    if kind == "git":
        return _git(given, bad)
    path = given.get("path") or "."  # KuboCD asks for none: it is the manifest's own folder then
    if "\0" in path:
        raise ProblemsError(bad(f"source.local.path {shown(path)} is not a path"))
    return LocalChart(folder, path, files)


def _helm_repository(given: Mapping[str, Any], bad: Any) -> HelmRepositoryChart:
    url, version = given["url"], given["version"]
    if str(url).startswith("oci://"):
        hint = f"write: oci: {{repository: {url.removeprefix('oci://').rstrip('/')}/{given['chart']}, tag: {version}}}"
        raise ProblemsError(bad(f"source.helmRepository.url {shown(url)} is a registry", hint))
    _check_url(url, "source.helmRepository.url", ("https", "http"), bad)
    if not is_version(version):
        hint = "kcd-gen takes one exact version, so that the same manifest makes the same package tomorrow"
        raise ProblemsError(bad(f"source.helmRepository.version {shown(version)} is not a version", hint))
    return HelmRepositoryChart(url.rstrip("/"), given["chart"], version)


def _git(given: Mapping[str, Any], bad: Any) -> GitChart:
    url = given["url"]
    if not _SCP_LIKE.fullmatch(url):
        _check_url(url, "source.git.url", _GIT_SCHEMES, bad)
    name = str(given.get("branch") or given.get("tag"))
    if not _REF.fullmatch(name):
        raise ProblemsError(bad(f"source.git has {shown(name)}, which is no name of a branch or tag"))
    parts = [part for part in given["path"].split("/") if part not in ("", ".")]
    if ".." in parts or ".git" in parts or "\0" in given["path"]:
        raise ProblemsError(
            bad(f"source.git.path {shown(given['path'])} leaves the repository", "it is relative to its root")
        )
    prefixes = tuple(given.get("extraFilePrefixes") or ())
    for prefix in prefixes:
        if not prefix.startswith("/"):
            raise ProblemsError(
                bad(f"source.git.extraFilePrefixes has {shown(prefix)}, which matches nothing", f"write '/{prefix}'")
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
            bad(f"{field} {shown(url)} is not a URL that a chart can come from", f"it starts with {schemes[0]}://")
        )
    if parts.password is not None or (parts.username and parts.scheme in ("https", "http")):
        public = url.replace(parts.netloc, parts.netloc.rpartition("@")[2])
        raise ProblemsError(bad(f"{field} of {shown(public)} holds credentials", _WAY_OUT))
