"""The fault server, faced by a raw websocket client: each fault does what its row says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from phoenix_compat.conformance.faults.channels import SOME_BYTES, STALE_REF
from phoenix_compat.conformance.faults.server import add_fault_server
from phoenix_compat.conformance.wire_client import (
    HttpResponse,
    Opcode,
    WireClient,
    encode_close,
)
from tests.conftest import Dial, Open, Serve
from tests.wire import OK, PhoenixWire, replied

SOCKET = "/faults/t/socket/websocket?vsn=2.0.0"
ASK = {"n": 1}

Visit = Callable[..., Awaitable[PhoenixWire]]
Post = Callable[[dict[str, Any]], Awaitable[int]]


@pytest.fixture
async def base_url(serve: Serve) -> str:
    """The base URL of a fault server."""
    app = web.Application()
    add_fault_server(app)
    return await serve(app)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def arm(base_url: str, http: aiohttp.ClientSession) -> Post:
    """Arm a fault for the client of these tests; gives the status."""

    async def post(document: dict[str, Any]) -> int:
        async with http.post(f"{base_url}/control/faults", json={"client": "t", **document}) as it:
            return it.status

    return post


@pytest.fixture
def visit(base_url: str, open_wire: Open) -> Visit:
    """Open a websocket; with a topic, join it and read the reply."""

    async def go(topic: str | None = None, target: str = SOCKET) -> PhoenixWire:
        wire = await open_wire(base_url, target)
        if topic is not None:
            await wire.send(["1", "1", topic, "phx_join", {}])
        return wire

    return go


async def joined(visit: Visit, topic: str) -> PhoenixWire:
    """A websocket that joined a topic and was greeted."""
    wire = await visit(topic)
    assert (await wire.recv())[:4] == ["1", "1", topic, "phx_reply"]
    assert await wire.recv() == ["1", None, topic, "ask", ASK]
    return wire


async def ending(wire: PhoenixWire) -> int | None:
    """The code of the close frame that comes next, or None when the connection is just gone."""
    frame = await wire.client.read_frame()
    return None if frame is None else frame.close_code


async def upgrade(dial: Dial, base_url: str, target: str = SOCKET) -> HttpResponse:
    """The answer to a handshake."""
    client = await dial(base_url)
    return await client.handshake(target)


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

    client = await WireClient.connect(base_url)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await client.handshake(SOCKET)
    await client.close()
    await asyncio.sleep(0.35)  # the time that the restart takes

    assert (await (await visit("room:a")).recv())[3] == "phx_reply"


async def test_lanes_do_not_disturb_each_other(visit: Visit, dial: Dial, base_url: str) -> None:
    """An outage in one lane is none in another."""
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


async def test_armed_for_a_topic(visit: Visit, arm: Post) -> None:
    """A fault armed for any topic strikes where it is joined already, or at the next push."""
    wire = await joined(visit, "room:a")

    assert await arm({"topic": "room:a", "fault": "twice"}) == 201
    await wire.send(["1", "2", "room:a", "echo", {}])
    assert [(await wire.recv())[1] for _reply in range(2)] == ["2", "2"]
    assert await arm({"topic": "room:a", "fault": "crash", "after": "0s"}) == 201
    assert (await wire.recv())[3] == "phx_error"


async def test_armed_for_connections(visit: Visit, arm: Post, dial: Dial, base_url: str) -> None:
    """Without a topic a fault strikes every connection of the lane, or the next ones."""
    wires = [await visit() for _connection in range(2)]

    await arm({"fault": "close:4001"})
    codes = [await ending(wire) for wire in wires]
    await arm({"fault": "refuse_upgrades", "value": 502, "times": 1})
    refused = await upgrade(dial, base_url)
    await arm({"fault": "close_at_once:1008:times=1"})

    assert codes == [4001, 4001]
    assert refused.status == 502
    assert await ending(await visit()) == 1008
    assert await arm({"fault": "ping"}) == 201


async def test_disarm(visit: Visit, arm: Post, base_url: str, http: aiohttp.ClientSession) -> None:
    """What is armed can be forgotten."""
    await arm({"fault": "refuse_upgrades"})
    await arm({"fault": "twice", "topic": "room:a"})

    await http.delete(f"{base_url}/control/faults", params={"client": "t"})

    async with http.get(f"{base_url}/control/faults") as answer:
        listed = await answer.json()
    assert listed["armed"] == []
    assert {"close", "drop", "flap"} <= {fault["name"] for fault in listed["faults"]}
    assert (await (await visit("room:a")).recv())[3] == "phx_reply"


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"fault": "clsoe"}, "fault"),
        ({"fault": "close:1"}, "value"),
        ({"fault": "crash"}, "topic"),
        ({"fault": "refuse_upgrades", "topic": "room:a"}, "topic"),
        ({"fault": "drop", "topic": 7}, "topic"),
        ({"fault": "drop", "client": "a/b"}, "client"),
        ({"fault": "drop", "lane": ""}, "lane"),
        ([], "body"),
    ],
)
async def test_control_errors(
    base_url: str, http: aiohttp.ClientSession, document: Any, field: str
) -> None:
    """A request that makes no sense gets a problem that names the field."""
    async with http.post(f"{base_url}/control/faults", json=document) as answer:
        assert (answer.status, answer.content_type) == (422, "application/problem+json")
        problem = await answer.json()

    assert problem["field"] == field
    assert problem["detail"]


async def test_the_record_tells_everything(
    visit: Visit, base_url: str, http: aiohttp.ClientSession
) -> None:
    """Attempts, messages both ways, strikes, pings, closes: in order, per lane."""
    wire = await joined(visit, "fault:ping:after=0s")
    await wire.recv_frame()
    await wire.client.send_frame(b"are you there?", Opcode.PONG)
    await wire.client.send_frame(b"x", Opcode.PING)
    assert (await wire.recv_frame()).opcode == Opcode.PONG
    await wire.client.send_bytes(encode_close(1000))
    assert await ending(wire) == 1000
    assert await wire.client.read_frame() is None

    async with http.get(f"{base_url}/control/record", params={"client": "t"}) as answer:
        record = await answer.json()

    assert [entry["kind"] for entry in record["entries"]] == [
        "attempt", "opened", "received", "sent", "sent", "struck", "pong", "ping",
        "client closed", "ended",
    ]  # fmt: skip
    assert record["lost"] == 0


async def test_unreadable_frames(visit: Visit, base_url: str, http: aiohttp.ClientSession) -> None:
    """They end the connection with 1011, as in Phoenix, and fail the client."""
    wire = await joined(visit, "fault:none")
    await wire.send_text("{")
    assert await ending(wire) == 1011

    async with http.get(f"{base_url}/control/report.json", params={"client": "t"}) as answer:
        report = await answer.json()

    verdicts = {verdict["id"]: verdict for verdict in report["verdicts"]}
    assert verdicts["client/join/well_formed"]["outcome"] == "failed"
    assert not report["is_conformant"]
    assert report["counts"]["not seen"] == len(verdicts) - 1


async def test_what_an_app_heard_over_http(
    visit: Visit, base_url: str, http: aiohttp.ClientSession
) -> None:
    """An app that cannot push says over HTTP what it heard."""
    wire = await visit("fault:broadcast")
    await wire.recv_many(2)

    body = {"client": "t", "payload": ASK}
    async with http.post(f"{base_url}/control/heard", json=body) as answer:
        status = answer.status

    async with http.get(f"{base_url}/control/report.json", params={"client": "t"}) as answer:
        verdicts = {v["id"]: v["outcome"] for v in (await answer.json())["verdicts"]}
    assert status == 204
    assert verdicts["client/events/broadcast"] == "passed"


async def test_scenarios_tell_where_to_connect(
    base_url: str, http: aiohttp.ClientSession, dial: Dial
) -> None:
    """Each scenario has a URL of its own, and its fault exists."""
    async with http.get(f"{base_url}/control/scenarios", params={"client": "mine"}) as answer:
        document = await answer.json()

    scenario = next(s for s in document["scenarios"] if s["id"] == "client/reconnect/drop")
    path = scenario["url"].removeprefix(base_url.replace("http", "ws"))
    assert (await upgrade(dial, base_url, f"{path}/websocket?vsn=2.0.0")).status == 101
    assert len({s["url"] for s in document["scenarios"]}) == len(document["scenarios"])
    assert all(s["fault"] and s["wants"] and s["why"] for s in document["scenarios"])
    assert document["app"]


async def test_the_page_needs_nothing_else(
    visit: Visit, base_url: str, http: aiohttp.ClientSession
) -> None:
    """The report is one page; what a client sent cannot break out of it."""
    wire = await joined(visit, "fault:none")
    await wire.send(["1", "2", "fault:none", "<script>alert(1)</script>", {}])
    await wire.recv()

    async with http.get(f"{base_url}/control/report.html", params={"client": "t"}) as answer:
        page = await answer.text()

    assert "client/join/well_formed" in page
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "src=" not in page
    assert "href=" not in page


async def test_forgotten_clients(visit: Visit, base_url: str, http: aiohttp.ClientSession) -> None:
    """A forgotten client is disconnected, and its record is gone."""
    wire = await joined(visit, "room:a")

    await http.delete(f"{base_url}/control/record", params={"client": "t"})

    async with http.get(f"{base_url}/control/clients") as answer:
        assert await answer.json() == {}
    assert await ending(wire) is None


async def test_late_answers_are_bounded(
    visit: Visit, base_url: str, http: aiohttp.ClientSession
) -> None:
    """A client that makes too many answers wait is reset, and the record says so."""
    wire = await joined(visit, "fault:late:60s")

    for _push in range(501):
        await wire.send(["1", "2", "fault:late:60s", "echo", {}])

    assert await ending(wire) is None
    assert "too many late answers" in await noted(base_url, http)


async def test_slow_readers_are_reset(
    visit: Visit, base_url: str, http: aiohttp.ClientSession
) -> None:
    """What a client does not read is not kept without end."""
    wire = await joined(visit, "room:a")
    frame = f'["1","2","room:a","echo",{{"text":"{"x" * 2_000_000}"}}]'

    async def push_without_reading() -> None:
        for _push in range(100):
            await wire.send_text(frame)

    with pytest.raises(ConnectionError):
        await push_without_reading()

    assert "client reads too slowly" in await noted(base_url, http)


async def noted(base_url: str, http: aiohttp.ClientSession) -> str:
    """The whole record of the client of these tests, as text."""
    async with http.get(f"{base_url}/control/record", params={"client": "t"}) as answer:
        return await answer.text()


async def test_names_of_clients_are_bounded(dial: Dial, base_url: str) -> None:
    """A name that would make a mess of reports is refused."""
    answer = await upgrade(dial, base_url, "/faults/a%20b/socket/websocket?vsn=2.0.0")

    assert answer.status == 400
    assert b"1 to 64 letters" in answer.body
