"""`completion`: the script with which a shell completes commands and options."""

# ruff: noqa: PLC0415 - see `phoenix_compat.cli`

from __future__ import annotations

from typing import Final

import click

PROGRAM: Final = "phoenix-compat"
COMPLETE_VARIABLE: Final = "_PHOENIX_COMPAT_COMPLETE"
"""The variable with which the script asks this program what comes next; see click."""
SHELLS: Final = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands and options in SHELL.

    \b
    bash: phoenix-compat completion bash \\
            > ~/.local/share/bash-completion/completions/phoenix-compat
    zsh:  phoenix-compat completion zsh > ~/.zfunc/_phoenix-compat
          and in ~/.zshrc, before compinit: fpath+=~/.zfunc
    fish: phoenix-compat completion fish \\
            > ~/.config/fish/completions/phoenix-compat.fish

    The .deb has installed all three.
    """
    click.echo(completion_script(ctx.find_root().command, shell), nl=False)


def completion_script(program: click.Command, shell: str) -> str:
    """The script for a shell."""
    from click.shell_completion import ShellComplete, get_completion_class

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"{shell} is not one of: {', '.join(SHELLS)}")
    # Not found.source(self), which for bash starts bash to check its version.
    script = ShellComplete.source(found(program, {}, PROGRAM, COMPLETE_VARIABLE))
    return script.lstrip("\n").rstrip() + "\n"
