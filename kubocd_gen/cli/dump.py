"""`kcd-gen dump`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import click

from kubocd_gen.cli.command import Argument, Flag, command, option_group, options
from kubocd_gen.cli.option_values import complete_names
from kubocd_gen.cli.options import (
    AnswerOptions,
    JsonOptions,
    LockedOptions,
    OfflineOptions,
    PackageOptions,
    ProgressOptions,
    ProjectFileOptions,
)
from kubocd_gen.cli.problems import collect_errors, print_json, print_problems
from kubocd_gen.cli.progress import progress
from kubocd_gen.cli.tables import table
from kubocd_gen.diagnostics.problems import Position, Problem, Problems, ProblemsError, printable
from kubocd_gen.diagnostics.text import envelope
from kubocd_gen.model.project import Flags

if TYPE_CHECKING:
    from kubocd_gen.budget.limits import Limits
    from kubocd_gen.model.package import Package
    from kubocd_gen.model.project import Project
    from kubocd_gen.oci.endpoints import Access
    from kubocd_gen.oci.reference import Reference
    from kubocd_gen.packages.contents import Contents, Value
    from kubocd_gen.packages.image import PackageImage
    from kubocd_gen.packages.source import PackageSources

_VALUE = ("NAME", "TYPE", "DEFAULT", "REQUIRED", "DESCRIPTION")
_GZIP = b"\x1f\x8b"
Files = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Named:
    """The package that an argument names: the parsed package, what to show of it, and its files by path."""

    package: Package
    contents: Contents
    files: Files


@option_group
class FetchOptions(PackageOptions, OfflineOptions, AnswerOptions, ProgressOptions):
    """Options of a command whose argument names one package."""

    __slots__ = ()

    package: Annotated[str, Argument("IMAGE|FILE", complete=complete_names("images"))]
    insecure: Annotated[bool, Flag("Pull over plain HTTP.")] = False

    def flags(self) -> Flags:
        """Return the flags that affect the project, which may not exist."""
        return Flags(
            project=self.project if isinstance(self, ProjectFileOptions) else None,
            vendor=self.vendor,
            limits=dict(self.limits),
            offline=self.offline,
            locked=isinstance(self, LockedOptions) and self.locked,
            ca_file=self.ca_file,
            cache=self.cache_dir,
            clear_text_hosts=self.clear_text_hosts,
            allow_outside=self.allow_outside,
        )


@options
class DumpOptions(FetchOptions, JsonOptions):
    """`kcd-gen dump`."""

    output: Annotated[
        Path | None,
        Flag(
            "Unpack the package's files into this directory, and its charts into charts/. Never overwrites files.",
            metavar="DIR",
        ),
    ] = None


@command(DumpOptions)
def dump(options: DumpOptions) -> int:
    """Show what is inside a package: parameters, contexts, modules, charts with their sizes, and the manifest.

    IMAGE is a reference, found as by a build in this directory (lock file, vendor layout, cache, registry), or
    oci:LAYOUT:REFERENCE. FILE is a package manifest, or the layer of a package image (assembly.tgz).

    \b
    kcd-gen dump quay.io/kubodoc/packages/podinfo:6.7.1-p01
    kcd-gen dump quay.io/kubodoc/packages/podinfo:6.7.1-p01 --output podinfo    # also unpack it
    kcd-gen dump oci:vendor/packages:quay.io/kubodoc/packages/podinfo:6.7.1-p01
    kcd-gen dump packages/podinfo.yaml --format json
    """
    findings = Problems()
    found: Contents | None = None
    written: list[str] = []
    with collect_errors(findings):
        named = read_named(options.package, options, findings)
        found = named.contents
        if options.output:
            written = _unpack(named.files, options.output)
    if options.format == "json":
        print_json(_document(found, written, list(findings)))
    elif found is not None:
        for line in _lines(found, written, options):
            click.echo(printable(line))
    return print_problems(findings, quiet=options.quiet)


def read_named(name: str, options: FetchOptions, findings: Problems) -> Named:
    """Return the package of an image, a manifest or a layer, as `dump` accepts them. Warnings go to `findings`.

    Raises ProblemsError.
    """
    from kubocd_gen.checkout.files import CheckoutFiles
    from kubocd_gen.oci.layout import OciLayout
    from kubocd_gen.oci.reference import parse_reference
    from kubocd_gen.packages.source import PackageSources

    path = Path(name)
    allowed = options.allow_outside
    if path.is_file():
        with _opened(path, allowed) as file:
            is_archive = file.read(2) == _GZIP
        return _read_archive(path, _limits(options), allowed) if is_archive else _read_manifest(path, allowed)
    if name.startswith("oci:") and not name.startswith("oci://"):
        directory, _, text = name.removeprefix("oci:").partition(":")
        files = CheckoutFiles.of_named(Path(directory), allowed)
        layout = OciLayout(Path(directory), limits=_limits(options), files=files)
        return _contents(_fetched(PackageSources(vendor=layout), parse_reference(text), findings))
    if path.suffix in (".yaml", ".yml", ".tgz") or path.is_dir():
        reason = "is a directory" if path.is_dir() else "does not exist"
        hint = "give a package manifest, a layer archive or an image reference"
        raise ProblemsError.of("missing-source", f"'{name}' {reason}", hint=hint)
    return _contents(_fetch(parse_reference(name.removeprefix("oci://")), options, findings))


def _fetch(reference: Reference, options: FetchOptions, findings: Problems) -> PackageImage:
    """Fetch an image as a build in this directory would: from the vendor layout, the cache or the registry."""
    from kubocd_gen.oci.endpoints import Access
    from kubocd_gen.pipeline.packages import package_sources, project_lock

    project = _project(options)
    with progress(wanted=not options.no_progress) as line:
        sources = package_sources(project, line, lock=project_lock(project), jobs=1)
        try:
            return _fetched(sources, reference, findings, Access(insecure=options.insecure))
        finally:
            for warning in sources.warnings():
                findings.warning(warning)
            sources.close()


def _project(options: FetchOptions) -> Project:
    """Return the project of the current directory with the flags applied, or an empty project if there is none."""
    from kubocd_gen.checkout.files import CheckoutFiles
    from kubocd_gen.model.project import Project
    from kubocd_gen.sources.project_file import load_project, with_flags

    flags = options.flags()
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
    from kubocd_gen.oci.endpoints import Access
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


def _limits(options: FetchOptions) -> Limits:
    from kubocd_gen.budget.limits import LIMITS, moved

    return moved(LIMITS, dict(options.limits))


def _opened(path: Path, allow_outside: Sequence[Path]) -> BinaryIO:
    """Open a file that the command line names. Raises ProblemsError."""
    from kubocd_gen.checkout.files import CheckoutFiles

    try:
        return CheckoutFiles.of_named(path, allow_outside).open(path, str(path))
    except OSError as error:
        message = f"cannot read the file: {error.strerror}"
        raise ProblemsError.of("unreadable-source", message, position=Position(str(path))) from error


def _read_archive(path: Path, limits: Limits, allow_outside: Sequence[Path]) -> Named:
    from kubocd_gen.budget.spending import Budget
    from kubocd_gen.packages.archive import Subject, read_package_archive
    from kubocd_gen.packages.contents import contents
    from kubocd_gen.packages.image import check_files
    from kubocd_gen.packages.manifest import read_files, read_manifest

    with _opened(path, allow_outside) as file:
        data = file.read(limits.layer + 1)
    subject = Subject(str(path), limits=limits, budget=Budget(limits))
    files = read_package_archive(data, subject)
    check_files(files, subject)
    package = read_files(files, f"{path}/original.yaml", str(path))
    _, fields = read_manifest(package.text, f"{path}/original.yaml")
    return Named(package, contents(package, fields, size=sum(map(len, files.values()))), files)


def _read_manifest(path: Path, allow_outside: Sequence[Path]) -> Named:
    from kubocd_gen.packages.contents import contents
    from kubocd_gen.packaging.assembly import as_yaml
    from kubocd_gen.packaging.manifest_file import groomed, read_authored

    authored = read_authored(path, str(path), os.environ, allow_outside)
    files = {"original.yaml": authored.text.encode(), "groomed.yaml": as_yaml(groomed(authored)).encode()}
    return Named(authored.package, contents(authored.package, authored.fields), files)


def _unpack(files: Files, directory: Path) -> list[str]:
    from kubocd_gen.archives.chart_members import unpacked, write_files

    everything = unpacked(files)
    write_files(directory, everything)
    return sorted(everything)


def _unpacked_lines(directory: Path, written: Sequence[str]) -> Iterator[str]:
    tops = sorted({"/".join(name.split("/")[:2]) for name in written})
    yield from (f"Created {directory / top}" for top in tops)


def _document(found: Contents | None, written: Sequence[str], problems: Sequence[Problem]) -> dict[str, Any]:
    """Return the JSON report, described by schemas/kcd-gen/dump-v1alpha1.json."""
    return envelope("Dump", {"package": asdict(found) if found else None, "written": list(written)}, problems)


def _lines(found: Contents, written: Sequence[str], options: DumpOptions) -> Iterator[str]:
    """Yield the lines of standard output."""
    if options.output is None:
        yield from _text(found)
    elif not options.quiet:
        yield from _unpacked_lines(options.output, written)


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
    yield from ("", "Parameters" if found.parameters else "Parameters: none")
    yield from table(map(_row, found.parameters), titles=_VALUE, indent=2)
    if found.context is None:
        yield from ("", "Context: not checked (no schema)")
    else:
        yield from ("", "Context" if found.context else "Context: none")
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
