"""Duplicate joins, joins that block their socket, and leaving, on the wire.

Numbers are those of docs/protocol.md.
"""

from __future__ import annotations

from typing import Any

from phoenix_compat import Channel, Socket, ok
from phoenix_compat.result import Result
from tests.conftest import Open, Serve
from tests.integration.channels.blocking_channel import blocking_channel
from tests.serving import accepting, socket_app
from tests.wire import CRASHED, OK, UNMATCHED, V1, PhoenixWire, replied

TOO_MANY = {"response": {"reason": "too many channels joined"}, "status": "error"}
JOIN_CRASHED = {"response": {"reason": "join crashed"}, "status": "error"}


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
    """§3.4, §9.13.201, §10.30, §10.31: at once; no replies, and no terminate."""
    channel, release, event_log = blocking_channel()
    wire = await open_wire(await serve(socket_app(accepting({"room:*": channel}))))
    await wire.join("room:a", "a")
    await wire.send(["a", "2", "room:a", "wait", {}])
    assert [await event_log.next(), await event_log.next()] == [("joining", "room:a"), "waiting"]

    await wire.send(["b", "3", "room:a", "phx_join", {}])
    joined, closed = await wire.recv_many(2)
    release.set()
    echoed = await wire.ask(["b", "4", "room:a", "echo", {}])

    assert joined == ["b", "3", "room:a", "phx_reply", OK]
    assert closed == ["a", "a", "room:a", "phx_close", {}]
    assert echoed == ["b", "4", "room:a", "phx_reply", OK]
    assert await event_log.next() == ("joining", "room:a")
    assert event_log.is_empty


async def test_a_duplicate_join_that_fails_still_ends_the_old_channel(
    serve: Serve, open_wire: Open
) -> None:
    """§3.4: the error reply, then the old channel's phx_close; nothing is joined."""
    channel, _gate, _diary = blocking_channel()
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
    """§3.4: pushes of the old channel come before its phx_close, also in a pipeline."""
    channel, _gate, _diary = blocking_channel()
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
    channel, release, event_log = blocking_channel()
    base_url = await serve(socket_app(accepting({"room:*": channel})))
    slow, quick = await open_wire(base_url), await open_wire(base_url)

    await slow.send(["1", "1", "room:slow", "phx_join", {"waits": True}])
    await slow.send([None, "2", "phoenix", "heartbeat", {}])
    await slow.send(["3", "3", "room:other", "phx_join", {}])
    await event_log.next()
    await quick.join("room:quick")
    noted = [await event_log.next()]
    release.set()
    answers = await slow.recv_many(3)

    assert noted == [("joining", "room:quick")]
    assert [answer[1] for answer in answers] == ["1", "2", "3"]
    assert await event_log.next() == ("joining", "room:other")


async def test_a_client_may_disconnect_during_its_join(serve: Serve, open_wire: Open) -> None:
    """§3.10: a channel whose client disconnected during the join ends, without side effects."""
    channel, release, event_log = blocking_channel()
    base_url = await serve(socket_app(accepting({"room:*": channel})))
    gone, here = await open_wire(base_url), await open_wire(base_url)
    await gone.send(["1", "1", "room:a", "phx_join", {"waits": True}])
    await event_log.next()

    await gone.close()
    await here.fence()
    release.set()

    await here.join("room:b")
    assert (await here.ask(["1", "2", "room:b", "echo", {}]))[4] == OK


async def test_leave_and_join_in_one_go(reference_url: str, open_wire: Open) -> None:
    """§3.5: a pipelined leave and join result in a joined topic, in one of the valid orders."""
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
    """§3.5, §4.6: a busy channel replies to earlier messages first, then it leaves."""
    channel, release, event_log = blocking_channel()
    wire = await open_wire(await serve(socket_app(accepting({"room:*": channel}))))
    await wire.join("room:a")
    await wire.send(["1", "2", "room:a", "wait", {}])
    await wire.send(["1", "3", "room:a", "phx_leave", {}])

    await wire.fence()
    release.set()
    late, answered, left, closed = await wire.recv_many(4)

    assert late == ["1", None, "room:a", "too_late", {}]
    assert answered == ["1", "2", "room:a", "phx_reply", OK]
    assert left == ["1", "3", "room:a", "phx_reply", OK]
    assert closed == ["1", "1", "room:a", "phx_close", {}]
    notes = [await event_log.next() for _note in range(3)]
    assert notes == [("joining", "room:a"), "waiting", ("ended", "room:a", ("shutdown", "left"))]


async def test_a_left_topic_is_free_again(reference_url: str, open_wire: Open) -> None:
    """§3.5, §10.22: another leave is ok without a phx_close; other events are unmatched."""
    wire = await open_wire(reference_url)
    await wire.join("room:a")
    await wire.send(["1", "2", "room:a", "phx_leave", {}])
    await wire.recv_many(2)

    again = await wire.ask(["1", "3", "room:a", "phx_leave", {}])
    unmatched = await wire.ask(["1", "4", "room:a", "echo", {}])

    assert again == ["1", "3", "room:a", "phx_reply", OK]
    assert unmatched == [None, "4", "room:a", "phx_reply", UNMATCHED]


async def test_a_channel_may_end_right_after_its_join(serve: Serve, open_wire: Open) -> None:
    """§3.6, §10.34: the reply to the join comes before the effects of its first message."""

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


async def ask_for_echo(wire: PhoenixWire, topic: str) -> Any:
    """Send an echo event."""
    return await wire.ask(["1", "2", topic, "echo", {}])
