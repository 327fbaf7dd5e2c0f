"""Endpoints with a bus: one server for clients, as long as their applications run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from phoenix_compat import (
    Cluster,
    ConfigError,
    Endpoint,
    Guest,
    LongPollOptions,
    Presence,
    asgi,
    mount,
)
from phoenix_compat.cluster.brokers import BrokerBus
from phoenix_compat.errors import MissingExtraError
from phoenix_compat.extras import missing_extra
from phoenix_compat.protocol.message import Broadcast
from phoenix_compat.testing import ChannelTest
from phoenix_compat.transports.cluster_member import member_of
from tests.integration.echo_app import OpenChannel
from tests.patience import patient
from tests.polling import Poller
from tests.serving import accepting, serving
from tests.unit.cluster.brokers.memory_broker import MemoryBroker, MemoryServer
from tests.wire import PhoenixWire

SECRET = "x" * 64
TOPIC = "room:a"


def an_endpoint(server: MemoryServer, **options: Any) -> Endpoint:
    """An endpoint on a bus."""
    bus = BrokerBus(MemoryBroker(server), heartbeat_s=0.1)
    endpoint = Endpoint(secret_key_base=SECRET, bus=bus, check_origin=False)
    endpoint.socket("/socket", accepting({"room:*": OpenChannel}), **options)
    return endpoint


def mounted(endpoint: Endpoint) -> web.Application:
    """An application with the endpoint."""
    app = web.Application()
    mount(app, endpoint)
    return app


@asynccontextmanager
async def running(*endpoints: Endpoint) -> AsyncIterator[None]:
    """Run an application for each endpoint, without a server."""
    runners = [web.AppRunner(mounted(endpoint)) for endpoint in endpoints]
    for runner in runners:
        await runner.setup()
    try:
        yield
    finally:
        for runner in runners:
            await runner.cleanup()


def is_open(endpoint: Endpoint) -> bool:
    """Whether the bus of an endpoint is open."""
    return endpoint.shared_bus is not None and endpoint.shared_bus.is_open


async def eventually(is_true: Callable[[], bool]) -> None:
    """Wait for what another node does."""
    async with asyncio.timeout(patient(10.0)):
        while not is_true():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.001)


async def test_two_endpoints_are_one() -> None:
    """Broadcasts and presences reach the other, until one of them is closed."""
    server = MemoryServer()
    one, two = an_endpoint(server), an_endpoint(server)
    presences = [Presence(endpoint) for endpoint in (one, two)]
    heard: list[Broadcast] = []
    own: list[Broadcast] = []
    two.subscribe(TOPIC, heard.append)
    one.subscribe(TOPIC, own.append)

    async with running(two):
        async with running(one):
            presences[0].track(Guest(TOPIC), "ann", {})
            presences[1].track(Guest("room:b"), "bob", {})
            await eventually(lambda: len(heard) == 1 and bool(presences[0].list("room:b")))
            one.broadcast(TOPIC, "news", {"n": 1})
            one.broadcast_from(own.append, TOPIC, "to others", {"n": 2})
            one.local_broadcast(TOPIC, "here", {})
            two.broadcast(TOPIC, "back", {})
            await eventually(lambda: len(heard) == 4 and len(own) == 4)
            seen = presences[1].list(TOPIC)
        one.broadcast(TOPIC, "alone", {})
        alone = [list(presences[0].list(topic)) for topic in (TOPIC, "room:b")]
        await eventually(lambda: not presences[1].list(TOPIC))

    assert {each.event for each in heard} == {"presence_diff", "news", "to others", "back"}
    assert {each.event for each in own} == {"presence_diff", "news", "here", "back"} | {"alone"}
    assert list(seen) == ["ann"]
    assert alone == [["ann"], []]
    assert one.pubsub.relay is None


async def test_disconnect_reaches_the_clients_of_every_node() -> None:
    """By the id of a socket, as in Phoenix."""
    server = MemoryServer()
    one, two = an_endpoint(server), an_endpoint(server)
    async with serving(mounted(one)) as url, running(two):
        wire = await PhoenixWire.open(url, "/socket/websocket?vsn=2.0.0&user=ann")

        two.broadcast("user:ann", "disconnect", {})

        async with asyncio.timeout(patient(10.0)):
            frame = await wire.recv_frame()
        await wire.close()
    assert frame.close_code == 1001


async def test_applications_of_one_endpoint_share_its_bus() -> None:
    """It stays open until the last of them has ended."""
    server = MemoryServer()
    endpoint, other = an_endpoint(server, longpoll=True), an_endpoint(server, longpoll=True)
    heard: list[Broadcast] = []
    other.subscribe(TOPIC, heard.append)
    async with serving(mounted(other)) as other_url:
        async with serving(mounted(endpoint)) as second_url:
            async with running(endpoint):
                nodes = len(other.bus.up) if other.bus else 0
            second = await Poller.open(second_url)
            elsewhere = Poller(other_url)
            elsewhere.token = second.token
            await elsewhere.join(TOPIC)
            endpoint.broadcast(TOPIC, "still here", {})
            await eventually(lambda: len(heard) == 1)
        await eventually(lambda: bool(other.bus and not other.bus.up))
        endpoint.broadcast(TOPIC, "gone", {})

    assert nodes == 1
    assert [each.event for each in heard] == ["still here"]


async def test_an_application_that_has_not_joined_leaves_the_bus_to_the_others() -> None:
    """Its start has failed, so it has nothing to leave; and whoever leaves takes its hubs along."""
    endpoint = an_endpoint(MemoryServer(), longpoll=True)
    failed = member_of(endpoint, None)
    assert failed is not None
    async with running(endpoint):
        await failed.leave()

        assert is_open(endpoint)
        assert len(failed.sessions._hubs) == 1
    assert not is_open(endpoint)
    assert failed.sessions._hubs == []


async def test_a_bus_that_cannot_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """The start fails with the reason, and may be repeated."""
    endpoint = an_endpoint(MemoryServer())

    def load(_broker: MemoryBroker) -> None:
        raise missing_extra("redis")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryBroker, "load", load)
        with pytest.raises(MissingExtraError, match="is not installed"):
            await web.AppRunner(mounted(endpoint)).setup()
    assert endpoint.pubsub.relay is None

    async with running(endpoint):
        assert endpoint.pubsub.relay is not None


async def test_a_session_is_answered_with_the_options_of_its_socket() -> None:
    """Whichever node a request reaches, and whichever sockets there are beside it."""
    server = MemoryServer()
    endpoints = [
        an_endpoint(server, longpoll=LongPollOptions(max_batch_messages=1)) for _ in range(2)
    ]
    for endpoint in endpoints:
        endpoint.socket("/large", accepting({"room:*": OpenChannel}), longpoll=True)
    async with serving(mounted(endpoints[0])) as here, serving(mounted(endpoints[1])) as there:
        poller = await Poller.open(here, "/large/longpoll?vsn=2.0.0")
        other = Poller(there, "/large/longpoll?vsn=2.0.0")
        other.token = poller.token

        await other.join(TOPIC)
        await other.send(*([None, f"{n}", "phoenix", "heartbeat", {}] for n in range(2)))

        assert len(await other.recv_some()) == 2


def test_an_endpoint_that_is_opened_again() -> None:
    """In another event loop, whether the first application was shut down or not."""
    server = MemoryServer()
    one, two = an_endpoint(server), an_endpoint(server)
    presences = [Presence(endpoint) for endpoint in (one, two)]
    heard: list[str] = []
    two.subscribe(TOPIC, lambda broadcast: heard.append(broadcast.event))

    async def talk(event: str) -> None:
        async with running(one, two):
            one.broadcast(TOPIC, event, {})
            await eventually(lambda: event in heard)

    async def leave_open() -> None:
        for endpoint in (one, two):
            await web.AppRunner(mounted(endpoint)).setup()
        presences[0].track(Guest(TOPIC), "ann", {})
        await eventually(lambda: list(presences[1].list(TOPIC)) == ["ann"])

    asyncio.run(talk("first"))
    asyncio.run(talk("second"))
    asyncio.run(leave_open())
    asyncio.run(talk("third"))

    assert [event for event in heard if event != "presence_diff"] == ["first", "second", "third"]


async def test_a_start_without_the_broker() -> None:
    """Clients are served, and the nodes find each other when the broker is there."""
    server = MemoryServer()
    server.stop()
    one, two = an_endpoint(server), an_endpoint(server)
    for endpoint in (one, two):
        assert endpoint.bus is not None
        endpoint.bus.catch_up = _at_once(endpoint.bus.catch_up)  # type: ignore[method-assign]
    heard: list[Broadcast] = []
    two.subscribe(TOPIC, heard.append)

    async with serving(mounted(one)) as url, running(two):
        wire = await PhoenixWire.open(url, "/socket/websocket?vsn=2.0.0")
        reply = await wire.ask(["1", "1", TOPIC, "phx_join", {}])
        server.is_up = True
        await eventually(lambda: bool(one.bus and one.bus.up and two.bus and two.bus.up))
        one.broadcast(TOPIC, "news", {})
        await eventually(lambda: len(heard) == 1)
        await wire.close()

    assert reply[4]["status"] == "ok"


def _at_once(catch_up: Any) -> Any:
    async def wait() -> bool:
        result: bool = await catch_up(0.05)
        return result

    return wait


async def test_a_presence_that_is_there_already() -> None:
    """Presences from before the start, and those of subclasses, are matched by their class."""

    class Rooms(Presence):
        """Another one; there are two of it."""

    server = MemoryServer()
    one, two = an_endpoint(server), an_endpoint(server)
    rooms, plain = Rooms(one), Presence(one)
    plain_there, rooms_there = Presence(two), Rooms(two)  # as in another version of the program
    more, more_there = Rooms(one), Rooms(two)
    more.track(Guest(TOPIC), "eve", {})
    rooms.track(Guest(TOPIC), "ann", {})
    plain.track(Guest(TOPIC), "bob", {})

    async with running(one, two):
        assert list(rooms_there.list(TOPIC)) == ["ann"]
        assert list(plain_there.list(TOPIC)) == ["bob"]
        assert list(more_there.list(TOPIC)) == ["eve"]


async def test_a_presence_that_is_made_too_late(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody would notice that other nodes do not see it, so it is logged."""
    endpoint = an_endpoint(MemoryServer())
    Presence(endpoint)
    async with running(endpoint):
        before = caplog.text
        Presence(endpoint)

    assert "made after the application has started" not in before
    assert caplog.text.count("made after the application has started") == 1


