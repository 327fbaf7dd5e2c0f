"""The fault server, faced by a raw websocket client: each fault does what its row says."""

from __future__ import annotations

import asyncio

import pytest

from phoenix_compat.conformance.faults.channels import SOME_BYTES, STALE_REF
from phoenix_compat.conformance.suite.wire_client import Opcode, WireClient, encode_close
from tests.conftest import Dial
from tests.integration.conformance.fault_harness import (
    ASK,
    SOCKET,
    Visit,
    base_url,
    ending,
    joined,
    upgrade,
    visit,
)
from tests.wire import OK, PatientClient, replied

__all__ = ["base_url", "visit"]  # fixtures


async def test_a_topic_without_a_fault(visit: Visit) -> None:
    """It is a small Phoenix channel: join, echo, heartbeat, leave, unmatched topic."""
    wire = await joined(visit, "room:lobby")

    await wire.send(["1", "2", "room:lobby", "echo", {"a": 1}])
    await wire.send([None, "3", "phoenix", "heartbeat", {}])
    await wire.send(["1", "4", "room:lobby", "phx_leave", {}])
    await wire.send(["1", "5", "room:lobby", "echo", {}])

    assert await wire.recv_many(5) == [
        ["1", "2", "room:lobby", "phx_reply", replied({"a": 1})],
        [None, "3", "phoenix", "phx_reply", OK],
        ["1", "4", "room:lobby", "phx_reply", OK],
        ["1", "1", "room:lobby", "phx_close", {}],
        [
            None, "5", "room:lobby", "phx_reply",
            {"response": {"reason": "unmatched topic"}, "status": "error"},
        ],
    ]  # fmt: skip


async def test_v1(visit: Visit) -> None:
    """A client that names no version speaks V1, and is answered in V1."""
    wire = await visit(target="/faults/socket/websocket/")

    await wire.send({"topic": "fault:crash", "event": "phx_join", "payload": {}, "ref": 1})

    reply, ask, crash = await wire.recv_many(3)
    assert (reply["ref"], reply["payload"]["status"]) == (1, "ok")
    assert ask == {"topic": "fault:crash", "event": "ask", "payload": ASK, "ref": None}
    assert (crash["event"], crash["ref"]) == ("phx_error", 1)


async def test_a_topic_that_makes_no_sense(visit: Visit) -> None:
    """The join is refused with the reason."""
    wire = await visit("fault:clsoe:1001")

    reply = await wire.recv()

    assert reply[4]["status"] == "error"
    assert "did you mean close?" in reply[4]["response"]["reason"]


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 4999])
async def test_close(visit: Visit, code: int) -> None:
    """The close frame carries the code that the topic names; the next time nothing happens."""
    topic = f"fault:close:{code}:after=10ms"

    first, second = await joined(visit, topic), await visit(topic)

    assert await ending(first) == code
    await second.recv_many(2)
    await second.send(["1", "2", topic, "echo", {}])
    assert (await second.recv())[3] == "phx_reply"


@pytest.mark.parametrize("moment", ["joining", "push"])
async def test_close_at_another_moment(visit: Visit, moment: str) -> None:
    """It can come in place of the reply to the join, or to a push."""
    topic = f"fault:close:1011:on={moment}"
    wire = await visit(topic)
    if moment == "push":
        await wire.recv_many(2)
        await wire.send(["1", "2", topic, "echo", {}])

    assert await ending(wire) == 1011


async def test_drop(visit: Visit) -> None:
    """The connection is gone, without a close frame."""
    wire = await joined(visit, "fault:drop:after=0s")

    assert await ending(wire) is None


async def test_late_never_and_twice(visit: Visit) -> None:
    """One reply comes after the other's, one never, one twice."""
    wire = await visit()
    topics = ["fault:late:100ms", "fault:never", "fault:twice"]
    for topic in topics:
        await wire.send(["1", "1", topic, "phx_join", {}])
        await wire.recv_many(2)

    for topic in topics:
        await wire.send(["1", topic, topic, "echo", {}])

    refs = [(await wire.recv())[1] for _reply in range(3)]
    assert refs == ["fault:twice", "fault:twice", "fault:late:100ms"]


