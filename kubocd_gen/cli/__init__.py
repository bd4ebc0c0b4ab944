"""The command line: one file a command. Flags in, one call, words out."""

from __future__ import annotations

import gc
import io
import os
import sys
from importlib import import_module

import click

from kubocd_gen import __version__
from kubocd_gen.cli.help_format import Group
from kubocd_gen.processes.children import interruptible
from kubocd_gen.processes.search_path import drop_relative_entries

_COMMANDS = {
    "build": "Compile Releases into Flux resources and static Helm repositories.",
    "cache": "See and clear the cache of fetched packages.",
    "completion": "Print the script for completion in bash, zsh or fish.",
    "diff": "Show what a change does, resource by resource.",
    "dump": "Show what is inside a package image, or take it out.",
    "image": "Make the image of the server of the charts.",
    "init": "Begin: the project file, hook, CI, and what Flux applies.",
    "lint": "Find what would not work everywhere, or not tomorrow.",
    "lock": "Pin every package tag to the image that it stands for.",
    "migrate": "Go from KuboCD's controller to Flux alone, step by step.",
    "package": "Assemble package images from manifests, and push them.",
    "schema": "Print JSON Schemas, for editors to complete and check YAML.",
    "serve": "Serve the output over HTTP, for development.",
    "vendor": "Copy every locked package into the vendor layout.",
    "version": "Say which kcd-gen, Python and helm are in use.",
}
DEFECT = 70


class _Commands(Group):
    """The commands, each imported when it is called: what one needs must not slow down the others."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        from kubocd_gen.cli.common_options import with_common_options

        command: click.Command = getattr(import_module(f"kubocd_gen.cli.{cmd_name}"), cmd_name)
        return with_common_options(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


def _no_color(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    from kubocd_gen.cli.colours import choose  # and with it what `--version` needs not

    choose(ctx, value)


@click.group(cls=_Commands, context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100})
@click.option(
    "--no-color",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    envvar="KCD_GEN_NO_COLOR",
    callback=_no_color,
    help="Print no colours.",
)
@click.version_option(__version__, prog_name="kcd-gen", message="%(prog)s %(version)s")
def cli() -> None:
    """KuboCD's controller as an offline compiler.

    Reads Releases, Contexts and Configs from a Git checkout, and writes the Flux resources and Helm repositories that
    the controller would have made of them.

    \b
    kcd-gen build --source clusters/prod --output deploy/prod --vendor packages
    kcd-gen build                      # every cluster of kcd-gen.yaml
    """


def main() -> None:
    """The console script.

    Exit codes: 0 done, 1 errors in sources or packages, 2 usage, 3 a difference, 4 network, 70 a defect.
    """
    # A run is short and leaves few cycles behind; at Python's default of 700 objects the collector takes a tenth of it.
    gc.set_threshold(100_000)
    drop_relative_entries()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # whatever can't be said in the terminal's encoding is escaped
            stream.reconfigure(errors="backslashreplace")
    if "_KCD_GEN_COMPLETE" in os.environ:
        from kubocd_gen.cli.shell_completion import add_shells

        add_shells()
    try:
        with interruptible():
            sys.exit(cli(prog_name="kcd-gen", standalone_mode=False) or 0)
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except click.ClickException as error:
        from kubocd_gen.cli.colours import show

        show(error)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # Who reads our output has gone: nothing more can be said, and Python must not try to at exit.
        sys.stdout = None
        sys.exit(141)
    except Exception as error:  # noqa: BLE001 - the one place where a defect is told to the user
        say_defect(error)
        sys.exit(DEFECT)


def say_defect(error: Exception) -> None:
    """Tell of an exception that nobody foresaw, from where it is handled."""
    if "--debug" in sys.argv or os.environ.get("KCD_GEN_DEBUG"):
        import traceback  # 10 ms

        traceback.print_exc()
    what = f"{type(error).__name__}: {error}".encode("unicode_escape").decode()
    click.echo(f"kcd-gen has a defect: {what}", err=True)
    click.echo("    run again with --debug, and report what it prints with the sources that lead to it", err=True)
