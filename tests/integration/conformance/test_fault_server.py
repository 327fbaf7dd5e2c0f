"""Each fault does what the table says, as seen by a raw websocket client."""

from __future__ import annotations

import asyncio

import pytest

from phoenix_compat.conformance.faults.channels import SOME_BYTES, STALE_REF
from phoenix_compat.conformance.suite.wire_client import (
    Headers,
    Opcode,
    WireClient,
    encode_close,
)
from tests.conftest import Dial, Open
from tests.integration.conformance.fault_harness import (
    ASK,
    SOCKET,
    Connect,
    base_url,
    connect,
    ending,
    joined,
    upgrade,
)
from tests.wire import OK, PatientClient, replied

__all__ = ["base_url", "connect"]  # fixtures


async def test_a_topic_without_a_fault(connect: Connect) -> None:
    """A topic without a fault behaves like a small Phoenix channel."""
    wire = await joined(connect, "room:lobby")

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


async def test_v1(connect: Connect) -> None:
    """A client without `vsn` speaks V1 and is answered in V1."""
    wire = await connect(target="/faults/socket/websocket/")

    await wire.send({"topic": "fault:crash", "event": "phx_join", "payload": {}, "ref": 1})

    reply, ask, crash = await wire.recv_many(3)
    assert (reply["ref"], reply["payload"]["status"]) == (1, "ok")
    assert ask == {"topic": "fault:crash", "event": "ask", "payload": ASK, "ref": None}
    assert (crash["event"], crash["ref"]) == ("phx_error", None)  # as the join had no join_ref


async def test_an_invalid_topic(connect: Connect) -> None:
    """The join is refused with the reason."""
    wire = await connect("fault:clsoe:1001")

    reply = await wire.recv()

    assert reply[4]["status"] == "error"
    assert "did you mean close?" in reply[4]["response"]["reason"]


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 4999])
async def test_close(connect: Connect, code: int) -> None:
    """The connection is closed with the topic's code, once."""
    topic = f"fault:close:{code}:after=10ms"

    first, second = await joined(connect, topic), await connect(topic)

    assert await ending(first) == code
    await second.recv_many(2)
    await second.send(["1", "2", topic, "echo", {}])
    assert (await second.recv())[3] == "phx_reply"


@pytest.mark.parametrize("moment", ["joining", "push"])
async def test_close_at_another_moment(connect: Connect, moment: str) -> None:
    """The close can replace the reply to the join or to a push."""
    topic = f"fault:close:1011:on={moment}"
    wire = await connect(topic)
    if moment == "push":
        await wire.recv_many(2)
        await wire.send(["1", "2", topic, "echo", {}])

    assert await ending(wire) == 1011


async def test_drop(connect: Connect) -> None:
    """The connection ends without a close frame."""
    wire = await joined(connect, "fault:drop:after=0s")

    assert await ending(wire) is None


async def test_late_never_and_twice(connect: Connect) -> None:
    """One reply is delayed, one never sent, one sent twice."""
    wire = await connect()
    topics = ["fault:late:100ms", "fault:never", "fault:twice"]
    for topic in topics:
        await wire.send(["1", "1", topic, "phx_join", {}])
        await wire.recv_many(2)

    for topic in topics:
        await wire.send(["1", topic, topic, "echo", {}])

    refs = [(await wire.recv())[1] for _reply in range(3)]
    assert refs == ["fault:twice", "fault:twice", "fault:late:100ms"]


async def test_joins_that_are_not_answered(connect: Connect) -> None:
    """`never` strikes only the first join; `refuse_joins` as many as its value says."""
    wire = await connect("fault:never:on=join")
    await wire.send(["2", "2", "fault:never:on=join", "phx_join", {}])
    reply, closed, ask = await wire.recv_many(3)
    for ref in ("3", "4", "5"):
        await wire.send([ref, ref, "fault:refuse_joins:2", "phx_join", {}])
    answers = await wire.recv_many(3)

    assert (reply[1], closed[:2], ask[4]) == ("2", ["1", "1"], {"n": 2})
    assert [answer[4]["status"] for answer in answers] == ["error", "error", "ok"]


async def test_crash_and_phx_close(connect: Connect) -> None:
    """The channel ends as in Phoenix, and its topic can be joined again."""
    for event, payload in (("phx_error", {"reason": "channel_crash"}), ("phx_close", {})):
        topic = {"phx_error": "fault:crash", "phx_close": "fault:phx_close"}[event]
        wire = await joined(connect, topic)
        assert await wire.recv() == ["1", "1", topic, event, payload]
        await wire.send(["1", "2", topic, "echo", {}])
        assert (await wire.recv())[4]["response"] == {"reason": "unmatched topic"}


