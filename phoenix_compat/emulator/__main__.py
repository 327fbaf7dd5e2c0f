"""`python -m phoenix_compat.emulator`: serve the emulator on its own."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import signal
from pathlib import Path

import click

from phoenix_compat.accept import explain_bind_error
from phoenix_compat.control_token import ControlToken, opened_control_token
from phoenix_compat.emulator.settings import EmulatorSettings
from phoenix_compat.emulator.web.server import Emulator
from phoenix_compat.errors import ConfigError

_TOKEN = "r8_emulated"  # noqa: S105 - a placeholder: the emulator accepts any token


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8901,
    show_default=True,
    help="Port to listen on; 0 picks a free one.",
)
@click.option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="Another host name under which /__emu may be called; repeatable.",
)
@click.option(
    "--speed", default=1.0, show_default=True, help="How many times faster than real models run."
)
@click.option("--seed", type=int, help="Seed for ids and durations.")
@click.option(
    "--rate-per-minute", default=600, show_default=True, help="Creates allowed per minute."
)
@click.option(
    "--cold-start-s", default=0.0, show_default=True, help="Extra time for a model's first start."
)
@click.option(
    "--state",
    "state_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File that keeps predictions over a restart; without it they are lost.",
)
@click.option(
    "--input-folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder `files` of a task server; links to them in inputs are read from there.",
)
@click.option(
    "--control-token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the token for /__emu; created if it is missing.  [a new one for each start]",
)
def main(  # noqa: PLR0913 - one parameter per option
    *,
    host: str,
    port: int,
    allowed_hosts: tuple[str, ...],
    speed: float,
    seed: int | None,
    rate_per_minute: int,
    cold_start_s: float,
    state_file: Path | None,
    input_folder: Path | None,
    control_token_file: Path | None,
) -> None:
    """Emulate Replicate's HTTP API until Ctrl-C or SIGTERM."""
    try:
        with opened_control_token(control_token_file) as control_token:
            settings = EmulatorSettings(
                host=host,
                port=port,
                allowed_hosts=allowed_hosts,
                speed=speed,
                seed=seed,
                creates_per_minute=rate_per_minute,
                cold_start_s=cold_start_s,
                state_file=state_file,
                input_folder=input_folder,
                control_token=control_token.secret,
            )
            with contextlib.suppress(KeyboardInterrupt):  # on Windows
                asyncio.run(_serve(settings, control_token))
    except ConfigError as error:
        raise click.UsageError(str(error)) from error


async def _serve(settings: EmulatorSettings, control_token: ControlToken) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Set explicitly: process 1 of a container and background jobs of a shell script start
        # without a handler for SIGINT.
        with contextlib.suppress(NotImplementedError):  # on Windows
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        async with Emulator(settings) as emulator:
            token_file = await asyncio.to_thread(control_token.publish, "emulator", emulator.port)
            click.echo(_greeting(emulator, token_file))
            await stop.wait()
    except OSError as error:
        problem = explain_bind_error(settings.host, settings.port, error)
        raise click.UsageError(problem) from error


def _greeting(emulator: Emulator, token_file: Path) -> str:
    base_url = emulator.base_url
    header = f'-H "X-Control-Token: $(cat {shlex.quote(str(token_file))})"'
    return f"""The Replicate emulator listens on {emulator.origin} (press Ctrl-C to stop it).

  export REPLICATE_API_TOKEN={_TOKEN}
  export REPLICATE_BASE_URL={base_url}

  curl -s {base_url}/models/google/imagen-4-fast/predictions \\
    -H 'Authorization: Bearer {_TOKEN}' -H 'Content-Type: application/json' \\
    -H 'Prefer: wait' -d '{{"input": {{"prompt": "Medieval monk"}}}}'

  Put "#fault:429x2" in a prompt to get a fault. The list of all faults, with the control token:

  curl -s {header} {emulator.origin}/__emu/faults"""


if __name__ == "__main__":
    main()
