"""Runs the same tests on every transport and version: ends of channels and connections, presence.

Phoenix's own integration tests have this form. Numbers refer to docs/protocol.md. The clients are
in tests/clients.py, the channels in reference_channels.py, the fixtures in conftest.py.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from phoenix_compat import Endpoint, LongPollOptions
from tests.clients import Cell, MatrixClient
from tests.conformance.conftest import Connect, ServeEndpoint
from tests.conformance.reference_channels import (
    CLOSED,
    CRASH,
    OPPOSITE,
    SharedState,
    answer,
    event,
    matrix_endpoint,
)
from tests.wire import OK, UNMATCHED, replied


async def test_leave(client: MatrixClient, shared: SharedState) -> None:
    """§3.5, §4.6, §9.1.2, §9.3.54, §10.35: reply, phx_close, then what `terminate` pushes."""
    await client.send(["11", "1", "lobby:a", "phx_join", {}])
    await client.recv_many(3)

    await client.send(event("phx_leave", topic="lobby:a"))
    leaving = await client.recv_many(3)
    again = await client.ask(event("phx_leave", ref="3", topic="lobby:a"))
    unmatched = await client.ask(event("new_msg", ref="4", topic="lobby:a"))

    assert [*leaving, again] == client.as_received(
        answer(OK, "2", "lobby:a"),
        ["11", "11", "lobby:a", "phx_close", {}],
        ["11", None, "lobby:a", "you_left", {"message": "bye!"}],
        answer(OK, "3", "lobby:a"),
    )
    assert unmatched == [None, "4", "lobby:a", "phx_reply", UNMATCHED]
    assert await shared.endings.next() == ("lobby:a", ("shutdown", "left"))


@pytest.mark.parametrize(
    ("payload", "frames"),
    [
        ({"reason": "normal"}, [CLOSED]),
        ({"reason": "shutdown"}, [CLOSED]),
        ({"reason": "shutdown", "replies": True}, [answer(replied({"bye": True})), CLOSED]),
        ({"reason": "broken"}, [CRASH]),
        ({"reason": "broken", "replies": True}, [answer(replied({"bye": True})), CRASH]),
    ],
    ids=["normal", "shutdown", "reply", "error", "error-reply"],
)
async def test_stop(
    client: MatrixClient, shared: SharedState, payload: dict[str, Any], frames: list[Any]
) -> None:
    """§3.6, §9.11.169-170, §10.26-28: normal reasons send phx_close, others phx_error."""
    await client.join()

    await client.send(event("stop_with", payload))

    assert await client.recv_many(len(frames)) == client.as_received(*frames)
    assert await shared.endings.next() == ("room:a", payload["reason"])
    await client.fence()
    await client.join()


async def test_crash(cell: Cell, client: MatrixClient, connect: Connect) -> None:
    """§3.6, §9.1.16, §9.3.53, §10.27, §10.40: phx_error for one channel; all others continue."""
    other = await connect(OPPOSITE[cell])
    await other.join()
    await client.join("room:b", "12")
    await client.join()

    crashed = await client.ask(event("crash"))

    assert [crashed] == client.as_received(CRASH)
    assert (await client.ask(["12", "3", "room:b", "echo", {}]))[1] == "3"
    assert (await other.ask(event("echo")))[4] == OK
    await client.join()


async def test_an_unknown_event_crashes_its_channel(client: MatrixClient) -> None:
    """§3.6, §10.41: without a handler: phx_error, and the connection continues."""
    await client.join()

    assert [await client.ask(event("what is this"))] == client.as_received(CRASH)
    await client.fence()


async def test_disconnect_by_socket_id(
    cell: Cell, connect: Connect, endpoint: Endpoint, shared: SharedState
) -> None:
    """§3.7, §5.8, §9.1.22, §9.3.55, §10.52-53: all connections of that id end, without messages."""
    client, stranger = await connect(query="&user=ann"), await connect(query="&user=bob")
    await client.join()
    await stranger.join()
    endpoint.broadcast("user:ann", "other", {})
    await client.fence()

    endpoint.broadcast("user:ann", "disconnect", {})

    assert await client.recv_end() == {"websocket": 1001, "longpoll": 410}[cell.transport]
    assert await shared.endings.next() == ("room:a", ("shutdown", "disconnected"))
    await stranger.fence()


async def test_a_client_that_is_gone(
    serve_endpoint: ServeEndpoint, cell: Cell, shared: SharedState
) -> None:
    """§3.10, §4.6, §9.1.17, §9.3.47: terminate gets "closed", or "inactive" for long-polling."""
    endpoint = matrix_endpoint(shared, LongPollOptions(window_s=0.3))
    client = await MatrixClient.connect(await serve_endpoint(endpoint), cell)
    await client.join()

    await client.drop()

    detail = {"websocket": "closed", "longpoll": "inactive"}[cell.transport]
    assert await shared.endings.next() == ("room:a", ("shutdown", detail))


async def test_a_server_that_restarts(
    client: MatrixClient, endpoint: Endpoint, shared: SharedState
) -> None:
    """§3.9, §4.6: terminate gets "draining"."""
    await client.join()

    closing = asyncio.create_task(endpoint.close())
    reason = await shared.endings.next()
    await client.drop()
    await closing

    assert reason == ("room:a", ("shutdown", "draining"))


# Presence.


def one(key: str, **meta: Any) -> dict[str, Any]:
    """Presences with one key and one meta."""
    return {key: {"metas": [{"on": 1, **meta}]}}


async def enter(client: MatrixClient, user: str) -> tuple[str, dict[str, Any]]:
    """Join `presence:a`; returns the client's ref and the state that follows its own diff."""
    await client.send(["11", "1", "presence:a", "phx_join", {"user": user}])
    joined, diff, state = await client.recv_many(3)
    phx_ref: str = diff[4]["joins"][user]["metas"][0]["phx_ref"]
    assert len(phx_ref) == 16
    assert [joined] == client.as_received(answer(OK, "1", "presence:a"))
    joins = one(user, phx_ref=phx_ref)
    assert diff == [None, None, "presence:a", "presence_diff", {"joins": joins, "leaves": {}}]
    assert [state[:4]] == client.as_received(["11", None, "presence:a", "presence_state"])
    return phx_ref, state[4]


