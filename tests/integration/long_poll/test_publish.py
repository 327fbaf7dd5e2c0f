"""Long-polling: the body of a POST, its messages, and its acknowledgement.

Numbers are those of docs/protocol.md.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from phoenix_compat import Endpoint, HandleResult, LongPollOptions, Result, Socket, ok, on
from phoenix_compat.conformance.reference import RoomChannel, TaskChannel
from phoenix_compat.conformance.suite.cases import compact_json
from tests.conftest import Serve
from tests.integration.echo_app import OpenChannel
from tests.polling import (
    BEAT,
    LP_V1,
    NDJSON,
    SHORT,
    Poller,
    longpoll_app,
    rooms_app,
)
from tests.serving import EventLog, accepting
from tests.wire import OK, UNMATCHED, replied


class CountingChannel(OpenChannel):
    """Handles `count` with a push, then a reply; accepts bytes in `bytes`."""

    @on("count")
    def count(self, payload: Any, socket: Socket) -> HandleResult:
        socket.push("counted", payload)
        return ok(payload)

    @on("bytes")
    def bytes(self, payload: Any, socket: Socket) -> HandleResult:
        socket.push("counted", {"n": list(payload)})
        return ok({"n": list(payload)})


def counted(ref: str, number: Any) -> list[Any]:
    """What a client receives after one `count`."""
    return [
        ["1", None, "room:a", "counted", {"n": number}],
        ["1", ref, "room:a", "phx_reply", replied({"n": number})],
    ]


def count(ref: str, number: int, join_ref: str | None = "1") -> list[Any]:
    """A `count` event."""
    return [join_ref, ref, "room:a", "count", {"n": number}]


def binary_push(event: str, data: bytes, join_ref: str = "1", ref: str = "2") -> str:
    """A binary push to `room:a` in V2's format, in base64: a line of a batch."""
    parts = [part.encode() for part in (join_ref, ref, "room:a", event)]
    sizes = bytes(len(part) for part in parts)
    return base64.b64encode(b"\x00" + sizes + b"".join(parts) + data).decode()


async def in_room(serve: Serve, longpoll: LongPollOptions | bool = True) -> Poller:
    """A V2 client in `room:a`, served by a CountingChannel."""
    client = await Poller.open(await serve(rooms_app(CountingChannel, longpoll)))
    await client.join()
    return client


async def test_batches_with_stale_and_binary_lines(serve: Serve) -> None:
    """§9.3.46, §5.5: in order, without the stale line, base64 decoded; one poll gets all of it."""
    client = await in_room(serve)

    await client.send(count("2", 1), count("3", 2), count("4", 0, join_ref="stale"))
    second = await client.post(
        "\n".join([binary_push("bytes", b"\x00\xff", ref="5"), compact_json(count("6", 4))])
    )

    assert second.json == {"status": 200}
    assert await client.recv_many(8) == [
        *counted("2", 1),
        *counted("3", 2),
        *counted("5", [0, 255]),
        *counted("6", 4),
    ]


async def test_only_a_hundred_lines_are_taken(serve: Serve) -> None:
    """101 lines get 200; the first hundred are handled, in order."""
    client = await in_room(serve)

    await client.send(*(count(str(number), number) for number in range(1, 102)))

    messages = await client.recv_many(200)
    assert messages == [frame for n in range(1, 101) for frame in counted(str(n), n)]
    await client.fence()


async def test_lines_may_end_in_crlf(serve: Serve) -> None:
    """§5.4: a batch is split at LF and at CR LF."""
    client = await in_room(serve)
    lines = [compact_json(count("1", 1)), binary_push("bytes", b"a"), compact_json(count("3", 3))]

    answer = await client.post(f"{lines[0]}\r\n{lines[1]}\r\n{lines[2]}\n{lines[1]}")

    assert answer.json == {"status": 200}
    assert await client.recv_many(8) == [
        *counted("1", 1),
        *counted("2", [97]),
        *counted("3", 3),
        *counted("2", [97]),
    ]


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-ndjson; charset=utf-8",
        "application/x-ndjson;charset=utf-8",
        "Application/X-NDJSON",
        "application/json",
        "text/plain",
        "",
    ],
)
async def test_any_other_type_is_one_message(serve: Serve, content_type: str) -> None:
    """§5.4, §9.3.57, §10.65: the body is one message, in which a newline is whitespace."""
    client = await in_room(serve)

    answer = await client.post('["1","2",\n"room:a","count",{"n":1}]\n', content_type)

    assert answer.json == {"status": 200}
    assert await client.recv_many(2) == counted("2", 1)


