"""Options that several commands share, and the settings they lead to."""

# ruff: noqa: PLC0415 - see the package

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from phoenix_compat.cli.errors import warn
from phoenix_compat.server.process.config.renamed_settings import old_names

if TYPE_CHECKING:
    from phoenix_compat.server.process.settings import Settings
    from phoenix_compat.server.process.settings.configuration import Configuration

Command = TypeVar("Command", bound=Callable[..., Any])

config_option: Callable[[Command], Command] = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Configuration file.  [./phoenix-compat.toml, /etc/phoenix-compat/config.toml]",
)
data_dir_option: Callable[[Command], Command] = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the database and the archived files.  [./data]",
)


def data_options(command: Command) -> Command:
    """Add the options of a command that works on a data directory: --config and --data-dir."""
    return config_option(data_dir_option(command))


def listen_options(command: Command) -> Command:
    """Add the options that say where the server listens."""
    for option in (
        click.option(
            "--unix-socket",
            type=click.Path(dir_okay=False, path_type=Path),
            help="Path of a Unix socket to listen on instead of host and port.",
        ),
        click.option(
            "--port", type=int, help="Port to listen on; with 0 the system chooses one.  [4000]"
        ),
        click.option("--host", help="Address to listen on.  [127.0.0.1]"),
    ):
        command = option(command)
    return command


def in_range(low: float, high: float, text: str) -> Callable[..., float | None]:
    """A callback that checks a number. `text` names the range in the error message."""

    def check(_ctx: click.Context, _param: click.Parameter, value: float | None) -> float | None:
        if value is not None and not low <= value <= high:  # false for NaN, too
            raise click.BadParameter(f"{value:g} is not {text}.")
        return value

    return check


def setting_option(name: str, **options: Any) -> Callable[[Command], Command]:
    """An option for a setting. Its old names are accepted too, but not shown in --help."""

    def add(command: Command) -> Command:
        for old in old_names(name):
            hidden = {**options, "help": f"Old name of {_flag(name)}.", "hidden": True}
            command = click.option(_flag(old), **hidden)(command)
        return click.option(_flag(name), **options)(command)

    return add


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def settings_of(config: Path | None, **flags: Any) -> Settings:
    """The settings of a command; old names of settings lead to a warning.

    Logs go to standard error, which leaves standard output to the command.

    Raises:
        ConfigError: a setting is wrong; the text names all that are.
    """
    from phoenix_compat.server.process.logs import configure_logs

    configure_logs("warning", "console")
    found = configuration_of(config, **flags)
    for warning in found.warnings:
        warn(warning)
    return found.settings


def file_settings_of(config: Path | None, remedy: str, **flags: Any) -> Settings:
    """The settings of a command that works on the database file in the data directory.

    Args:
        remedy: what to do instead if the tasks are in a database that several servers share.

    Raises:
        ConfigError: they are; or a setting is wrong.
    """
    from phoenix_compat.errors import ConfigError

    settings = settings_of(config, **flags)
    if settings.is_shared:
        raise ConfigError(
            "database_url: the tasks are in PostgreSQL, and this command works on the file in a "
            f"data directory; {remedy}"
        )
    return settings


def configuration_of(config: Path | None, **flags: Any) -> Configuration:
    """The settings and where they come from. Raises ConfigError, as `settings_of` does."""
    from phoenix_compat.server.process.settings.configuration import load_configuration

    return load_configuration(flags, config)
