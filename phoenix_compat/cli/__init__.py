"""The commands, a module for each. They import what they need when they run, so `--help` is fast.

The work itself is done in `operations`, `server` and `conformance`. `errors` says how errors are
reported.
"""

from __future__ import annotations

import click

from phoenix_compat.cli.config import check_config, config
from phoenix_compat.cli.conformance import conformance
from phoenix_compat.cli.data.backup import backup, restore
from phoenix_compat.cli.data.migrate_store import migrate_store
from phoenix_compat.cli.data.prune import prune
from phoenix_compat.cli.data.transfer import export_tasks, import_tasks
from phoenix_compat.cli.data.upgrade import upgrade
from phoenix_compat.cli.demo import demo
from phoenix_compat.cli.doctor import doctor
from phoenix_compat.cli.emulator import emulator
from phoenix_compat.cli.errors import report_bugs_without_secrets
from phoenix_compat.cli.healthcheck import healthcheck
from phoenix_compat.cli.init import init
from phoenix_compat.cli.keys import keys
from phoenix_compat.cli.nodes import nodes
from phoenix_compat.cli.openapi import openapi
from phoenix_compat.cli.remote.broadcast import broadcast
from phoenix_compat.cli.remote.sockets import disconnect, sockets
from phoenix_compat.cli.remote.status import status
from phoenix_compat.cli.serve import serve
from phoenix_compat.cli.shell.completion import PROGRAM, completion
from phoenix_compat.cli.shell.groups import TopGroup
from phoenix_compat.cli.shell.version import version
from phoenix_compat.cli.tasks.group import task
from phoenix_compat.cli.webhooks import webhooks
from phoenix_compat.version import __version__


@click.group(cls=TopGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="phoenix-compat")
def cli() -> None:
    """Phoenix Channels without Elixir: an image task server for SwiftPhoenixClient.

    To start the server: phoenix-compat serve. Each command has its own --help.
    """


for command in (
    serve,
    init,
    demo,
    task,
    config,
    check_config,
    doctor,
    healthcheck,
    keys,
    webhooks,
    nodes,
    backup,
    restore,
    upgrade,
    migrate_store,
    export_tasks,
    import_tasks,
    prune,
    emulator,
    openapi,
    conformance,
    status,
    sockets,
    disconnect,
    broadcast,
    completion,
    version,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line; `phoenix_compat.__main__` has checked that its extra is installed."""
    report_bugs_without_secrets()
    cli(prog_name=PROGRAM)
