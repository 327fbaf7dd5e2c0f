"""Runs ASGI applications under real servers, in the event loop of the test, on free ports."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any, Final

import hypercorn
import uvicorn
from hypercorn.asyncio import serve as run_hypercorn

from tests.patience import patient

_STOP_S: Final = 20.0


class _Uvicorn(uvicorn.Server):
    """A server that leaves the signals to the tests."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def _listening(port: int = 0) -> socket.socket:
    sock = socket.create_server(("127.0.0.1", port), backlog=500)
    sock.setblocking(False)
    return sock


@asynccontextmanager
async def serving_uvicorn(app: Any, *, port: int = 0, **options: Any) -> AsyncIterator[str]:
    """Serve an application with uvicorn and yield its base URL."""
    settings = {"log_level": "error", "timeout_graceful_shutdown": 5, "loop": "none", **options}
    server = _Uvicorn(uvicorn.Config(app, **settings))
    with _listening(port) as sock:
        running = asyncio.create_task(server.serve([sock]))
        try:
            async with asyncio.timeout(patient(_STOP_S)):
                while not server.started:
                    assert not running.done(), running.result()
                    await asyncio.sleep(0.01)
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            server.should_exit = True
            async with asyncio.timeout(patient(_STOP_S)):
                await running


@asynccontextmanager
async def serving_hypercorn(app: Any) -> AsyncIterator[str]:
    """Serve an application with hypercorn and yield its base URL."""
    sock = _listening()
    config = hypercorn.Config()
    port = sock.getsockname()[1]
    config.bind = [f"fd://{sock.detach()}"]
    config.graceful_timeout = 5.0
    config.errorlog = None
    stop = asyncio.Event()
    running = asyncio.create_task(run_hypercorn(app, config, shutdown_trigger=stop.wait))
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        stop.set()
        async with asyncio.timeout(patient(_STOP_S)):
            await running


SERVERS: Final[dict[str, Callable[[Any], AbstractAsyncContextManager[str]]]] = {
    "uvicorn": serving_uvicorn,
    "hypercorn": serving_hypercorn,
}
