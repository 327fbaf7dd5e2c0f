"""Fixtures for all tests: servers on free loopback ports, and clients."""

from __future__ import annotations

import gc
import signal
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import hypothesis
import pytest
import structlog
from aiohttp import web
from blockbuster import blockbuster_ctx

from phoenix_compat.conformance.reference import build_reference_app
from phoenix_compat.conformance.suite.wire_client import WireClient
from tests.event_loops import end_connections_at_close
from tests.patience import patient
from tests.serving import serving
from tests.wire import PatientClient, PhoenixWire

pytest_plugins = tuple(
    f"tests.services.{service}" for service in ("nats", "postgres", "redis", "s3")
)

Serve = Callable[[web.Application], Awaitable[str]]
Open = Callable[..., Awaitable[PhoenixWire]]
Dial = Callable[[str], Awaitable[WireClient]]

_TESTS: Final = Path(__file__).parent
_FAILED: Final = pytest.StashKey[bool]()

# A background job of a shell ignores SIGINT, and so would the programs that tests interrupt.
if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    and threading.current_thread() is threading.main_thread()
):
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")

end_connections_at_close()


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> object:
    """A test's time limit, too, is one for a quiet machine."""
    plugin: Any = item.config.pluginmanager.get_plugin("timeout")
    limit_s = patient(settings.timeout)
    return plugin.pytest_timeout_set_timer(item, settings._replace(timeout=limit_s))


_FIRST: Final = ("interop", "faults", "conformance", "typing", "docs", "integration")
"""The folders of tests whose files take longest; the short ones fill the gaps at the end."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slow files first, so that no process is left alone with one at the end."""
    ranks = {name: rank for rank, name in enumerate(_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path.relative_to(_TESTS).parts[0], len(ranks)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note that a test has failed: what it left open is not for the next one to answer for."""
    report = yield
    item.session.stash[_FAILED] = item.session.stash.get(_FAILED, False) or report.failed
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Free silently what a failed test before has left behind."""
    if not item.session.stash.get(_FAILED, False):
        return
    item.session.stash[_FAILED] = False
    sys.last_value = sys.last_traceback = None
    hook, sys.unraisablehook = sys.unraisablehook, lambda _unraisable: None
    try:
        gc.collect()
    finally:
        sys.unraisablehook = hook


@pytest.fixture(autouse=True)
def no_blocking() -> Iterator[None]:
    """Raise an error if code of this package blocks the event loop: files, locks, sleeps.

    Log lines may block, because tracebacks are printed with their source; so may `patience`,
    and asyncpg, which looks for its certificates when it connects.
    """
    with blockbuster_ctx("phoenix_compat") as detector:
        for function in detector.functions.values():
            function.can_block_in("structlog/_base.py", "_process_event")
            function.can_block_in("tests/patience.py", "slowdown")
            function.can_block_in("tests/integration/client/fault_app.py", "suspend")
            function.can_block_in("asyncpg/connect_utils.py", "_parse_connect_arguments")
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
