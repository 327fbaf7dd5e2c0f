"""Joins on the wire: routes, limits, duplicates, blocked sockets, leaving.

Numbers are those of docs/protocol.md.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from phoenix_compat import Channel, Endpoint, Socket, error, ok, on
from phoenix_compat.conformance.reference import RoomChannel
from phoenix_compat.result import HandleResult, Result
from phoenix_compat.runtime.limits import Limits
from tests.conftest import Open, Serve
from tests.serving import Diary, accepting, socket_app
from tests.wire import CRASHED, OK, UNMATCHED, V1, PhoenixWire, replied

TOO_MANY = {"response": {"reason": "too many channels joined"}, "status": "error"}
JOIN_CRASHED = {"response": {"reason": "join crashed"}, "status": "error"}


class GateChannel(Channel):
    """A channel whose join and events wait until the test lets them go on."""

    gate: asyncio.Event
    diary: Diary

    async def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        self.diary.note(("joining", topic))
        if payload.get("waits"):
            await self.gate.wait()
        return ok() if payload.get("fails") is None else error({"reason": "failed"})

    @on("echo")
    async def echo(self, payload: Any, socket: Socket) -> HandleResult:
        return ok(payload)

    @on("wait")
    async def wait(self, payload: Any, socket: Socket) -> HandleResult:
        self.diary.note("waiting")
        await self.gate.wait()
        socket.push("too_late", {})
        return ok()

    @on("push")
    async def push(self, payload: Any, socket: Socket) -> HandleResult:
        socket.push("msg", payload)
        return None

    def terminate(self, reason: Any, socket: Socket) -> None:
        self.diary.note(("ended", socket.topic, reason))


def gated() -> tuple[type[GateChannel], asyncio.Event, Diary]:
    """A GateChannel of its own, with its gate and its diary."""
    gate, diary = asyncio.Event(), Diary()
    channel = type("GatedChannel", (GateChannel,), {"gate": gate, "diary": diary})
    return channel, gate, diary


async def test_the_101st_channel_is_refused(reference_url: str, open_wire: Open) -> None:
    """§9.1.3, §9.13.220, §10.56: one too many is refused; joining a joined one again is not."""
    wire = await open_wire(reference_url)
    for number in range(1, 101):
        await wire.join(f"room:{number}", str(number))

    refused = await wire.ask(["101", "101", "room:101", "phx_join", {}])
    await wire.send(["102", "102", "room:7", "phx_join", {}])
    rejoined, closed = await wire.recv_many(2)

    assert refused == ["101", "101", "room:101", "phx_reply", TOO_MANY]
    assert rejoined == ["102", "102", "room:7", "phx_reply", replied({"joined": "room:7"})]
    assert closed == ["7", "7", "room:7", "phx_close", {}]
    await wire.fence()


async def test_the_channel_limit_can_be_set(serve: Serve, open_wire: Open) -> None:
    """§9.1.4: with a limit of one the second join is refused, and fits after a leave."""
    endpoint = Endpoint(limits=Limits(max_channels_per_transport=1))
    app = socket_app(accepting({"room:*": RoomChannel}), endpoint=endpoint)
    wire = await open_wire(await serve(app))
    await wire.join("room:a")

    refused = await wire.ask(["2", "2", "room:b", "phx_join", {}])
    await wire.send(["1", "3", "room:a", "phx_leave", {}])
    await wire.recv_many(2)
    accepted = await wire.ask(["4", "4", "room:b", "phx_join", {}])

    assert refused == ["2", "2", "room:b", "phx_reply", TOO_MANY]
    assert accepted == ["4", "4", "room:b", "phx_reply", replied({"joined": "room:b"})]


async def test_an_unmatched_topic_is_refused_and_logged(
    reference_url: str, open_wire: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """§9.1.26, §10.21: join_ref null in the reply, a warning in the log."""
    wire = await open_wire(reference_url)

    answer = await wire.ask(["11", "1", "unmatched", "phx_join", {}])

    assert answer == [None, "1", "unmatched", "phx_reply", UNMATCHED]
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert 'Ignoring unmatched topic "unmatched" in ReferenceSocket' in warnings[0].getMessage()


class NamedChannel(Channel):
    """Answers a join with the name that its route assigned."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        return ok({"name": socket.assigns["name"]})