async def test_joins_that_are_not_answered(visit: Visit) -> None:
    """`never` strikes the first join only; `refuse_joins` as many as it says."""
    wire = await visit("fault:never:on=join")
    await wire.send(["2", "2", "fault:never:on=join", "phx_join", {}])
    reply, closed, ask = await wire.recv_many(3)
    for ref in ("3", "4", "5"):
        await wire.send([ref, ref, "fault:refuse_joins:2", "phx_join", {}])
    answers = await wire.recv_many(3)

    assert (reply[1], closed[:2], ask[4]) == ("2", ["1", "1"], {"n": 2})
    assert [answer[4]["status"] for answer in answers] == ["error", "error", "ok"]


async def test_crash_and_phx_close(visit: Visit) -> None:
    """The channel ends as Phoenix ends one, and its topic is free again."""
    for event, payload in (("phx_error", {"reason": "channel_crash"}), ("phx_close", {})):
        topic = {"phx_error": "fault:crash", "phx_close": "fault:phx_close"}[event]
        wire = await joined(visit, topic)
        assert await wire.recv() == ["1", "1", topic, event, payload]
        await wire.send(["1", "2", topic, "echo", {}])
        assert (await wire.recv())[4]["response"] == {"reason": "unmatched topic"}


async def test_refs_that_are_numbers(visit: Visit) -> None:
    """Refs keep their type, 0 included."""
    wire = await visit()
    await wire.send([0, 0, "fault:crash:on=joining", "phx_join", {}])
    await wire.send([1, 1, "fault:stale_ref", "phx_join", {}])

    messages = await wire.recv_many(3)

    assert messages[0][:2] == [0, 0]
    assert [message[0] for message in messages[1:]] == [1, STALE_REF]


async def test_stale_refs(visit: Visit) -> None:
    """Messages of a former join come first, those of this one after them."""
    topic, stale = "fault:stale_ref", str(STALE_REF)
    wire = await visit(topic)
    await wire.send(["1", "2", topic, "echo", {"a": 1}])

    messages = await wire.recv_many(7)

    assert [message[0] for message in messages] == ["1", stale, stale, stale, "1", stale, "1"]
    assert [message[3] for message in messages[1:5]] == ["phx_error", "phx_close", "ask", "ask"]
    assert messages[5:] == [
        [stale, "2", topic, "phx_reply", replied({"stale": True})],
        ["1", "2", topic, "phx_reply", replied({"a": 1})],
    ]


async def test_broadcast_binary_and_noise(visit: Visit) -> None:
    """`ask` comes without a join_ref, as four bytes, or after messages nobody knows."""
    wire = await visit("fault:broadcast")
    assert (await wire.recv_many(2))[1] == [None, None, "fault:broadcast", "ask", ASK]

    wire = await visit("fault:binary")
    await wire.recv()
    assert await wire.recv_binary() == b"\0\x01\x0c\x031fault:binaryask" + SOME_BYTES

    wire = await visit("fault:noise")
    events = [(message[2], message[3]) for message in await wire.recv_many(5)]
    assert events == [
        ("fault:noise", "phx_reply"),
        ("fault:noise", "never_heard_of_this"),
        ("fault:noise", "phx_reply"),
        ("never:heard:of:this", "ask"),
        ("fault:noise", "ask"),
    ]


async def test_binary_needs_v2(visit: Visit) -> None:
    """A V1 client cannot be sent bytes: its join is refused with the reason."""
    wire = await visit(target="/faults/socket/websocket")

    await wire.send({"topic": "fault:binary", "event": "phx_join", "payload": {}, "ref": "1"})

    assert "vsn 2.0.0" in (await wire.recv())["payload"]["response"]["reason"]


async def test_what_cannot_be_written(visit: Visit) -> None:
    """A topic too long for a binary frame ends the connection with 1011, as in Phoenix."""
    wire = await visit(f"fault:binary:id={'x' * 300}")
    await wire.recv()

    assert await ending(wire) == 1011


