"""Fixtures for all tests: servers on free loopback ports, and clients."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import structlog
from aiohttp import web
from blockbuster import blockbuster_ctx

from phoenix_compat.conformance.reference import build_reference_app
from phoenix_compat.conformance.suite.wire_client import WireClient
from tests.patience import patient
from tests.serving import serving
from tests.wire import PatientClient, PhoenixWire

Serve = Callable[[web.Application], Awaitable[str]]
Open = Callable[..., Awaitable[PhoenixWire]]
Dial = Callable[[str], Awaitable[WireClient]]


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> object:
    """A test's time limit, too, is one for a quiet machine."""
    plugin: Any = item.config.pluginmanager.get_plugin("timeout")
    limit_s = patient(settings.timeout)
    return plugin.pytest_timeout_set_timer(item, settings._replace(timeout=limit_s))


@pytest.fixture(autouse=True)
def no_blocking() -> Iterator[None]:
    """Raise an error if code of this package blocks the event loop: files, locks, sleeps.

    Log lines may block, because tracebacks are printed with their source; so may `patience`.
    """
    with blockbuster_ctx("phoenix_compat") as detector:
        for function in detector.functions.values():
            function.can_block_in("structlog/_base.py", "_process_event")
            function.can_block_in("tests/patience.py", "slowdown")
        yield


@pytest.fixture(scope="session", autouse=True)
def runtime_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Commands put their control tokens there, and not into the home directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        yield


@pytest.fixture(scope="session", autouse=True)
def loggers_are_not_cached() -> Iterator[None]:
    """`capture_logs` does not see a logger that has kept the configuration of an earlier test."""
    configure = structlog.configure

    def configure_uncached(**options: Any) -> None:
        configure(**{**options, "cache_logger_on_first_use": False})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structlog, "configure", configure_uncached)
        yield


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start applications on free ports; each call returns a base URL."""
    async with AsyncExitStack() as servers:

        async def start(app: web.Application) -> str:
            return await servers.enter_async_context(serving(app))

        yield start


@pytest.fixture
async def open_wire() -> AsyncIterator[Open]:
    """Open websockets with the arguments of `PhoenixWire.open`; they are closed after the test."""
    async with AsyncExitStack() as clients:

        async def open_one(*args: Any, **kwargs: Any) -> PhoenixWire:
            wire = await PhoenixWire.open(*args, **kwargs)
            clients.push_async_callback(wire.close)
            return wire

        yield open_one


@pytest.fixture
async def dial() -> AsyncIterator[Dial]:
    """Open TCP connections to a base URL, for requests that may be refused."""
    async with AsyncExitStack() as clients:

        async def dial_one(base_url: str) -> WireClient:
            client = await PatientClient.connect(base_url)
            clients.push_async_callback(client.close)
            return client

        yield dial_one


@pytest.fixture
async def reference_url(serve: Serve) -> str:
    """The base URL of a server with the reference channel set."""
    return await serve(build_reference_app())