def named(name: str) -> tuple[type[Channel], dict[str, Any]]:
    """A route to NamedChannel that assigns a name."""
    return NamedChannel, {"name": name}


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        ("food:1", "food"),
        ("foo:1", "foo"),
        ("foo", "foo"),
        ("room:lobby", "lobby"),
        ("room:lobby2", "room"),
        ("room:", "room"),
        ("room:*", "room"),
        ("room", "rest"),
        ("ROOM:1", "rest"),
        ("", "rest"),
        ("phoenix", "rest"),
    ],
)
async def test_the_first_route_that_matches_wins(
    serve: Serve, open_wire: Open, topic: str, name: str
) -> None:
    """§4.1, §9.6.72, §9.11.195, §10.55, §10.73: prefixes match bytewise, in declared order."""
    routes = {
        "food*": named("food"),
        "foo*": named("foo"),
        "room:lobby": named("lobby"),
        "room:*": named("room"),
        "*": named("rest"),
    }
    wire = await open_wire(await serve(socket_app(accepting(routes))))

    answer = await wire.ask(["1", "2", topic, "phx_join", {}])

    assert answer == ["1", "2", topic, "phx_reply", replied({"name": name})]


async def test_the_heartbeat_is_answered_though_phoenix_is_joined(
    serve: Serve, open_wire: Open
) -> None:
    """§3.1 rule 1, §10.20: only the event heartbeat is special on the topic phoenix."""
    wire = await open_wire(await serve(socket_app(accepting({"*": RoomChannel}))))
    await wire.join("phoenix")

    beaten = await wire.ask(["1", "2", "phoenix", "heartbeat", {}])
    echoed = await wire.ask(["1", "3", "phoenix", "echo", {"a": 1}])

    assert beaten == [None, "2", "phoenix", "phx_reply", OK]
    assert echoed == ["1", "3", "phoenix", "phx_reply", replied({"a": 1})]


@pytest.mark.parametrize("payload", [None, "text", 7, [1, 2], {"a": {"b": [None]}}])
async def test_a_join_payload_may_be_any_json(serve: Serve, open_wire: Open, payload: Any) -> None:
    """§3.2, §10.43: the payload of a join is handed to `join` as it is."""
    diary = Diary()

    class NotingChannel(Channel):
        def join(self, topic: str, payload: Any, socket: Socket) -> Result:
            diary.note(payload)
            return ok()

    wire = await open_wire(await serve(socket_app(accepting({"room:*": NotingChannel}))))

    await wire.send(["1", "1", "room:a", "phx_join", payload])

    assert await wire.recv() == ["1", "1", "room:a", "phx_reply", OK]
    assert await diary.next() == payload


@pytest.mark.parametrize("verb", ["push", "broadcast", "broadcast_from", "raise", "return"])
async def test_a_join_that_cannot_be_crashes(serve: Serve, open_wire: Open, verb: str) -> None:
    """§3.2, §9.11.162, §10.29, §10.36: no speaking in `join`; a crash is only an error reply."""

    class HastyChannel(Channel):
        def join(self, topic: str, payload: Any, socket: Socket) -> Any:
            if verb == "raise":
                raise RuntimeError("asked to crash in join")
            if verb == "return":
                return {"no": "result"}
            getattr(socket, verb)("early", {})
            return ok()

    wire = await open_wire(await serve(socket_app(accepting({"room:*": HastyChannel}))))

    answer = await wire.ask(["1", "2", "room:a", "phx_join", {}])
    again = await wire.ask(["1", "3", "room:a", "phx_leave", {}])

    assert answer == ["1", "2", "room:a", "phx_reply", JOIN_CRASHED]
    assert again == ["1", "3", "room:a", "phx_reply", OK]
    await wire.fence()


async def test_a_join_without_join_ref(reference_url: str, open_wire: Open) -> None:
    """§3.2, §9.13.210, §10.24-25: null is stored, but the channel's own join_ref is the ref."""
    wire = await open_wire(reference_url)

    joined = await wire.ask([None, "16", "room:n", "phx_join", {}])
    pushed = await wire.ask([None, "17", "room:n", "push", {"q": 1}])
    await wire.send(["16", "18", "room:n", "echo", {"stale": True}])
    await wire.send(["16", "19", "room:n", "phx_leave", {}])
    await wire.send([None, "20", "room:n", "phx_leave", {}])
    left, closed = await wire.recv_many(2)

    assert joined == [None, "16", "room:n", "phx_reply", replied({"joined": "room:n"})]
    assert pushed == ["16", None, "room:n", "msg", {"q": 1}]
    assert left == ["16", "20", "room:n", "phx_reply", OK]
    assert closed == [None, None, "room:n", "phx_close", {}]


@pytest.mark.parametrize(
    ("stored", "stale"),
    [("1", 1), (1, "1"), (1, True), (0, False), ("", "0"), (1, 1.0), ([1], [2]), ("1", "01")],
)
async def test_join_refs_are_compared_as_json(
    reference_url: str, open_wire: Open, stored: Any, stale: Any
) -> None:
    """§3.1, §10.24, §10.25: another type or value is stale and dropped; null is always current."""
    wire = await open_wire(reference_url)
    await wire.ask([stored, "1", "room:a", "phx_join", {}])

    await wire.send([stale, "2", "room:a", "echo", {}])
    await wire.send([stale, "3", "room:a", "phx_leave", {}])
    same = await wire.ask([stored, "4", "room:a", "echo", {}])
    null = await wire.ask([None, "5", "room:a", "echo", {}])

    assert same == [stored, "4", "room:a", "phx_reply", OK]
    assert null == [stored, "5", "room:a", "phx_reply", OK]