async def test_refs_that_are_numbers(connect: Connect) -> None:
    """Refs keep their JSON type, including 0."""
    wire = await connect()
    await wire.send([0, 0, "fault:crash:on=joining", "phx_join", {}])
    await wire.send([1, 1, "fault:stale_ref", "phx_join", {}])

    messages = await wire.recv_many(3)

    assert messages[0][:2] == [0, 0]
    assert [message[0] for message in messages[1:]] == [1, STALE_REF]


async def test_stale_refs(connect: Connect) -> None:
    """Messages of an earlier join come before those of the current one."""
    topic, stale = "fault:stale_ref", str(STALE_REF)
    wire = await connect(topic)
    await wire.send(["1", "2", topic, "echo", {"a": 1}])

    messages = await wire.recv_many(7)

    assert [message[0] for message in messages] == ["1", stale, stale, stale, "1", stale, "1"]
    assert [message[3] for message in messages[1:5]] == ["phx_error", "phx_close", "ask", "ask"]
    assert messages[5:] == [
        [stale, "2", topic, "phx_reply", replied({"stale": True})],
        ["1", "2", topic, "phx_reply", replied({"a": 1})],
    ]


async def test_broadcast_binary_and_noise(connect: Connect) -> None:
    """`ask` comes without a join_ref, as four bytes, or after unknown messages."""
    wire = await connect("fault:broadcast")
    assert (await wire.recv_many(2))[1] == [None, None, "fault:broadcast", "ask", ASK]

    wire = await connect("fault:binary")
    await wire.recv()
    assert await wire.recv_binary() == b"\0\x01\x0c\x031fault:binaryask" + SOME_BYTES

    wire = await connect("fault:noise")
    events = [(message[2], message[3]) for message in await wire.recv_many(5)]
    assert events == [
        ("fault:noise", "phx_reply"),
        ("fault:noise", "never_heard_of_this"),
        ("fault:noise", "phx_reply"),
        ("never:heard:of:this", "ask"),
        ("fault:noise", "ask"),
    ]


async def test_binary_needs_v2(connect: Connect) -> None:
    """V1 cannot carry bytes, so a V1 client's join is refused with the reason."""
    wire = await connect(target="/faults/socket/websocket")

    await wire.send({"topic": "fault:binary", "event": "phx_join", "payload": {}, "ref": "1"})

    assert "vsn 2.0.0" in (await wire.recv())["payload"]["response"]["reason"]


async def test_messages_that_cannot_be_encoded(connect: Connect) -> None:
    """A topic too long for a binary frame ends the connection with 1011, as in Phoenix."""
    wire = await connect(f"fault:binary:id={'x' * 300}")
    await wire.recv()

    assert await ending(wire) == 1011


async def test_fragments(connect: Connect) -> None:
    """A message is sent in three fragments, with a ping in between."""
    wire = await connect("fault:fragment")

    frames = [await wire.recv_frame() for _frame in range(4)]

    assert [(frame.opcode, frame.is_final) for frame in frames] == [
        (Opcode.TEXT, False),
        (Opcode.CONTINUATION, False),
        (Opcode.PING, True),
        (Opcode.CONTINUATION, True),
    ]
    payload = b"".join(frame.payload for frame in frames if frame.opcode != Opcode.PING)
    assert payload.startswith(b'["1","1","fault:fragment","phx_reply"')


async def test_segments(connect: Connect, base_url: str) -> None:
    """A frame is sent in TCP segments, the first of one byte."""
    reader, writer = await asyncio.open_connection(*base_url.removeprefix("http://").split(":"))
    client = WireClient(reader, writer, "localhost")
    await client.handshake(SOCKET)
    await client.send_frame('["1","1","fault:split","phx_join",{}]')

    sizes = [len(await reader.read(65_536)) for _segment in range(2)]

    assert sizes[0] == 1
    assert sizes[1] > 1
    await client.close()


async def test_silence(connect: Connect) -> None:
    """`silent_heartbeat` leaves heartbeats unanswered, `half_open` everything."""
    for topic, wanted in (("fault:silent_heartbeat", ["echo"]), ("fault:half_open", [])):
        wire = await joined(connect, f"{topic}:after=0s")
        await wire.send([None, "beat", "phoenix", "heartbeat", {}])
        await wire.send(["1", "echo", f"{topic}:after=0s", "echo", {}])
        if wanted:
            assert (await wire.recv())[1] == "echo"
        with pytest.raises(TimeoutError):
            await wire.client.read_frame(0.1)


