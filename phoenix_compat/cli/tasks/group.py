"""The command `task` with its commands."""

from __future__ import annotations

import click

from phoenix_compat.cli.shell.groups import WholeHelpGroup
from phoenix_compat.cli.tasks.change import cancel, retry
from phoenix_compat.cli.tasks.create import create
from phoenix_compat.cli.tasks.listing import list_tasks, show
from phoenix_compat.cli.tasks.watch import watch


@click.group(cls=WholeHelpGroup)
def task() -> None:
    """Create, list, watch, cancel and retry tasks of a running server.

    Each command uses the server of this data directory, as its operator, if it is run by the user
    who runs the server. Another server is named by --url or the variable PHOENIX_COMPAT_URL, and a
    key by --key-file, the variable PHOENIX_COMPAT_KEY or the setting client_key_file.
    """


for command in (create, list_tasks, show, watch, cancel, retry):
    task.add_command(command)
