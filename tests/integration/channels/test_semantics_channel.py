"""The behaviour of a joined channel. Numbers are those of docs/protocol.md."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from phoenix_compat import (
    Broadcast,
    Channel,
    Endpoint,
    HandleResult,
    ReplyRef,
    Result,
    Socket,
    ok,
    on,
    reply,
    stop,
)
from phoenix_compat.conformance.reference import RoomChannel
from tests.conftest import Open, Serve
from tests.integration.echo_app import OpenChannel, joined
from tests.serving import EventLog, accepting, socket_app
from tests.wire import CRASHED, OK, UNMATCHED, V1, replied


class LobbyChannel(Channel):
    """The room of Phoenix's own integration test."""

    intercept = ("new_msg",)

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        socket.send_self(payload)
        return ok()

    async def handle_info(self, message: Any, socket: Socket) -> None:
        await socket.push("joined", {"status": "connected"})
        await socket.broadcast("user_entered", {"user": message["user"]})

    @on("new_msg")
    async def new_msg(self, payload: Any, socket: Socket) -> HandleResult:
        await socket.broadcast("new_msg", payload)
        return None

    async def handle_out(self, event: str, payload: Any, socket: Socket) -> None:
        await socket.push(event, {**payload, "transport": socket.transport})

    async def terminate(self, reason: Any, socket: Socket) -> None:
        await socket.push("you_left", {"message": "bye!"})


async def test_a_whole_visit_over_v2(serve: Serve, open_wire: Open) -> None:
    """§9.1.2, §9.13.202, §10.35, §10.38, §10.39: join, after-join, intercept, leave, terminate."""
    wire = await open_wire(await serve(socket_app(accepting({"room:*": LobbyChannel}))))

    await wire.send(["11", "1", "room:a", "phx_join", {"user": "ann"}])
    entering = await wire.recv_many(3)
    intercepted = await wire.ask(["11", "2", "room:a", "new_msg", {"body": "hi"}])
    await wire.send(["11", "3", "room:a", "phx_leave", {}])
    leaving = await wire.recv_many(3)
    after = await wire.ask(["11", "4", "room:a", "new_msg", {"body": "hi"}])

    assert entering == [
        ["11", "1", "room:a", "phx_reply", OK],
        ["11", None, "room:a", "joined", {"status": "connected"}],
        [None, None, "room:a", "user_entered", {"user": "ann"}],
    ]
    assert intercepted == [
        "11",
        None,
        "room:a",
        "new_msg",
        {"body": "hi", "transport": "websocket"},
    ]
    assert leaving == [
        ["11", "3", "room:a", "phx_reply", OK],
        ["11", "11", "room:a", "phx_close", {}],
        ["11", None, "room:a", "you_left", {"message": "bye!"}],
    ]
    assert after == [None, "4", "room:a", "phx_reply", UNMATCHED]


async def test_a_whole_visit_over_v1(serve: Serve, open_wire: Open) -> None:
    """§9.1.2 over V1, §10.44: the same without join_ref, four keys in every frame."""
    wire = await open_wire(await serve(socket_app(accepting({"room:*": LobbyChannel}))), V1)
    message = {"topic": "room:a", "event": "phx_join", "payload": {"user": "ann"}, "ref": "1"}

    await wire.send(message)
    entering = await wire.recv_many(3)
    await wire.send({**message, "event": "phx_leave", "ref": "2"})
    leaving = await wire.recv_many(3)

    assert [(frame["event"], frame["ref"]) for frame in entering + leaving] == [
        ("phx_reply", "1"),
        ("joined", None),
        ("user_entered", None),
        ("phx_reply", "2"),
        ("phx_close", None),
        ("you_left", None),
    ]
    assert all(frame.keys() == {"event", "payload", "ref", "topic"} for frame in entering + leaving)


async def test_a_never_joined_topic_is_unmatched_again_and_again(
    reference_url: str, open_wire: Open
) -> None:
    """§9.1.18: each event to it gets an error reply, and nothing is broadcast."""
    here, there = await open_wire(reference_url), await open_wire(reference_url)
    await there.join("room:a")

    answers = [
        await here.ask([None, ref, "room:a", "broadcast", {"a": 1}]) for ref in ("1", "2", "3")
    ]

    assert answers == [[None, ref, "room:a", "phx_reply", UNMATCHED] for ref in ("1", "2", "3")]
    await there.fence()


async def test_binary_pushes_and_replies(serve: Serve, open_wire: Open) -> None:
    """§9.1.28, §10.47, §10.48, §10.51: three formats, and a binary push that gets a reply."""

    class BinaryChannel(OpenChannel):
        @on("binary_event")
        async def binary_event(self, payload: bytes, socket: Socket) -> HandleResult:
            await socket.push("binary_event", b"\x00\x01")
            await socket.broadcast("all", payload)
            return ok(b"\x01\x02\x03\x04")

    wire = await joined(serve, open_wire, BinaryChannel)

    await wire.send_binary(b"\x00\x01\x01\x06\x0c" + b"12room:abinary_event" + b"\x07")
    frames = [await wire.recv_binary() for _frame in range(3)]

    assert frames == [
        b"\x00\x01\x06\x0c" + b"1room:abinary_event" + b"\x00\x01",
        b"\x02\x06\x03" + b"room:aall" + b"\x07",
        b"\x01\x01\x01\x06\x02" + b"12room:aok" + b"\x01\x02\x03\x04",
    ]