async def test_a_second_join_is_answered_too(reference_url: str, open_wire: Open) -> None:
    """§9.1.23 over V1: both joins get ok, the second before the first's phx_close."""
    wire = await open_wire(reference_url, V1)
    join = {"topic": "room:a", "event": "phx_join", "payload": {}, "ref": "1"}

    first = await wire.ask(join)
    await wire.send({**join, "ref": "2"})
    second, closed = await wire.recv_many(2)

    assert [answer["payload"]["status"] for answer in (first, second)] == ["ok", "ok"]
    assert [answer["ref"] for answer in (first, second)] == ["1", "2"]
    assert closed == {"event": "phx_close", "payload": {}, "ref": None, "topic": "room:a"}


async def test_a_duplicate_join_cuts_the_old_channel_off(serve: Serve, open_wire: Open) -> None:
    """§3.4, §9.13.201, §10.30, §10.31: at once, its answers lost, its terminate not run."""
    channel, gate, diary = gated()
    wire = await open_wire(await serve(socket_app(accepting({"room:*": channel}))))
    await wire.join("room:a", "a")
    await wire.send(["a", "2", "room:a", "wait", {}])
    assert [await diary.next(), await diary.next()] == [("joining", "room:a"), "waiting"]

    await wire.send(["b", "3", "room:a", "phx_join", {}])
    joined, closed = await wire.recv_many(2)
    gate.set()
    echoed = await wire.ask(["b", "4", "room:a", "echo", {}])

    assert joined == ["b", "3", "room:a", "phx_reply", OK]
    assert closed == ["a", "a", "room:a", "phx_close", {}]
    assert echoed == ["b", "4", "room:a", "phx_reply", OK]
    assert await diary.next() == ("joining", "room:a")
    assert diary.is_empty


async def test_a_duplicate_join_that_fails_still_ends_the_old_channel(
    serve: Serve, open_wire: Open
) -> None:
    """§3.4: the error reply comes first, then the old channel's phx_close; nothing is joined."""
    channel, _gate, _diary = gated()
    wire = await open_wire(await serve(socket_app(accepting({"room:*": channel}))))
    await wire.join("room:a", "a")

    await wire.send(["b", "2", "room:a", "phx_join", {"fails": True}])
    refused, closed = await wire.recv_many(2)
    unmatched = await wire.ask(["a", "3", "room:a", "echo", {}])

    failed = {"response": {"reason": "failed"}, "status": "error"}
    assert refused == ["b", "2", "room:a", "phx_reply", failed]
    assert closed == ["a", "a", "room:a", "phx_close", {}]
    assert unmatched == [None, "3", "room:a", "phx_reply", UNMATCHED]


async def test_frames_of_the_old_channel_precede_its_phx_close(
    serve: Serve, open_wire: Open
) -> None:
    """§3.4: what the old channel pushed comes before its phx_close, whatever the pipeline."""
    channel, _gate, _diary = gated()
    wire = await open_wire(await serve(socket_app(accepting({"room:*": channel}))))
    await wire.join("room:a", "a")

    await wire.send(["a", "2", "room:a", "push", {"n": 1}])
    await wire.send(["b", "3", "room:a", "phx_join", {}])
    frames = await wire.recv_many(3)

    pushed = ["a", None, "room:a", "msg", {"n": 1}]
    joined = ["b", "3", "room:a", "phx_reply", OK]
    closed = ["a", "a", "room:a", "phx_close", {}]
    assert frames in ([pushed, joined, closed], [joined, pushed, closed])


async def test_a_slow_join_blocks_its_socket(serve: Serve, open_wire: Open) -> None:
    """§9.13.204, §10.32: heartbeats and other topics of that socket wait; other sockets do not."""
    channel, gate, diary = gated()
    base_url = await serve(socket_app(accepting({"room:*": channel})))
    slow, quick = await open_wire(base_url), await open_wire(base_url)

    await slow.send(["1", "1", "room:slow", "phx_join", {"waits": True}])
    await slow.send([None, "2", "phoenix", "heartbeat", {}])
    await slow.send(["3", "3", "room:other", "phx_join", {}])
    await diary.next()
    await quick.join("room:quick")
    noted = [await diary.next()]
    gate.set()
    answers = await slow.recv_many(3)

    assert noted == [("joining", "room:quick")]
    assert [answer[1] for answer in answers] == ["1", "2", "3"]
    assert await diary.next() == ("joining", "room:other")


