"""`kcd-gen init`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from kubocd_gen.cli.colours import echo, paint_difference
from kubocd_gen.cli.command import Flag, group, options
from kubocd_gen.cli.init_server import server
from kubocd_gen.cli.options import PathOptions
from kubocd_gen.cli.problems import collect_errors, print_problems
from kubocd_gen.cli.scaffolds import ScaffoldOptions, check_image, exit_code, heading
from kubocd_gen.diagnostics.problems import Problems, ProblemsError, printable
from kubocd_gen.scaffolding.clusters import name_of
from kubocd_gen.scaffolding.files import write
from kubocd_gen.scaffolding.installation import install_source
from kubocd_gen.scaffolding.report import file_lines, found_lines, next_lines
from kubocd_gen.scaffolding.repository import Beginning, RepositoryWish, plan_repository


@options
class InitOptions(ScaffoldOptions, PathOptions):
    """`kcd-gen init`."""

    ci: Annotated[
        Literal["github", "gitlab", "none"] | None,
        Flag("The CI system. [default: detected from the repository's files and remote]"),
    ] = None
    install_from: Annotated[
        str | None,
        Flag(
            "Where the hook and CI install kcd-gen from, pinned: git+URL@COMMIT, WHEEL-URL#sha256=DIGEST, or "
            "'--index-url URL kcd-gen==VERSION'. Without it, no hook and no CI file are written.",
            metavar="SOURCE",
        ),
    ] = None
    no_server: Annotated[bool, Flag("Do not write the chart server's manifests.")] = False
    cluster_name: Annotated[
        str, Flag("The name of a cluster that cannot be named after a directory.", metavar="NAME", show_default=True)
    ] = "default"


@group(InitOptions)
def init(options: InitOptions) -> int:
    """Write the files that a repository needs to use kcd-gen. From then on they are yours to edit.

    Detects Releases, Contexts and Configs in the Git checkout, the directories that Flux applies, and the CI system.
    Writes the project file, a pre-commit hook, the CI file, .gitattributes, VS Code settings, Flux Kustomizations, and
    the manifests of the chart server. An existing project file is kept and used. For other existing files that differ,
    the diff is shown, nothing is changed, and the exit code is 3; --force replaces them.

    \b
    kcd-gen init --dry-run
    kcd-gen init --image registry.example.com/platform/charts
    kcd-gen init --install-from git+https://HOST/PATH@COMMIT     # with hook and CI file
    """
    findings = Problems()
    beginning = None
    with collect_errors(findings):
        check_image(options.image)
        source = install_source(options.install_from) if options.install_from else None
        wish = RepositoryWish(options.ci, options.image, not options.no_server, _cluster_name(options), source)
        beginning = plan_repository(Path.cwd(), wish, findings, options.allow_outside)
        if beginning and not options.dry_run:
            write(beginning.files, force=options.force)
    if code := print_problems(findings, quiet=options.quiet):
        return code
    assert beginning is not None
    if not options.quiet:
        for line in _report(beginning, options):
            echo(paint_difference(printable(line)))
    return exit_code(beginning.files, force=options.force)


init.add_command(server)


def _cluster_name(options: InitOptions) -> str:
    name = options.cluster_name
    if name_of(name) != name:
        hint = "use lower-case letters, digits and inner '-', at most 40 characters"
        raise ProblemsError.of("usage", f"--cluster-name '{name}' is not a valid cluster name", hint=hint)
    return name


def _report(beginning: Beginning, options: InitOptions) -> Iterator[str]:
    yield "Found:"
    yield from (f"  {line}" for line in found_lines(beginning))
    yield ""
    yield from file_lines(beginning.files, force=options.force, dry_run=options.dry_run)
    yield ""
    yield heading(dry_run=options.dry_run)
    yield from (f"  {line}" for line in next_lines(beginning, image=options.image))
