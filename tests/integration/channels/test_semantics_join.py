"""Joins on the wire: routes, limits, payloads and refs. Numbers are those of docs/protocol.md."""

from __future__ import annotations

from typing import Any

import pytest

from phoenix_compat import Channel, Endpoint, Socket, ok
from phoenix_compat.conformance.reference import RoomChannel
from phoenix_compat.result import Result
from phoenix_compat.runtime.limits import Limits
from tests.conftest import Open, Serve
from tests.serving import EventLog, accepting, socket_app
from tests.wire import OK, UNMATCHED, PhoenixWire, replied

TOO_MANY = {"response": {"reason": "too many channels joined"}, "status": "error"}
JOIN_CRASHED = {"response": {"reason": "join crashed"}, "status": "error"}


async def test_the_101st_channel_is_refused(reference_url: str, open_wire: Open) -> None:
    """§9.1.3, §9.13.220, §10.56: one join too many is refused; a rejoin is not."""
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
    """§9.1.4: with a limit of one the second join is refused, and accepted after a leave."""
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
    """Replies to a join with the name that its route assigned."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        return ok({"name": socket.assigns["name"]})


def named(name: str) -> tuple[type[Channel], dict[str, Any]]:
    """A route of NamedChannel that assigns a name."""
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
    """§4.1, §9.6.72, §9.11.195, §10.55, §10.73: prefixes match by bytes, in declared order."""
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
    """§3.2, §10.43: `join` gets the payload unchanged."""
    event_log = EventLog()

    class NotingChannel(Channel):
        def join(self, topic: str, payload: Any, socket: Socket) -> Result:
            event_log.record(payload)
            return ok()

    wire = await open_wire(await serve(socket_app(accepting({"room:*": NotingChannel}))))

    await wire.send(["1", "1", "room:a", "phx_join", payload])

    assert await wire.recv() == ["1", "1", "room:a", "phx_reply", OK]
    assert await event_log.next() == payload


@pytest.mark.parametrize("verb", ["push", "broadcast", "broadcast_from", "raise", "return"])
async def test_a_join_that_cannot_be_crashes(serve: Serve, open_wire: Open, verb: str) -> None:
    """§3.2, §9.11.162, §10.29, §10.36: no sending in `join`; a crash is only an error reply."""

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
    """§3.1, §10.24, §10.25: another type or value is stale and dropped; null always matches."""
    wire = await open_wire(reference_url)
    await wire.ask([stored, "1", "room:a", "phx_join", {}])

    await wire.send([stale, "2", "room:a", "echo", {}])
    await wire.send([stale, "3", "room:a", "phx_leave", {}])
    same = await wire.ask([stored, "4", "room:a", "echo", {}])
    null = await wire.ask([None, "5", "room:a", "echo", {}])

    assert same == [stored, "4", "room:a", "phx_reply", OK]
    assert null == [stored, "5", "room:a", "phx_reply", OK]


async def test_clients_do_not_share_topics(reference_url: str, open_wire: Open) -> None:
    """A join is for one connection: other clients cannot send on the topic."""
    joined, other = await open_wire(reference_url), await open_wire(reference_url)
    await joined.join("room:a")

    answer = await ask_for_echo(other, "room:a")

    assert answer == [None, "2", "room:a", "phx_reply", UNMATCHED]


async def ask_for_echo(wire: PhoenixWire, topic: str) -> Any:
    """Send an echo event."""
    return await wire.ask(["1", "2", topic, "echo", {}])
