"""The list of topics: clients, rates and presence."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
import pytest

from phoenix_compat.channel import Channel, on
from phoenix_compat.endpoint import Endpoint
from phoenix_compat.presence import Presence
from phoenix_compat.result import Result, ok
from phoenix_compat.server.inspection.processes import OneProcess
from phoenix_compat.server.inspection.topics import Topic, TopicQuery, Topics, _merged
from phoenix_compat.socket import Socket, SocketHandler
from phoenix_compat.testing import ChannelTest


class Room(Channel):
    """Accepts everybody, and answers."""

    async def join(self, _topic: str, _payload: Any, _socket: Socket) -> Result:
        """Accept."""
        return ok()

    @on("echo")
    def echo(self, payload: Any, _socket: Socket) -> Result:
        """Answer."""
        return ok(payload)


class UserSocket(SocketHandler):
    """Lets everybody in."""

    channels: ClassVar[Any] = {"room:*": Room}

    def connect(self, *_: object) -> Result:
        """Accept."""
        return ok()


class Clock:
    """A clock that tests set."""

    now_s = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now_s


async def test_topics_have_clients_and_rates() -> None:
    """Rates are those since the last time somebody asked; at first they are not known."""
    endpoint, clock = Endpoint(), Clock()
    topics = Topics(endpoint, OneProcess(), clock)
    async with ChannelTest(endpoint) as channels:
        clients = [await channels.connect(UserSocket) for _ in range(3)]
        joined = [await client.join("room:large") for client in clients]
        await clients[0].join("room:small")

        first = await topics.list(TopicQuery(order="largest"))
        clock.now_s += 2.0
        for _ in range(4):
            await joined[0].push("echo", {})
        endpoint.broadcast("room:small", "hello", {})
        second = await topics.list(TopicQuery())
        third = await topics.list(TopicQuery(text="small"))
        clock.now_s += 60.0
        late = await topics.list(TopicQuery(order="name"))

    assert first.topics == (
        Topic(topic="room:large", clients=3),
        Topic(topic="room:small", clients=1),
    )
    assert (first.found, first.silent) == (2, ())
    assert second.topics == (
        Topic(topic="room:large", clients=3, broadcasts_per_s=0.0, received_per_s=2.0),
        Topic(topic="room:small", clients=1, broadcasts_per_s=0.5, received_per_s=0.0),
    )
    assert third.topics == second.topics[1:]
    assert late.topics == first.topics


async def test_presence_is_shown_and_not_changed() -> None:
    """Keys with their metas; a diff that waits is not sent earlier than without the look."""
    endpoint = Endpoint()
    presence = Presence(endpoint)
    topics = Topics(endpoint, OneProcess())
    async with ChannelTest(endpoint) as channels:
        client = await channels.connect(UserSocket)
        joined = await client.join("room:lobby")
        for number in range(150):
            presence.track(joined.socket, f"user-{number:03}", {"name": "x" * 5_000})

        page = await topics.list(TopicQuery())
        shown = topics.presence("room:lobby")

    assert page.topics[0].presences == 150
    assert (len(shown.keys), shown.found, shown.keys[0].key) == (100, 150, "user-000")
    assert shown.keys[0].count == 1
    assert len(msgspec.json.encode(shown)) < 100_000
    assert topics.presence("room:nobody").keys == ()


def test_topics_of_several_processes_are_added() -> None:
    """Clients and messages are summed; a broadcast is the same one in every process."""
    one = Topic(topic="a", clients=2, broadcasts_per_s=3.0, received_per_s=1.0, presences=4)
    other = Topic(topic="a", clients=1, broadcasts_per_s=2.5, received_per_s=None, presences=5)
    alone = Topic(topic="b", clients=1)

    assert _merged([one, other, alone]) == [
        Topic(topic="a", clients=3, broadcasts_per_s=3.0, received_per_s=1.0, presences=5),
        alone,
    ]


def test_a_page_is_bounded() -> None:
    """A page beyond the bound is refused."""
    with pytest.raises(msgspec.ValidationError, match="limit"):
        msgspec.convert({"limit": 1_000}, TopicQuery)
