"""`kcd-gen migrate`."""

from __future__ import annotations

import shlex
import sys
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click

from kubocd_gen.cli.command import Argument, command, options
from kubocd_gen.cli.console import DIFFERENCE, echo, paint, print_json, print_problems
from kubocd_gen.cli.help_format import Group
from kubocd_gen.cli.options import CompilingOptions, JsonOptions, ProjectOptions, QuietOptions
from kubocd_gen.cli.profile_options import ProfileOptions
from kubocd_gen.cli.tools import tools
from kubocd_gen.diagnostics.problems import Position, Problems, ProblemsError, has_errors
from kubocd_gen.files.paths import checkout_root

if TYPE_CHECKING:  # `--help` needs none of them
    from kubocd_gen.migration.checks import Checked

_KUBOCD_NAMESPACE = "kubocd"


@click.group(cls=Group)
def migrate() -> None:
    """Migrate from the KuboCD controller to Flux and kcd-gen without reinstalling anything.

    \b
    kcd-gen migrate check ~/kcd-gen-migration/live.json
    """


@options
class CheckOptions(ProjectOptions, JsonOptions, QuietOptions, CompilingOptions, ProfileOptions):
    """`kcd-gen migrate check`."""

    files: Annotated[tuple[str, ...], Argument("FILE...", type=click.Path(readable=False))]


@command(CheckOptions)
def check(options: CheckOptions) -> int:
    """Compare a dump of a running cluster with the compiled output, and print the next command.

    FILE is the output of kubectl as YAML or JSON (JSON is read ten times faster); - is standard input. No cluster is
    contacted. A dump contains the cluster's secrets, so keep it out of the checkout; docs/migration.md of kcd-gen has
    the command that creates it. Exit codes: 0 if the next command is safe, 3 if it has the effects that the warnings
    describe, 1 if there are errors.

    \b
    kcd-gen migrate check ~/kcd-gen-migration/live.json
    kcd-gen migrate check --cluster prod ~/kcd-gen-migration/live.json ~/kcd-gen-migration/more.yaml
    """
    problems = Problems()
    from kubocd_gen.migration.report import migration_report, text_lines

    checked: Checked | None = None
    with problems.collect():
        checked = _check(options, problems)
    if options.format == "json":
        print_json(migration_report(checked, list(problems)))
    elif checked is not None:
        again = ["kcd-gen", "migrate", "check", *_options()]
        for line in text_lines(checked, again, _next_dump(options.files), quiet=options.quiet, paint=paint):
            echo(line)
    code = print_problems(problems, quiet=True)  # other warnings are reported by a build
    severities = {one.severity for one in checked.findings} if checked else set()
    return code or (1 if "error" in severities else DIFFERENCE if "warning" in severities else 0)


def _check(options: CheckOptions, problems: Problems) -> Checked | None:
    """Compare the dump with the compiled sources. Returns None if the sources have errors, which go to `problems`.

    A comparison with an incomplete compilation would be wrong.
    """
    from kubocd_gen.migration.checkout import files_to_commit
    from kubocd_gen.migration.checks import check as check_dump
    from kubocd_gen.migration.commands import Checkout
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
    checkout = Checkout(
        ["kcd-gen", "build", *_options(without="--format")],
        files_to_commit(project, cluster),
        tuple(name for name in options.files if name != "-" and checkout_root(Path(name).absolute().parent)),
    )
    return check_dump(live, compilation, cluster.kubocd_namespace or _KUBOCD_NAMESPACE, checkout)


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


def _next_dump(files: tuple[str, ...]) -> str:
    """Return the file of the next dump, quoted for a shell: that of the only dump, unless a commit could contain it."""
    named = [name for name in files if name != "-"]
    path = Path(named[0]).absolute() if len(named) == 1 else None
    home = Path.home()
    if path is None or checkout_root(path.parent):
        return "~/kcd-gen-migration/live.json"
    if Path(named[0]).is_relative_to(home):
        return f"~/{shlex.quote(path.relative_to(home).as_posix())}"
    return shlex.quote(named[0])


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
