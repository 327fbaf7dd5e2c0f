"""`serve`: run the task server."""

# ruff: noqa: PLC0415 - see the package

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from phoenix_compat.cli.options import configuration_of, listen_options, settings_of, where_options
from phoenix_compat.errors import ConfigError
from phoenix_compat.version import __version__

if TYPE_CHECKING:
    from phoenix_compat.server.process.settings import Settings


@click.command()
@listen_options
@where_options
@click.option("--workers", type=int, help="Processes that serve on the one port.  [1]")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]))
@click.option("--log-format", type=click.Choice(["console", "json"]))
@click.option("--as-worker", is_flag=True, hidden=True)
def serve(config: Path | None, *, as_worker: bool, **flags: Any) -> None:
    """Run the task server.

    With REPLICATE_API_TOKEN set it drives Replicate (REPLICATE_BASE_URL for another address);
    without, an emulator that needs no account. Every setting may also be an environment variable,
    as PHOENIX_COMPAT_PORT, or a line of the configuration file, as port = 4000.
    """
    from phoenix_compat.server.main import check_settings, open_app
    from phoenix_compat.server.process.listening import run, serve_until_signal, work_until_signal
    from phoenix_compat.server.process.logs import configure_logs
    from phoenix_compat.server.process.reload import reloading

    def load() -> Settings:
        found = configuration_of(config, **flags).settings
        check_settings(found)
        return found

    settings = settings_of(config, **flags)
    configure_logs(settings.log_level, settings.log_format)

    def started(url: str) -> None:
        click.echo(_greeting(url, settings))

    if as_worker:
        from phoenix_compat.cluster.worker_process import SupervisorLink

        worker_process, supervisor_link = SupervisorLink.open()
        app = reloading(open_app(settings, worker_process=worker_process), settings, load)
        run(work_until_signal(app, settings.host, worker_process, supervisor_link), settings.loop)
        return
    with _sockets(settings) as sockets:
        if settings.workers > 1:
            run(_supervise(settings, load, started))
            return
        serving = serve_until_signal(
            reloading(open_app(settings), settings, load),
            settings.host,
            settings.port,
            started,
            sockets,
        )
        run(serving, settings.loop)


@contextmanager
def _sockets(settings: Settings) -> Iterator[Sequence[socket.socket]]:
    """What to listen on in place of host and port, if anything."""
    from phoenix_compat.server.process.inherited_sockets import inherited_sockets, unix_listener

    inherited = inherited_sockets()
    if inherited and settings.workers > 1:
        raise ConfigError("sockets that systemd hands over serve one process; leave workers at 1")
    if inherited or settings.unix_socket is None:
        yield inherited
        return
    with unix_listener(settings.unix_socket, int(settings.unix_socket_mode, 8)) as listener:
        yield (listener,)


async def _supervise(
    settings: Settings, load: Callable[[], Settings], started: Callable[[str], None]
) -> None:
    """Several processes; the emulator, if there is no token, is here, and outlives any of them."""
    import asyncio
    from contextlib import AsyncExitStack

    from phoenix_compat.cluster.supervisor import supervise
    from phoenix_compat.emulator import Emulator, EmulatorSettings
    from phoenix_compat.server.process.reload import reloading_logs
    from phoenix_compat.server.process.systemd import ServiceManager
    from phoenix_compat.tasks.store.sqlite.database_file import lock_file

    # Another server on the same data is told of before anything is started.
    (await asyncio.to_thread(lock_file, settings.database_path)).close()
    async with AsyncExitStack() as stack:
        manager = await stack.enter_async_context(ServiceManager())
        on_sighup = await stack.enter_async_context(reloading_logs(load))

        def all_started(url: str) -> None:
            started(url)
            manager.ready(url)

        emulator_url = None
        if not settings.has_token:
            choices = EmulatorSettings(
                speed=settings.emulator_speed, state_file=settings.emulator_path
            )
            emulator_url = (await stack.enter_async_context(Emulator(choices))).base_url
        await supervise(
            sys.argv[1:],
            settings.host,
            settings.port,
            settings.workers,
            all_started,
            emulator_url,
            on_sighup,
        )
        manager.stopping()


def _greeting(url: str, settings: Settings) -> str:
    provider = (
        settings.replicate_base_url if settings.has_token else "the emulator, no token needed"
    )
    base, curl = url, "curl"
    if url.startswith("unix:"):
        base, curl = "http://localhost", f"curl --unix-socket {url.removeprefix('unix:')}"
    return f"""phoenix-compat {__version__} listens on {url}
  socket   {base.replace("http", "ws", 1)}/socket   join "task:<task_id>"
  models   {provider}
  data     {settings.data_dir.absolute()}

  {curl} -s {base}/api/tasks -H 'Content-Type: application/json' \\
    -d '{{"input_data": {{"type": "image", "prompt": "Medieval monk"}}}}'
"""
