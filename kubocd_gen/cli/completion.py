"""`kcd-gen completion`."""

from __future__ import annotations

from typing import Annotated, Literal

import click

from kubocd_gen.cli.command import Argument, Options, command, options

_VARIABLE = "_KCD_GEN_COMPLETE"


@options
class CompletionOptions(Options):
    """`kcd-gen completion`."""

    shell: Annotated[Literal["bash", "zsh", "fish"], Argument()]


@command(CompletionOptions)
def completion(options: CompletionOptions) -> int:
    """Print a script for shell completion of commands, flags, clusters, Releases and packages.

    bash must be 4.4 or newer. macOS ships bash 3.2; use zsh there.

    \b
    eval "$(kcd-gen completion bash)"                                           # in ~/.bashrc
    eval "$(kcd-gen completion zsh)"                                            # in ~/.zshrc, after compinit
    kcd-gen completion fish > ~/.config/fish/completions/kcd-gen.fish
    """
    from click.shell_completion import get_completion_class

    from kubocd_gen.cli import cli
    from kubocd_gen.cli.shell_completion import add_shells

    add_shells()
    found = get_completion_class(options.shell)
    assert found is not None  # all choices are registered
    click.echo(found(cli, {}, "kcd-gen", _VARIABLE).source_template % _source_values())
    return 0


def _source_values() -> dict[str, str]:
    """Return the values of the script's placeholders.

    click's own `source()` is not used, because it runs bash to get its version.
    """
    return {"complete_func": "_kcd_gen_completion", "complete_var": _VARIABLE, "prog_name": "kcd-gen"}
