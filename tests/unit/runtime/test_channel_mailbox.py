"""Other items of a channel's mailbox: own messages and broadcasts; and late replies."""

from __future__ import annotations

import asyncio
from typing import Any

from phoenix_compat import (
    HandleResult,
    Reason,
    ReplyRef,
    Result,
    Socket,
    Stop,
    error,
    ok,
    on,
    stop,
)
from tests.unit.runtime.harness import (
    Client,
    Engine,
    Latches,
    OpenChannel,
    TalkingChannel,
    replied,
)


def info(got: Any) -> list[Any]:
    """The push of a TalkingChannel."""
    return ["1", None, "t", "info", {"got": got}]


async def test_what_join_sent_itself_follows_the_reply() -> None:
    """Messages that `join` sent itself are handled after its reply, in order."""
    client = Client(Engine(), {"t": TalkingChannel})

    await client.send("1", "1", "t", "phx_join", {"send_self": ["a", "b"]})

    assert client.received() == [replied("1", "1", "t"), info("a"), info("b")]


async def test_what_a_callback_sent_itself_follows_its_answer() -> None:
    """Messages that a callback sent itself are handled after its reply."""
    client = Client(Engine(), {"t": TalkingChannel})
    await client.join("t")

    await client.send("1", "2", "t", "send_self", ["a", "b"])

    assert client.received() == [replied("1", "2", "t"), info("a"), info("b")]


async def test_another_topic() -> None:
    """192: broadcasts of a subscribed topic go to handle_info, until unsubscribe."""
    engine = Engine()
    client = Client(engine, {"t": TalkingChannel})
    await client.send("1", "1", "t", "phx_join", {"subscribe": ["news"]})

    engine.broadcast("news", "hot", {"n": 1})
    await client.send("1", "2", "t", "unsubscribe", "news")
    engine.broadcast("news", "cold", {"n": 2})

    expected = [replied("1", "1", "t"), info(["news", "hot", {"n": 1}]), replied("1", "2", "t")]
    assert client.received() == expected


async def test_unsubscribing_from_what_was_not_subscribed_to() -> None:
    """Unsubscribing from an unknown topic has no effect."""
    client = Client(Engine(), {"t": TalkingChannel})
    await client.join("t")

    await client.send("1", "2", "t", "unsubscribe", "news")

    assert client.received() == [replied("1", "2", "t")]


async def test_a_channel_leaves_its_other_topics_when_it_ends() -> None:
    """All subscriptions end with the channel."""
    engine = Engine()
    client = Client(engine, {"t": TalkingChannel})
    await client.send("1", "1", "t", "phx_join", {"subscribe": ["news", "more"]})

    await client.send("1", "2", "t", "phx_leave", {})

    assert len(engine.pubsub) == 0


async def test_a_monitor_is_called_once_at_the_end() -> None:
    """`socket.monitor` calls back once, after the channel has left its topic."""
    told: list[int] = []
    engine = Engine()

    class Watched(OpenChannel):
        def join(self, topic: str, payload: Any, socket: Socket) -> Result:
            socket.monitor(lambda: told.append(len(engine.pubsub)))
            return ok()

    client = Client(engine, {"t": Watched})
    await client.join("t")
    await client.send("1", "2", "t", "phx_leave", {})
    await client.disconnect()

    assert told == [0]


# Broadcasts.


class Filtering(OpenChannel):
    """Intercepts `secret` and marks what it passes on."""

    intercept = ("secret", "last")

    def handle_out(self, event: str, payload: Any, socket: Socket) -> Stop | None:
        if event == "last":
            return stop()
        if payload["for"] == socket.join_ref:
            socket.push(event, {**payload, "seen": True})
        return None

    @on("say")
    def say(self, payload: Any, socket: Socket) -> HandleResult:
        socket.broadcast(*payload)
        return ok()

    @on("say_from")
    def say_from(self, payload: Any, socket: Socket) -> HandleResult:
        socket.broadcast_from(*payload)
        return ok()


async def test_an_intercepted_broadcast_is_the_channels_to_decide() -> None:
    """An event in `intercept` goes to handle_out; a push from there has the join_ref."""
    engine = Engine()
    client = Client(engine, {"t": Filtering})
    await client.join("t")

    engine.broadcast("t", "secret", {"for": "1"})
    engine.broadcast("t", "secret", {"for": "2"})
    engine.broadcast("t", "open", {})

    assert client.received() == [
        ["1", None, "t", "secret", {"for": "1", "seen": True}],
        [None, None, "t", "open", {}],
    ]


