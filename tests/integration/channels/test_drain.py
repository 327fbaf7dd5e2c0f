"""A server that stops: when and how its clients are closed.

Numbers are those of docs/protocol.md, §3.9 for the most part.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
from collections.abc import Iterable

import pytest

from phoenix_compat import Drainer, Endpoint
from phoenix_compat.conformance.suite.wire_client import build_request
from tests.conftest import Dial, Open, Serve
from tests.integration.drain_harness import DRAINING, SLOW_JOIN, Harness
from tests.integration.operations.commands import finish, server
from tests.patience import patient
from tests.polling import LP_V2, Poller
from tests.serving import accepting
from tests.wire import V2, PhoenixWire

INTERVAL_S = 0.2


async def joined(open_wire: Open, base_url: str, users: Iterable[str]) -> list[PhoenixWire]:
    """Websockets that have joined `room:a`, one per user."""
    wires = []
    for user in users:
        wire = await open_wire(base_url, f"{V2}&user={user}")
        await wire.join("room:a")
        wires.append(wire)
    return wires


async def test_joined_clients_get_1012_and_others_1000(serve: Serve, open_wire: Open) -> None:
    """§3.9, §9.13.217, §10.52-53: only a close frame; no phx_close for the channels before it."""
    harness = Harness()
    base_url = await serve(harness.app)
    (here,) = await joined(open_wire, base_url, "a")
    idle = await open_wire(base_url)
    left = await open_wire(base_url)
    await left.join("room:a")
    await left.send(["1", "2", "room:a", "phx_leave", {}])
    await left.recv_many(2)

    closing = asyncio.create_task(harness.endpoint.close())
    codes = [await wire.recv_close() for wire in (here, idle, left)]
    await closing

    assert codes == [1012, 1000, 1000]
    assert harness.endpoint.connections == 0


async def test_terminate_gets_the_reason(serve: Serve, open_wire: Open) -> None:
    """§3.9, §4.6: ("shutdown", "draining"), once for each channel."""
    harness = Harness()
    (wire,) = await joined(open_wire, await serve(harness.app), "a")
    await wire.join("room:b", "2")

    closing = asyncio.create_task(harness.endpoint.close())
    await wire.recv_close()
    await closing

    assert [reason for _user, reason, _time in await harness.ended(2)] == [DRAINING] * 2
    assert harness.event_log.is_empty


async def test_batches(serve: Serve, open_wire: Open) -> None:
    """§3.9, §9.6.80: at most `batch_size` clients at once, and a pause before the next batch."""
    harness = Harness(Drainer(batch_size=2, batch_interval_s=INTERVAL_S))
    wires = await joined(open_wire, await serve(harness.app), "abcde")

    closing = asyncio.create_task(harness.endpoint.close())
    codes = await asyncio.gather(*(wire.recv_close() for wire in wires))
    await closing

    times = [time_s for _user, _reason, time_s in await harness.ended(5)]
    gaps = [late - early for early, late in itertools.pairwise(times)]
    assert codes == [1012] * 5
    assert [gap >= 0.9 * INTERVAL_S for gap in gaps] == [False, True, False, True]


async def test_one_batch_does_not_pause(serve: Serve, open_wire: Open) -> None:
    """§3.9, §1.2: by default ten thousand clients are closed at once, without a pause."""
    harness = Harness()
    wires = await joined(open_wire, await serve(harness.app), "abc")

    closing = asyncio.create_task(harness.endpoint.close())
    await asyncio.gather(*(wire.recv_close() for wire in wires))
    async with asyncio.timeout(Drainer().batch_interval_s):
        await closing

    assert len(await harness.ended(3)) == 3


async def test_later_batches_are_served_until_it_is_their_turn(
    serve: Serve, open_wire: Open
) -> None:
    """§3.9: clients of later batches can still send and receive."""
    harness = Harness(Drainer(batch_size=1, batch_interval_s=60))
    wires = await joined(open_wire, await serve(harness.app), "ab")

    closing = asyncio.create_task(harness.endpoint.close())
    ((first, _reason, _time),) = await harness.ended(1)
    gone, waits = wires if first == "a" else wires[::-1]

    assert await gone.recv_close() == 1012
    assert (await waits.ask(["1", "2", "room:a", "echo", {}]))[1] == "2"
    closing.cancel()


async def test_draining_has_an_end(serve: Serve, open_wire: Open) -> None:
    """§1.2, §3.9: after `shutdown_s` the remaining clients are closed at once."""
    harness = Harness(Drainer(batch_size=1, batch_interval_s=60, shutdown_s=INTERVAL_S))
    wires = await joined(open_wire, await serve(harness.app), "abc")

    closing = asyncio.create_task(harness.endpoint.close())
    codes = await asyncio.gather(*(wire.recv_close() for wire in wires))
    await closing

    assert sorted(codes) == [1000, 1000, 1012]


async def test_idle_clients_are_in_no_batch(serve: Serve, open_wire: Open) -> None:
    """§3.9: clients without a channel are not drained, and not waited for."""
    harness = Harness(Drainer(batch_size=1, batch_interval_s=60))
    base_url = await serve(harness.app)
    wires = [await open_wire(base_url) for _client in range(2)]
    for _client in range(2):
        await Poller.open(base_url)

    closing = asyncio.create_task(harness.endpoint.close())
    codes = await asyncio.gather(*(wire.recv_close() for wire in wires))
    async with asyncio.timeout(patient(10)):
        await closing

    assert codes == [1000, 1000]
    assert harness.endpoint.connections == 0


async def test_without_a_drainer(serve: Serve, open_wire: Open) -> None:
    """§3.9, §9.6.82: all clients are closed at once, like those without channels."""
    harness = Harness(drainer=False)
    wires = await joined(open_wire, await serve(harness.app), "ab")

    closing = asyncio.create_task(harness.endpoint.close())
    codes = await asyncio.gather(*(wire.recv_close() for wire in wires))
    await closing

    assert codes == [1000, 1000]
    assert [reason for _user, reason, _time in await harness.ended(2)] == [
        ("shutdown", "closed")
    ] * 2


def test_the_options_are_those_of_the_mount() -> None:
    """§1.2, §9.6.80, §9.6.82: an own drainer, the default one, or none."""
    own = Drainer(batch_size=1, batch_interval_s=0.5, shutdown_s=3)
    endpoint = Endpoint()
    drainers: list[Drainer | bool] = [own, True, False]
    for number, drainer in enumerate(drainers):
        endpoint.socket(f"/socket/{number}", accepting({}), drainer=drainer)

    assert [socket.drainer for socket in endpoint.sockets] == [own, Drainer(), None]
    assert Drainer() == Drainer(batch_size=10_000, batch_interval_s=2.0, shutdown_s=30.0)


async def test_newcomers_are_refused(serve: Serve, open_wire: Open, dial: Dial) -> None:
    """§3.9: while a server closes, an upgrade gets HTTP 503 and a new session 403 in the body."""
    harness = Harness(Drainer(batch_size=1, batch_interval_s=60))
    base_url = await serve(harness.app)
    await joined(open_wire, base_url, "ab")
    closing = asyncio.create_task(harness.endpoint.close())
    await harness.ended(1)

    upgrade = await (await dial(base_url)).handshake(V2)
    session = await Poller(base_url).get()

    assert (upgrade.status, upgrade.body) == (503, b"")
    assert session.json == {"status": 403}
    closing.cancel()


@pytest.mark.parametrize("was_joined", [False, True])
async def test_a_join_in_progress_is_drained_too(
    serve: Serve, open_wire: Open, *, was_joined: bool
) -> None:
    """A2: 1012, because phoenix.js up to 1.8.15 stays away after 1000; at a first join and a
    repeated one."""
    harness = Harness()
    wire = await open_wire(await serve(harness.app))
    if was_joined:
        await wire.join("room:a")
    await wire.send(SLOW_JOIN)
    await harness.event_log.next()

    closing = asyncio.create_task(harness.endpoint.close())
    code = await wire.recv_close()
    harness.go_on.set()
    await closing

    assert code == 1012


async def test_transports_are_drained_side_by_side(serve: Serve, open_wire: Open) -> None:
    """§3.9: the batches of one transport do not wait for those of another."""
    harness = Harness(Drainer(batch_size=1, batch_interval_s=60))
    base_url = await serve(harness.app)
    (wire,) = await joined(open_wire, base_url, "a")
    client = await Poller.open(base_url)
    await client.join()

    closing = asyncio.create_task(harness.endpoint.close())
    codes = await wire.recv_close()
    await closing

    assert codes == 1012
    assert {user for user, _reason, _time in await harness.ended(2)} == {"a", None}


async def test_sigterm(open_wire: Open, dial: Dial) -> None:
    """§3.9: a process that is told to end closes its joined websockets with 1012, and exits 0.

    A poll that waits does not hold it up.
    """
    command = ("-m", "phoenix_compat", "conformance", "serve", "--port", "0")
    async with server(*command) as (process, base_url):
        wire, poller = await open_wire(base_url), await dial(base_url)
        await wire.join("room:a")
        token = json.loads((await poller.request("GET", LP_V2)).body)["token"]
        target = f"{LP_V2}&token={token}"
        await poller.send_bytes(build_request("GET", target, [("Host", poller.host)]))
        for _time in range(3):  # by then the poll waits in the server
            await wire.fence()

        process.send_signal(signal.SIGTERM)
        code = await wire.recv_close(10)
        polled = await poller.read_response()
        finished = await finish(process)

    assert code == 1012
    assert json.loads(polled.body)["status"] == 204
    assert (finished.code, finished.err) == (0, "")
