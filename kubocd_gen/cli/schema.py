"""`kcd-gen schema`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import click

from kubocd_gen.cli.command import Flag, Options, command, options
from kubocd_gen.cli.console import DIFFERENCE, command_line, json_text, print_json, print_problems
from kubocd_gen.cli.help_format import Group
from kubocd_gen.cli.options import (
    FetchOptions,
    JobsOptions,
    LockedOptions,
    ProgressOptions,
    ProjectFileOptions,
    QuietOptions,
    SourceOptions,
)
from kubocd_gen.cli.terminal import progress
from kubocd_gen.diagnostics.problems import Problems, ProblemsError, has_errors, printable
from kubocd_gen.editors.settings import SCHEMA_FILE
from kubocd_gen.editors.shipped import DIALECT, document_schema, kinds
from kubocd_gen.files.directory import write_whole
from kubocd_gen.files.paths import hint_of


@click.group(cls=Group)
def schema() -> None:
    """Print a JSON Schema (draft 7) for editors and YAML validators.

    There are schemas for Releases, Contexts, Configs, package manifests, kcd-gen's own files and its reports; for the
    parameters of one package; and for all sources of a project, including the parameters of the packages they use.

    \b
    kcd-gen schema release > release.json
    kcd-gen schema parameters quay.io/kubodoc/packages/podinfo:6.7.1-p01
    kcd-gen schema sources --output kcd-gen.schema.json     # for the editor
    """


def _document_command(kind: str) -> click.Command:
    shipped = document_schema(kind)
    description = str(shipped["description"])
    short = description.partition(". ")[0].partition(": ")[0].removesuffix(".") + "."

    def document(_: Options) -> int:
        print_json(shipped)
        return 0

    help_text = f"{description}\n\n\b\nkcd-gen schema {kind} > {kind}.json"
    return command(Options, name=kind, help=help_text, short_help=short)(document)


@options
class ParametersOptions(FetchOptions, ProjectFileOptions, LockedOptions):
    """`kcd-gen schema parameters`."""


@command(ParametersOptions, short_help="Print the schema of a package's parameters.")
def parameters(options: ParametersOptions) -> int:
    """Print the schema of `spec.parameters` for Releases of one package.

    IMAGE is a reference, resolved in the same way as in a build in this directory (lock file, vendor layout, cache,
    registry), or oci:LAYOUT:REFERENCE. NAME is a Release of the project, or a package that one of them uses. FILE is a
    package manifest, or the layer of a package image, and DIR a directory with one manifest. A JSON Schema is printed
    without changes; KuboCD's short form is translated as in KuboCD. Patterns are RE2. A build renders templates and
    fills in defaults before it validates.

    \b
    kcd-gen schema parameters quay.io/kubodoc/packages/podinfo:6.7.1-p01
    kcd-gen schema parameters package/podinfo.yaml     # of a local manifest
    """
    from kubocd_gen.cli.named_package import read_named

    problems = Problems()
    with problems.collect():
        package = read_named(options.package, options, problems).package
        found = package.parameters_schema.schema
        print_json({"$schema": DIALECT, "title": f"The parameters of {package.label}"} | dict(found))
    return print_problems(problems, quiet=options.quiet)


@options
class SourcesOptions(SourceOptions, QuietOptions, JobsOptions, ProgressOptions):
    """`kcd-gen schema sources`."""

    output: Annotated[
        str | None,
        Flag(
            f"Write the schema to this file, such as {SCHEMA_FILE}, instead of standard output (-); an unchanged file "
            "is not rewritten.",
            metavar="FILE",
            type=click.Path(readable=False),
        ),
    ] = None
    check: Annotated[bool, Flag("Write nothing; exit 3 if the --output file is out of date.")] = False


@command(SourcesOptions, short_help="Print one schema for all YAML files of the project.")
def sources(options: SourcesOptions) -> int:
    """Print one schema for all YAML files of the project, for editors.

    Releases, Contexts, Configs and kcd-gen.yaml are validated by kind; other documents are accepted. The parameters of
    a Release are validated by the schema of its package if the project uses that package: run the command again after
    changing a tag. The schema accepts everything that a build accepts.

    \b
    kcd-gen schema sources --output kcd-gen.schema.json            # commit it
    kcd-gen schema sources --output kcd-gen.schema.json --check    # in CI
    """
    problems = Problems()
    is_current = True
    message = None
    with problems.collect():
        output = None if options.output == "-" else options.output
        if options.check and not output:
            raise ProblemsError.of(
                "usage", "--check requires --output", hint=f"set the file to check, such as --output {SCHEMA_FILE}"
            )
        text = _sources(options, problems)
        if has_errors(problems):
            pass  # an editor would report errors for what the schema lacks
        elif output is None:
            click.echo(text, nl=False)
        else:
            is_current, message = _update(output, text, check=options.check)
    if message and not options.quiet:
        click.echo(printable(message))
    return print_problems(problems, quiet=options.quiet) or (0 if is_current else DIFFERENCE)


for _command in (*map(_document_command, kinds()), parameters, sources):
    schema.add_command(_command)


def _sources(options: SourcesOptions, problems: Problems) -> str:
    from kubocd_gen.editors.sources import known_to, sources_schema
    from kubocd_gen.pipeline.packages import package_sources, project_lock
    from kubocd_gen.sources.project_file import load_project

    # Sources given by flags need an output, which is neither read nor written here.
    project = load_project(options.flags_without_output(Path.cwd() / "output"), Path.cwd(), outputs=False)
    with progress(wanted=not options.no_progress) as line:
        packages = package_sources(project, line, lock=project_lock(project), jobs=options.job_count)
        known = known_to(project, packages, problems)
        for warning in packages.warnings():
            problems.warning(warning)
    return json_text(sources_schema(known)) + "\n"


def _update(name: str, text: str, *, check: bool) -> tuple[bool, str]:
    """Write `text` to the file if it differs and not `check`. Return whether it is up to date, and a message."""
    path = Path(name)
    data = text.encode()
    try:
        before = _present(path)
        if before == data:
            return True, f"{name} is up to date"
        if check:
            state = "does not exist" if before is None else "is out of date"
            return False, f"{name} {state}; run: {command_line('--check')}"
        if before is not None and not _is_ours(before):
            hint = "choose another file, or remove this one"
            message = f"refusing to overwrite '{name}': not created by kcd-gen"
            raise ProblemsError.of("unusable-file", message, hint=hint)
        write_whole(path, data)
    except OSError as error:
        message = f"cannot write '{name}': {error.strerror}"
        raise ProblemsError.of("unwritable-schema", message, hint=hint_of(error)) from error
    return True, f"{'Created' if before is None else 'Updated'} {name}"


def _present(path: Path) -> bytes | None:
    """Return the content of the file; None if it does not exist.

    Raises ProblemsError for a symlink in the checkout that leads outside.
    """
    from kubocd_gen.checkout.files import SCHEMA, CheckoutFiles

    files = CheckoutFiles.of_named(path)
    try:
        return files.read(path, str(path), SCHEMA)
    except FileNotFoundError:
        return None


def _is_ours(data: bytes) -> bool:
    from kubocd_gen.checkout.conflicts import conflict_line
    from kubocd_gen.editors.sources import TITLE

    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return TITLE.encode() in data and conflict_line(data.decode("utf-8", "replace")) is not None
    return isinstance(found, dict) and found.get("title") == TITLE
