"""`config show` and `check-config`: print the settings, and check them."""

# ruff: noqa: PLC0415 - see the package

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from phoenix_compat.cli.errors import warn
from phoenix_compat.cli.options import config_option, configuration_of
from phoenix_compat.cli.shell.groups import WholeHelpGroup

if TYPE_CHECKING:
    from phoenix_compat.server.process.settings.configuration import Configuration


@click.group(cls=WholeHelpGroup)
def config() -> None:
    """Work with the settings."""


@config.command("show")
@config_option
@click.option("--origin", "with_origin", is_flag=True, help="Print where each value comes from.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with origins.")
def config_show(config: Path | None, *, with_origin: bool, as_json: bool) -> None:
    """Print the value of every setting; secrets are masked."""
    from phoenix_compat.server.engine import check_settings

    found = configuration_of(config)
    check_settings(found.settings)
    for warning in found.warnings:
        warn(warning)
    names = sorted(found.origins)
    if as_json:
        table = {
            name: {"value": found.shown(name), "origin": found.origins[name]} for name in names
        }
        click.echo(json.dumps(table, indent=2, ensure_ascii=False))
        return
    lines = [f"{name} = {found.shown(name)}" for name in names]
    width = max(map(len, lines))
    for name, line in zip(names, lines, strict=True):
        click.echo(f"{line:<{width}}  {found.origins[name]}" if with_origin else line)


@click.command("check-config")
@config_option
def check_config(config: Path | None) -> None:
    """Check the settings: exit code 0, or 2 with a line for each that is wrong."""
    from phoenix_compat.server.auth.exposure import check_exposure
    from phoenix_compat.server.auth.keys.missing_key import check_key
    from phoenix_compat.server.engine import check_settings

    found = configuration_of(config)
    check_settings(found.settings)
    check_exposure(found.settings)
    check_key(found.settings, is_new_refused=False)
    for warning in _warnings(found):
        warn(warning)
    click.echo(f"configuration OK; file: {found.file or 'none'}")


def _warnings(found: Configuration) -> list[str]:
    from phoenix_compat.server.auth.exposure import WAYS_OUT, refused_clients
    from phoenix_compat.server.process.exposed_files import exposed_secrets

    refused = refused_clients(found.settings)
    refusals = [] if refused is None else [f"{refused}; {WAYS_OUT}"]
    return [*found.warnings, *exposed_secrets(found), *refusals]
