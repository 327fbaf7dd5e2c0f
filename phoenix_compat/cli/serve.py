"""`serve`: run the task server."""

# ruff: noqa: PLC0415 - see the package

from __future__ import annotations

import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from phoenix_compat.cli.options import (
    configuration_of,
    data_options,
    listen_options,
    setting_option,
)
from phoenix_compat.cli.shell.completion import PROGRAM
from phoenix_compat.errors import ConfigError
from phoenix_compat.extras import hidden
from phoenix_compat.version import __version__

if TYPE_CHECKING:
    from aiohttp.web import Application

    from phoenix_compat.server.inspection.operator_tools import OperatorTools
    from phoenix_compat.server.process.settings import Settings

_STARTED_AS: Final = "_PHOENIX_COMPAT_STARTED_AS"
"""The one file runs from a folder that it unpacks; it says there how the user has called it."""


@click.command()
@listen_options
@data_options
@click.option("--workers", type=int, help="Number of processes that serve the port.  [1]")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="Least important lines to log.  [info]",
)
@click.option("--log-format", type=click.Choice(["console", "json"]), help="[console]")
@setting_option(
    "task_types_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="TOML file that defines further task types.",
)
@click.option(
    "--insecure-no-auth/--no-insecure-no-auth",
    default=None,
    help="Let everyone who reaches the server use it, without authentication.",
)
@click.option("--create-first-key", is_flag=True, hidden=True)  # for packages: see first_key
@click.option("--as-worker", is_flag=True, hidden=True)
def serve(config: Path | None, *, create_first_key: bool, as_worker: bool, **flags: Any) -> None:
    """Run the task server.

    If REPLICATE_API_TOKEN is set, the server uses Replicate (or the address in REPLICATE_BASE_URL).
    Otherwise it uses an emulator that needs no account. Every setting can also be an environment
    variable, such as PHOENIX_COMPAT_PORT, or a line in the configuration file, such as port = 4000.
    """
    with hidden("rich", "greenlet"):  # structlog would import them: a tenth of the start
        import structlog

    from phoenix_compat.operations.operator_tools import operator_tools
    from phoenix_compat.server.auth.exposure import check_exposure
    from phoenix_compat.server.engine import check_settings
    from phoenix_compat.server.process.config.reload import reloading
    from phoenix_compat.server.process.exposed_files import exposed_files
    from phoenix_compat.server.process.listening import run, serve_until_signal
    from phoenix_compat.server.process.logs import configure_logs

    def load() -> Settings:
        loaded = configuration_of(config, **flags).settings
        check_settings(loaded)
        return loaded

    tools = operator_tools(lambda: configuration_of(config, **flags))
    configure_logs("warning", "console")  # until the settings are known
    if as_worker:
        _work(load, tools)
        return
    found = configuration_of(config, **flags)
    settings = found.settings
    configure_logs(settings.log_level, settings.log_format, settings.hidden_parameters)
    log = structlog.stdlib.get_logger(__name__)

    def started(url: str) -> None:
        click.echo(_greeting(url, settings))
        if settings.insecure_no_auth:
            log.warning("auth.insecure", reason="everyone who reaches this server may use it")

    for warning in found.warnings:
        log.warning("setting.renamed", reason=warning)
    for exposed in exposed_files(found):
        log.warning("file.exposed", reason=exposed)
    with _sockets(settings) as sockets:
        check_exposure(settings, sockets)
        if settings.workers > 1:
            run(_supervise(settings, load, started, create_first_key=create_first_key))
            return
        serving = serve_until_signal(
            reloading(_opened(settings, tools, create_first_key=create_first_key), settings, load),
            settings.host,
            settings.port,
            started,
            sockets,
        )
        run(serving, settings.loop)


def _work(load: Callable[[], Settings], tools: OperatorTools) -> None:
    """Run one process of several, with the settings that its supervisor has read."""
    from phoenix_compat.cluster.workers.worker_process import SupervisorLink
    from phoenix_compat.server.main import open_app
    from phoenix_compat.server.process.config.frozen_settings import unpack_settings
    from phoenix_compat.server.process.config.reload import reloading
    from phoenix_compat.server.process.listening import run, work_until_signal
    from phoenix_compat.server.process.logs import configure_logs

    worker_process, supervisor_link = SupervisorLink.open()
    settings = unpack_settings(worker_process.settings or "")
    configure_logs(settings.log_level, settings.log_format, settings.hidden_parameters)
    opened = open_app(settings, worker_process=worker_process, tools=tools)
    app = reloading(opened, settings, load)
    run(work_until_signal(app, settings.host, worker_process, supervisor_link), settings.loop)


@asynccontextmanager
async def _opened(
    settings: Settings, tools: OperatorTools, *, create_first_key: bool
) -> AsyncIterator[Application]:
    """Open the server, after its first API key has been made if it needs one."""
    import asyncio

    from phoenix_compat.server.main import open_app

    await asyncio.to_thread(_prepare_keys, settings, create_first_key=create_first_key)
    async with open_app(settings, tools=tools) as app:
        yield app


def _prepare_keys(settings: Settings, *, create_first_key: bool) -> None:
    """Make the first API key if it is wanted, and check that there is one if it is needed."""
    from phoenix_compat.server.auth.keys.first_key import prepare_first_key
    from phoenix_compat.server.auth.keys.missing_key import check_key

    if create_first_key and not settings.is_shared:
        prepare_first_key(settings.database_path)
    check_key(settings, is_new_refused=True)


