"""The commands. Each imports what it needs when it runs, so that `--help` is quick."""

from __future__ import annotations

import sys

import click

from phoenix_compat.cli.backup import backup, restore
from phoenix_compat.cli.config import check_config, config
from phoenix_compat.cli.conformance import conformance
from phoenix_compat.cli.demo import demo
from phoenix_compat.cli.doctor import doctor
from phoenix_compat.cli.emulator import emulator
from phoenix_compat.cli.healthcheck import healthcheck
from phoenix_compat.cli.init import init
from phoenix_compat.cli.prune import prune
from phoenix_compat.cli.serve import serve
from phoenix_compat.cli.transfer import export_tasks, import_tasks
from phoenix_compat.cli.upgrade import upgrade
from phoenix_compat.errors import PhoenixCompatError
from phoenix_compat.version import __version__


class _ServeByDefault(click.Group):
    """A group that takes `serve` for granted: the bare command starts the server."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in {"--help", "-h", "--version"}):
            args = ["serve", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ServeByDefault, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="phoenix-compat")
def cli() -> None:
    """Phoenix Channels without Elixir: an image task server that SwiftPhoenixClient can talk to.

    Without a command, `serve`.
    """


for command in (
    serve,
    init,
    demo,
    config,
    check_config,
    doctor,
    healthcheck,
    backup,
    restore,
    upgrade,
    export_tasks,
    import_tasks,
    prune,
    emulator,
    conformance,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line; `phoenix_compat.__main__` has looked whether its packages are there."""
    try:
        cli(prog_name="phoenix-compat")
    except PhoenixCompatError as error:
        click.echo(f"phoenix-compat: {error}", err=True)
        sys.exit(2)
