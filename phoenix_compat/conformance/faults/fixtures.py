"""What the pytest fixtures `fault_server` and `fault_lane` give to a client's own tests.

The fixtures are in the plugin, `pytest_phoenix_compat`: there is nothing to import. In a test, sync
or async; the server runs in a thread of its own:

    def test_it_comes_back(fault_lane):
        client = MyClient(fault_lane.url)
        client.join("fault:drop")
        fault_lane.expect("client/reconnect/drop")

    async def test_it_comes_back(fault_lane):
        ...
        await fault_lane.expect_soon("client/reconnect/drop")
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
from phoenix_compat.accept.room import open_file_limit, room_for_connections
from phoenix_compat.conformance.faults.fault_session import FaultSession
from phoenix_compat.conformance.faults.plan import FaultError
from phoenix_compat.conformance.faults.record import Entry
from phoenix_compat.conformance.faults.record_view import Outcome
from phoenix_compat.conformance.faults.report import Verdict, judge_scenario
from phoenix_compat.conformance.faults.scenarios import SCENARIOS, Scenario
from phoenix_compat.conformance.faults.server import add_fault_server
from phoenix_compat.conformance.faults.table import FAULTS
from phoenix_compat.http_server import AppRunner

_START_TIMEOUT_S: Final = 20.0
_LOOK_S: Final = 0.02
_CLIENT: Final = "pytest"
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9._-]+")
_BY_ID: Final = {scenario.id: scenario for scenario in SCENARIOS}

T = TypeVar("T")


class FaultLane:
    """The fault server as one test sees it: faults and record of its own.

    Nothing here but `expect` waits, so that async tests may call it: what it asks of the server's
    thread is done before anything that a client sends afterwards, and a record only grows.

    Attributes:
        url: where the client connects; most append `/websocket` by themselves.
        http_url: the server, for its control API.
    """

    def __init__(self, server: FaultServer, lane: FaultSession) -> None:
        self.http_url = server.url
        websocket_url = server.url.replace("http", "ws", 1)
        self.url = f"{websocket_url}/faults/{lane.client}/{lane.name}/socket"
        self._server = server
        self._lane = lane

    def arm(self, fault: str, topic: str | None = None) -> None:
        """Let a fault strike a topic from now on, or, without one, the connections.

        Args:
            fault: as in a topic, without its prefix: `close:1011:after=1s`.

        Raises:
            FaultError: no such fault, value or option; or it needs a topic, or takes none.
        """
        asked = FAULTS.from_text(fault)
        if topic is None and not asked.kind.is_for_connections:
            raise FaultError("topic", f"fault {asked.name!r} strikes a topic: say which")
        if topic is not None and not asked.kind.is_for_topics:
            raise FaultError("topic", f"fault {asked.name!r} strikes connections, not a topic")
        if topic is None:
            self._server.tell(self._lane.strike, asked)
        else:
            self._server.tell(self._lane.arm, topic, asked)

    def heard(self, **payload: Any) -> None:
        """Say what the app heard, where a scenario asks for it and the client cannot push."""
        self._server.tell(self._lane.heard, payload)

    @property
    def record(self) -> list[Entry]:
        """Everything recorded so far."""
        return list(self._lane.record.entries)

    def verdict(self, scenario_id: str, *, is_final: bool = False) -> Verdict:
        """How a scenario stands now; `is_final` makes a failure of what is still awaited.

        Raises:
            KeyError: there is no such scenario.
        """
        return judge_scenario(_scenario(scenario_id), [self._lane], is_final=is_final)

    def expect(self, scenario_id: str, *, timeout_s: float = 10.0) -> Verdict:
        """Wait until the scenario has passed; for sync tests.

        Raises:
            AssertionError: it failed, or has not passed in time; with the evidence.
        """
        deadline_s = time.monotonic() + timeout_s
        while _is_open(verdict := self.verdict(scenario_id)) and time.monotonic() < deadline_s:
            time.sleep(_LOOK_S)
        return self._assert_passed(verdict)

    async def expect_soon(self, scenario_id: str, *, timeout_s: float = 10.0) -> Verdict:
        """The same for async tests: the test's event loop goes on meanwhile."""
        return await asyncio.to_thread(self.expect, scenario_id, timeout_s=timeout_s)

    def _assert_passed(self, verdict: Verdict) -> Verdict:
        if _is_open(verdict):
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
    """A fault server on a free port of the loopback, in a thread with a loop of its own.

    Attributes:
        url: its base URL, `http://127.0.0.1:port`.
    """

    def __init__(self) -> None:
        self.url = ""
        self._app = web.Application()
        self._fault_sessions = add_fault_server(self._app)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._lanes = 0
        self._started: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, name="fault server", daemon=True)

    def start(self) -> None:
        """Listen. Raises OSError when there is no port, TimeoutError when it takes too long."""
        self._thread.start()
        self._started.result(_START_TIMEOUT_S)

    def stop(self) -> None:
        """End all connections and the thread."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_START_TIMEOUT_S)

    @contextmanager
    def lane(self, name: str) -> Iterator[FaultLane]:
        """A lane that nobody else has; afterwards its connections end, and it is forgotten."""
        self._lanes += 1
        unique = f"{_NOT_IN_NAMES.sub('-', name)[:56]}.{self._lanes}"
        yield FaultLane(self, self._call(self._fault_sessions.lane, _CLIENT, unique))
        self._call(self._fault_sessions.forget, _CLIENT, unique)

    def tell(self, act: Callable[..., None], *args: Any) -> None:
        """Have something done in the server's thread, without waiting for it."""
        self._loop.call_soon_threadsafe(act, *args)

    def _call(self, act: Callable[..., T], *args: Any) -> T:
        async def acted() -> T:
            return act(*args)

        return asyncio.run_coroutine_threadsafe(acted(), self._loop).result(_START_TIMEOUT_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._told(self._serve()))
        finally:
            self._loop.close()

    async def _told(self, serving: Coroutine[Any, Any, None]) -> None:
        """Pass on to `start` why it could not listen."""
        try:
            await serving
        except OSError as error:
            self._started.set_exception(error)

    async def _serve(self) -> None:
        runner = AppRunner(self._app, shutdown_timeout=1.0)
        await runner.setup()
        try:
            if runner.server is None:
                raise RuntimeError("the runner was set up and has no server")
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
        raise KeyError(f"there is no scenario {scenario_id!r}; there are {known}") from None


def _is_open(verdict: Verdict) -> bool:
    return verdict.finding.outcome in {Outcome.WAITING, Outcome.NOT_SEEN}
