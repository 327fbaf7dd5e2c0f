"""The commands, a module for each. They import what they need when they run, so `--help` is fast.

The work itself is done in `operations`, `server` and `conformance`. `errors` says how errors are
reported.
"""

from __future__ import annotations

from typing import Final

import click

from phoenix_compat.cli.errors import report_bugs_without_secrets
from phoenix_compat.cli.shell.completion import PROGRAM
from phoenix_compat.cli.shell.groups import TopGroup
from phoenix_compat.cli.shell.late_commands import LateCommands
from phoenix_compat.version import __version__

_PLACES: Final = {
    "serve": "serve:serve",
    "init": "init:init",
    "demo": "demo:demo",
    "task": "tasks.group:task",
    "config": "config:config",
    "check-config": "config:check_config",
    "doctor": "doctor:doctor",
    "healthcheck": "healthcheck:healthcheck",
    "keys": "keys:keys",
    "webhooks": "webhooks:webhooks",
    "nodes": "nodes:nodes",
    "backup": "data.backup:backup",
    "restore": "data.backup:restore",
    "upgrade": "data.upgrade:upgrade",
    "migrate-store": "data.migrate_store:migrate_store",
    "export": "data.transfer:export_tasks",
    "import": "data.transfer:import_tasks",
    "prune": "data.prune:prune",
    "emulator": "emulator:emulator",
    "openapi": "openapi:openapi",
    "conformance": "conformance:conformance",
    "status": "remote.status:status",
    "sockets": "remote.sockets:sockets",
    "disconnect": "remote.sockets:disconnect",
    "broadcast": "remote.broadcast:broadcast",
    "completion": "shell.completion:completion",
    "version": "shell.version:version",
}


@click.group(
    cls=TopGroup,
    commands=LateCommands(__name__, _PLACES),
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="phoenix-compat")
def cli() -> None:
    """Phoenix Channels without Elixir: an image task server for SwiftPhoenixClient.

    To start the server: phoenix-compat serve. Each command has its own --help.
    """


def main() -> None:
    """Run the command line; `phoenix_compat.__main__` has checked that its extra is installed."""
    report_bugs_without_secrets()
    cli(prog_name=PROGRAM)
