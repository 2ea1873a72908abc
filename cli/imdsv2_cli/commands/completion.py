"""`imdsv2 completion`: the lines that teach a shell to complete."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from imdsv2_cli.base import Command


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Prints what a shell needs to complete commands and options.

    For bash: eval "$(imdsv2 completion bash)" in ~/.bashrc; zsh likewise in ~/.zshrc; for fish, write it to
    ~/.config/fish/completions/imdsv2.fish.
    """
    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"{shell} cannot be completed by this version of click.")
    click.echo(made(context.find_root().command, {}, "imdsv2", "_IMDSV2_COMPLETE").source())
