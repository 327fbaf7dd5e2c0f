"""One endpoint in several applications: one after the other, at once, in several event loops."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from phoenix_compat import (
    Channel,
    ConfigError,
    Endpoint,
    LongPollOptions,
    Presence,
    Socket,
    mount,
    ok,
    on,
)
from phoenix_compat.result import HandleResult, Result
from phoenix_compat.testing import ChannelTest
from tests.patience import patient
from tests.polling import Poller
from tests.serving import accepting, serving
from tests.wire import OK, PhoenixWire


class RoomChannel(Channel):
    """Tracks its client, and says what it is asked to say."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        socket.send_self("joined")
        return ok()

    def handle_info(self, message: Any, socket: Socket) -> None:
        presence.track(socket, "someone", {})

    @on("say")
    def say(self, payload: Any, socket: Socket) -> HandleResult:
        socket.broadcast("said", payload)
        return ok()

    @on("wait")
    async def wait(self, payload: Any, socket: Socket) -> HandleResult:
        await asyncio.sleep(patient(0.3))
        return ok({"waited": True})


# At the level of the module, as users have it, for all tests.
endpoint = Endpoint()
endpoint.socket(
    "/socket", accepting({"room:*": RoomChannel}), longpoll=LongPollOptions(window_s=5.0)
)
presence = Presence(endpoint)


@pytest.fixture(autouse=True)
def the_endpoint_is_empty() -> Iterator[None]:
    """Every test leaves the endpoint as it found it, however it ended."""
    yield
    assert (endpoint.connections, len(endpoint.pubsub), len(presence)) == (0, 0, 0)


def an_app() -> web.Application:
    app = web.Application()
    mount(app, endpoint)
    return app


async def talk(url: str) -> None:
    """Join by websocket and by long-poll, and see what is broadcast and who is there."""
    wire, poller = await PhoenixWire.open(url), await Poller.open(url)
    await wire.join("room:a")
    assert (await wire.recv())[3] == "presence_diff"
    await poller.send(["1", "1", "room:a", "phx_join", {}])
    joined = await poller.recv_many(2)
    assert [message[3] for message in joined] == ["phx_reply", "presence_diff"]
    assert (await wire.recv())[3] == "presence_diff"
    await wire.send(["1", "2", "room:a", "say", {"text": "hi"}])
    assert await wire.recv_many(2) == [
        [None, None, "room:a", "said", {"text": "hi"}],
        ["1", "2", "room:a", "phx_reply", OK],
    ]
    assert (await poller.recv())[3] == "said"
    assert len(presence.list("room:a")["someone"]["metas"]) == 2
    await wire.close()


async def serve_and_talk() -> None:
    async with serving(an_app()) as url:
        await talk(url)


def test_an_event_loop_after_the_other() -> None:
    """Each `asyncio.run` serves the endpoint again."""
    for _ in range(3):
        asyncio.run(serve_and_talk())


async def test_an_application_after_the_other() -> None:
    """After an application was shut down the next one serves the endpoint."""
    for _ in range(2):
        await serve_and_talk()


@pytest.mark.parametrize("number", [1, 2])
async def test_the_client_of_pytest_aiohttp(
    aiohttp_client: Callable[[web.Application], Awaitable[TestClient[Any, Any]]], number: int
) -> None:
    """A client for each test, with an endpoint for all of them."""
    client = await aiohttp_client(an_app())

    async with client.ws_connect("/socket/websocket?vsn=2.0.0") as socket:
        await socket.send_json(["1", str(number), "room:a", "phx_join", {}])

        assert await socket.receive_json() == ["1", str(number), "room:a", "phx_reply", OK]


async def shut_down(server: AsyncExitStack, wire: PhoenixWire) -> None:
    """Shut an application down whose client is closed by that, because it restarts."""
    closing = asyncio.create_task(server.aclose())
    assert await wire.recv_close() == 1012
    await closing
    await wire.close()


