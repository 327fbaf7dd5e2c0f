"""Declarations of channels whose payloads have types."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from phoenix_compat import (
    Channel,
    ChannelDefinitionError,
    HandleResult,
    Result,
    Socket,
    on,
    on_join,
)
from phoenix_compat.result import ok


class NewMsg(msgspec.Struct):
    """The payload of an event."""

    body: str


class Params(msgspec.Struct):
    """The payload of a join."""

    name: str


class RoomChannel(Channel):
    """A channel with types."""

    pushes = {"new_msg": NewMsg, "picture": bytes}  # noqa: RUF012 - a ClassVar of the base

    @on_join(Params)
    def join(self, topic: str, payload: Params, socket: Socket) -> Result:
        return ok(name=payload.name)

    @on("new_msg", NewMsg)
    def new_msg(self, payload: NewMsg, socket: Socket) -> HandleResult:
        return ok(payload.body)

    @on("untyped")
    def untyped(self, payload: Any, socket: Socket) -> HandleResult:
        return ok(payload)


SOCKET: Any = None


def test_only_typed_events_are_converted() -> None:
    """The table calls an untyped method as it is."""
    assert RoomChannel.handlers["untyped"] is RoomChannel.untyped
    assert RoomChannel.handlers["new_msg"](RoomChannel(), {"body": "hi"}, SOCKET) == ok("hi")
    assert list(RoomChannel.payload_types) == ["new_msg"]


def test_a_typed_method_is_still_a_method() -> None:
    """`@on` and `@on_join` do not change the methods."""
    assert RoomChannel().new_msg(NewMsg("hi"), SOCKET) == ok("hi")
    assert RoomChannel().join("room:1", Params("ann"), SOCKET) == ok(name="ann")


def test_the_declared_types() -> None:
    """The class knows the types of its events, its join and its pushes."""
    assert RoomChannel.payload_types["new_msg"].declared is NewMsg
    assert RoomChannel.join_type is not None
    assert RoomChannel.join_type.declared is Params
    assert {event: one.declared for event, one in RoomChannel.push_types.items()} == {
        "new_msg": NewMsg,
        "picture": bytes,
    }


def test_types_are_inherited() -> None:
    """A method that overrides another keeps its event and its type."""

    class Louder(RoomChannel):
        def join(self, topic: str, payload: Params, socket: Socket) -> Result:
            return ok(name=payload.name.upper())

        def new_msg(self, payload: NewMsg, socket: Socket) -> HandleResult:
            return ok(payload.body.upper())

    assert Louder.handlers["new_msg"](Louder(), {"body": "hi"}, SOCKET) == ok("HI")
    assert Louder.join_type is not None
    assert Louder.join_type.declared is Params


def test_a_type_is_replaced() -> None:
    """A method that is marked again has the new type, or none."""

    class Other(RoomChannel):
        @on_join(dict[str, str])
        def join(self, topic: str, payload: dict[str, str], socket: Socket) -> Result:  # type: ignore[override] # that is the point
            return ok(payload)

        @on("new_msg")
        def new_msg(self, payload: Any, socket: Socket) -> HandleResult:
            return ok(payload)

    assert Other.payload_types == {}
    assert Other.handlers["new_msg"] is Other.new_msg
    assert Other.join_type is not None
    assert Other.join_type.declared == dict[str, str]


def test_the_base_class_has_no_types() -> None:
    """Nothing is converted unless a type is declared."""
    assert (Channel.join_type, Channel.payload_types, Channel.push_types) == (None, {}, {})


class Custom:
    """A class that cannot be used."""


WRITE = "Write a msgspec Struct, a dataclass, a TypedDict, a pydantic model, bytes for binary"


def test_an_event_with_a_wrong_type() -> None:
    """The error names the class, the event, the type and what can be written."""
    with pytest.raises(ChannelDefinitionError) as caught:

        class Broken(Channel):
            @on("new_msg", Custom)
            def new_msg(self, payload: Custom, socket: Socket) -> HandleResult: ...

    assert str(caught.value).startswith(
        "Broken: @on('new_msg', Custom) cannot work: msgspec cannot convert to Custom. " + WRITE
    )


def test_a_join_with_a_wrong_type() -> None:
    """The same for `join`."""
    with pytest.raises(ChannelDefinitionError, match=r"Broken: @on_join\('Params'\) cannot work"):

        class Broken(Channel):
            @on_join("Params")
            def join(self, topic: str, payload: Any, socket: Socket) -> Result:
                return ok()


def test_a_push_with_a_wrong_type() -> None:
    """The same for `pushes`."""
    with pytest.raises(ChannelDefinitionError, match=r"Broken: pushes = \{'e': Custom\} cannot"):

        class Broken(Channel):
            pushes = {"e": Custom}  # noqa: RUF012 - a ClassVar of the base


def test_a_reply_to_an_unknown_event() -> None:
    """`replies` has the events that the class handles, and the join."""
    with pytest.raises(ChannelDefinitionError, match=r"Broken\.replies has 'news', which no @on"):

        class Broken(RoomChannel):
            replies = {"phx_join": NewMsg, "new_msg": NewMsg, "news": NewMsg}  # noqa: RUF012 - a ClassVar of the base
