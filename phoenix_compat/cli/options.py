"""Options that several commands share, and the settings they lead to."""

# ruff: noqa: PLC0415 - see the package

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from phoenix_compat.server.process.configuration import Configuration
    from phoenix_compat.server.process.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])

config_option: Callable[[Command], Command] = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Settings as TOML.  [./phoenix-compat.toml, /etc/phoenix-compat/config.toml]",
)
data_dir_option: Callable[[Command], Command] = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the database lives.  [./data]",
)


def where_options(command: Command) -> Command:
    """The options of a command that works on a data directory: --config and --data-dir."""
    return config_option(data_dir_option(command))


def listen_options(command: Command) -> Command:
    """The options that say where the server listens."""
    for option in (
        click.option(
            "--unix-socket",
            type=click.Path(dir_okay=False, path_type=Path),
            help="Path of a Unix socket to listen on instead.",
        ),
        click.option("--port", type=int, help="Port to listen on; 0 takes a free one.  [4000]"),
        click.option("--host", help="Address to listen on.  [127.0.0.1]"),
    ):
        command = option(command)
    return command


def settings_of(config: Path | None, **flags: Any) -> Settings:
    """The settings of a command; raises ConfigError with all that is wrong.

    Warnings go to standard error, which leaves standard output to the command.
    """
    from phoenix_compat.server.process.logs import configure_logs

    configure_logs("warning", "console")
    return configuration_of(config, **flags).settings


def configuration_of(config: Path | None, **flags: Any) -> Configuration:
    """The settings with their origins; raises ConfigError with all that is wrong."""
    from phoenix_compat.server.process.configuration import load_configuration

    return load_configuration(flags, config)