async def test_an_intercepted_broadcast_may_end_the_channel() -> None:
    """181: handle_out may stop the channel gracefully."""
    engine = Engine()
    client = Client(engine, {"t": Filtering})
    await client.join("t")

    engine.broadcast("t", "last", {})

    assert client.received() == [["1", "1", "t", "phx_close", {}]]


async def test_broadcasts_and_answers_keep_their_order() -> None:
    """219: a client gets its own broadcast before the reply, and others get it too."""
    engine = Engine()
    client, other = Client(engine, {"t": Filtering}), Client(engine, {"t": Filtering})
    await client.join("t")
    await other.join("t", "9")

    await client.send("1", "2", "t", "say", ["open", {"n": 1}])
    await client.send("1", "3", "t", "say_from", ["open", {"n": 2}])
    await client.send("1", "4", "t", "say_from", ["secret", {"for": "9"}])

    assert client.received() == [
        [None, None, "t", "open", {"n": 1}],
        replied("1", "2", "t"),
        replied("1", "3", "t"),
        replied("1", "4", "t"),
    ]
    assert other.received() == [
        [None, None, "t", "open", {"n": 1}],
        [None, None, "t", "open", {"n": 2}],
        ["9", None, "t", "secret", {"for": "9", "seen": True}],
    ]


async def test_a_channel_that_subscribes_to_its_own_topic() -> None:
    """A channel that subscribes to its own topic gets others' broadcasts there, not its own."""
    heard: list[str] = []

    class Echoing(OpenChannel):
        intercept = ("never",)

        def join(self, topic: str, payload: Any, socket: Socket) -> Result:
            socket.subscribe(topic)
            return ok()

        def handle_out(self, event: str, payload: Any, socket: Socket) -> None:
            heard.append(event)

        @on("say_from")
        def say_from(self, payload: Any, socket: Socket) -> None:
            socket.broadcast_from("own", {})

    engine = Engine()
    client = Client(engine, {"t": Echoing})
    await client.join("t")
    engine.broadcast("t", "other", {})
    await client.send("1", "2", "t", "say_from", {})

    assert heard == ["other"]


# Late answers.


async def test_a_late_answer() -> None:
    """132, 133: a reply_ref replies in any order, repeatedly, and after the channel ended."""
    refs: list[ReplyRef] = []

    class Late(OpenChannel):
        @on("e")
        def on_e(self, payload: Any, socket: Socket) -> None:
            refs.append(socket.reply_ref())

    client = Client(Engine(), {"t": Late})
    await client.join("t")
    await client.send("1", "2", "t", "e", {})
    await client.send("1", "3", "t", "e", {})
    await client.send("1", "4", "t", "phx_leave", {})
    client.received()

    await refs[1].reply(ok(n=1))
    refs[0].reply(error())
    refs[0].reply(ok(n=2))

    assert client.received() == [
        replied("1", "3", "t", {"n": 1}),
        replied("1", "2", "t", status="error"),
        replied("1", "2", "t", {"n": 2}),
    ]


async def test_a_background_task_of_a_channel() -> None:
    """167: a task of a callback pushes and replies while the channel continues."""
    latches, tasks = Latches(), []

    class Background(OpenChannel):
        @on("e")
        def on_e(self, payload: Any, socket: Socket) -> None:
            ref = socket.reply_ref()

            async def work() -> None:
                await latches.at("x")
                await socket.push("progress", {"n": 1})
                await ref.reply(ok())

            tasks.append(asyncio.create_task(work()))

    client = Client(Engine(), {"t": Background})
    await client.join("t")
    await client.send("1", "2", "t", "e", {})

    await latches.open("x")

    assert client.received() == [["1", None, "t", "progress", {"n": 1}], replied("1", "2", "t")]


async def test_a_monitor_of_a_channel_that_ended() -> None:
    """A monitor of an ended channel is called at once."""
    told: list[str] = []

    class Late(OpenChannel):
        def terminate(self, reason: Reason, socket: Socket) -> None:
            socket.monitor(lambda: told.append("ended"))

    client = Client(Engine(), {"t": Late})
    await client.join("t")

    await client.send("1", "2", "t", "phx_leave", {})

    assert told == ["ended"]