@contextmanager
def _sockets(settings: Settings) -> Iterator[Sequence[socket.socket]]:
    """The sockets to listen on instead of host and port, if there are any."""
    from phoenix_compat.server.process.inherited_sockets import inherited_sockets, unix_listener

    inherited = inherited_sockets()
    if inherited and settings.workers > 1:
        raise ConfigError(
            "sockets passed by systemd work with one process only; set workers to 1, or remove "
            "the .socket unit"
        )
    if inherited or settings.unix_socket is None:
        yield inherited
        return
    with unix_listener(settings.unix_socket, int(settings.unix_socket_mode, 8)) as listener:
        yield (listener,)


async def _supervise(
    settings: Settings,
    load: Callable[[], Settings],
    started: Callable[[str], None],
    *,
    create_first_key: bool,
) -> None:
    """Run several worker processes. The emulator, if needed, runs here and outlives them."""
    import asyncio
    from contextlib import AsyncExitStack

    from phoenix_compat.cluster.workers.reservation import reserve_port
    from phoenix_compat.cluster.workers.supervisor import supervise
    from phoenix_compat.emulator import Emulator
    from phoenix_compat.server.engine import check_settings
    from phoenix_compat.server.process.config.frozen_settings import FrozenSettings
    from phoenix_compat.server.process.config.reload import reloading_supervisor
    from phoenix_compat.server.process.own_emulator import own_emulator_settings
    from phoenix_compat.server.process.systemd import ServiceManager
    from phoenix_compat.tasks.store.sqlite.database_file import lock_file, locked_folder

    # Fail before anything is made or started if the port is taken, or the data is in use.
    (await asyncio.to_thread(reserve_port, settings.host, settings.port)).close()
    await asyncio.to_thread(_prepare_keys, settings, create_first_key=create_first_key)
    (await asyncio.to_thread(lock_file, settings.database_path)).close()
    async with AsyncExitStack() as stack:
        stack.enter_context(locked_folder(settings.database_path))
        manager = await stack.enter_async_context(ServiceManager())
        frozen = await asyncio.to_thread(FrozenSettings, settings, check_settings)
        on_sighup = await stack.enter_async_context(reloading_supervisor(load, frozen.reload))

        def all_started(url: str) -> None:
            started(url)
            manager.ready(url)

        emulator_url = emulator_token = None
        if not settings.has_token:
            emulator_settings = own_emulator_settings(settings)
            emulator_token = emulator_settings.api_token
            emulator_url = (await stack.enter_async_context(Emulator(emulator_settings))).base_url
        await supervise(
            sys.argv[1:],
            settings.host,
            settings.port,
            settings.workers,
            all_started,
            emulator_url,
            on_sighup,
            emulator_token=emulator_token,
            settings=frozen.pack,
            data_dir=settings.data_dir,
        )
        manager.stopping()


def _greeting(url: str, settings: Settings) -> str:
    import shlex

    from phoenix_compat.server.process.addresses import reachable_url
    from phoenix_compat.server.process.settings.auth import KEYS

    provider = (
        settings.replicate_base_url if settings.has_token else "the emulator; no token needed"
    )
    base, curl = reachable_url(url), "curl"
    listens = url if base == url else f"{url}, all addresses of this machine"
    if url.startswith("unix:"):
        path = shlex.quote(url.removeprefix("unix:"))
        base, curl = "http://localhost", f"curl --unix-socket {path}"
    # A key is created while the server is running; the shell passes it on.
    key = credential = ""
    if KEYS in settings.auth:
        data_dir = shlex.quote(str(settings.data_dir.absolute()))
        key = f"  KEY=$(phoenix-compat keys create NAME --data-dir {data_dir})\n"
        credential = ' -H "Authorization: Bearer $KEY"'
    elif settings.has_auth:
        credential = ' -H "Authorization: Bearer $TOKEN"'
    return f"""phoenix-compat {__version__} listens on {listens}
  socket   {base.replace("http", "ws", 1)}/socket   join "task:<task_id>"
  console  {base}/console
  models   {provider}
  data     {settings.data_dir.absolute()}
  clients  {_clients(settings)}

{key}  {curl} -s {base}/api/tasks -H 'Content-Type: application/json'{credential} \\
    -d '{{"input_data": {{"type": "image", "prompt": "Medieval monk"}}}}'
  {_program()} task watch{_data_dir_option(settings)}
"""


def _program() -> str:
    """How the user has called this program."""
    import shlex
    import shutil
    from pathlib import PurePath

    is_package = getattr(sys, "frozen", False)
    called = os.environ.get(_STARTED_AS, sys.argv[0]) if is_package else sys.argv[0]
    name = PurePath(called).name
    if name == PROGRAM and shutil.which(PROGRAM) == called:
        return PROGRAM
    if is_package:
        return shlex.quote(called)
    if name == "__main__.py":
        return "python -m phoenix_compat"
    return shlex.quote(called) if name == PROGRAM else f"python {shlex.quote(called)}"


def _data_dir_option(settings: Settings) -> str:
    """The option with which other commands find this server, unless they find it without."""
    import shlex

    if settings.data_dir == type(settings).model_fields["data_dir"].default:
        return ""
    return f" --data-dir {shlex.quote(str(settings.data_dir.absolute()))}"


def _clients(settings: Settings) -> str:
    """Who may use the server."""
    if settings.has_auth:
        return f"need a credential: {', '.join(settings.auth)}"
    return "everyone, without authentication" if settings.insecure_no_auth else "of this machine"