async def test_half_open_connections_answer_no_close_frame(connect: Connect) -> None:
    """A close frame of the client gets no answer."""
    wire = await joined(connect, "fault:half_open:after=0s")

    await wire.client.send_bytes(encode_close(1000))

    with pytest.raises(TimeoutError):
        await wire.client.read_frame(0.2)


async def test_outage(connect: Connect, dial: Dial, base_url: str) -> None:
    """The connection is dropped, and the next `times` upgrades are refused with the status."""
    wire = await joined(connect, "fault:outage:429:times=2:after=0s")
    assert await ending(wire) is None

    statuses = [(await upgrade(dial, base_url)).status for _attempt in range(3)]

    assert statuses == [429, 429, 101]


@pytest.mark.parametrize(
    ("query", "extra"),
    [
        ("&token=x", ()),
        ("", (("Sec-WebSocket-Protocol", "phoenix, base64url.bearer.phx.eA"),)),
        ("", (("Authorization", "Bearer x"),)),
    ],
)
async def test_expired_token(
    open_wire: Open, dial: Dial, base_url: str, query: str, extra: Headers
) -> None:
    """Upgrades are refused with 403, also by their number; then only those with the old token."""
    topic, target = "fault:expired_token:times=1:after=0s", f"{SOCKET}{query}"
    wire = await open_wire(base_url, target, extra)
    await wire.send(["1", "1", topic, "phx_join", {}])
    await wire.recv_many(2)
    assert await ending(wire) is None

    statuses = [(await upgrade(dial, base_url)).status]
    for _attempt in range(2):
        client = await dial(base_url)
        statuses.append((await client.handshake(target, extra=extra)).status)
    statuses.append((await upgrade(dial, base_url)).status)

    assert statuses == [403, 403, 403, 101]


async def test_messages_before_the_reply_to_a_join(connect: Connect) -> None:
    """They are answered after it, as Phoenix does; a hundred are kept, then the client is reset."""
    topic = "fault:late:100ms:on=join"
    wire = await connect(topic)
    await wire.send(["1", "2", topic, "echo", {}])
    await wire.send(["1", "3", topic, "phx_leave", {}])
    answers = await wire.recv_many(4)
    flooding = await connect("fault:late:300s:on=join")
    for _message in range(101):
        await flooding.send(["1", "2", "fault:late:300s:on=join", "echo", {}])

    assert [(answer[1], answer[3]) for answer in answers] == [
        ("1", "phx_reply"), ("2", "phx_reply"), ("3", "phx_reply"), ("1", "phx_close"),
    ]  # fmt: skip
    assert await ending(flooding) is None


async def test_flap(connect: Connect) -> None:
    """The next `times` connections are closed right after their upgrade."""
    wire = await joined(connect, "fault:flap:1013:times=2:after=0s")

    codes = [await ending(wire), *[await ending(await connect()) for _time in range(2)]]
    last = await connect("room:a")

    assert codes == [1013, 1013, 1013]
    assert (await last.recv())[3] == "phx_reply"


async def test_restart(connect: Connect, base_url: str) -> None:
    """All connections are closed with 1012; new ones are reset until the restart is over."""
    other, wire = await connect(), await joined(connect, "fault:restart:300ms:after=0s")
    assert [await ending(wire), await ending(other)] == [1012, 1012]

    client = await PatientClient.connect(base_url)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await client.handshake(SOCKET)
    await client.close()
    await asyncio.sleep(0.35)  # the time that the restart takes

    assert (await (await connect("room:a")).recv())[3] == "phx_reply"


async def test_sessions_are_independent(connect: Connect, dial: Dial, base_url: str) -> None:
    """An outage in one session does not affect another."""
    await ending(await joined(connect, "fault:outage:503:times=9:after=0s"))

    other = await upgrade(dial, base_url, "/faults/t/other/socket/websocket?vsn=2.0.0")

    assert (await upgrade(dial, base_url)).status == 503
    assert other.status == 101


async def test_handshakes_as_phoenix_judges_them(dial: Dial, base_url: str) -> None:
    """Unknown versions and plain GETs are refused, and `phoenix` is selected if offered."""
    plain = await dial(base_url)
    offering = await dial(base_url)

    assert (await upgrade(dial, base_url, "/faults/socket/websocket?vsn=3.0.0")).status == 403
    assert (await plain.request("GET", SOCKET)).status == 400
    answer = await offering.handshake(SOCKET, extra=[("Sec-WebSocket-Protocol", "phoenix, x")])
    assert answer.header("sec-websocket-protocol") == "phoenix"
