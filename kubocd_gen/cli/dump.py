"""`kcd-gen dump`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from kubocd_gen.cli.options import (
    allow_outside_option,
    ca_file_option,
    cache_option,
    format_option,
    limit_option,
    no_warnings_option,
    offered,
    option,
    plain_http_option,
    progress_option,
)
from kubocd_gen.cli.problems import say_problems
from kubocd_gen.cli.progress import progress
from kubocd_gen.cli.tables import table
from kubocd_gen.diagnostics.problems import Position, Problem, Problems, ProblemsError, printable
from kubocd_gen.diagnostics.text import problem_report

if TYPE_CHECKING:
    from kubocd_gen.budget.limits import Limits
    from kubocd_gen.model.package import Package
    from kubocd_gen.model.project import Project
    from kubocd_gen.oci.access import Access
    from kubocd_gen.oci.reference import Reference
    from kubocd_gen.packages.contents import Contents, Value
    from kubocd_gen.packages.image import PackageImage
    from kubocd_gen.packages.source import PackageSources

_VALUE = ("NAME", "TYPE", "DEFAULT", "REQUIRED", "DESCRIPTION")
_GZIP = b"\x1f\x8b"
Files = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Named:
    """The package that an argument names: as it is read, as it is shown, and its files."""

    package: Package
    contents: Contents
    files: Files


@click.command()
@click.argument("package", metavar="IMAGE|FILE", shell_complete=offered("images"))
@option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Unpack into this folder: the package's files, and its charts below charts/. Nothing there is overwritten.",
)
@option("--vendor", type=click.Path(path_type=Path), metavar="DIR", help="An OCI image layout with package images.")
@allow_outside_option
@option("--insecure", is_flag=True, help="Pull over plain HTTP.")
@option("--offline", is_flag=True, help="Any need of the network is an error.")
@ca_file_option
@plain_http_option
@cache_option
@limit_option
@format_option
@no_warnings_option
@progress_option
def dump(**given: Any) -> int:
    """Show what is inside a package: parameters, contexts, modules, charts with their sizes, and the manifest.

    IMAGE is a reference, looked for as a build here would look for it, or oci:LAYOUT:REFERENCE. FILE is a
    manifest, before it is packaged, or the layer of an image (assembly.tgz).

    \b
    kcd-gen dump quay.io/kubodoc/packages/podinfo:6.7.1-p01
    kcd-gen dump quay.io/kubodoc/packages/podinfo:6.7.1-p01 --output podinfo    # its files, and the charts' own
    kcd-gen dump oci:vendor/packages:quay.io/kubodoc/packages/podinfo:6.7.1-p01
    kcd-gen dump packages/podinfo.yaml --format json
    """
    findings = Problems()
    found: Contents | None = None
    written: list[str] = []
    try:
        named = read_named(given["package"], given, findings)
        found = named.contents
        if given["output"]:
            written = _unpack(named.files, given["output"])
    except ProblemsError as error:
        findings.error(error)
    if given["format_"] == "json":
        click.echo(json.dumps(_document(found, written, [problem_report(one) for one in findings]), indent=1))
    elif found is not None and not (given["output"] and given["quiet"]):
        for line in _unpacked_lines(given["output"], written) if given["output"] else _text(found):
            click.echo(printable(line))
    return say_problems(findings, quiet=given["quiet"])


def read_named(name: str, given: Mapping[str, Any], findings: Problems) -> Named:
    """The package of an image, a manifest or a layer, as `dump` takes them; warnings go to `findings`.

    Raises ProblemsError.
    """
    from kubocd_gen.checkout.files import CheckoutFiles
    from kubocd_gen.oci.layout import OciLayout
    from kubocd_gen.oci.reference import parse_reference
    from kubocd_gen.packages.source import PackageSources

    path = Path(name)
    allowed = given["allow_outside"]
    if path.is_file():
        with _opened(path, allowed) as file:
            is_archive = file.read(2) == _GZIP
        return _read_archive(path, _limits(given), allowed) if is_archive else _read_manifest(path, allowed)
    if name.startswith("oci:") and not name.startswith("oci://"):
        folder, _, text = name.removeprefix("oci:").partition(":")
        files = CheckoutFiles.of_named(Path(folder), allowed)
        layout = OciLayout(Path(folder), limits=_limits(given), files=files)
        return _contents(_fetched(PackageSources(vendor=layout), parse_reference(text), findings))
    if path.suffix in (".yaml", ".yml", ".tgz") or path.is_dir():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise ProblemsError(Problem("missing-source", f"{name} {what}", hint="name a manifest, an archive or an image"))
    return _contents(_fetch(parse_reference(name.removeprefix("oci://")), given, findings))


def _fetch(reference: Reference, given: Mapping[str, Any], findings: Problems) -> PackageImage:
    """The image of a reference: locked, vendored, cached or pulled, as a build in this directory would take it."""
    from kubocd_gen.oci.access import Access
    from kubocd_gen.pipeline.packages import package_sources, project_lock

    project = _project(given)
    with progress(wanted=not given["no_progress"]) as line:
        sources = package_sources(project, line, lock=project_lock(project), jobs=1)
        try:
            return _fetched(sources, reference, findings, Access(insecure=given["insecure"]))
        finally:
            for warning in sources.warnings():
                findings.warning(warning)
            sources.close()


def _project(given: Mapping[str, Any]) -> Project:
    """The project of the directory, if there is one, with the flags over it."""
    from kubocd_gen.checkout.files import CheckoutFiles
    from kubocd_gen.model.project import Flags, Project
    from kubocd_gen.sources.project_file import load_project, with_flags

    flags = Flags(
        project=given.get("project"),
        vendor=given["vendor"],
        limits=dict(given["limits"]),
        offline=given["offline"],
        locked=given.get("locked", False),
        ca_file=given["ca_file"],
        cache=given["cache"],
        clear_text_hosts=given["clear_text_hosts"],
        allow_outside=given["allow_outside"],
    )
    try:
        return load_project(flags, Path.cwd(), outputs=False)
    except ProblemsError as error:
        if error.problem.code != "missing-project":
            raise
        files = CheckoutFiles.around(Path.cwd(), flags.allow_outside)
        return with_flags(Project(Path.cwd(), (), files=files.naming(*filter(None, [flags.vendor]))), flags)


def _fetched(
    sources: PackageSources, reference: Reference, findings: Problems, access: Access | None = None
) -> PackageImage:
    from kubocd_gen.oci.access import Access
    from kubocd_gen.packages.source import PackageRequest

    request = PackageRequest(reference, access or Access())
    fetched = sources.fetch_all([request])[request]
    for warning in fetched.warnings:
        findings.warning(warning)
    if isinstance(fetched.package, ProblemsError):
        raise fetched.package
    return fetched.package


def _contents(image: PackageImage) -> Named:
    from kubocd_gen.packages.contents import contents
    from kubocd_gen.packages.manifest import manifest_path, read_manifest, read_package

    package = read_package(image)
    _, fields = read_manifest(package.text, manifest_path(image.reference))
    size = sum(map(len, image.files.values()))
    return Named(package, contents(package, fields, reference=image.reference, size=size), image.files)


def _limits(given: Mapping[str, Any]) -> Limits:
    from kubocd_gen.budget.limits import LIMITS, moved

    return moved(LIMITS, dict(given["limits"]))


def _opened(path: Path, allow_outside: Sequence[Path]) -> BinaryIO:
    """The file that the command line names. Raises ProblemsError."""
    from kubocd_gen.checkout.files import CheckoutFiles

    try:
        return CheckoutFiles.of_named(path, allow_outside).open(path, str(path))
    except OSError as error:
        what = f"the file can't be read: {error.strerror}"
        raise ProblemsError(Problem("unreadable-source", what, position=Position(str(path)))) from error


def _read_archive(path: Path, limits: Limits, allow_outside: Sequence[Path]) -> Named:
    from kubocd_gen.packages.archive import read_package_archive
    from kubocd_gen.packages.contents import contents
    from kubocd_gen.packages.image import check_files
    from kubocd_gen.packages.manifest import read_files, read_manifest

    with _opened(path, allow_outside) as file:
        data = file.read(limits.layer + 1)
    files = read_package_archive(data, describe=str(path), limits=limits)
    check_files(files, describe=str(path), limits=limits)
    package = read_files(files, f"{path}/original.yaml", str(path))
    _, fields = read_manifest(package.text, f"{path}/original.yaml")
    return Named(package, contents(package, fields, size=sum(map(len, files.values()))), files)


def _read_manifest(path: Path, allow_outside: Sequence[Path]) -> Named:
    from kubocd_gen.packages.contents import contents
    from kubocd_gen.packaging.assembly import as_yaml
    from kubocd_gen.packaging.authoring import groomed, read_authored

    authored = read_authored(path, str(path), os.environ, allow_outside)
    files = {"original.yaml": authored.text.encode(), "groomed.yaml": as_yaml(groomed(authored)).encode()}
    return Named(authored.package, contents(authored.package, authored.fields), files)


def _unpack(files: Files, folder: Path) -> list[str]:
    from kubocd_gen.archives.unpacking import unpacked, write_files

    everything = unpacked(files)
    write_files(folder, everything)
    return sorted(everything)


def _unpacked_lines(folder: Path, written: Sequence[str]) -> Iterator[str]:
    tops = sorted({"/".join(name.split("/")[:2]) for name in written})
    yield from (f"Created {folder / top}" for top in tops)


def _document(found: Contents | None, written: Sequence[str], problems: Sequence[Any]) -> dict[str, Any]:
    return {
        "apiVersion": "kcd-gen/v1alpha1",
        "kind": "Dump",
        "package": found.as_json() if found else None,
        "written": list(written),
        "diagnostics": list(problems),
    }


def _text(found: Contents) -> Iterator[str]:
    yield f"{found.name}:{found.tag}" + (f"  {found.digest}" if found.digest else "")
    if found.reference:
        yield f"from {found.reference}"
    yield from (line for line in found.description.splitlines() if line.strip())
    if found.protected:
        yield "protected"
    for title, value in (("roles", found.roles), ("depends on", found.dependencies)):
        if value:
            yield f"{title}: {_inline(value)}"
    yield from ("", "Parameters" if found.parameters else "Parameters: it takes none")
    yield from table(map(_row, found.parameters), titles=_VALUE, indent=2)
    if found.context is None:
        yield from ("", "Context: any, unchecked")
    else:
        yield from ("", "Context" if found.context else "Context: it needs none")
        yield from table(map(_row, found.context), titles=_VALUE, indent=2)
    yield from ("", "Modules")
    rows = [
        (
            one["name"],
            f"{one['chart']['name']} {one['chart']['version']}" if one["chart"] else "",
            _inline(one["enabled"]),
            _inline(one["dependsOn"]) if one["dependsOn"] else "",
            "; ".join(f"{kind}: {_inline(value)}" for kind, value in one["source"].items()),
        )
        for one in found.modules
    ]
    yield from table(rows, titles=("NAME", "CHART", "ENABLED", "DEPENDS ON", "SOURCE"), indent=2)
    if found.charts:
        yield from ("", "Charts")
        sizes = [(one["file"], _size(one["size"]), one["digest"]) for one in found.charts]
        yield from table(sizes, titles=("FILE", "SIZE", "DIGEST"), indent=2)
    if found.size is not None:
        yield from ("", f"{len(found.files)} files, {_size(found.size)}")
    yield from ("", "Manifest")
    yield from (f"  {line}" for line in found.manifest.splitlines())


def _row(value: Value) -> tuple[str, ...]:
    description = " ".join(value.description.split())
    return value.name, value.type, value.default, "yes" if value.required else "", description


def _inline(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _size(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB" if size >= 1 << 20 else f"{size / 1024:.1f} KiB"
