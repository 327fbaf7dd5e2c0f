"""Declarations of channels, and the socket of a channel."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from phoenix_compat import (
    Channel,
    ChannelDefinitionError,
    HandleResult,
    NotJoinedError,
    Result,
    Socket,
    SocketHandler,
    Stop,
    error,
    ok,
    on,
)
from phoenix_compat.channel import UnhandledEventError
from phoenix_compat.errors import LocalProtocolError
from phoenix_compat.result import DONE
from tests.unit.runtime.harness import Engine


class RoomChannel(Channel):
    """Two handlers."""

    @on("one")
    def handle_one(self, payload: Any, socket: Socket) -> Result:
        return ok(one=payload)

    @on("two")
    async def handle_two(self, payload: Any, socket: Socket) -> Result:
        return ok(two=payload)


def test_handlers_are_collected() -> None:
    """The class maps events to handlers; the base class has none."""
    assert list(RoomChannel.handlers) == ["one", "two"]
    assert RoomChannel.handlers["one"] is RoomChannel.handle_one
    assert Channel.handlers == {}


def test_a_handler_is_still_a_method() -> None:
    """`@on` does not change the method."""
    assert RoomChannel().handle_one(1, a_socket()) == ok(one=1)


def test_handlers_are_inherited() -> None:
    """A subclass has its own handlers and those of its bases; the base is not changed."""

    class SubChannel(RoomChannel):
        @on("three")
        def handle_three(self, payload: Any, socket: Socket) -> Result:
            return ok()

    assert set(SubChannel.handlers) == {"one", "two", "three"}
    assert set(RoomChannel.handlers) == {"one", "two"}


def test_a_subclass_may_replace_a_handler() -> None:
    """A method overrides the base's method of the same name, for its own event."""

    class Other(RoomChannel):
        @on("one")
        def handle_one(self, payload: Any, socket: Socket) -> Result:
            return error()

        @on("new")
        async def handle_two(self, payload: Any, socket: Socket) -> Result:
            return ok()

    assert Other.handlers == {"one": Other.handle_one, "new": Other.handle_two}


def test_two_handlers_of_one_event() -> None:
    """Two methods for one event are an error when the class is created."""
    with pytest.raises(ChannelDefinitionError, match=r"both b\(\) and a\(\)|both a\(\) and b\(\)"):

        class Twice(Channel):
            @on("e")
            def a(self, payload: Any, socket: Socket) -> None: ...

            @on("e")
            def b(self, payload: Any, socket: Socket) -> None: ...


def test_a_handler_of_another_shape() -> None:
    """A handler with a wrong number of parameters is an error at once."""
    with pytest.raises(ChannelDefinitionError, match=r"Short\.handle has the wrong parameters"):

        class Short(Channel):
            @on("e")  # type: ignore[type-var] # the mistake
            def handle(self, payload: Any) -> None: ...


def test_intercept_without_handle_out() -> None:
    """Intercepted events need a handle_out."""
    with pytest.raises(ChannelDefinitionError, match="has no handle_out"):

        class Deaf(Channel):
            intercept = ("e",)


def test_handle_out_without_intercept() -> None:
    """A handle_out that is never called is an error."""
    with pytest.raises(ChannelDefinitionError, match="list its events in `intercept`"):

        class Idle(Channel):
            def handle_out(self, event: str, payload: Any, socket: Socket) -> None: ...


def test_intercepts_are_inherited() -> None:
    """A subclass of a channel that intercepts does so too."""

    class Filtering(Channel):
        intercept = ("e",)

        def handle_out(self, event: str, payload: Any, socket: Socket) -> Stop | None:
            return None

    class Sub(Filtering):
        pass

    assert Sub.intercepts == {"e"}
    assert Channel.intercepts == set()


# What the base class does.


def test_a_channel_must_define_join() -> None:
    """`join` has no default."""
    with pytest.raises(NotImplementedError, match="RoomChannel"):
        RoomChannel().join("t", {}, a_socket())


def test_an_event_without_a_handler() -> None:
    """The base class raises for unknown events."""
    with pytest.raises(UnhandledEventError, match="RoomChannel has no handler for event 'e'"):
        RoomChannel().handle_in("e", {}, a_socket())


def test_a_message_without_handle_info(caplog: pytest.LogCaptureFixture) -> None:
    """193: an unexpected message only logs a warning."""
    caplog.set_level(logging.WARNING)

    assert RoomChannel().handle_info("hello", a_socket()) is None

    assert "RoomChannel" in caplog.text
    assert "'hello'" in caplog.text


def test_the_other_callbacks_do_nothing() -> None:
    """handle_out and terminate are optional."""
    assert RoomChannel().handle_out("e", {}, a_socket()) is None
    assert RoomChannel().terminate("normal", a_socket()) is None


# The socket.


