"""The pytest fixtures of the fault server, as the author of a client uses them."""

from __future__ import annotations

import asyncio
import http.client
from urllib.parse import urlsplit

import pytest

from phoenix_compat.conformance.faults.fixtures import FaultLane
from phoenix_compat.conformance.faults.plan import FaultError
from phoenix_compat.conformance.faults.record import Kind
from tests.conftest import Open
from tests.wire import PhoenixWire

DROP = "client/reconnect/drop"


def target(fanout: FaultLane) -> str:
    """Where a raw client connects to."""
    return f"{urlsplit(fanout.url).path}/websocket?vsn=2.0.0"


async def join(fanout: FaultLane, open_wire: Open, topic: str) -> PhoenixWire:
    """What a client does: connect and join."""
    wire = await open_wire(fanout.http_url, target(fanout))
    await wire.send(["1", "1", topic, "phx_join", {}])
    await wire.recv_many(2)
    return wire


async def test_a_client_that_does_right(fault_lane: FaultLane, open_wire: Open) -> None:
    """`expect_soon` waits for the client, and gives the verdict."""
    wire = await join(fault_lane, open_wire, "fault:drop")
    waiting = asyncio.ensure_future(fault_lane.expect_soon(DROP))
    assert await wire.client.read_frame() is None
    await join(fault_lane, open_wire, "fault:drop")

    verdict = await waiting

    assert verdict.finding.reason.startswith("connected after 0.")


async def test_a_client_that_does_wrong(fault_lane: FaultLane, open_wire: Open) -> None:
    """The failure tells what was wanted, why, and what was recorded."""
    await join(fault_lane, open_wire, "fault:drop")

    with pytest.raises(AssertionError) as caught:
        await fault_lane.expect_soon(DROP, timeout_s=0.3)

    told = str(caught.value)
    assert "client/reconnect/drop: failed: no new connection within" in told
    assert "wanted: After the connection is lost the client reconnects" in told
    assert "struck drop fault:drop" in told


def test_a_client_that_never_came(fault_lane: FaultLane) -> None:
    """In a sync test too: what was not seen has not passed."""
    with pytest.raises(AssertionError, match="not seen: its topic was not joined"):
        fault_lane.expect(DROP, timeout_s=0.05)


def test_a_sync_client(fault_lane: FaultLane) -> None:
    """A client that blocks its thread is served: the server has a thread of its own."""
    fault_lane.arm("refuse_upgrades:503:times=1")
    url = urlsplit(fault_lane.http_url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=5)

    connection.request("GET", target(fault_lane))

    assert connection.getresponse().status == 503
    connection.close()
    assert [entry.kind for entry in fault_lane.record] == [
        Kind.STRUCK,
        Kind.ATTEMPT,
        Kind.REFUSED,
    ]


async def test_faults_on_any_topic(fault_lane: FaultLane, open_wire: Open) -> None:
    """What is armed strikes the client's own topics, and what the app heard is noted."""
    fault_lane.arm("refuse_joins:1", topic="room:a")
    wire = await open_wire(fault_lane.http_url, target(fault_lane))
    await wire.send(["1", "1", "room:a", "phx_join", {}])

    reply = await wire.recv()
    fault_lane.heard(refused=True)
    fault_lane.arm("close:4001")

    frame = await wire.recv_frame()
    assert reply[4]["status"] == "error"
    assert frame.close_code == 4001
    assert [entry.payload for entry in fault_lane.record if entry.kind is Kind.HEARD] == [
        {"refused": True}
    ]


def test_faults_that_make_no_sense(fault_lane: FaultLane) -> None:
    """A typing error fails the test where it stands."""
    with pytest.raises(FaultError, match="did you mean close"):
        fault_lane.arm("clsoe:1001")
    with pytest.raises(FaultError, match="say which"):
        fault_lane.arm("crash")
    with pytest.raises(FaultError, match="not a topic"):
        fault_lane.arm("refuse_upgrades", topic="room:a")
    with pytest.raises(KeyError, match="there is no scenario 'client/x'"):
        fault_lane.verdict("client/x")


@pytest.mark.parametrize("number", range(2))
def test_every_test_has_a_lane_of_its_own(fault_lane: FaultLane, number: int) -> None:
    """Names are cleaned, and nothing is left of the test before."""
    assert f"test_every_test_has_a_lane_of_its_own-{number}-." in fault_lane.url
    assert fault_lane.record == []
