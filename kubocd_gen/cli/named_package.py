"""The package that an argument names: an image, a manifest, or the layer of an image."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kubocd_gen.budget.limits import LIMITS, Limits, moved
from kubocd_gen.budget.spending import Budget
from kubocd_gen.checkout.files import CheckoutFiles
from kubocd_gen.cli.options import FetchOptions
from kubocd_gen.cli.terminal import progress
from kubocd_gen.diagnostics.problems import Position, Problems, ProblemsError
from kubocd_gen.files.paths import display_path
from kubocd_gen.model.package import Package
from kubocd_gen.model.project import Project
from kubocd_gen.oci.endpoints import Access
from kubocd_gen.oci.layout import MARKER, OciLayout
from kubocd_gen.oci.reference import parse_reference
from kubocd_gen.packages.archive import Subject, read_package_archive
from kubocd_gen.packages.contents import Contents, contents
from kubocd_gen.packages.image import PackageImage, check_files
from kubocd_gen.packages.manifest import manifest_path, read_files, read_manifest
from kubocd_gen.packages.source import PackageRequest, PackageSources
from kubocd_gen.packaging.assembly import as_yaml
from kubocd_gen.packaging.manifest_file import groomed, package_manifests, read_authored
from kubocd_gen.pipeline.lock import package_named
from kubocd_gen.pipeline.packages import package_sources, project_lock
from kubocd_gen.sources.project_file import load_project, with_flags

_GZIP = b"\x1f\x8b"
Files = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Named:
    """The package that an argument names: the parsed package, what to show of it, and its files by path."""

    package: Package
    contents: Contents
    files: Files


def read_named(name: str, options: FetchOptions, problems: Problems) -> Named:
    """Return the package that an argument of `dump` names. Warnings go to `problems`.

    Raises ProblemsError.
    """
    path = Path(name)
    allowed, limits = options.allow_outside, moved(LIMITS, dict(options.limits))
    is_directory = os.path.isdir(path)  # noqa: PTH112 - raises nothing for a reference that is too long for a path
    if os.path.isfile(path):  # noqa: PTH113 - likewise
        with _opened(path, allowed) as file:
            is_archive = file.read(2) == _GZIP
        return _read_archive(path, limits, allowed) if is_archive else _read_manifest(path, allowed)
    if name.startswith("oci:") and not name.startswith("oci://"):
        directory, _, text = name.removeprefix("oci:").partition(":")
        files = CheckoutFiles.of_named(Path(directory), allowed)
        layout = OciLayout(Path(directory), limits=limits, files=files)
        return _of_image(
            _fetched(PackageSources(vendor=layout), PackageRequest(parse_reference(text), Access()), problems)
        )
    if os.path.isfile(f"{name}/{MARKER}"):  # noqa: PTH113 - likewise
        hint = f"pass oci:{name}:REFERENCE"
        raise ProblemsError.of("missing-source", f"'{name}' is an image layout, not a package", hint=hint)
    if is_directory:
        return _read_manifest(_only(package_manifests([path], allowed), name), allowed)
    if path.suffix in (".yaml", ".yml", ".tgz"):
        hint = "pass a package manifest, a layer archive, an image reference or the name of a Release"
        raise ProblemsError.of("missing-source", f"'{name}' does not exist", hint=hint)
    if "/" not in name or ":" not in name:  # a reference has both
        return _of_project(name, options, problems)
    reference = parse_reference(name.removeprefix("oci://"))
    access = Access(insecure=options.insecure, setting="flag")
    return _fetch(PackageRequest(reference, access), _project(options), options, problems)


def _only(manifests: Sequence[Path], directory: str) -> Path:
    if len(manifests) > 1:
        names = ", ".join(map(str, manifests))
        message = f"'{directory}' contains several package manifests"
        raise ProblemsError.of("ambiguous-package", message, hint=f"pass one of: {names}")
    return manifests[0]


def _of_project(name: str, options: FetchOptions, problems: Problems) -> Named:
    """Return the package of a Release of the project, or a package that a Release uses, by its name."""
    try:
        project = load_project(options.flags(), Path.cwd(), outputs=False)
    except ProblemsError as error:
        if error.problem.code == "missing-project":
            parse_reference(name)  # its errors are of more use
        raise
    return _fetch(package_named(name, project, problems), project, options, problems)


def _fetch(request: PackageRequest, project: Project, options: FetchOptions, problems: Problems) -> Named:
    """Fetch an image as a build in this directory would: from the vendor layout, the cache or the registry."""
    with progress(wanted=not options.no_progress) as line:
        sources = package_sources(project, line, lock=project_lock(project), jobs=1)
        try:
            return _of_image(_fetched(sources, request, problems))
        finally:
            for warning in sources.warnings():
                problems.warning(warning)
            sources.close()


def _project(options: FetchOptions) -> Project:
    """Return the project of the current directory with the flags applied, or an empty project if there is none."""
    flags = options.flags()
    try:
        return load_project(flags, Path.cwd(), outputs=False)
    except ProblemsError as error:
        if error.problem.code != "missing-project":
            raise
        files = CheckoutFiles.around(Path.cwd(), flags.allow_outside)
        return with_flags(Project(Path.cwd(), (), files=files.naming(*filter(None, [flags.vendor]))), flags)


def _fetched(sources: PackageSources, request: PackageRequest, problems: Problems) -> PackageImage:
    fetched = sources.fetch_all([request])[request]
    for warning in fetched.warnings:
        problems.warning(warning)
    if isinstance(fetched.package, ProblemsError):
        raise fetched.package
    return fetched.package


def _of_image(image: PackageImage) -> Named:
    return _of_files(image.files, manifest_path(image.reference), image.reference, image.digest)


def _of_files(files: Files, path: str, reference: str, digest: str = "") -> Named:
    """Read the files of an image, or of a layer if there is no digest; messages call the manifest `path`."""
    package = read_files(files, path, reference, digest)
    _, fields = read_manifest(package.text, path)
    size = sum(map(len, files.values()))
    return Named(package, contents(package, fields, reference=reference if digest else None, size=size), files)


def _opened(path: Path, allow_outside: Sequence[Path]) -> BinaryIO:
    """Open a file that the command line names. Raises ProblemsError."""
    try:
        return CheckoutFiles.of_named(path, allow_outside).open(path, display_path(path, Path.cwd()))
    except OSError as error:
        message = f"cannot read the file: {error.strerror}"
        raise ProblemsError.of(
            "unreadable-source", message, position=Position(display_path(path, Path.cwd()))
        ) from error


def _read_archive(path: Path, limits: Limits, allow_outside: Sequence[Path]) -> Named:
    with _opened(path, allow_outside) as file:
        data = file.read(limits.layer + 1)
    subject = Subject(str(path), limits=limits, budget=Budget(limits))
    files = read_package_archive(data, subject)
    check_files(files, subject)
    return _of_files(files, f"{path}/original.yaml", str(path))


def _read_manifest(path: Path, allow_outside: Sequence[Path]) -> Named:
    authored = read_authored(path, display_path(path, Path.cwd()), os.environ, allow_outside)
    files = {"original.yaml": authored.text.encode(), "groomed.yaml": as_yaml(groomed(authored)).encode()}
    return Named(authored.package, contents(authored.package, authored.fields), files)