async def test_presence(cell: Cell, client: MatrixClient, connect: Connect) -> None:
    """§6, appendix A.1, §9.13.211, §10.57-59: reply, own diff, state; others get each change."""
    other = await connect(OPPOSITE[cell])

    ann, alone = await enter(client, "ann")
    bob, both = await enter(other, "bob")
    joined = await client.recv()
    await other.send(event("update", {"on": 1, "busy": True}, topic="presence:a"))
    updated = await client.recv()
    await other.recv_many(2)
    await other.send(event("phx_leave", ref="3", topic="presence:a"))
    left = await client.recv()

    new = updated[4]["joins"]["bob"]["metas"][0]["phx_ref"]
    busy = one("bob", busy=True, phx_ref=new, phx_ref_prev=bob)
    assert alone == one("ann", phx_ref=ann)
    assert both == {**one("ann", phx_ref=ann), **one("bob", phx_ref=bob)}
    assert [frame[4] for frame in (joined, updated, left)] == [
        {"joins": one("bob", phx_ref=bob), "leaves": {}},
        {"joins": busy, "leaves": one("bob", phx_ref=bob)},
        {"joins": {}, "leaves": busy},
    ]
    closed: list[Any] = ["11", "11", "presence:a", "phx_close", {}]
    assert await other.recv_many(2) == other.as_received(answer(OK, "3", "presence:a"), closed)


async def test_presence_of_a_client_that_is_gone(
    cell: Cell, connect: Connect, endpoint: Endpoint
) -> None:
    """§6.2, §9.13.212, §10.57: its end is one diff to everyone else on the topic."""
    stays, goes = await connect(OPPOSITE[cell]), await connect(query="&user=gone")
    await enter(stays, "ann")
    bob, _state = await enter(goes, "bob")
    await stays.recv()

    endpoint.broadcast("user:gone", "disconnect", {})

    leaves = {"joins": {}, "leaves": one("bob", phx_ref=bob)}
    assert await stays.recv() == [None, None, "presence:a", "presence_diff", leaves]
    await stays.fence()
