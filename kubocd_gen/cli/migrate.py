"""`kcd-gen migrate`."""

from __future__ import annotations

import sys
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click

from kubocd_gen.cli.command import Argument, command, options
from kubocd_gen.cli.console import DIFFERENCE, echo, paint, print_json, print_problems
from kubocd_gen.cli.help_format import Group
from kubocd_gen.cli.options import CompilingOptions, JsonOptions, ProjectOptions, QuietOptions
from kubocd_gen.cli.tools import tools
from kubocd_gen.diagnostics.problems import Position, Problems, ProblemsError, has_errors

if TYPE_CHECKING:  # `--help` needs none of them
    from kubocd_gen.migration.checks import Checked

_KUBOCD_NAMESPACE = "kubocd"


@click.group(cls=Group)
def migrate() -> None:
    """Migrate from the KuboCD controller to Flux and kcd-gen without reinstalling anything.

    \b
    kcd-gen migrate check dump.yaml
    """


@options
class CheckOptions(ProjectOptions, JsonOptions, QuietOptions, CompilingOptions):
    """`kcd-gen migrate check`."""

    files: Annotated[tuple[str, ...], Argument("FILE...", type=click.Path(readable=False))]


@command(CheckOptions)
def check(options: CheckOptions) -> int:
    """Compare a dump of a running cluster with the compiled output, and print the next command.

    FILE is the output of kubectl as YAML or JSON (JSON is read ten times faster); - is standard input. No cluster is
    contacted. Exit codes: 0 if the next command is safe, 3 if it has the effects that the warnings describe, 1 if
    there are errors.

    \b
    kubectl get releases.kubocd.kubotal.io,helmreleases,helmrepositories,ocirepositories \\
        -A -o json --show-managed-fields > live.json
    kcd-gen migrate check live.json
    kcd-gen migrate check --cluster prod live.json more.yaml
    """
    problems = Problems()
    from kubocd_gen.migration.report import migration_report, text_lines

    checked: Checked | None = None
    with problems.collect():
        checked = _check(options, problems)
    if options.format == "json":
        print_json(migration_report(checked, list(problems)))
    elif checked is not None:
        for line in text_lines(checked, _repeat_command(options.files), quiet=options.quiet, paint=paint):
            echo(line)
    code = print_problems(problems, quiet=True)  # other warnings are reported by a build
    severities = {one.severity for one in checked.findings} if checked else set()
    return code or (1 if "error" in severities else DIFFERENCE if "warning" in severities else 0)


def _check(options: CheckOptions, problems: Problems) -> Checked | None:
    """Compare the dump with the compiled sources. Returns None if the sources have errors, which go to `problems`.

    A comparison with an incomplete compilation would be wrong.
    """
    from kubocd_gen.migration.checks import check as check_dump
    from kubocd_gen.migration.dump import read_dump
    from kubocd_gen.migration.live import live_cluster
    from kubocd_gen.pipeline import compile_cluster
    from kubocd_gen.pipeline.unknown_hosts import unknown_hosts_note
    from kubocd_gen.sources.project_file import load_project, only_cluster

    project = load_project(options.flags(), Path.cwd())
    cluster = only_cluster(project, "a dump is of one cluster, but the project has several")
    dumps = [
        read_dump(_bytes(name), "standard input" if name == "-" else name, project.budget) for name in options.files
    ]
    live = live_cluster(chain.from_iterable(dumps))
    with tools(options, project, problems, report_version=options.format == "json") as tool:
        compilation = compile_cluster(project, cluster, tool.packages, tool.helm, problems)
    for note in unknown_hosts_note([compilation]):
        problems.note(note)
    if has_errors(problems):
        return None
    build = ["kcd-gen", "build", *_options(without="--format")]
    return check_dump(live, compilation, cluster.kubocd_namespace or _KUBOCD_NAMESPACE, build)


migrate.add_command(check)


def _bytes(name: str) -> bytes:
    from kubocd_gen.migration.dump import MAX_BYTES

    try:
        with click.open_file(name, "rb") as file:
            data: bytes = file.read(MAX_BYTES + 1)
    except OSError as error:
        message = f"cannot read the dump: {error.strerror}"
        raise ProblemsError.of("bad-dump", message, position=Position(name)) from error
    return data


def _repeat_command(files: tuple[str, ...]) -> list[str]:
    """Return this command line for the next dump: with the name of the only dump, otherwise `live.json`."""
    named = [name for name in files if name != "-"]
    return ["kcd-gen", "migrate", "check", *_options(), named[0] if len(named) == 1 else "live.json"]


def _options(without: str = "") -> list[str]:
    """Return the flags of this command line with their values, except the flag `without`."""
    valued = {name for one in check.params if isinstance(one, click.Option) and not one.is_flag for name in one.opts}
    kept: list[str] = []
    words = iter(sys.argv[sys.argv.index("check") + 1 :])
    for word in words:
        if word == "--":
            break
        if word.startswith("-") and word != "-":
            # In `-qj 4`, the value belongs to the last letter.
            takes = word in valued or (not word.startswith("--") and f"-{word[-1]}" in valued)
            value = [next(words, "")] if takes else []
            if without != word.partition("=")[0]:
                kept += [word, *value]
    return kept
