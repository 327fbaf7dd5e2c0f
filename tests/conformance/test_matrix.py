"""Runs the same tests on every transport and version: joins, and messages of channels.

Phoenix's own integration tests have this form. Numbers refer to docs/protocol.md. The clients are
in tests/clients.py, the channels in reference_channels.py, the fixtures in conftest.py.
"""

from __future__ import annotations

import pytest

from phoenix_compat import Endpoint, Limits, ok
from tests.clients import CELLS, Cell, MatrixClient
from tests.conformance.conftest import Connect, ServeEndpoint
from tests.conformance.reference_channels import (
    CLOSED,
    OPPOSITE,
    SharedState,
    answer,
    event,
    matrix_endpoint,
)
from tests.wire import OK, UNMATCHED, replied

TEXT = 'né\u2028 жук 漢字 😀 " \\ / \n \t \x01 </script>'


# Joining.


async def test_join_ok(client: MatrixClient) -> None:
    """§3.2, §9.1.2, §9.3.38: an ok reply with the response, its ref and join_ref."""
    reply = await client.ask(["11", "1", "room:a", "phx_join", {"answer": {"hi": 1}}])

    assert [reply] == client.as_received(answer(replied({"hi": 1}), "1"))
    await client.fence()


async def test_join_error(client: MatrixClient) -> None:
    """§3.2, §10.29: an error reply without phx_close; the topic can be joined again at once."""
    refused = await client.ask(["11", "1", "room:a", "phx_join", {"refuse": {"reason": "no"}}])
    unmatched = await client.ask(event("echo"))

    payload = {"response": {"reason": "no"}, "status": "error"}
    assert [refused] == client.as_received(answer(payload, "1"))
    assert unmatched == [None, "2", "room:a", "phx_reply", UNMATCHED]
    await client.join()


async def test_join_crash(client: MatrixClient) -> None:
    """§3.2, §9.1.27, §10.29: a join that raises gets only an error reply."""
    crashed = await client.ask(["11", "1", "room:a", "phx_join", {"crash": True}])

    payload = {"response": {"reason": "join crashed"}, "status": "error"}
    assert [crashed] == client.as_received(answer(payload, "1"))
    await client.fence()
    await client.join()


async def test_join_unmatched(client: MatrixClient) -> None:
    """§9.1.26, §10.21: without a route, an error reply with join_ref null, every time."""
    replies = [await client.ask(["11", ref, "nope", "phx_join", {}]) for ref in ("1", "2")]

    assert replies == [[None, ref, "nope", "phx_reply", UNMATCHED] for ref in ("1", "2")]


async def test_too_many_channels(serve_endpoint: ServeEndpoint, cell: Cell) -> None:
    """§9.1.3-4, §9.3.39, §9.13.220, §10.56: a join over the limit is refused, not a rejoin."""
    endpoint = Endpoint(limits=Limits(max_channels_per_transport=1))
    client = await MatrixClient.connect(
        await serve_endpoint(matrix_endpoint(SharedState(endpoint))), cell
    )
    await client.join()

    refused = await client.ask(["12", "2", "room:b", "phx_join", {}])
    await client.send(["13", "3", "room:a", "phx_join", {}])
    rejoined = await client.recv_many(2)
    await client.drop()

    payload = {"response": {"reason": "too many channels joined"}, "status": "error"}
    assert [refused] == client.as_received(["12", "2", "room:b", "phx_reply", payload])
    assert rejoined == client.as_received(["13", "3", "room:a", "phx_reply", OK], CLOSED)


async def test_after_join(client: MatrixClient) -> None:
    """§9.1.2, §9.3.38, §10.34, §10.38-39: the join's reply comes before the channel's messages."""
    await client.send(["11", "1", "lobby:a", "phx_join", {"user": "ann"}])

    assert await client.recv_many(3) == client.as_received(
        answer(OK, "1", "lobby:a"),
        ["11", None, "lobby:a", "joined", {"status": "connected"}],
        [None, None, "lobby:a", "user_entered", {"user": "ann"}],
    )


@pytest.mark.parametrize("verb", ["push", "broadcast", "broadcast_from"])
async def test_sending_in_join(client: MatrixClient, verb: str) -> None:
    """§3.2, §10.36: push and broadcast inside `join` make it fail."""
    crashed = await client.ask(["11", "1", "room:a", "phx_join", {"call": verb}])

    assert crashed[4] == {"response": {"reason": "join crashed"}, "status": "error"}
    await client.fence()


async def test_duplicate_join(client: MatrixClient) -> None:
    """§3.4, §9.1.23, §9.13.201, §10.30: the new reply, then phx_close of the old channel."""
    await client.join()

    await client.send(["12", "2", "room:a", "phx_join", {}])
    frames = await client.recv_many(2)
    echoed = await client.ask(["12", "3", "room:a", "echo", {"a": 1}])

    assert frames == client.as_received(["12", "2", "room:a", "phx_reply", OK], CLOSED)
    assert [echoed] == client.as_received(["12", "3", "room:a", "phx_reply", replied({"a": 1})])


