"""Channels with typed payloads: on the wire of both versions, and in ChannelTest."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pydantic
import pytest

from phoenix_compat import (
    Broadcast,
    Channel,
    HandleResult,
    Result,
    Socket,
    Stop,
    ok,
    on,
    on_join,
)
from phoenix_compat.testing import ANY, ChannelTest, JoinRefusedError, including
from tests.conftest import Open, Serve
from tests.serving import accepting, socket_app
from tests.wire import V1, V2


class Params(msgspec.Struct):
    """The payload of a join."""

    name: str


class NewMsg(pydantic.BaseModel):
    """The payload of an event, and of its broadcast."""

    body: str = pydantic.Field(min_length=1)


@dataclass
class Move:
    """The payload of another event."""

    x: int
    y: int


class RoomChannel(Channel):
    """A channel whose payloads have types."""

    @on_join(Params)
    async def join(self, topic: str, payload: Params, socket: Socket) -> Result:
        return ok(payload)

    @on("new_msg", NewMsg)
    async def new_msg(self, payload: NewMsg, socket: Socket) -> HandleResult:
        socket.broadcast("new_msg", payload)
        return ok(payload)

    @on("move", Move)
    def move(self, payload: Move, socket: Socket) -> HandleResult:
        socket.push("moved", Move(payload.x + 1, payload.y))
        return None


class FilterChannel(Channel):
    """Gets broadcasts by handle_out and handle_info."""

    intercept = ("new_msg",)

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        socket.subscribe("news")
        return ok()

    def handle_out(self, event: str, payload: Any, socket: Socket) -> None:
        socket.push("out", {"got": payload["body"]})

    def handle_info(self, message: Broadcast, socket: Socket) -> Stop | None:
        socket.push("info", {"got": message.payload["body"]})
        return None


CHANNELS = {"room:*": RoomChannel, "filter:*": FilterChannel}


def error_at(field: str) -> dict[str, Any]:
    """The reply to a payload that does not fit."""
    response = {"reason": "invalid_payload", "field": field, "message": ANY}
    return {"status": "error", "response": response}


async def test_version_2(serve: Serve, open_wire: Open) -> None:
    """V2 clients are told the field, at the join and later, and the channel goes on."""
    wire = await open_wire(await serve(socket_app(accepting(CHANNELS))), V2)

    refused = await wire.ask(["1", "1", "room:1", "phx_join", {"name": 5}])
    joined = await wire.ask(["2", "2", "room:1", "phx_join", {"name": "ann"}])
    invalid = await wire.ask(["2", "3", "room:1", "new_msg", {"body": ""}])
    await wire.send(["2", "4", "room:1", "new_msg", {"body": "hi"}])
    said = await wire.recv_many(2)
    moved = await wire.ask(["2", None, "room:1", "move", {"x": 1, "y": 2}])
    await wire.send(["2", None, "room:1", "move", {"x": "a"}])
    await wire.fence()

    assert refused == ["1", "1", "room:1", "phx_reply", error_at("name")]
    assert joined[4] == {"status": "ok", "response": {"name": "ann"}}
    assert invalid == ["2", "3", "room:1", "phx_reply", error_at("body")]
    assert said == [
        [None, None, "room:1", "new_msg", {"body": "hi"}],
        ["2", "4", "room:1", "phx_reply", {"status": "ok", "response": {"body": "hi"}}],
    ]
    assert moved == ["2", None, "room:1", "moved", {"x": 2, "y": 2}]


async def test_version_1(serve: Serve, open_wire: Open) -> None:
    """V1 clients are told in the same words."""
    wire = await open_wire(await serve(socket_app(accepting(CHANNELS))), V1)

    def message(ref: str | None, event: str, payload: Any) -> dict[str, Any]:
        return {"topic": "room:1", "event": event, "payload": payload, "ref": ref}

    refused = await wire.ask(message("1", "phx_join", {}))
    joined = await wire.ask(message("2", "phx_join", {"name": "ann"}))
    invalid = await wire.ask(message("3", "new_msg", {"body": ["hi"]}))
    moved = await wire.ask(message(None, "move", {"x": 1, "y": 2}))

    assert refused == message("1", "phx_reply", error_at("name"))
    assert joined["payload"] == {"status": "ok", "response": {"name": "ann"}}
    assert invalid == message("3", "phx_reply", error_at("body"))
    assert moved == message(None, "moved", {"x": 2, "y": 2})


@pytest.fixture
async def channels() -> AsyncIterator[ChannelTest]:
    """A ChannelTest, closed after the test."""
    async with ChannelTest() as channels:
        yield channels


async def test_in_channel_test(channels: ChannelTest) -> None:
    """Tests may send and expect typed objects; what arrives is JSON, as for real clients."""
    client = await channels.subscribe_and_join(RoomChannel, "room:1", Params("ann"))

    ref = await client.push("new_msg", NewMsg(body="hi"))
    invalid = await client.push("new_msg", {"body": ""})
    await client.push("move", Move(1, 2))

    assert client.response == {"name": "ann"}
    assert await client.assert_reply(ref, "ok", NewMsg(body="hi")) == {"body": "hi"}
    await client.assert_reply(invalid, "error", including(reason="invalid_payload", field="body"))
    await client.assert_push("moved", Move(2, 2))
    await channels.assert_broadcast("room:1", "new_msg", {"body": "hi"})


async def test_a_refused_join_in_channel_test(channels: ChannelTest) -> None:
    """The error of the test has the reply."""
    with pytest.raises(JoinRefusedError) as caught:
        await channels.join(RoomChannel, "room:1", {})

    assert caught.value.response == {
        "reason": "invalid_payload",
        "field": "name",
        "message": "Object missing required field `name`",
    }


async def test_callbacks_get_json(channels: ChannelTest) -> None:
    """handle_out and subscribers get the JSON of a typed object, as in every other process."""
    client = await channels.join(FilterChannel, "filter:1")

    channels.endpoint.broadcast("filter:1", "new_msg", NewMsg(body="a"))
    channels.endpoint.broadcast("news", "news", NewMsg(body="b"))

    await client.assert_push("out", {"got": "a"})
    await client.assert_push("info", {"got": "b"})
