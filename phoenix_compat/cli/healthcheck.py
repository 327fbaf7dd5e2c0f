"""`healthcheck`: ask a running server whether it works.

Containers run it often, so it imports little.
"""

# ruff: noqa: PLC0415 - see the package

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from phoenix_compat.cli.options import config_option, in_range, listen_options


@click.command()
@listen_options
@config_option
@click.option(
    "--live", is_flag=True, help="Check only that the server answers, not that it can run tasks."
)
@click.option(
    "--timeout",
    "timeout_s",
    type=float,
    callback=in_range(0.001, 3_600, "a number of seconds from 0.001 to 3600"),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the answer.",
)
def healthcheck(config: Path | None, *, live: bool, timeout_s: float, **flags: Any) -> None:
    """Request /readyz at the configured address: exit code 0, or 1 with the reason.

    The exit code is also 1 for status 503, while no task can be run. With --live the command
    requests /healthz instead.
    """
    from phoenix_compat.operations.probe import PROBE_ERRORS, address_of, probe
    from phoenix_compat.operations.reason import reason_of

    path = "/healthz" if live else "/readyz"
    address = address_of(flags, config, os.environ)
    try:
        status, text = probe(address, path, timeout_s)
    except PROBE_ERRORS as error:
        reason = f"{address} does not answer: {reason_of(error)}; is the server running?"
        raise click.ClickException(reason) from error
    if status != 200:
        raise click.ClickException(f"{address}{path} answers {status}: {text}")
    click.echo(text)
