"""Sessions of other nodes, over a bus whose messages arrive at once."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from phoenix_compat import LongPollOptions
from phoenix_compat.cluster.bus import CallError
from phoenix_compat.transports import cluster_sessions
from phoenix_compat.transports.cluster_sessions import ClusterSessions
from tests.patience import patient
from tests.serving import accepting
from tests.unit.runtime.harness import OpenChannel, settle
from tests.unit.transports.hubs import FakeBus, FakeClient, LongPoll


class Nodes:
    """Two nodes with one socket, whose windows are `window_s`."""

    def __init__(self, window_s: float = 0.02) -> None:
        self.buses: dict[int, FakeBus] = {}
        self.servers: list[LongPoll] = []
        self.sessions = [ClusterSessions(), ClusterSessions()]
        for node, sessions in enumerate(self.sessions):
            options = LongPollOptions(window_s=window_s, max_body_bytes=200)
            handler = accepting({"room:*": OpenChannel})
            server = LongPoll(handler, options, others=sessions)
            sessions.add(server.hub)
            sessions.add(server.hub)
            sessions.attach(FakeBus(self.buses, node).seam)
            self.servers.append(server)


JOIN: Any = ("1", "1", "room:a", "phx_join", {})


async def test_any_node_answers_for_a_session() -> None:
    """Posts and polls of a session reach the node that holds it; so do batches."""
    nodes = Nodes()
    token = await nodes.servers[0].open()
    line = json.dumps([None, "2", "phoenix", "heartbeat", {}]).encode()

    posted = await nodes.servers[1].post(token, *JOIN)
    batch = await nodes.servers[1].ask(
        "POST", token, line + b"\n" + line, Content_Type="application/x-ndjson"
    )
    polled = await nodes.servers[1].poll(token)
    again = await nodes.servers[1].poll(token)

    assert posted == batch[1] == {"status": 200}
    assert [json.loads(each)[1] for each in polled["messages"]] == ["1", "2", "2"]
    assert again == {"messages": [], "status": 204, "token": token}
    assert [len(server.hub) for server in nodes.servers] == [1, 0]
    assert nodes.sessions[0]._clients == {}
    assert nodes.buses[1].asked == [pytest.approx(5.02)] * 4


async def test_the_owner_needs_no_other_node() -> None:
    """It answers for its own sessions, and begins new ones."""
    nodes = Nodes()
    token = await nodes.servers[0].open()

    assert await nodes.servers[0].post(token, *JOIN) == {"status": 200}
    assert nodes.buses[0].asked == []


@pytest.mark.parametrize("end", ["call fails", "node is gone", "session is gone", "hub is gone"])
async def test_a_session_that_cannot_be_reached(end: str) -> None:
    """A poll begins a new session here; a post is answered with 410."""
    nodes = Nodes()
    token = await nodes.servers[0].open()
    match end:
        case "call fails":
            nodes.buses[1].error = CallError("late")
        case "node is gone":
            del nodes.buses[0]
        case "session is gone":
            nodes.servers[0].hub.abandon()
        case _:
            nodes.sessions[0].remove([nodes.servers[0].hub])

    posted = await nodes.servers[1].post(token, *JOIN)
    polled = await nodes.servers[1].poll(token)

    assert posted == {"status": 410}
    assert polled["status"] == 410
    assert polled["token"] != token
    assert [len(server.hub) for server in nodes.servers][1] == 1


async def test_without_a_bus_there_are_only_own_sessions() -> None:
    """Before it is attached and after it is detached."""
    nodes = Nodes()
    token = await nodes.servers[0].open()
    nodes.sessions[1].detach()

    polled = await nodes.servers[1].poll(token)

    assert polled["status"] == 410
    assert nodes.sessions[1].session_name("abc") == "abc"
    assert nodes.sessions[0].session_name("abc") == "0.abc"
    assert ClusterSessions().session_name("abc") == "abc"


async def test_a_body_that_is_too_long_stays_here() -> None:
    """It is refused like one of an own session, for pages of other origins too."""
    nodes = Nodes()
    token = await nodes.servers[0].open()

    status, _, response = await nodes.servers[1].ask("POST", token, b"x" * 201)

    assert status == 400
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert nodes.buses[1].asked == []


async def test_a_client_that_leaves_a_poll_at_another_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The node that holds the session hears of it; the next poll gets the messages."""
    monkeypatch.setattr(cluster_sessions, "GONE_S", 0.005)
    nodes = Nodes(window_s=patient(2.0))
    token = await nodes.servers[0].open()
    client = FakeClient()
    poll = asyncio.create_task(nodes.servers[1].ask(token=token, client=client))
    await settle()
    (remote,) = nodes.sessions[0]._clients.values()

    client.is_gone = True
    status, _, _ = await poll

    assert status == 499
    assert remote.is_gone or nodes.sessions[0]._clients == {}
    await nodes.servers[0].post(token, *JOIN)
    assert len((await nodes.servers[0].poll(token))["messages"]) == 1


@pytest.mark.parametrize(
    ("owner", "node", "number", "is_gone"),
    [(0, 1, 7, True), (1, 1, 7, False), (0, 2, 7, False), (0, 1, 8, False)],
)
def test_which_client_is_gone(owner: int, node: int, number: int, is_gone: bool) -> None:
    """The one with this number, of the node that says so, if its session is here."""
    sessions = ClusterSessions()
    sessions.attach(FakeBus({}, 0).seam)
    client = sessions._clients[1, 7] = cluster_sessions._RemoteClient(b"")

    sessions._client_gone(node, cluster_sessions._encoder.encode((owner, number)))

    assert client.is_gone == is_gone


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("12.abc", 12),
        ("12.a.b", 12),
        ("abc", None),
        ("12", None),
        (".abc", None),
        ("-1.abc", None),
        ("².abc", None),
        ("9" * 20 + ".a", int("9" * 20)),
        ("9" * 21 + ".a", None),
    ],
)
def test_the_node_in_the_name_of_a_session(name: str, owner: int | None) -> None:
    """Its number, of up to 64 bits, before the first dot."""
    assert cluster_sessions._owner_of(name) == owner


async def test_the_number_of_a_call_that_is_gone() -> None:
    """Each call has a number of its own, by which it is called off."""
    heard: list[Any] = []
    nodes = Nodes()
    token = await nodes.servers[0].open()
    nodes.buses[0].casts = {"longpoll-gone": lambda node, body: heard.append((node, body))}

    for _ in range(2):
        await nodes.servers[1].ask(token=token, client=FakeClient(is_gone=True))

    assert heard == [(1, b"\x92\x00\x01"), (1, b"\x92\x00\x02")]
