"""`kcd-gen dump`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kubocd_gen.cli.options import format_option, option
from kubocd_gen.cli.problems import say_problems
from kubocd_gen.diagnostics import Findings, KcdError, KcdErrors
from kubocd_gen.report import diagnostic_report, printable

if TYPE_CHECKING:
    from kubocd_gen.packages.contents import Contents, Value
    from kubocd_gen.packages.image import PackageImage
    from kubocd_gen.packages.reference import Reference
    from kubocd_gen.packages.source import PackageRequest, PackageSources
    from kubocd_gen.project import Project

_GZIP = b"\x1f\x8b"
Files = Mapping[str, bytes]


@click.command()
@click.argument("package", metavar="IMAGE|FILE")
@option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Unpack into this folder: the package's files, and its charts below charts/. Nothing there is overwritten.",
)
@option("--vendor", type=click.Path(path_type=Path), metavar="DIR", help="An OCI image layout with package images.")
@option("--insecure", is_flag=True, help="Pull over plain HTTP.")
@option("--offline", is_flag=True, help="Any need of the network is an error.")
@option(
    "--ca-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="PEM",
    help="Certificates to trust besides the system's.",
)
@format_option
@option("--debug", is_flag=True, help="Print tracebacks.")
def dump(**given: Any) -> int:
    """Show what is inside a package: parameters, contexts, modules, charts with their sizes, and the manifest.

    IMAGE is a reference, looked for in the vendor layout and then in its registry, or oci:LAYOUT:REFERENCE. FILE is a
    manifest, before it is packaged, or the layer of an image (assembly.tgz).

    \b
    kcd-gen dump quay.io/kubodoc/packages/podinfo:6.7.1-p01
    kcd-gen dump quay.io/kubodoc/packages/podinfo:6.7.1-p01 --output podinfo    # its files, and the charts' own
    kcd-gen dump oci:vendor/packages:quay.io/kubodoc/packages/podinfo:6.7.1-p01
    kcd-gen dump packages/podinfo.yaml --format json
    """
    findings = Findings()
    found: Contents | None = None
    written: list[str] = []
    try:
        found, files = _read(given["package"], given)
        if given["output"]:
            written = _unpack(files, given["output"])
    except (KcdError, KcdErrors) as error:
        findings.error(error)
    problems = list(findings)
    if given["format_"] == "json":
        click.echo(json.dumps(_document(found, written, [diagnostic_report(one) for one in problems]), indent=1))
    elif found is not None:
        for line in _unpacked_lines(given["output"], written) if given["output"] else _text(found):
            click.echo(printable(line))
    return say_problems(problems)


def _read(name: str, given: Mapping[str, Any]) -> tuple[Contents, Files]:
    """The package that the argument names, and its files. Raises KcdError or KcdErrors."""
    from kubocd_gen.packages.layout import OciLayout
    from kubocd_gen.packages.reference import parse_reference
    from kubocd_gen.packages.source import PackageRequest, PackageSources

    path = Path(name)
    if path.is_file():
        with path.open("rb") as file:
            is_archive = file.read(2) == _GZIP
        return _read_archive(path) if is_archive else _read_manifest(path)
    if name.startswith("oci:") and not name.startswith("oci://"):
        folder, _, text = name.removeprefix("oci:").partition(":")
        sources = PackageSources(vendor=OciLayout(Path(folder)))
        return _contents(_fetched(sources, PackageRequest(parse_reference(text))))
    if path.suffix in (".yaml", ".yml", ".tgz") or path.is_dir():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise KcdError(f"{name} {what}", code="missing-source", hint="name a manifest, an archive or an image")
    return _contents(fetch_image(parse_reference(name.removeprefix("oci://")), given))


def fetch_image(reference: Reference, given: Mapping[str, Any]) -> PackageImage:
    """The image of a reference, from the project's places: vendor layout, cache, registry; as its lock pins it."""
    from kubocd_gen.packages.access import Access
    from kubocd_gen.packages.source import PackageRequest
    from kubocd_gen.pipeline.packages import package_sources, project_lock

    project = _project(given)
    sources = package_sources(project, lambda _line: None, lock=project_lock(project), jobs=1)
    request = PackageRequest(reference, Access(insecure=given["insecure"]))
    return _fetched(sources, request)


