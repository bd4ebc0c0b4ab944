"""`kcd-gen schema`."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import click

from kubocd_gen.cli.command import Flag, Options, command, options
from kubocd_gen.cli.dump import FetchOptions, read_named
from kubocd_gen.cli.help_format import Group
from kubocd_gen.cli.options import (
    JobsOptions,
    LockedOptions,
    ProgressOptions,
    ProjectFileOptions,
    QuietOptions,
    SourceOptions,
)
from kubocd_gen.cli.problems import DIFFERENCE, errors_into, say_problems
from kubocd_gen.cli.progress import progress
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError, printable
from kubocd_gen.editors.settings import SCHEMA_FILE
from kubocd_gen.editors.shipped import DIALECT, document_schema, kinds
from kubocd_gen.files import hint_of, write_whole


@click.group(cls=Group)
def schema() -> None:
    """Print a JSON Schema (draft 7), for editors and for whatever else checks YAML.

    The rules and descriptions of Releases, Contexts, Configs, package manifests, kcd-gen's own files and its reports;
    of the parameters of one package; and of a project's sources, with the parameters of the packages that they use.

    \b
    kcd-gen schema release > release.json
    kcd-gen schema parameters quay.io/kubodoc/packages/podinfo:6.7.1-p01
    kcd-gen schema sources --output kcd-gen.schema.json     # for the editor
    """


def _document_command(kind: str) -> click.Command:
    shipped = document_schema(kind)
    said = str(shipped["description"])
    short = said.partition(". ")[0].partition(": ")[0].removesuffix(".") + "."

    def document(_: Options) -> int:
        click.echo(_text(shipped), nl=False)
        return 0

    help_text = f"{said}\n\n\b\nkcd-gen schema {kind} > {kind}.json"
    return command(Options, name=kind, help=help_text, short_help=short)(document)


@options
class ParametersOptions(FetchOptions, ProjectFileOptions, LockedOptions):
    """`kcd-gen schema parameters`."""


@command(ParametersOptions, short_help="What Releases of one package may and must give.")
def parameters(options: ParametersOptions) -> int:
    """What Releases of one package may and must give in `spec.parameters`.

    IMAGE is a reference, looked for as a build here would look for it, or oci:LAYOUT:REFERENCE. FILE is a manifest,
    before it is packaged, or the layer of an image. A schema that the package has as JSON Schema is printed as it is;
    KuboCD's short form is translated as KuboCD translates it. Patterns are RE2. Defaults fill what is left out before
    the schema is applied, and templates are rendered.

    \b
    kcd-gen schema parameters quay.io/kubodoc/packages/podinfo:6.7.1-p01
    kcd-gen schema parameters package/podinfo.yaml     # of a package that is being written
    """
    findings = Problems()
    with errors_into(findings):
        package = read_named(options.package, options, findings).package
        found = package.parameters_schema.schema
        click.echo(_text({"$schema": DIALECT, "title": f"The parameters of {package.label}"} | dict(found)), nl=False)
    return say_problems(findings, quiet=options.quiet)


@options
class SourcesOptions(SourceOptions, QuietOptions, JobsOptions, ProgressOptions):
    """`kcd-gen schema sources`."""

    output: Annotated[
        str | None,
        Flag(
            f"Write it into this file, such as {SCHEMA_FILE}, where it has changed.",
            metavar="FILE",
            type=click.Path(readable=False),
        ),
    ] = None
    check: Annotated[bool, Flag("Write nothing; exit 3 where the file of --output is not current.")] = False


@command(SourcesOptions, short_help="One schema for all YAML files of the project, for editors.")
def sources(options: SourcesOptions) -> int:
    """One schema for all YAML files of the project, made for editors.

    Releases, Contexts, Configs and kcd-gen.yaml are checked by their kind, other documents are accepted as they are.
    The parameters of a Release are checked by the schema of its package, where the project's Releases use it: run the
    command again when a Release takes another tag. The schema accepts all that a build accepts.

    \b
    kcd-gen schema sources --output kcd-gen.schema.json            # commit it
    kcd-gen schema sources --output kcd-gen.schema.json --check    # in CI
    """
    findings = Problems()
    current = True
    said = None
    with errors_into(findings):
        if options.check and not options.output:
            raise ProblemsError(Problem("usage", f"--check needs --output, the file to look at, such as {SCHEMA_FILE}"))
        text = _sources(options, findings)
        if any(one.severity == "error" for one in findings):
            pass  # what is missing would be missing in the editor, and there be taken for an error
        elif not options.output:
            click.echo(text, nl=False)
        else:
            current, said = _keep(options.output, text, check=options.check)
    if said and not options.quiet:
        click.echo(printable(said))
    return say_problems(findings, quiet=options.quiet) or (0 if current else DIFFERENCE)


for _command in (*map(_document_command, kinds()), parameters, sources):
    schema.add_command(_command)


def _sources(options: SourcesOptions, findings: Problems) -> str:
    from kubocd_gen.editors.project_schema import known_to
    from kubocd_gen.editors.sources import sources_schema
    from kubocd_gen.pipeline.packages import package_sources, project_lock
    from kubocd_gen.sources.project_file import load_project

    # Nothing of the output is read or written.
    project = load_project(options.flags_without_output(Path.cwd() / "output"), Path.cwd(), outputs=False)
    with progress(wanted=not options.no_progress) as line:
        packages = package_sources(project, line, lock=project_lock(project), jobs=options.job_count)
        known = known_to(project, packages, findings)
        for warning in packages.warnings():
            findings.warning(warning)
    return _text(sources_schema(known))


def _keep(name: str, text: str, *, check: bool) -> tuple[bool, str]:
    """Whether the file holds `text`, or does now, and what to say of it."""
    path = Path(name)
    data = text.encode()
    try:
        before = _present(path)
        if before == data:
            return True, f"{name} is current"
        if check:
            words = [word for word in sys.argv[1:] if word != "--check"]
            return False, f"{name} {'does not exist' if before is None else 'is not current'}; run: " + shlex.join(
                ["kcd-gen", *words]
            )
        if before is not None and not _is_ours(before):
            hint = "choose another name, or remove it first"
            raise ProblemsError(Problem("unusable-file", f"{name} is there, and no schema of kcd-gen's", hint=hint))
        write_whole(path, data)
    except OSError as error:
        message = f"cannot write {name}: {error.strerror}"
        raise ProblemsError(Problem("unwritable-schema", message, hint=hint_of(error))) from error
    return True, f"{'Created' if before is None else 'Updated'} {name}"


def _present(path: Path) -> bytes | None:
    """What is in the file; None where there is none.

    Raises ProblemsError for a symlink of the checkout that leads out.
    """
    from kubocd_gen.checkout.files import SCHEMA, CheckoutFiles

    files = CheckoutFiles.of_named(path)
    try:
        return files.read(path, str(path), SCHEMA)
    except FileNotFoundError:
        return None


def _is_ours(data: bytes) -> bool:
    from kubocd_gen.editors.sources import TITLE

    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("title") == TITLE


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=1) + "\n"  # ASCII, whatever a package's descriptions hold