@pytest.mark.parametrize("response", ["text", 7, None, [1, 2], True, {"a": {}}])
async def test_a_reply_may_be_any_json(serve: Serve, open_wire: Open, response: Any) -> None:
    """§2.3, §9.13.218: only pushes and broadcasts must be objects, replies need not."""

    class AnyChannel(OpenChannel):
        @on("any")
        def any(self, payload: Any, socket: Socket) -> HandleResult:
            return ok(response)

    wire = await joined(serve, open_wire, AnyChannel)

    answer = await wire.ask(["1", "2", "room:a", "any", {}])

    assert answer == ["1", "2", "room:a", "phx_reply", replied(response)]


async def test_a_status_may_be_any_name(serve: Serve, open_wire: Open) -> None:
    """§2.3: a custom status is sent as it is."""

    class WeirdChannel(OpenChannel):
        @on("weird")
        def weird(self, payload: Any, socket: Socket) -> HandleResult:
            return reply("weird", {"a": 1})

    wire = await joined(serve, open_wire, WeirdChannel)

    answer = await wire.ask(["1", "2", "room:a", "weird", {}])

    assert answer[4] == {"response": {"a": 1}, "status": "weird"}


@pytest.mark.parametrize("verb", ["push", "broadcast"])
@pytest.mark.parametrize("payload", ["text", [1], 7, None])
async def test_a_push_that_is_not_an_object_crashes_the_channel(
    serve: Serve, open_wire: Open, verb: str, payload: Any
) -> None:
    """§2.3, §9.13.218, §10.43: over V2 the sender gets phx_error, and nothing else."""

    class LooseChannel(OpenChannel):
        @on("loose")
        def loose(self, payload: Any, socket: Socket) -> HandleResult:
            getattr(socket, verb)("msg", payload)
            return ok()

    wire = await joined(serve, open_wire, LooseChannel)

    answer = await wire.ask(["1", "2", "room:a", "loose", payload])

    assert answer == ["1", "1", "room:a", "phx_error", CRASHED]
    await wire.fence()


async def test_channels_do_not_wait_for_each_other(serve: Serve, open_wire: Open) -> None:
    """§9.13.204, §10.33: a slow handler delays only its own channel, and no heartbeats."""
    gate = asyncio.Event()

    class SlowChannel(OpenChannel):
        @on("wait")
        async def wait(self, payload: Any, socket: Socket) -> HandleResult:
            await gate.wait()
            return ok("waited")

    wire = await joined(serve, open_wire, SlowChannel)
    await wire.join("room:b", "2")

    await wire.send(["1", "3", "room:a", "wait", {}])
    await wire.send(["1", "4", "room:a", "echo", {}])
    await wire.fence()
    quick = await wire.ask(["2", "5", "room:b", "echo", {}])
    gate.set()
    waited, behind = await wire.recv_many(2)

    assert quick == ["2", "5", "room:b", "phx_reply", OK]
    assert waited == ["1", "3", "room:a", "phx_reply", replied("waited")]
    assert behind == ["1", "4", "room:a", "phx_reply", OK]


async def test_a_reply_may_come_later_and_more_than_once(serve: Serve, open_wire: Open) -> None:
    """§3.3, §4.4, §9.9.132: in any order, repeatedly, and after the channel ended."""
    refs: dict[str, ReplyRef] = {}

    class PatientChannel(OpenChannel):
        @on("later")
        def later(self, payload: Any, socket: Socket) -> HandleResult:
            refs[payload["name"]] = socket.reply_ref()
            return None

        @on("stop")
        def stop(self, payload: Any, socket: Socket) -> HandleResult:
            return stop()

    wire = await joined(serve, open_wire, PatientChannel)
    await wire.send(["1", "2", "room:a", "later", {"name": "first"}])
    await wire.send(["1", "3", "room:a", "later", {"name": "second"}])
    closed = await wire.ask(["1", "4", "room:a", "stop", {}])

    for name in ("second", "first", "first"):
        await refs[name].reply(ok({"name": name}))

    assert closed == ["1", "1", "room:a", "phx_close", {}]
    assert await wire.recv_many(3) == [
        ["1", "3", "room:a", "phx_reply", replied({"name": "second"})],
        ["1", "2", "room:a", "phx_reply", replied({"name": "first"})],
        ["1", "2", "room:a", "phx_reply", replied({"name": "first"})],
    ]