async def test_fragments(visit: Visit) -> None:
    """A message comes in three fragments, with a ping between."""
    wire = await visit("fault:fragment")

    frames = [await wire.recv_frame() for _frame in range(4)]

    assert [(frame.opcode, frame.is_final) for frame in frames] == [
        (Opcode.TEXT, False),
        (Opcode.CONTINUATION, False),
        (Opcode.PING, True),
        (Opcode.CONTINUATION, True),
    ]
    payload = b"".join(frame.payload for frame in frames if frame.opcode != Opcode.PING)
    assert payload.startswith(b'["1","1","fault:fragment","phx_reply"')


async def test_segments(visit: Visit, base_url: str) -> None:
    """A frame comes in TCP segments, the first of one byte."""
    reader, writer = await asyncio.open_connection(*base_url.removeprefix("http://").split(":"))
    client = WireClient(reader, writer, "localhost")
    await client.handshake(SOCKET)
    await client.send_frame('["1","1","fault:split","phx_join",{}]')

    sizes = [len(await reader.read(65_536)) for _segment in range(2)]

    assert sizes[0] == 1
    assert sizes[1] > 1
    await client.close()


async def test_silence(visit: Visit) -> None:
    """`silent_heartbeat` leaves heartbeats unanswered, `half_open` everything."""
    for topic, wanted in (("fault:silent_heartbeat", ["echo"]), ("fault:half_open", [])):
        wire = await joined(visit, f"{topic}:after=0s")
        await wire.send([None, "beat", "phoenix", "heartbeat", {}])
        await wire.send(["1", "echo", f"{topic}:after=0s", "echo", {}])
        if wanted:
            assert (await wire.recv())[1] == "echo"
        with pytest.raises(TimeoutError):
            await wire.client.read_frame(0.1)


async def test_half_open_connections_answer_no_close_frame(visit: Visit) -> None:
    """Whoever waits for the answer to its close frame waits for ever."""
    wire = await joined(visit, "fault:half_open:after=0s")

    await wire.client.send_bytes(encode_close(1000))

    with pytest.raises(TimeoutError):
        await wire.client.read_frame(0.2)


async def test_outage(visit: Visit, dial: Dial, base_url: str) -> None:
    """The connection is dropped, and so many upgrades are refused with the status."""
    wire = await joined(visit, "fault:outage:429:times=2:after=0s")
    assert await ending(wire) is None

    statuses = [(await upgrade(dial, base_url)).status for _attempt in range(3)]

    assert statuses == [429, 429, 101]


async def test_flap(visit: Visit) -> None:
    """So many connections are closed at once after their upgrade."""
    wire = await joined(visit, "fault:flap:1013:times=2:after=0s")

    codes = [await ending(wire), *[await ending(await visit()) for _time in range(2)]]
    last = await visit("room:a")

    assert codes == [1013, 1013, 1013]
    assert (await last.recv())[3] == "phx_reply"


async def test_restart(visit: Visit, base_url: str) -> None:
    """All connections close with 1012; new ones are reset for a while, then welcome."""
    other, wire = await visit(), await joined(visit, "fault:restart:300ms:after=0s")
    assert [await ending(wire), await ending(other)] == [1012, 1012]

    client = await PatientClient.connect(base_url)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await client.handshake(SOCKET)
    await client.close()
    await asyncio.sleep(0.35)  # the time that the restart takes

    assert (await (await visit("room:a")).recv())[3] == "phx_reply"


async def test_lanes_do_not_disturb_each_other(visit: Visit, dial: Dial, base_url: str) -> None:
    """An outage in one fanout is none in another."""
    await ending(await joined(visit, "fault:outage:503:times=9:after=0s"))

    other = await upgrade(dial, base_url, "/faults/t/other/socket/websocket?vsn=2.0.0")

    assert (await upgrade(dial, base_url)).status == 503
    assert other.status == 101


async def test_handshakes_as_phoenix_judges_them(dial: Dial, base_url: str) -> None:
    """Unknown versions are refused, a plain GET is none, and `phoenix` is chosen when offered."""
    plain = await dial(base_url)
    offering = await dial(base_url)

    assert (await upgrade(dial, base_url, "/faults/socket/websocket?vsn=3.0.0")).status == 403
    assert (await plain.request("GET", SOCKET)).status == 400
    answer = await offering.handshake(SOCKET, extra=[("Sec-WebSocket-Protocol", "phoenix, x")])
    assert answer.header("sec-websocket-protocol") == "phoenix"