async def test_two_applications_at_once() -> None:
    """Both get what is broadcast; each closes its own clients, and refuses only its own."""
    first, second = AsyncExitStack(), AsyncExitStack()
    first_url = await first.enter_async_context(serving(an_app()))
    second_url = await second.enter_async_context(serving(an_app()))
    staying, leaving = await PhoenixWire.open(first_url), await PhoenixWire.open(second_url)
    await staying.join("room:b")
    await staying.recv()
    await leaving.join("room:b")
    await leaving.recv()
    await staying.recv()

    endpoint.broadcast("room:b", "news", {})
    heard = [(await wire.recv())[3] for wire in (staying, leaving)]
    await shut_down(second, leaving)
    left = await staying.recv()
    await staying.fence()
    await talk(first_url)
    await shut_down(first, staying)

    assert heard == ["news", "news"]
    assert left[3] == "presence_diff"


async def test_a_callback_of_the_other_application_goes_on() -> None:
    """The end of one application cancels no callback of the other."""
    async with serving(an_app()) as first:
        staying = await PhoenixWire.open(first)
        await staying.join("room:c")
        await staying.recv()
        await staying.send(["1", "2", "room:c", "wait", {}])
        async with serving(an_app()):
            pass
        assert (await staying.recv())[4]["response"] == {"waited": True}
        await staying.close()


async def test_two_event_loops_at_once() -> None:
    """The second one is refused, with what to write instead."""
    errors: list[Exception] = []

    def serve_in_thread() -> None:
        try:
            asyncio.run(serve_and_talk())
        except ConfigError as error:
            errors.append(error)

    async with serving(an_app()) as url:
        thread = threading.Thread(target=serve_in_thread)
        thread.start()
        await asyncio.to_thread(thread.join)
        await talk(url)

    assert "is open in another event loop" in str(errors[0])
    assert "Create one Endpoint for each event loop" in str(errors[0])


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_a_loop_that_was_closed_without_a_shutdown(caplog: pytest.LogCaptureFixture) -> None:
    """The next loop ends what is left of its clients, logs it, and serves new ones."""

    async def forget_to_shut_down() -> None:
        runner = web.AppRunner(an_app())
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        wire = await PhoenixWire.open("http://{}:{}".format(*runner.addresses[0][:2]))
        poller = await Poller.open("http://{}:{}".format(*runner.addresses[0][:2]))
        await poller.send(["1", "1", "room:d", "phx_join", {}])
        await wire.join("room:d")
        endpoint.broadcast("room:d", "unsent", {})
        await wire.close()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(forget_to_shut_down())
    loop.close()
    assert "room:d" in endpoint.pubsub.topics

    asyncio.run(serve_and_talk())

    assert "an event loop was closed before the application in it was shut down" in caplog.text
    gc.collect()


# ChannelTest.


async def talk_without_network() -> None:
    async with ChannelTest(endpoint) as channels:
        ann = await channels.subscribe_and_join(RoomChannel, "room:a")

        ref = await ann.push("say", {"text": "hi"})

        await ann.assert_reply(ref, "ok")
        await ann.assert_push("said", {"text": "hi"})
        await channels.assert_broadcast("room:a", "said")
        assert len(presence.list("room:a")) == 1


def test_channel_tests_in_several_loops() -> None:
    """Each test has its own event loop, and all share the endpoint."""
    for _ in range(2):
        asyncio.run(talk_without_network())
        asyncio.run(serve_and_talk())


async def test_a_channel_test_beside_an_application() -> None:
    """Both may be open in one event loop, and the end of the test leaves the application."""
    async with serving(an_app()) as url:
        await talk_without_network()
        await talk(url)


def test_a_channel_test_that_was_not_closed(caplog: pytest.LogCaptureFixture) -> None:
    """Its channels end when the next event loop uses the endpoint."""

    async def forget_to_close() -> None:
        await ChannelTest(endpoint).join(RoomChannel, "room:e")

    asyncio.run(forget_to_close())
    assert "room:e" in endpoint.pubsub.topics

    asyncio.run(talk_without_network())

    assert "event loop was closed" in caplog.text