async def test_reply_ref_needs_a_message(serve: Serve, open_wire: Open) -> None:
    """§4.4, §9.9.134: without a ref, or outside of handle_in, it raises."""
    event_log = EventLog()

    class EagerChannel(OpenChannel):
        @on("later")
        def later(self, payload: Any, socket: Socket) -> HandleResult:
            try:
                socket.reply_ref()
            except Exception as error:  # noqa: BLE001 - which one is asked below
                event_log.record(type(error).__name__)
            return ok()

    wire = await joined(serve, open_wire, EagerChannel)

    answer = await wire.ask(["1", None, "room:a", "later", {}])

    assert answer == ["1", None, "room:a", "phx_reply", OK]
    assert await event_log.next() == "LocalProtocolError"


@pytest.mark.parametrize("event", ["phx_reply", "phx_close", "phx_error", "presence_diff"])
async def test_reserved_events_of_a_client_are_ordinary(
    serve: Serve, open_wire: Open, event: str
) -> None:
    """§3.1, §10.71: only join and leave are special; the rest goes to handle_in."""

    class CatchingChannel(OpenChannel):
        def handle_in(self, event: str, payload: Any, socket: Socket) -> HandleResult:
            return ok({"event": event, "ref": socket.ref})

    wire = await joined(serve, open_wire, CatchingChannel)

    answer = await wire.ask(["1", "2", "room:a", event, {}])

    assert answer == ["1", "2", "room:a", "phx_reply", replied({"event": event, "ref": "2"})]


async def test_broadcasts_of_other_topics_go_to_handle_info(serve: Serve, open_wire: Open) -> None:
    """§4.5, §9.11.192: handle_info decides what the client gets of other topics."""

    class ListeningChannel(OpenChannel):
        def join(self, topic: str, payload: Any, socket: Socket) -> Result:
            socket.subscribe("news")
            return ok()

        def handle_info(self, message: Broadcast, socket: Socket) -> None:
            socket.push("heard", {"event": message.event, "payload": message.payload})

    endpoint = Endpoint()
    app = socket_app(accepting({"room:*": ListeningChannel}), endpoint=endpoint)
    wire = await open_wire(await serve(app))
    await wire.join("room:a")

    await endpoint.broadcast("news", "flash", {"a": 1})

    heard = ["1", None, "room:a", "heard", {"event": "flash", "payload": {"a": 1}}]
    assert await wire.recv() == heard


async def test_unknown_info_does_not_crash(serve: Serve, open_wire: Open) -> None:
    """§4.2, §9.11.193: without handle_info a message is dropped, and the channel continues."""

    class TalkativeChannel(OpenChannel):
        @on("talk")
        def talk(self, payload: Any, socket: Socket) -> HandleResult:
            socket.send_self("hello?")
            return None

    wire = await joined(serve, open_wire, TalkativeChannel)

    await wire.send(["1", "2", "room:a", "talk", {}])

    assert (await wire.ask(["1", "3", "room:a", "echo", {}]))[1:4] == ["3", "room:a", "phx_reply"]


async def test_assigns_are_copies(serve: Serve, open_wire: Open) -> None:
    """§4.8: a channel starts with a copy of its connection's assigns."""

    class CountingChannel(OpenChannel):
        @on("count")
        def count(self, payload: Any, socket: Socket) -> HandleResult:
            socket.assign(count=socket.assigns.get("count", 0) + 1)
            return ok({"user": socket.assigns["user"], "count": socket.assigns["count"]})

    base_url = await serve(socket_app(accepting({"room:*": CountingChannel})))
    wire = await open_wire(base_url, "/socket/websocket?vsn=2.0.0&user=ann")
    await wire.join("room:a")
    await wire.join("room:b")

    counts = [
        (await wire.ask(["1", "2", topic, "count", {}]))[4]["response"]
        for topic in ("room:a", "room:a", "room:b")
    ]

    assert counts == [{"user": "ann", "count": count} for count in (1, 2, 1)]


async def test_one_instance_for_each_join(serve: Serve, open_wire: Open) -> None:
    """The attributes of a channel object belong to one client on one topic."""

    class RememberingChannel(OpenChannel):
        def __init__(self) -> None:
            self.heard: list[Any] = []

        @on("remember")
        def remember(self, payload: Any, socket: Socket) -> HandleResult:
            self.heard.append(payload)
            return ok(self.heard)

    base_url = await serve(socket_app(accepting({"room:*": RememberingChannel})))
    first, second = await open_wire(base_url), await open_wire(base_url)
    await first.join("room:a")
    await second.join("room:a")

    await first.ask(["1", "2", "room:a", "remember", "mine"])
    answer = await second.ask(["1", "2", "room:a", "remember", "yours"])

    assert answer[4] == replied(["yours"])


async def test_only_handlers_are_called(reference_url: str, open_wire: Open) -> None:
    """An event with the name of a method or attribute does not call it."""
    wire = await open_wire(reference_url)
    names = ["join", "handle_in", "terminate", "stop_normal", "__init__", "handlers", "", None, 7]

    for number, event in enumerate(names):
        await wire.join("room:a", str(number))
        crashed = await wire.ask([str(number), "x", "room:a", event, {}])
        assert crashed == [str(number), str(number), "room:a", "phx_error", CRASHED]

    assert set(names).isdisjoint(RoomChannel.handlers)