def _project(given: Mapping[str, Any]) -> Project:
    """The project with the flags over it; where there is none, the flags alone."""
    from kubocd_gen.project import Flags, Project, load_project

    flags = Flags(vendor=given["vendor"], offline=given["offline"], ca_file=given["ca_file"])
    try:
        return load_project(flags, Path.cwd())
    except KcdError as error:
        if error.code != "missing-project":
            raise
    return Project(Path.cwd(), (), vendor=flags.vendor, offline=flags.offline, ca_file=flags.ca_file)


def _fetched(sources: PackageSources, request: PackageRequest) -> PackageImage:
    found = sources.fetch_all([request])[request].package
    if isinstance(found, KcdError):
        raise found
    return found


def _contents(image: PackageImage) -> tuple[Contents, Files]:
    from kubocd_gen.packages.contents import contents
    from kubocd_gen.packages.manifest import manifest_path, read_manifest, read_package

    package = read_package(image)
    _, fields = read_manifest(package.text, manifest_path(image.reference))
    size = sum(map(len, image.files.values()))
    return contents(package, fields, reference=image.reference, size=size), image.files


def _read_archive(path: Path) -> tuple[Contents, Files]:
    from kubocd_gen.packages.archive import read_package_archive
    from kubocd_gen.packages.contents import contents
    from kubocd_gen.packages.image import PackageImage, check_files
    from kubocd_gen.packages.limits import LIMITS
    from kubocd_gen.packages.manifest import read_manifest, read_package
    from kubocd_gen.packages.oci import CONTENT_TYPE, MANIFEST_TYPE, Descriptor, sha256

    with path.open("rb") as file:
        data = file.read(LIMITS.layer + 1)
    files = read_package_archive(data, describe=str(path))
    check_files(files, describe=str(path))
    layer = Descriptor(CONTENT_TYPE, sha256(data), len(data))
    image = PackageImage(str(path), Descriptor(MANIFEST_TYPE, "", 0), layer, files)  # a layer has no manifest
    package = read_package(image, f"{path}/original.yaml")
    _, fields = read_manifest(package.text, f"{path}/original.yaml")
    return contents(package, fields, size=sum(map(len, files.values()))), files


def _read_manifest(path: Path) -> tuple[Contents, Files]:
    from kubocd_gen.packages.assembly import as_yaml
    from kubocd_gen.packages.authoring import groomed, read_authored
    from kubocd_gen.packages.contents import contents

    authored = read_authored(path, str(path), os.environ)
    files = {"original.yaml": authored.text.encode(), "groomed.yaml": as_yaml(groomed(authored)).encode()}
    return contents(authored.package, authored.fields), files


def _unpack(files: Files, folder: Path) -> list[str]:
    from kubocd_gen.packages.unpacking import unpacked, write_files

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
    yield from _table(("NAME", "TYPE", "DEFAULT", "REQUIRED", "DESCRIPTION"), map(_row, found.parameters))
    if found.context is None:
        yield from ("", "Context: any, unchecked")
    else:
        yield from ("", "Context" if found.context else "Context: it needs none")
        yield from _table(("NAME", "TYPE", "DEFAULT", "REQUIRED", "DESCRIPTION"), map(_row, found.context))
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
    yield from _table(("NAME", "CHART", "ENABLED", "DEPENDS ON", "SOURCE"), rows)
    if found.charts:
        yield from ("", "Charts")
        yield from _table(
            ("FILE", "SIZE", "DIGEST"), [(one["file"], _size(one["size"]), one["digest"]) for one in found.charts]
        )
    if found.size is not None:
        yield from ("", f"{len(found.files)} files, {_size(found.size)}")
    yield from ("", "Manifest")
    yield from (f"  {line}" for line in found.manifest.splitlines())


def _row(value: Value) -> tuple[str, ...]:
    description = " ".join(value.description.split())
    return value.name, value.type, value.default, "yes" if value.required else "", description


def _table(titles: Sequence[str], rows: Any) -> Iterator[str]:
    """Columns two spaces apart; nothing where there are no rows."""
    cells = [tuple(map(printable, row)) for row in rows]
    if not cells:
        return
    widths = [max(len(row[column]) for row in (titles, *cells)) for column in range(len(titles))]
    for row in (titles, *cells):
        yield ("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()


def _inline(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _size(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB" if size >= 1 << 20 else f"{size / 1024:.1f} KiB"