async def test_a_body_without_a_type_is_one_message(serve: Serve) -> None:
    """§5.4, §9.3.57: the same when there is no Content-Type at all."""
    client = await in_room(serve)

    answer = await client.request("POST", compact_json(count("2", 1)).encode())

    assert answer.json == {"status": 200}
    assert await client.recv_many(2) == counted("2", 1)


async def test_two_lines_that_are_not_a_batch(serve: Serve) -> None:
    """§10.65, §5.4: application/json is not split at newlines: two arrays end the session, 408."""
    client = await in_room(serve, SHORT)
    line = compact_json(count("2", 1))

    answer = await client.post(f"{line}\n{line}", "application/json")

    assert answer.json == {"status": 408}
    assert await client.is_gone()


async def test_empty_content_type_over_v1(serve: Serve) -> None:
    """§9.3.57 over V1: it is accepted."""
    client = await Poller.open(await serve(rooms_app(OpenChannel)), LP_V1)
    join = {"topic": "room:a", "event": "phx_join", "payload": {}, "ref": "1"}

    answer = await client.post(json.dumps(join), "")

    assert answer.json == {"status": 200}
    assert (await client.recv())["payload"] == OK


@pytest.mark.parametrize(
    "body",
    ["!", "QQ=", "QUJD=", "QUJD====", "====", "Q", "QQ==QQ", "-_==", "QQ== ", '{"topic":"t"}'],
)
async def test_a_line_that_is_not_base64(serve: Serve, body: str) -> None:
    """§5.1, §5.4: HTTP 500, and the session survives."""
    client = await in_room(serve)

    answer = await client.post(body)

    assert answer.status == 500
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    await client.fence()


async def test_a_v1_object_in_a_batch(serve: Serve) -> None:
    """§5.4: without a bracket it is read as base64: 500, the session survives."""
    client = await Poller.open(await serve(rooms_app(OpenChannel)), LP_V1)
    join = {"topic": "room:a", "event": "phx_join", "payload": {}, "ref": "1"}

    answer = await client.post(json.dumps(join), NDJSON)

    assert answer.status == 500
    assert (await client.post(json.dumps(join), "application/json")).json == {"status": 200}
    assert (await client.recv())["payload"] == OK


async def test_base64_over_v1(serve: Serve) -> None:
    """§1.9, §5.4: V1 does not support bytes; a decoded line is read as JSON anyway."""
    client = await Poller.open(await serve(rooms_app(OpenChannel)), LP_V1)
    join = {"topic": "room:a", "event": "phx_join", "payload": {}, "ref": "1"}

    answer = await client.post(base64.b64encode(json.dumps(join).encode()))

    assert answer.json == {"status": 200}
    assert (await client.recv())["payload"] == OK


@pytest.mark.parametrize("body", ["\n", "\r\n", "[", "[1]", "AA==", '["1"]'])
async def test_a_line_that_cannot_be_read(serve: Serve, body: str) -> None:
    """§5.4, §9.13.213: an empty or undecodable line ends the session: 408, then 410.

    What stands before it was handled; its channels end, and it is too late to hear of it.
    """
    event_log = EventLog()

    class EndingChannel(CountingChannel):
        def terminate(self, reason: Any, socket: Socket) -> None:
            event_log.record(reason)

    client = await Poller.open(await serve(rooms_app(EndingChannel, SHORT)))
    await client.join()

    answer = await client.post(compact_json(count("2", 1)) + "\n" + body.strip("\r\n"))

    assert answer.json == {"status": 408}
    assert isinstance(await event_log.next(), BaseException)
    assert await client.publish(BEAT) == {"status": 410}
    fresh = await client.poll()
    assert fresh["status"] == 410
    assert fresh["token"] != client.token