async def test_join_without_join_ref(client: MatrixClient) -> None:
    """§3.2, §9.13.210, §10.25-26: null is stored; the channel uses the ref instead."""
    joined = await client.ask([None, "16", "room:a", "phx_join", {}])
    pushed = await client.ask([None, "17", "room:a", "push", {"q": 1}])
    await client.send(["16", "18", "room:a", "echo", {"stale": True}])
    await client.send([None, "19", "room:a", "phx_leave", {}])
    leaving = await client.recv_many(2)

    assert [joined, pushed, *leaving] == client.as_received(
        [None, "16", "room:a", "phx_reply", OK],
        ["16", None, "room:a", "msg", {"q": 1}],
        ["16", "19", "room:a", "phx_reply", OK],
        [None, None, "room:a", "phx_close", {}],
    )


# Messages.


async def test_two_topics(client: MatrixClient) -> None:
    """§0.1, §4.8: channels of a connection have their own join_ref and assigns."""
    await client.join("room:a", "11", {"name": "first"})
    await client.join("room:b", "12", {"name": "second"})

    first = await client.ask(["11", "2", "room:a", "name", {}])
    second = await client.ask(["12", "3", "room:b", "name", {}])

    assert [first, second] == client.as_received(
        answer(replied("first")), ["12", "3", "room:b", "phx_reply", replied("second")]
    )


async def test_heartbeat(client: MatrixClient) -> None:
    """§9.1.25, §9.13.203, §10.18-20: join_ref null, ref echoed, any payload accepted."""
    answers = [
        await client.ask(["11", ref, "phoenix", "heartbeat", None]) for ref in (None, 7, "x")
    ]
    unmatched = await client.ask([None, "8", "phoenix", "other", {}])

    assert answers == [[None, ref, "phoenix", "phx_reply", OK] for ref in (None, 7, "x")]
    assert unmatched == [None, "8", "phoenix", "phx_reply", UNMATCHED]


async def test_echo(client: MatrixClient) -> None:
    """§3.3, §10.42-43: a reply has the ref of its message; a payload may be any JSON."""
    await client.join()

    for ref, payload in enumerate(({"a": [1, None]}, None, "text", 7.5, [True])):
        reply = await client.ask(["11", ref, "room:a", "echo", payload])

        assert [reply] == client.as_received(["11", ref, "room:a", "phx_reply", replied(payload)])


@pytest.mark.parametrize("status", ["ok", "error", "weird"])
async def test_reply_statuses(client: MatrixClient, status: str) -> None:
    """§2.3, §3.3, §9.11.165: the status may be any string."""
    await client.join()

    reply = await client.ask(event("reply", {"status": status, "response": {"a": 1}}))

    assert [reply] == client.as_received(answer({"response": {"a": 1}, "status": status}))


async def test_noreply(client: MatrixClient) -> None:
    """§3.1, §10.23: a handler that returns None sends no reply."""
    await client.join()

    await client.send(event("noreply"))

    await client.fence()


async def test_push(client: MatrixClient, connect: Connect) -> None:
    """§4.3, §10.39: a push goes only to this client, with join_ref and without ref."""
    other = await connect()
    await client.join()
    await other.join()

    pushed = await client.ask(event("push", {"a": 1}))

    assert [pushed] == client.as_received(["11", None, "room:a", "msg", {"a": 1}])
    await other.fence()


async def test_broadcast_to_everyone(cell: Cell, connect: Connect) -> None:
    """§2.5, §4.3, §10.37-38: all four kinds of clients receive it, the sender before its reply."""
    listeners = {kind: await connect(kind) for kind in CELLS}
    for listener in listeners.values():
        await listener.join()
    sender = listeners.pop(cell)

    await sender.send(event("broadcast", {"a": "é"}))

    received = [None, None, "room:a", "msg", {"a": "é"}]
    assert await sender.recv_many(2) == [received, *sender.as_received(answer(OK))]
    for listener in listeners.values():
        assert await listener.recv() == received
        await listener.fence()


async def test_broadcast_from(cell: Cell, client: MatrixClient, connect: Connect) -> None:
    """§4.3, §9.9.129, §10.37: every channel except the sender's receives it."""
    same, other = await connect(), await connect(OPPOSITE[cell])
    for listener in (client, same, other):
        await listener.join()

    reply = await client.ask(event("broadcast_from", {"a": 1}))

    assert [reply] == client.as_received(answer(OK))
    assert [await same.recv(), await other.recv()] == [[None, None, "room:a", "msg", {"a": 1}]] * 2
    await client.fence()


