"""`kcd-gen serve`."""

from __future__ import annotations

import ipaddress
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click

from kubocd_gen.checkout.files import CheckoutFiles
from kubocd_gen.cli.command import Flag, command, options
from kubocd_gen.cli.console import print_problems
from kubocd_gen.cli.help_format import NumberRange
from kubocd_gen.cli.options import CommonBuildOptions
from kubocd_gen.cli.tools import Outcome
from kubocd_gen.cli.watch import ProblemLines, interrupted, rebuilds
from kubocd_gen.diagnostics.problems import Position, Problem, Problems, ProblemsError, printable
from kubocd_gen.files.paths import display_path, shown_path
from kubocd_gen.processes.children import run_until_interrupted
from kubocd_gen.server.container import PORT

if TYPE_CHECKING:
    from kubocd_gen.model.project import Cluster, Project
    from kubocd_gen.server.http import Server
    from kubocd_gen.server.site import Site

_SEVERAL = "only one cluster can be served, but the project has several"


@options
class ServeOptions(CommonBuildOptions):
    """`kcd-gen serve`."""

    host: Annotated[str, Flag("The address to listen on.", metavar="ADDRESS", show_default=True)] = "127.0.0.1"
    port: Annotated[int, Flag("The port; 0 selects a free port.", type=NumberRange(0, 65535), show_default=True)] = PORT
    watch: Annotated[bool, Flag("Build first, and again whenever the input changes.")] = False


@command(ServeOptions)
def serve(options: ServeOptions) -> int:
    """Serve a cluster's output over HTTP, for development.

    hr/ is served in the same way as by the container in the cluster; / is a page that lists Releases and charts.
    Without --watch, nothing is built: neither helm nor packages are needed, and of the build flags only --output,
    --project and --cluster have an effect.

    \b
    kcd-gen serve                               # the project's only cluster
    kcd-gen serve --cluster staging --watch     # build now and after each change
    kcd-gen serve --output deploy/prod --port 0 # a directory, on any free port
    """
    run_until_interrupted()
    problems = Problems()
    try:
        with problems.collect():
            _serve(options, problems)
    except KeyboardInterrupt:  # the usual way to stop a server
        interrupted()
    return print_problems(problems, quiet=options.quiet)


def _serve(options: ServeOptions, problems: Problems) -> None:
    from kubocd_gen.server import http  # takes 20 ms, as do the modules below
    from kubocd_gen.server.site import Site

    output = _output(options)
    server = _server(options.host, options.port)
    address = _address(server.socket)
    only_here = ipaddress.ip_address(server.socket.getsockname()[0]).is_loopback
    site = Site(output, address=address, only_here=only_here)

    def answer(request: http.Request) -> http.Response:
        try:
            return site.answer(request)
        except Exception as error:  # noqa: BLE001 - the server must survive a failed request
            from kubocd_gen.cli import report_defect

            report_defect(error)
            return http.plain(500)

    def log(method: str, target: str, status: int) -> None:
        if not options.quiet and (target.startswith("/hr/") or (status >= 400 and target != "/favicon.ico")):
            click.echo(printable(f"{method} {target} {status}"), err=True)

    _print(f"Serving {shown_path(output)} at http://{address}/ (press Ctrl-C to stop)")
    if not only_here:
        problems.warning(_exposed(options.host))
        print_problems(problems, quiet=options.quiet)
    server.answer, server.log = answer, log
    threading.Thread(target=server.serve_forever, daemon=True).start()
    if options.watch:
        _build_on_change(options, site)
    while True:  # waiting without a timeout could miss a signal that arrives just before
        time.sleep(0.2)


def _output(options: ServeOptions) -> Path:
    """Return the directory to serve. Raises ProblemsError."""
    from kubocd_gen.model.project import STDIN
    from kubocd_gen.sources.project_file import load_project

    flags = options.flags()
    if STDIN in flags.sources:
        raise ProblemsError.of("usage", "--source - can't be watched", hint="pass files or directories as sources")
    if options.watch:
        return _served(load_project(flags, Path.cwd())).output
    if flags.sources:
        hint = "add --watch, or use only --output"
        raise ProblemsError.of("usage", "--source requires --watch", hint=hint)
    if flags.output is not None:
        CheckoutFiles.of_named(flags.output, flags.allow_outside)
    output = flags.output or _served(load_project(flags, Path.cwd())).output
    if not output.is_dir():
        raise ProblemsError.of(
            "missing-output",
            "the output directory does not exist",
            position=Position(display_path(output, Path.cwd())),
            hint="run 'kcd-gen build' first, or add --watch",
        )
    return output


def _served(project: Project) -> Cluster:
    """Return the only cluster. Raises ProblemsError if there are several, or if nothing has to serve its charts."""
    from kubocd_gen.sources.delivery_settings import no_server
    from kubocd_gen.sources.project_file import only_cluster

    cluster = only_cluster(project, _SEVERAL)
    if not cluster.delivery.has_server:
        raise ProblemsError(no_server(cluster))
    return cluster


def _server(host: str, port: int) -> Server:
    from kubocd_gen.server.http import Server

    try:
        return Server(host, port)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ProblemsError.of(
            "unusable-address",
            f"cannot listen on {host}, port {port}: {reason}",
            hint="use another --port, or --port 0 for any free port; --host must be an address of this machine",
        ) from error


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _exposed(host: str) -> Problem:
    return Problem(
        "exposed-address",
        f"everyone who can reach {host} can read the charts",
        hint="use this server for development only: it has no TLS and no authentication",
    )


def _build_on_change(options: ServeOptions, site: Site) -> None:
    """Build now and after each change. Never returns."""
    from kubocd_gen.cli.build import run_pipeline
    from kubocd_gen.pipeline.report import text_report
    from kubocd_gen.server.page import LastBuild

    def build(load: Callable[[], Project]) -> Outcome:
        def served() -> Project:
            project = load()
            site.output = _served(project).output
            return project

        # A change of the branch can remove everything, and the next `build --check` sees what `serve` has written.
        return run_pipeline(options, served, allow_removals=sys.maxsize)

    problems = ProblemLines(quiet=options.quiet)
    for rebuild in rebuilds(options.flags(), build):
        lines = list(text_report(rebuild.outcome.built, verbose=options.verbose > 0))
        if not options.quiet:
            for line in ([f"{time.strftime('%H:%M:%S')} {rebuild.changed_line()}"] if rebuild.changed else []) + lines:
                _print(line)
        problems.show(rebuild.outcome)
        errors = tuple(one for one in rebuild.outcome.problems if one.severity == "error")
        site.built = LastBuild(time.time(), lines[-1] if lines else "", errors)


def _print(line: str) -> None:
    click.echo(line)
    sys.stdout.flush()