class FakeChannel:
    """Records what a socket asks of its channel."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **more: self.asked.append((name, *args, *more.values()))


def a_socket() -> Socket:
    """A socket as `connect` gets it."""
    return Socket(Engine(), SocketHandler)


def a_channel_socket(running: Any, *, joined: bool = True) -> Socket:
    """The socket of a channel on "t"."""
    socket = a_socket().for_channel(running, "t", "1", None)
    socket.joined = joined
    return socket


def test_a_joined_socket_sends_through_its_channel() -> None:
    """131: the methods of a socket are carried out by its channel, and return something done."""
    running = FakeChannel()
    socket = a_channel_socket(running)

    done = [
        socket.push("e", {}),
        socket.broadcast("e", {}),
        socket.broadcast_from("e", {}),
    ]
    socket.send_self("hello")
    socket.subscribe("news")
    socket.unsubscribe("news")

    assert done == [DONE] * 3
    assert running.asked == [
        ("push", "e", {}),
        ("broadcast", "e", {}, False),
        ("broadcast", "e", {}, True),
        ("send_self", "hello"),
        ("subscribe", "news"),
        ("unsubscribe", "news"),
    ]


SPEAKING = [
    lambda socket: socket.push("e", {}),
    lambda socket: socket.broadcast("e", {}),
    lambda socket: socket.broadcast_from("e", {}),
    lambda socket: socket.reply_ref(),
]
NEEDING_A_CHANNEL = [
    lambda socket: socket.send_self("m"),
    lambda socket: socket.unsubscribe("t"),
]
PREPARING = [*NEEDING_A_CHANNEL, lambda socket: socket.subscribe("t")]


@pytest.mark.parametrize("speak", SPEAKING)
def test_a_socket_that_is_not_joined_cannot_send(speak: Any) -> None:
    """134: inside `join`, push, broadcast and reply_ref raise."""
    running = FakeChannel()

    with pytest.raises(NotJoinedError, match="'t'"):
        speak(a_channel_socket(running, joined=False))

    assert running.asked == []


@pytest.mark.parametrize("prepare", PREPARING)
def test_a_socket_that_is_not_joined_can_prepare(prepare: Any) -> None:
    """Inside `join` a channel may send itself messages and subscribe to topics."""
    running = FakeChannel()

    prepare(a_channel_socket(running, joined=False))

    assert len(running.asked) == 1


@pytest.mark.parametrize("use", [*SPEAKING, *NEEDING_A_CHANNEL])
def test_the_socket_of_connect_has_no_channel(use: Any) -> None:
    """In `connect` a socket cannot send."""
    with pytest.raises(NotJoinedError):
        use(a_socket())


def test_the_socket_of_connect_can_subscribe() -> None:
    """In `connect` it subscribes the connection, to each topic once."""
    socket = a_socket()

    for topic in ("a", "b", "a"):
        socket.subscribe(topic)

    assert socket.connection_topics == ("a", "b")


def test_a_reply_ref_keeps_its_message() -> None:
    """132: a reply_ref replies to its message, whatever is handled in the meantime."""
    running = FakeChannel()
    socket = a_channel_socket(running)
    socket.ref = "2"
    ref = socket.reply_ref()

    socket.ref = "3"
    done = ref.reply(ok())

    assert done is DONE
    assert running.asked == [("reply", "1", "2", ok())]


def test_a_reply_ref_needs_a_ref() -> None:
    """134: outside of handle_in, and for a message without a ref, it raises."""
    with pytest.raises(LocalProtocolError, match="handle_in"):
        a_channel_socket(FakeChannel()).reply_ref()


def test_assign() -> None:
    """75-78: assign takes a mapping, keywords, or both; it overwrites and keeps other values."""
    socket = a_socket()

    same = socket.assign({"a": 1, "b": 1}).assign(b=2, c=3)
    socket.assign({"c": 0}, c=4)
    socket.assign()

    assert same is socket
    assert socket.assigns == {"a": 1, "b": 2, "c": 4}


def test_assign_with_a_function() -> None:
    """A function gets the current assigns, and what it returns is merged into them."""
    socket = a_socket().assign(a=1, b=2)

    socket.assign(lambda assigns: {"a": assigns["a"] + 1}, c=3)

    assert socket.assigns == {"a": 2, "b": 2, "c": 3}


def test_a_channel_gets_a_copy() -> None:
    """A channel's socket has a copy of the connection's assigns."""
    socket = a_socket()
    socket.id = "user:1"
    socket.assign(a=1)
    running: Any = FakeChannel()

    channel = socket.for_channel(running, "t", "9", {"a": 2, "b": 3})
    channel.assign(c=4)

    assert channel.assigns == {"a": 2, "b": 3, "c": 4}
    assert socket.assigns == {"a": 1}
    assert (channel.id, channel.topic, channel.join_ref, channel.joined) == (
        "user:1",
        "t",
        "9",
        False,
    )


def test_the_base_handler_refuses() -> None:
    """A handler without `connect` accepts nobody, and has no id."""
    handler = SocketHandler()

    assert handler.connect({}, a_socket(), {}) == error()  # type: ignore[arg-type] # no ConnectInfo
    assert handler.id(a_socket()) is None


def test_a_replaced_method_keeps_its_event() -> None:
    """A subclass that overrides an `@on` method without `@on` still handles the event."""

    class BaseChannel(Channel):
        @on("new_msg")
        def new_msg(self, payload: Any, socket: Socket) -> HandleResult:
            return ok("base")

    class LouderChannel(BaseChannel):
        def new_msg(self, payload: Any, socket: Socket) -> HandleResult:
            return ok("louder")

    assert LouderChannel.handlers == {"new_msg": LouderChannel.new_msg}
