"""`kcd-gen` with its commands, and how it runs one."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

import click

from kubocd_gen import __version__
from kubocd_gen.cli import DEFECT, report_defect
from kubocd_gen.cli.help_format import Group
from kubocd_gen.cli.streams import StreamError
from kubocd_gen.processes.children import drop_relative_entries, interruptible

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_COMMANDS = {
    "build": "Compile Releases into Flux resources and static Helm repositories.",
    "cache": "Inspect or clean the cache of downloaded packages.",
    "completion": "Print the completion script for bash, zsh or fish.",
    "diff": "Show what a change does to each resource.",
    "dump": "Show or unpack the contents of a package image.",
    "image": "Build the container image of the chart server.",
    "init": "Set up a repository: project file, hook, CI, Flux manifests.",
    "lint": "Find sources that are not reproducible or portable.",
    "lock": "Pin every package tag to a digest.",
    "migrate": "Migrate from the KuboCD controller to Flux alone.",
    "package": "Build package images from manifests and push them.",
    "schema": "Print JSON Schemas, for validation and completion in editors.",
    "serve": "Serve the output over HTTP, for development.",
    "vendor": "Copy every locked package into the vendor layout.",
    "version": "Print the versions of kcd-gen, Python and helm in use.",
}


class _Commands(Group):
    """The commands, each imported only when it is called, because imports dominate the start-up time."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        from kubocd_gen.cli.command import with_common_options

        command: click.Command = getattr(import_module(f"kubocd_gen.cli.{cmd_name}"), cmd_name)
        return with_common_options(command)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete commands and flags. click would import each command for its help."""
        from click.shell_completion import CompletionItem

        known = [CompletionItem(name, help=text) for name, text in _COMMANDS.items() if name.startswith(incomplete)]
        return known + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


def _no_color(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    from kubocd_gen.cli.console import apply_no_color  # imported late: `--version` does not need it

    apply_no_color(ctx, value)


@click.group(cls=_Commands, context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100})
@click.option(
    "--no-color",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    envvar="KCD_GEN_NO_COLOR",
    callback=_no_color,
    help="Disable colors.",
)
@click.version_option(__version__, prog_name="kcd-gen", message="%(prog)s %(version)s")
def cli() -> None:
    """Compile KuboCD Releases into Flux resources, without the controller.

    Reads Releases, Contexts and Configs from a Git checkout and writes the Flux resources and Helm repositories that
    the controller would create.

    \b
    kcd-gen build --source clusters/prod --output deploy/prod --vendor packages
    kcd-gen build                      # every cluster of kcd-gen.yaml
    """


def run() -> int:
    """Run the command of this process and return the exit code. Raises BrokenPipeError and StreamError."""
    drop_relative_entries()
    if "_KCD_GEN_COMPLETE" in os.environ:
        from kubocd_gen.cli.completion import add_shells

        add_shells()
    try:
        with interruptible():
            code: int = cli(prog_name="kcd-gen", standalone_mode=False) or 0
            return code
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.ClickException as error:
        from kubocd_gen.cli.console import print_usage_error

        print_usage_error(error)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    except (BrokenPipeError, StreamError):
        raise
    except Exception as error:  # noqa: BLE001 - the one place where a defect is reported to the user
        report_defect(error)
        return DEFECT
