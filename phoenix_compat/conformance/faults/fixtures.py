"""Implements the pytest fixtures `fault_server` and `fault_session`, for tests of a client.

The plugin `pytest_phoenix_compat` provides the fixtures, so tests import nothing. The server
runs in its own thread, so tests may be sync or async:

    def test_it_comes_back(fault_session):
        client = MyClient(fault_session.url)
        client.join("fault:drop")
        fault_session.expect("client/reconnect/drop")

    async def test_it_comes_back(fault_session):
        ...
        await fault_session.expect_soon("client/reconnect/drop")
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import re
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from aiohttp import web

from phoenix_compat.accept import Acceptor, Connections, bound_tcp_sockets
from phoenix_compat.accept.capacity import open_file_limit, room_for_connections
from phoenix_compat.conformance.faults.fault_session import FaultSession
from phoenix_compat.conformance.faults.record import Entry
from phoenix_compat.conformance.faults.record_view import Outcome
from phoenix_compat.conformance.faults.report import Verdict, judge_scenario
from phoenix_compat.conformance.faults.scenario import Scenario
from phoenix_compat.conformance.faults.scenarios import SCENARIOS
from phoenix_compat.conformance.faults.server import add_fault_server
from phoenix_compat.conformance.faults.table import FAULTS
from phoenix_compat.http_server import AppRunner

_START_TIMEOUT_S: Final = 20.0
_POLL_INTERVAL_S: Final = 0.02
_CLIENT: Final = "pytest"
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9._-]+")
_BY_ID: Final = {scenario.id: scenario for scenario in SCENARIOS}

T = TypeVar("T")


class FaultSessionHandle:
    """One test's fault session: it has its own faults and its own record.

    Only `expect` blocks, so async tests may call everything else. The server's thread handles calls
    in order: a fault is armed before the server reads anything that the client sends afterwards.

    Attributes:
        url: where the client connects; most clients append `/websocket` themselves.
        http_url: the base URL of the server, for its control API.
    """

    def __init__(self, server: FaultServer, session: FaultSession) -> None:
        self.http_url = server.url
        websocket_url = server.url.replace("http", "ws", 1)
        self.url = f"{websocket_url}/faults/{session.client}/{session.name}/socket"
        self._server = server
        self._session = session

    def arm(self, fault: str, topic: str | None = None) -> None:
        """Let a fault strike a topic from now on, or all connections if there is no topic.

        Args:
            fault: as in a topic, without the prefix `fault:`, for example `close:1011:after=1s`.

        Raises:
            FaultError: the fault, its value or an option is not valid, or it needs a topic, or
                cannot have one.
        """
        parsed = FAULTS.from_text(fault)
        parsed.check_target(has_topic=topic is not None)
        if topic is None:
            self._server.call_soon(self._session.strike, parsed)
        else:
            self._server.call_soon(self._session.arm, topic, parsed)

    def heard(self, **payload: Any) -> None:
        """Report what the app received, for clients that cannot push `heard` themselves."""
        self._server.call_soon(self._session.heard, payload)

    @property
    def record(self) -> list[Entry]:
        """The entries recorded so far."""
        return list(self._session.record.entries)

    def verdict(self, scenario_id: str, *, is_final: bool = False) -> Verdict:
        """The verdict on a scenario so far; with `is_final`, whatever is still missing has failed.

        Raises:
            KeyError: there is no scenario with this id.
        """
        return judge_scenario(_scenario(scenario_id), [self._session], is_final=is_final)

    def expect(self, scenario_id: str, *, timeout_s: float = 10.0) -> Verdict:
        """Wait until the scenario has passed. This blocks; it is for sync tests.

        Raises:
            AssertionError: it failed or did not pass in time; the message shows the evidence.
        """
        deadline_s = time.monotonic() + timeout_s
        while _is_undecided(verdict := self.verdict(scenario_id)) and time.monotonic() < deadline_s:
            time.sleep(_POLL_INTERVAL_S)
        return self._assert_passed(verdict)

    async def expect_soon(self, scenario_id: str, *, timeout_s: float = 10.0) -> Verdict:
        """Like `expect`, for async tests: the event loop keeps running."""
        return await asyncio.to_thread(self.expect, scenario_id, timeout_s=timeout_s)

    def _assert_passed(self, verdict: Verdict) -> Verdict:
        if _is_undecided(verdict):
            verdict = self.verdict(verdict.scenario.id, is_final=True)
        finding = verdict.finding
        if finding.outcome is Outcome.PASSED:
            return verdict
        scenario = verdict.scenario
        lines = "\n".join(f"  {entry}" for entry in finding.evidence or self.record[-12:])
        raise AssertionError(
            f"{scenario.id}: {finding.outcome.value}: {finding.reason}\n"
            f"wanted: {scenario.wants}\nwhy: {scenario.why}\ntopic: {scenario.topic}\n{lines}"
        )


class FaultServer:
    """A fault server on a free port of the loopback, in its own thread with its own event loop.

    Attributes:
        url: its base URL, `http://127.0.0.1:port`.
    """

    def __init__(self) -> None:
        self.url = ""
        self._app = web.Application()
        self._fault_sessions = add_fault_server(self._app)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._session_count = 0
        self._started: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, name="fault server", daemon=True)

    def start(self) -> None:
        """Start to listen. Raises OSError if it cannot, TimeoutError if it takes too long."""
        self._thread.start()
        self._started.result(_START_TIMEOUT_S)

    def stop(self) -> None:
        """Close all connections and end the thread."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_START_TIMEOUT_S)

    @contextmanager
    def session(self, name: str) -> Iterator[FaultSessionHandle]:
        """A new session; when the context ends, its connections are reset and it is deleted."""
        self._session_count += 1
        unique = f"{_NOT_IN_NAMES.sub('-', name)[:56]}.{self._session_count}"
        yield FaultSessionHandle(self, self._call(self._fault_sessions.session, _CLIENT, unique))
        self._call(self._fault_sessions.forget, _CLIENT, unique)

    def call_soon(self, function: Callable[..., None], *args: Any) -> None:
        """Call a function in the server's thread, without waiting for the result."""
        self._loop.call_soon_threadsafe(function, *args)

    def _call(self, function: Callable[..., T], *args: Any) -> T:
        async def call() -> T:
            return function(*args)

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(_START_TIMEOUT_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._report_start_error(self._serve()))
        finally:
            self._loop.close()

    async def _report_start_error(self, serving: Coroutine[Any, Any, None]) -> None:
        """Pass the error on to `start` if the server could not listen."""
        try:
            await serving
        except OSError as error:
            self._started.set_exception(error)

    async def _serve(self) -> None:
        runner = AppRunner(self._app, shutdown_timeout=1.0)
        await runner.setup()
        try:
            if runner.server is None:
                raise RuntimeError("the runner has no server after its setup")
            listeners = await bound_tcp_sockets("127.0.0.1", 0)
            connections = Connections(room_for_connections(open_file_limit()))
            async with Acceptor(listeners, runner.server, connections):
                host, port = listeners[0].getsockname()[:2]
                self.url = f"http://{host}:{port}"
                self._started.set_result(None)
                await self._stop.wait()
        finally:
            await runner.cleanup()


def _scenario(scenario_id: str) -> Scenario:
    try:
        return _BY_ID[scenario_id]
    except KeyError:
        known = ", ".join(_BY_ID)
        raise KeyError(f"there is no scenario {scenario_id!r}; the scenarios are {known}") from None


def _is_undecided(verdict: Verdict) -> bool:
    return verdict.finding.outcome in {Outcome.WAITING, Outcome.NOT_SEEN}
