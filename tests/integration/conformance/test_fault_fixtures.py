"""The pytest fixtures of the fault server, as the author of a client uses them."""

from __future__ import annotations

import asyncio
import http.client
from urllib.parse import urlsplit

import pytest

from phoenix_compat.conformance.faults.fixtures import FaultSessionHandle
from phoenix_compat.conformance.faults.plan import FaultError
from phoenix_compat.conformance.faults.record import EntryKind
from tests.conftest import Open
from tests.wire import PhoenixWire

DROP = "client/reconnect/drop"


def target(session: FaultSessionHandle) -> str:
    """The target that a raw client connects to."""
    return f"{urlsplit(session.url).path}/websocket?vsn=2.0.0"


async def join(session: FaultSessionHandle, open_wire: Open, topic: str) -> PhoenixWire:
    """Connect and join."""
    wire = await open_wire(session.http_url, target(session))
    await wire.send(["1", "1", topic, "phx_join", {}])
    await wire.recv_many(2)
    return wire


async def test_a_correct_client(fault_session: FaultSessionHandle, open_wire: Open) -> None:
    """`expect_soon` waits for the client and returns the verdict."""
    wire = await join(fault_session, open_wire, "fault:drop")
    waiting = asyncio.ensure_future(fault_session.expect_soon(DROP))
    assert await wire.client.read_frame() is None
    await join(fault_session, open_wire, "fault:drop")

    verdict = await waiting

    assert verdict.finding.reason.startswith("connected after 0.")


async def test_a_wrong_client(fault_session: FaultSessionHandle, open_wire: Open) -> None:
    """The failure says what was expected, why, and what was recorded."""
    await join(fault_session, open_wire, "fault:drop")

    with pytest.raises(AssertionError) as caught:
        await fault_session.expect_soon(DROP, timeout_s=0.3)

    message = str(caught.value)
    assert "client/reconnect/drop: failed: no new connection within" in message
    assert "wanted: After the connection is lost, the client reconnects" in message
    assert "struck drop fault:drop" in message


def test_a_client_that_never_connected(fault_session: FaultSessionHandle) -> None:
    """A scenario that was not played has not passed; `expect` works in sync tests."""
    with pytest.raises(AssertionError, match="not seen: its topic was not joined"):
        fault_session.expect(DROP, timeout_s=0.05)


def test_a_sync_client(fault_session: FaultSessionHandle) -> None:
    """A client may block the test's thread: the server has its own."""
    fault_session.arm("refuse_upgrades:503:times=1")
    url = urlsplit(fault_session.http_url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=5)

    connection.request("GET", target(fault_session))

    assert connection.getresponse().status == 503
    connection.close()
    assert [entry.kind for entry in fault_session.record] == [
        EntryKind.STRUCK,
        EntryKind.ATTEMPT,
        EntryKind.REFUSED,
    ]


async def test_faults_on_any_topic(fault_session: FaultSessionHandle, open_wire: Open) -> None:
    """Faults strike any topic, and the app's reports are recorded."""
    fault_session.arm("refuse_joins:1", topic="room:a")
    wire = await open_wire(fault_session.http_url, target(fault_session))
    await wire.send(["1", "1", "room:a", "phx_join", {}])

    reply = await wire.recv()
    fault_session.heard(refused=True)
    fault_session.arm("close:4001")

    frame = await wire.recv_frame()
    assert reply[4]["status"] == "error"
    assert frame.close_code == 4001
    assert [entry.payload for entry in fault_session.record if entry.kind is EntryKind.HEARD] == [
        {"refused": True}
    ]


def test_invalid_faults(fault_session: FaultSessionHandle) -> None:
    """An invalid fault or scenario raises in the line that names it."""
    with pytest.raises(FaultError, match="did you mean close"):
        fault_session.arm("clsoe:1001")
    with pytest.raises(FaultError, match="needs a topic"):
        fault_session.arm("crash")
    with pytest.raises(FaultError, match="not a topic"):
        fault_session.arm("refuse_upgrades", topic="room:a")
    with pytest.raises(KeyError, match="there is no scenario 'client/x'"):
        fault_session.verdict("client/x")


@pytest.mark.parametrize("number", range(2))
def test_every_test_has_its_own_session(fault_session: FaultSessionHandle, number: int) -> None:
    """The session is named after the test, and starts with an empty record."""
    assert f"test_every_test_has_its_own_session-{number}-." in fault_session.url
    assert fault_session.record == []


def test_the_old_fixture_name_is_deprecated(
    fault_session: FaultSessionHandle, request: pytest.FixtureRequest
) -> None:
    """`fault_lane` still works, and warns."""
    with pytest.warns(DeprecationWarning, match="use fault_session"):
        old = request.getfixturevalue("fault_lane")

    assert old is fault_session
