"""Runs an application until a signal, with its listening sockets and its event loop."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Final, Literal

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from phoenix_compat.accept import Acceptor, Connections, bound_tcp_sockets, explain_bind_error
from phoenix_compat.background import BackgroundReport
from phoenix_compat.cluster import WorkerProcess
from phoenix_compat.cluster.unix.receiver import bound_unix_socket
from phoenix_compat.cluster.workers.worker_process import SupervisorLink
from phoenix_compat.errors import ConfigError
from phoenix_compat.extras import is_installed, missing_extra
from phoenix_compat.http_server import AppRunner, HttpServer
from phoenix_compat.server.process.after_storms import AfterStorms
from phoenix_compat.server.process.connection_limit import (
    CONNECTIONS,
    HTTP_BOUNDS,
    allowed_connections,
)
from phoenix_compat.server.process.systemd import ServiceManager
from phoenix_compat.transports.aiohttp.first_requests import front_of

_HEALTH_PATH: Final = "/healthz"
BACKGROUND: Final = web.AppKey("background", BackgroundReport)
"""The key under which an application stores its background tasks."""
REQUEST_OBSERVER: Final = web.AppKey("request_observer", AbstractAccessLogger)
"""The key under which an application stores what is called after each response."""


class ListeningUrl:
    """Where an application listens.

    Attributes:
        url: as `listening` yields it; None while it does not listen.
    """

    url: str | None = None


LISTENING_URL: Final = web.AppKey("listening_url", ListeningUrl)

_SHUTDOWN_S: Final = 10.0
_GC_THRESHOLDS: Final = (50_000, 20, 50)
"""Rare collections: the hot path makes no reference cycles, and collecting costs time."""


@asynccontextmanager
async def listening(
    app: web.Application,
    host: str,
    port: int,
    worker_process: WorkerProcess | None = None,
    sockets: Sequence[socket.socket] = (),
) -> AsyncIterator[str]:
    """Serve an application and yield its URL; close it with its clients at the end of the block.

    Args:
        worker_process: this process's place among several that share the port.
        sockets: bound sockets to listen on instead of host and port.

    Raises:
        ConfigError: it cannot listen on the address.
    """
    processes = 1 if worker_process is None else worker_process.size
    connections = app.get(CONNECTIONS) or Connections(allowed_connections(processes=processes))
    # Timeouts of a minute find silent clients long before TCP's keep-alive of two hours.
    runner = AppRunner(
        app,
        bounds=app.get(HTTP_BOUNDS),
        counters=connections.bounds,
        shutdown_timeout=_SHUTDOWN_S,
        tcp_keepalive=False,
        **_observed(app),
    )
    await runner.setup()
    try:
        async with AsyncExitStack() as stack:
            server = runner.server
            if not isinstance(server, HttpServer):
                raise TypeError("the runner has no server after its setup")
            try:
                if worker_process is not None:
                    own = await asyncio.to_thread(
                        bound_unix_socket, worker_process.http_path(worker_process.node)
                    )
                    # Requests of the other processes do not use the clients' descriptors.
                    from_peers = Connections(allowed_connections(processes=processes))
                    await stack.enter_async_context(Acceptor((own,), server, from_peers))
                if not sockets:
                    sockets = await bound_tcp_sockets(
                        host, port, reuse_port=worker_process is not None
                    )
                acceptor = Acceptor(
                    sockets, server, connections, (_HEALTH_PATH,), front_of(app, server)
                )
                await stack.enter_async_context(acceptor)
            except OSError as error:
                raise ConfigError(explain_bind_error(host, port, error)) from error
            after_storms = AfterStorms(connections)
            after_storms.start()
            stack.callback(after_storms.stop)
            url = _url(sockets[-1].getsockname())
            if LISTENING_URL in app:
                app[LISTENING_URL].url = url
            yield url
    finally:
        await runner.cleanup()


def _observed(app: web.Application) -> dict[str, Any]:
    """The options that have the application's observer called after each response."""
    observer = app.get(REQUEST_OBSERVER)
    if observer is None:
        return {}

    class Shared(AbstractAccessLogger):
        """aiohttp makes one of this class for each connection; all of them are the observer."""

        def __new__(cls, *_arguments: object) -> Any:
            return observer

        def log(self, *_arguments: object) -> None:
            """Never called."""

    return {"access_log": observer.logger, "access_log_class": Shared}


@asynccontextmanager
async def _bound(
    host: str, port: int, sockets: Sequence[socket.socket]
) -> AsyncIterator[Sequence[socket.socket]]:
    """The given sockets, or new ones that are bound and do not listen yet.

    Raises:
        ConfigError: the address cannot be used.
    """
    if sockets:
        yield sockets
        return
    try:
        bound = await bound_tcp_sockets(host, port)
    except OSError as error:
        raise ConfigError(explain_bind_error(host, port, error)) from error
    try:
        yield bound
    finally:
        for one in bound:
            one.close()


async def serve_until_signal(
    opened: AbstractAsyncContextManager[web.Application],
    host: str,
    port: int,
    started: Callable[[str], None],
    sockets: Sequence[socket.socket] = (),
) -> None:
    """Open an application, listen, and close everything in order at SIGTERM or SIGINT.

    The port is taken first, so that a server that cannot have it leaves nothing behind.

    Args:
        started: called with the URL once the server answers.
        sockets: see `listening`.
    """
    stop = _stop_at_signals()
    async with (
        ServiceManager() as manager,
        _bound(host, port, sockets) as bound,
        opened as app,
        listening(app, host, port, sockets=bound) as url,
    ):
        settle_garbage()
        if BACKGROUND in app:
            app[BACKGROUND].watch(lambda: manager.background)
        started(url)
        manager.ready(url)
        await stop.wait()
        manager.stopping()


async def work_until_signal(
    opened: AbstractAsyncContextManager[web.Application],
    host: str,
    worker_process: WorkerProcess,
    supervisor_link: SupervisorLink,
) -> None:
    """Do the same for one process of several; it also ends when its supervisor ends."""
    stop = _stop_at_signals()
    supervisor_link.watch(stop)
    async with opened as app, listening(app, host, worker_process.port, worker_process):
        settle_garbage()
        supervisor_link.ready()
        await stop.wait()


def _url(address: Any) -> str:
    """A socket's address as a URL, or "unix:" and its path."""
    if isinstance(address, str):
        return f"unix:{address}"
    host, port = address[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _stop_at_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def settle_garbage() -> None:
    """Exempt all present objects from garbage collection, and collect rarely from now on."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


def run(main: Coroutine[Any, Any, None], loop: Literal["asyncio", "uvloop"] = "asyncio") -> None:
    """Run a coroutine to its end in this kind of event loop.

    Raises:
        ConfigError: uvloop is not installed.
    """
    _raise_open_file_limit()
    with asyncio.Runner(loop_factory=_uvloop(main) if loop == "uvloop" else None) as runner:
        runner.run(main)


def check_loop(loop: Literal["asyncio", "uvloop"]) -> None:
    """Check that an event loop is available.

    Raises:
        ConfigError: uvloop is not installed.
    """
    if loop == "uvloop" and not is_installed("uvloop"):
        raise ConfigError(f"loop: {missing_extra('uvloop')}, or use asyncio")


def _uvloop(main: Coroutine[Any, Any, None]) -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        check_loop("uvloop")
    except ConfigError:
        main.close()
        raise
    import uvloop  # noqa: PLC0415 - optional

    return uvloop.new_event_loop


def _raise_open_file_limit() -> None:
    """Raise the soft limit of open files: it is usually 1 024, and each client needs one."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - missing on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