async def test_lines_after_an_unreadable_one_are_not_handled(serve: Serve) -> None:
    """§5.4: the rest of the batch is ignored."""
    event_log = EventLog()

    class NotingChannel(OpenChannel):
        def join(self, topic: str, payload: Any, socket: Socket) -> Result:
            event_log.record(topic)
            return ok()

    client = await Poller.open(await serve(rooms_app(NotingChannel, SHORT)))
    first, last = (["1", "1", f"room:{n}", "phx_join", {}] for n in (1, 2))

    answer = await client.post("\n".join([compact_json(first), "[1]", compact_json(last)]))

    assert answer.json == {"status": 408}
    assert await event_log.next() == "room:1"
    assert event_log.is_empty


async def test_error_replies_do_not_fail_the_post(serve: Serve) -> None:
    """§5.4, §10.66: a crashed join, an unmatched topic, a crash of the channel: always 200."""
    app = longpoll_app(accepting({"room:*": RoomChannel, "task:*": TaskChannel}))
    client = await Poller.open(await serve(app))
    await client.join()

    await client.send(
        ["2", "2", "task:crash", "phx_join", {}],
        ["3", "3", "nope", "phx_join", {}],
        ["1", "4", "room:a", "crash", {}],
    )

    crashed, unmatched, error = await client.recv_many(3)
    assert crashed[4] == {"response": {"reason": "join crashed"}, "status": "error"}
    assert unmatched == [None, "3", "nope", "phx_reply", UNMATCHED]
    assert error == ["1", "1", "room:a", "phx_error", {"reason": "channel_crash"}]


async def test_a_post_without_a_session(serve: Serve) -> None:
    """410, and `connect` is not called."""
    app = longpoll_app(accepting({}))
    client = Poller(await serve(app))

    answer = await client.post(compact_json(BEAT))

    assert answer.json == {"status": 410}
    assert answer.body == b'{"status":410}'


async def test_bytes_that_are_utf8_are_polled_as_they_are(serve: Serve) -> None:
    """§5.5: the bytes become the characters of a string, with escaped control characters."""
    endpoint = Endpoint()
    client = await Poller.open(await serve(rooms_app(RoomChannel, endpoint=endpoint)))
    await client.join()
    await client.send(["1", "2", "room:a", "push_binary", {"bytes": [4, 5, 0x1F, 0x41]}])

    answer = await client.get()

    frame = r"\u0000\u0001\u0006\u00031room:abin\u0004\u0005\u001FA"
    assert answer.json["messages"] == ["\0\1\6\x031room:abin\x04\x05\x1fA"]
    assert f'"messages":["{frame}"]' in answer.body.decode()


async def test_bytes_that_are_not_utf8_cannot_be_polled(serve: Serve) -> None:
    """§5.1, §5.5: HTTP 500, the messages are lost, and the session continues."""
    client = await Poller.open(await serve(rooms_app(RoomChannel)))
    await client.join()
    await client.send(
        ["1", "2", "room:a", "echo", {}],
        ["1", "3", "room:a", "push_binary", {"bytes": [255]}],
    )

    answer = await client.get()

    assert answer.status == 500
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    await client.fence()


@pytest.mark.parametrize("content_type", [NDJSON, "application/json"])
async def test_a_body_that_is_too_large(serve: Serve, content_type: str) -> None:
    """§1.2, §5.1: HTTP 400, and the session survives."""
    options = LongPollOptions(max_body_bytes=1_000)
    client = await Poller.open(await serve(rooms_app(OpenChannel, options)))
    fitting = compact_json(BEAT) + " " * (1_000 - len(compact_json(BEAT)))

    refused = await client.post(fitting + " ", content_type)
    accepted = await client.post(fitting, content_type)

    assert refused.status == 400
    assert accepted.json == {"status": 200}
    assert await client.recv() == [None, "beat", "phoenix", "phx_reply", OK]


async def test_eight_megabytes_are_taken(serve: Serve) -> None:
    """§1.2: the default limit of a body is 8,000,000 bytes."""
    client = await Poller.open(await serve(rooms_app(OpenChannel)))
    frame = compact_json([None, "1", "phoenix", "heartbeat", {"a": ""}])
    fitting = frame[:-3] + "x" * (8_000_000 - len(frame)) + frame[-3:]

    accepted = await client.post(fitting)
    refused = await client.post(fitting + " ")

    assert refused.status == 400
    assert accepted.json == {"status": 200}
    assert await client.recv() == [None, "1", "phoenix", "phx_reply", OK]
