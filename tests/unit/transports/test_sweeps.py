"""Sweeps: who counts as idle, and a bug with one idle client ends no sweep."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from phoenix_compat import Channel, Socket, ok
from phoenix_compat.endpoint import Endpoint
from phoenix_compat.result import Result
from phoenix_compat.transports.connections import ConnectionHub
from phoenix_compat.transports.long_poll import LongPollHub
from tests.conftest import Open, Serve
from tests.serving import accepting, socket_app
from tests.unit.transports.asgi.harness import Harness

SWEEPS = 20
"""More than an idle client outlives."""
WINDOW_S = 1_000.0


class Client:
    """A client that has been idle for ever; closing it may raise."""

    def __init__(self, *, has_bug: bool) -> None:
        self.received_at_sweep = -100
        self.polled_at_s = -1e9
        self.is_closed = False
        self._has_bug = has_bug

    def timed_out(self) -> None:
        """See Connection."""
        if self._has_bug:
            raise RuntimeError
        self.is_closed = True

    def close(self, *_why: object) -> None:
        """See LongPollSession."""
        self.timed_out()

    def abort(self) -> None:
        """See Connection."""
        self.is_closed = True


class Options:
    """Timeouts that are longer than any test."""

    timeout_s = window_s = WINDOW_S


def a_hub(kind: type[Any], clients: set[Client]) -> Any:
    """A hub with these clients."""
    hub: Any = object.__new__(kind)
    hub.options = Options()
    hub.sweeps = 0
    hub._timer = None
    hub._connections = hub._own = clients
    hub.endpoint = Endpoint()
    return hub


@pytest.mark.parametrize("kind", [ConnectionHub, LongPollHub])
async def test_a_bug_with_one_client_does_not_end_the_sweeps(kind: type[Any]) -> None:
    """The other idle clients are closed, and the next sweep is scheduled."""
    others = {Client(has_bug=False) for _ in range(5)}
    hub = a_hub(kind, {Client(has_bug=True), *others})

    hub._sweep()

    assert all(client.is_closed for client in others)
    assert isinstance(hub._timer, asyncio.TimerHandle)
    hub._timer.cancel()


# Who counts as idle.


@pytest.mark.parametrize(("idle_windows", "is_closed"), [(1.4, False), (1.6, True)])
async def test_a_session_is_idle_after_one_and_a_half_windows(
    idle_windows: float, is_closed: bool
) -> None:
    """A long-poll session may be without a poll for so long, and not longer, as in Phoenix."""
    client = Client(has_bug=False)
    client.polled_at_s = asyncio.get_running_loop().time() - idle_windows * WINDOW_S
    hub = a_hub(LongPollHub, {client})

    hub._sweep()

    assert client.is_closed is is_closed
    hub._timer.cancel()


async def test_sessions_are_looked_at_every_one_and_a_half_windows() -> None:
    """A session ends at most three windows after its last poll, as in Phoenix."""
    hub = a_hub(LongPollHub, {Client(has_bug=False)})
    now_s = asyncio.get_running_loop().time()

    hub._sweep_later()

    assert hub._timer.when() - now_s == pytest.approx(1.5 * WINDOW_S, abs=60)
    hub._timer.cancel()


async def test_a_client_is_not_idle_during_its_own_join(serve: Serve, open_wire: Open) -> None:
    """Nothing is read from a client whose join takes longer than the timeout: it may have sent."""
    joining, go_on = asyncio.Event(), asyncio.Event()

    class SlowChannel(Channel):
        async def join(self, topic: str, payload: Any, socket: Socket) -> Result:
            joining.set()
            await go_on.wait()
            return ok({"joined": True})

    endpoint = Endpoint()
    wire = await open_wire(
        await serve(socket_app(accepting({"slow": SlowChannel}), endpoint=endpoint))
    )
    await wire.send(["1", "1", "slow", "phx_join", {}])
    await joining.wait()

    sweep_often(endpoint)
    go_on.set()

    assert (await wire.recv())[4] == {"status": "ok", "response": {"joined": True}}
    assert endpoint.counters.idle_closed == 0
    sweep_often(endpoint)
    assert (await wire.recv_frame()).close_code == 1002
    assert endpoint.counters.idle_closed == 1


async def test_an_asgi_client_is_not_idle_during_its_own_join() -> None:
    """The same under an ASGI server."""
    harness = Harness()
    server, _running = await harness.connect()
    server.message("1", "1", "room:slow", "phx_join", {})
    await harness.log.next()

    sweep_often(harness.endpoint)
    harness.go_on.set()
    await server.sent_when(2)

    assert server.messages[0][1] == "1"
    assert server.close_codes == []
    sweep_often(harness.endpoint)
    await server.sent_when(3)
    assert server.close_codes == [1002]
    assert harness.endpoint.counters.idle_closed == 1


def sweep_often(endpoint: Endpoint) -> None:
    """Let the timeout of all websockets of an endpoint pass."""
    for hub in endpoint._lifetime._transports:
        if isinstance(hub, ConnectionHub):
            for _ in range(SWEEPS):
                hub._sweep()