async def test_a_channel_test_needs_no_broker() -> None:
    """The bus is opened by applications only."""
    endpoint = an_endpoint(MemoryServer())
    async with ChannelTest(endpoint) as channels:
        socket = await channels.connect(accepting({"room:*": OpenChannel}))
        client = await channels.subscribe_and_join(socket, TOPIC)
        endpoint.broadcast(TOPIC, "news", {})
        await client.assert_push("news", {})

    assert endpoint.bus is not None
    assert endpoint.bus.counts.connects == endpoint.bus.counts.casts == 0


async def test_a_bus_and_a_cluster() -> None:
    """The error says which one to leave out, for each kind of application."""
    endpoint = an_endpoint(MemoryServer())
    expected = "this endpoint has a bus, which connects the processes of one machine too: leave out"

    with pytest.raises(ConfigError, match=expected):
        mount(web.Application(), endpoint, cluster=Cluster())
    with pytest.raises(ConfigError, match="leave out bus="):
        mount(web.Application(), endpoint, bus=endpoint.bus)
    with pytest.raises(ConfigError, match=expected):
        asgi.app(endpoint, cluster=Cluster())


def test_long_polling_without_a_secret() -> None:
    """Tokens of one node would be invalid at another; websockets have none."""
    handler = accepting({"room:*": OpenChannel})
    endpoint = Endpoint(bus=BrokerBus(MemoryBroker(MemoryServer())))
    endpoint.socket("/socket", handler)
    mount(web.Application(), endpoint)
    endpoint.socket("/poll", handler, longpoll=True)

    for mount_it in (lambda: mount(web.Application(), endpoint), lambda: asgi.app(endpoint)):
        with pytest.raises(
            ConfigError, match=r"write Endpoint\(secret_key_base=\.\.\.\), the same"
        ):
            mount_it()


def test_what_is_no_bus() -> None:
    """A URL is not enough."""
    with pytest.raises(ConfigError, match=r'a bus, such as bus=RedisBus\("redis://127'):
        Endpoint(bus="redis://127.0.0.1")  # type: ignore[arg-type]