async def test_broadcast_from_outside(client: MatrixClient, endpoint: Endpoint) -> None:
    """§4.3: the endpoint can broadcast any event, even a reserved one, to one topic only."""
    await client.join()

    endpoint.broadcast("room:b", "msg", {})
    endpoint.broadcast("room:a", "phx_reply", {"x": 1})

    assert await client.recv() == [None, None, "room:a", "phx_reply", {"x": 1}]


async def test_intercept(cell: Cell, client: MatrixClient, connect: Connect) -> None:
    """§4.5, §9.1.2, §10.38: it goes through each client's channel and becomes a push."""
    other = await connect(OPPOSITE[cell])
    await client.join()
    await other.join("room:a", "12")

    received = await client.ask(event("intercepted", {"n": 1}))

    payload = {"n": 1, "seen_by": cell.transport}
    assert [received] == client.as_received(["11", None, "room:a", "intercepted", payload])
    payload = {"n": 1, "seen_by": OPPOSITE[cell].transport}
    assert [await other.recv()] == other.as_received(["12", None, "room:a", "intercepted", payload])


async def test_order_within_one_handler(client: MatrixClient) -> None:
    """Appendix A.4, §9.13.219: messages of one handler arrive in order."""
    await client.join()

    await client.send(event("mixture"))

    assert await client.recv_many(4) == client.as_received(
        ["11", None, "room:a", "one", {}],
        [None, None, "room:a", "two", {}],
        ["11", None, "room:a", "three", {}],
        answer(OK),
    )


async def test_a_busy_channel_blocks_no_other(client: MatrixClient, shared: SharedState) -> None:
    """§0.1.2, §9.13.204, §10.33: heartbeats and other channels are answered meanwhile."""
    await client.join()
    await client.join("room:b", "12")

    await client.send(event("wait"))
    await client.send(event("echo", ref="3"))
    other = await client.ask(["12", "4", "room:b", "echo", {}])
    await client.fence()
    shared.release.set()

    assert other[1] == "4"
    assert await client.recv_many(2) == client.as_received(answer(OK), answer(OK, "3"))


async def test_late_replies(client: MatrixClient, shared: SharedState) -> None:
    """§4.4, §9.9.132-133, §9.11.167: later, out of order, twice, and after the channel's end."""
    await client.join()
    await client.send(event("later", ref="2"))
    await client.send(event("later", ref="3"))
    await client.fence()
    first, second = shared.later

    second.reply(ok({"n": 2}))
    first.reply(ok())
    first.reply(ok({"again": True}))
    early = await client.recv_many(3)
    await client.send(event("stop_with", {"reason": "normal"}, "4"))
    closed = await client.recv()
    second.reply(ok("late"))

    assert [*early, closed, await client.recv()] == client.as_received(
        answer(replied({"n": 2}), "3"),
        answer(OK, "2"),
        answer(replied({"again": True}), "2"),
        CLOSED,
        answer(replied("late"), "3"),
    )


async def test_stale_messages(client: MatrixClient) -> None:
    """§3.1, §9.3.46, §9.3.54, §10.23: a message with another join_ref is dropped, even a leave."""
    await client.join()

    await client.send(["10", "2", "room:a", "broadcast", {}])
    await client.send(["10", "3", "room:a", "phx_leave", {}])

    await client.fence()
    assert [await client.ask(event("echo", ref="4"))] == client.as_received(answer(OK, "4"))


async def test_messages_without_join_ref(client: MatrixClient) -> None:
    """§3.1, §9.3.44-45, §9.3.54, §10.24: messages without join_ref are current, even a leave."""
    await client.join()

    echoed = await client.ask([None, "2", "room:a", "echo", {}])
    await client.send([None, "3", "room:a", "phx_leave", {}])
    leaving = await client.recv_many(2)

    assert [echoed, *leaving] == client.as_received(answer(OK), answer(OK, "3"), CLOSED)


async def test_events_to_a_topic_that_is_not_joined(client: MatrixClient, connect: Connect) -> None:
    """§9.1.18, §9.3.44, §10.21: "unmatched topic"; clients that joined receive nothing."""
    other = await connect()
    await other.join()

    replies = [await client.ask(["11", ref, "room:a", "broadcast", {}]) for ref in ("1", "2")]

    assert replies == [[None, ref, "room:a", "phx_reply", UNMATCHED] for ref in ("1", "2")]
    await other.fence()


async def test_unicode(cell: Cell, client: MatrixClient, connect: Connect) -> None:
    """§2.1, §10.45: topics, events, keys and texts may have any characters."""
    other, topic = await connect(OPPOSITE[cell]), "room:дом 🏠"
    await other.join(topic)
    await client.join(topic)

    pushed = await client.ask(event("push", {TEXT: TEXT}, topic=topic))
    await client.send(event("broadcast", {"text": TEXT}, topic=topic))

    assert [pushed] == client.as_received(["11", None, topic, "msg", {TEXT: TEXT}])
    assert await other.recv() == [None, None, topic, "msg", {"text": TEXT}]
