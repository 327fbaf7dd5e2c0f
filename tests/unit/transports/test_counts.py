"""What the endpoint counts about websocket clients: each one, each time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from phoenix_compat import Channel, Endpoint, Result, Socket, ok
from phoenix_compat.transports.connections import ConnectionHub
from tests.conftest import Open, Serve
from tests.patience import patient
from tests.serving import EventLog, accepting, socket_app
from tests.unit.transports.asgi.harness import Harness, ended

End = Callable[[Any], None]
Expected = tuple[str, int, Any]
"""The counter, the close code, and the reason for the channels."""
ENDS: list[Any] = [
    pytest.param(
        lambda each: each.timed_out(), ("idle_closed", 1002, ("shutdown", "timeout")), id="idle"
    ),
    pytest.param(
        lambda each: each.drain(), ("drained", 1012, ("shutdown", "draining")), id="drain"
    ),
    pytest.param(
        lambda each: each.close_slow(),
        ("slow_clients_closed", 1013, ("shutdown", "slow")),
        id="slow",
    ),
]


def counted(endpoint: Endpoint) -> dict[str, int]:
    """The counters of ends that are not 0."""
    return {
        name: value
        for name, value in asdict(endpoint.counters).items()
        if value and not name.startswith(("joins", "sockets", "channels"))
    }


def connections_of(endpoint: Endpoint) -> list[Any]:
    """The websocket connections of an endpoint."""
    return [
        connection
        for hub in endpoint._lifetime._transports
        if isinstance(hub, ConnectionHub)
        for connection in tuple(hub._connections)
    ]


@pytest.mark.parametrize(("end", "expected"), ENDS)
async def test_asgi_clients(end: End, expected: Expected) -> None:
    """Their channels end for the reason, and they get the code."""
    counter, code, reason = expected
    harness = Harness()
    clients = [await harness.join() for _ in range(2)]

    for connection in connections_of(harness.endpoint):
        end(connection)
    for server, running in clients:
        await server.sent_when(3)
        server.give("websocket.disconnect", code=code)
        await ended(running)

    assert counted(harness.endpoint) == {counter: 2}
    assert [server.close_codes for server, _ in clients] == [[code]] * 2
    assert [await harness.log.next() for _ in clients] == [reason] * 2
    assert harness.endpoint.connections == 0


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        *ENDS,
        pytest.param(
            lambda each: each.frame_timed_out(),
            ("frames_timed_out", 1002, ("shutdown", "timeout")),
            id="frame",
        ),
    ],
)
async def test_aiohttp_clients(serve: Serve, open_wire: Open, end: End, expected: Expected) -> None:
    """The same."""
    counter, code, expected_reason = expected
    log = EventLog()

    class RoomChannel(Channel):
        def join(self, topic: str, payload: Any, socket: Socket) -> Result:
            return ok()

        def terminate(self, reason: Any, socket: Socket) -> None:
            log.record(reason)

    endpoint = Endpoint()
    url = await serve(socket_app(accepting({"room:*": RoomChannel}), endpoint=endpoint))
    wires = [await open_wire(url) for _ in range(2)]
    for wire in wires:
        await wire.join("room:a")

    for connection in connections_of(endpoint):
        end(connection)
    codes = [await wire.recv_close() for wire in wires]

    assert codes == [code] * 2
    assert counted(endpoint) == {counter: 2}
    assert [await log.next() for _ in wires] == [expected_reason] * 2
    for wire in wires:
        await wire.close()
    async with asyncio.timeout(patient(5.0)):
        while endpoint.connections:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.001)


async def test_sweeps_are_counted() -> None:
    """A client counts as idle after ten of them without a message."""
    harness = Harness()
    await harness.connect()
    (hub,) = [
        hub for hub in harness.endpoint._lifetime._transports if isinstance(hub, ConnectionHub)
    ]
    (connection,) = connections_of(harness.endpoint)

    idle_at = []
    for sweep in range(1, 13):
        hub._sweep()
        if harness.endpoint.counters.idle_closed:
            idle_at.append(sweep)

    assert hub.sweeps == 12
    assert connection.received_at_sweep == 0
    assert idle_at == [11, 12]
    hub.abort_all()