async def test_a_client_may_go_while_its_join_waits(serve: Serve, open_wire: Open) -> None:
    """§3.10: a channel whose client left during the join ends, and harms nobody."""
    channel, gate, diary = gated()
    base_url = await serve(socket_app(accepting({"room:*": channel})))
    gone, here = await open_wire(base_url), await open_wire(base_url)
    await gone.send(["1", "1", "room:a", "phx_join", {"waits": True}])
    await diary.next()

    await gone.close()
    await here.fence()
    gate.set()

    await here.join("room:b")
    assert (await here.ask(["1", "2", "room:b", "echo", {}]))[4] == OK


async def test_leave_and_join_in_one_go(reference_url: str, open_wire: Open) -> None:
    """§3.5: a pipelined leave and join end joined, in one of the legal orders."""
    wire = await open_wire(reference_url)
    await wire.join("room:a", "a")

    await wire.send(["a", "2", "room:a", "phx_leave", {}])
    await wire.send(["b", "3", "room:a", "phx_join", {}])
    await wire.send(["b", "4", "room:a", "echo", {"still": "here"}])
    frames = [await wire.recv()]
    while frames[-1][1] != "4":
        frames.append(await wire.recv())

    left = ["a", "2", "room:a", "phx_reply", OK]
    closed = ["a", "a", "room:a", "phx_close", {}]
    joined = ["b", "3", "room:a", "phx_reply", replied({"joined": "room:a"})]
    assert frames[:-1] in ([left, closed, joined], [joined, left, closed], [joined, closed])
    assert frames[-1][4] == replied({"still": "here"})


async def test_a_leave_waits_for_the_messages_before_it(serve: Serve, open_wire: Open) -> None:
    """§3.5, §4.6: a busy channel answers first what came first; then it has been left."""
    channel, gate, diary = gated()
    wire = await open_wire(await serve(socket_app(accepting({"room:*": channel}))))
    await wire.join("room:a")
    await wire.send(["1", "2", "room:a", "wait", {}])
    await wire.send(["1", "3", "room:a", "phx_leave", {}])

    await wire.fence()
    gate.set()
    late, answered, left, closed = await wire.recv_many(4)

    assert late == ["1", None, "room:a", "too_late", {}]
    assert answered == ["1", "2", "room:a", "phx_reply", OK]
    assert left == ["1", "3", "room:a", "phx_reply", OK]
    assert closed == ["1", "1", "room:a", "phx_close", {}]
    notes = [await diary.next() for _note in range(3)]
    assert notes == [("joining", "room:a"), "waiting", ("ended", "room:a", ("shutdown", "left"))]


async def test_a_left_topic_is_free_again(reference_url: str, open_wire: Open) -> None:
    """§3.5, §10.22: leaving again is ok without a phx_close; other events are unmatched."""
    wire = await open_wire(reference_url)
    await wire.join("room:a")
    await wire.send(["1", "2", "room:a", "phx_leave", {}])
    await wire.recv_many(2)

    again = await wire.ask(["1", "3", "room:a", "phx_leave", {}])
    unmatched = await wire.ask(["1", "4", "room:a", "echo", {}])

    assert again == ["1", "3", "room:a", "phx_reply", OK]
    assert unmatched == [None, "4", "room:a", "phx_reply", UNMATCHED]


async def test_a_channel_may_end_right_after_its_join(serve: Serve, open_wire: Open) -> None:
    """§3.6, §10.34: the join's reply precedes whatever its own first message does."""

    class BriefChannel(Channel):
        def join(self, topic: str, payload: Any, socket: Socket) -> Result:
            socket.send_self("after_join")
            return ok()

        def handle_info(self, message: Any, socket: Socket) -> Any:
            raise RuntimeError("asked to crash after join")

    wire = await open_wire(await serve(socket_app(accepting({"room:*": BriefChannel}))))

    await wire.send(["1", "2", "room:a", "phx_join", {}])

    assert await wire.recv() == ["1", "2", "room:a", "phx_reply", OK]
    assert await wire.recv() == ["1", "1", "room:a", "phx_error", CRASHED]


async def test_clients_do_not_share_topics(reference_url: str, open_wire: Open) -> None:
    """Joining is per connection: one client's join lets no other speak on the topic."""
    joined, other = await open_wire(reference_url), await open_wire(reference_url)
    await joined.join("room:a")

    answer = await say(other, "room:a")

    assert answer == [None, "2", "room:a", "phx_reply", UNMATCHED]


async def say(wire: PhoenixWire, topic: str) -> Any:
    """Ask for an echo."""
    return await wire.ask(["1", "2", topic, "echo", {}])
