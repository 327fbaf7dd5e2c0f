"""`healthcheck`: does the server of these settings work? For containers, so it imports little."""

# ruff: noqa: PLC0415 - see the package

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from phoenix_compat.cli.options import config_option, listen_options


@click.command()
@listen_options
@config_option
@click.option(
    "--live", is_flag=True, help="Only whether it answers, not whether the provider does."
)
@click.option("--timeout", "timeout_s", type=float, default=5.0, show_default=True)
def healthcheck(config: Path | None, *, live: bool, timeout_s: float, **flags: Any) -> None:
    """Ask GET /readyz of the configured address: exit code 0, or 1 with the reason.

    503, while no order reaches the provider, is 1 too; with --live it is GET /healthz that counts.
    """
    from phoenix_compat.errors import PhoenixCompatError
    from phoenix_compat.operations.probe import address_of, probe

    path = "/healthz" if live else "/readyz"
    try:
        address = address_of(flags, config, os.environ)
        status, text = probe(address, path, timeout_s)
    except (OSError, PhoenixCompatError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    if status != 200:
        raise click.ClickException(f"{address}{path} answers {status}: {text}")
    click.echo(text)
