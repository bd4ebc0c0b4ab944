"""`kcd-gen dump`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click

from kubocd_gen.cli.command import Flag, command, options
from kubocd_gen.cli.console import print_json, print_problems
from kubocd_gen.cli.options import FetchOptions, JsonOptions, ProjectFileOptions
from kubocd_gen.cli.terminal import table
from kubocd_gen.diagnostics.problems import Problems, printable
from kubocd_gen.diagnostics.text import envelope

if TYPE_CHECKING:  # `--help` needs none of them
    from kubocd_gen.packages.contents import Contents, Value

_VALUE = ("NAME", "TYPE", "DEFAULT", "REQUIRED", "DESCRIPTION")


@options
class DumpOptions(FetchOptions, JsonOptions, ProjectFileOptions):
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

    IMAGE is a reference, resolved in the same way as in a build in this directory (lock file, vendor layout, cache,
    registry), or oci:LAYOUT:REFERENCE. NAME is a Release of the project, or a package that one of them uses. FILE is a
    package manifest, or the layer of a package image (assembly.tgz), and DIR a directory with one manifest.

    \b
    kcd-gen dump podinfo1                                                       # the package of a Release
    kcd-gen dump quay.io/kubodoc/packages/podinfo:6.7.1-p01
    kcd-gen dump quay.io/kubodoc/packages/podinfo:6.7.1-p01 --output podinfo    # also unpack it
    kcd-gen dump oci:vendor/packages:quay.io/kubodoc/packages/podinfo:6.7.1-p01
    kcd-gen dump packages/podinfo.yaml --format json
    """
    from kubocd_gen.archives.chart_members import unpacked, write_files
    from kubocd_gen.cli.named_package import read_named

    problems = Problems()
    found: Contents | None = None
    written: list[str] = []
    with problems.collect():
        named = read_named(options.package, options, problems)
        found = named.contents
        if options.output:
            files = unpacked(named.files)
            write_files(options.output, files)
            written = sorted(files)
    if options.format == "json":
        document = {"package": asdict(found) if found else None, "written": written}
        print_json(envelope("Dump", document, list(problems)))
    elif found is not None:
        for line in _lines(found, written, options):
            click.echo(printable(line))
    return print_problems(problems, quiet=options.quiet)


def _lines(found: Contents, written: Sequence[str], options: DumpOptions) -> Iterator[str]:
    """Yield the lines of standard output."""
    if options.output is None:
        yield from _text(found)
    elif not options.quiet:
        tops = sorted({"/".join(name.split("/")[:2]) for name in written})
        yield from (f"Created {options.output / top}" for top in tops)


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
