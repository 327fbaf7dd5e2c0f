"""`conformance …`: tools for authors of Phoenix clients and servers, a module per command."""

from __future__ import annotations

import click

from phoenix_compat.cli.conformance.fuzz import fuzz
from phoenix_compat.cli.conformance.load import load
from phoenix_compat.cli.conformance.report import report
from phoenix_compat.cli.conformance.run import run
from phoenix_compat.cli.conformance.serve import serve
from phoenix_compat.cli.conformance.trace import trace
from phoenix_compat.cli.shell.groups import WholeHelpGroup


@click.group(cls=WholeHelpGroup)
def conformance() -> None:
    """Tools for authors of Phoenix clients and servers."""


for command in (run, fuzz, load, serve, report, trace):
    conformance.add_command(command)
