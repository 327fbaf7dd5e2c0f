"""Payloads with types, as users may write them; they type-check in strict mode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import msgspec
import pydantic

from phoenix_compat import Channel, HandleResult, Result, Socket, Stop, ok, on, on_join, stop


class AStruct(msgspec.Struct):
    """A Struct."""

    body: str


@dataclass
class ADataclass:
    """A dataclass."""

    body: str


class ATypedDict(TypedDict):
    """A TypedDict."""

    body: str


class AModel(pydantic.BaseModel):
    """A pydantic model."""

    body: str


Positive = Annotated[int, msgspec.Meta(ge=0)]
Shape = AStruct | int


class TypedChannel(Channel):
    """A handler for each kind of type."""

    pushes = {"pushed": AStruct, "picture": bytes}  # noqa: RUF012 - a ClassVar of the base

    @on_join(AStruct)
    async def join(self, topic: str, payload: AStruct, socket: Socket) -> Result:
        return ok(payload)

    @on("struct", AStruct)
    async def struct(self, payload: AStruct, socket: Socket) -> HandleResult:
        socket.push("pushed", payload)
        return ok(body=payload.body)

    @on("dataclass", ADataclass)
    def dataclass(self, payload: ADataclass, socket: Socket) -> Result:
        return ok(payload.body.upper())

    @on("typed_dict", ATypedDict)
    def typed_dict(self, payload: ATypedDict, socket: Socket) -> Result | None:
        return ok(payload["body"]) if payload["body"] else None

    @on("model", AModel)
    async def model(self, payload: AModel, socket: Socket) -> None:
        socket.broadcast("pushed", payload)

    @on("bytes", bytes)
    def take_bytes(self, payload: bytes, socket: Socket) -> Stop:
        return stop("normal", ok(len(payload)))

    @on("list", list[int])
    def take_list(self, payload: list[int], socket: Socket) -> HandleResult:
        return ok(sum(payload))

    @on("union", AStruct | None)
    def union(self, payload: AStruct | None, socket: Socket) -> HandleResult:
        return ok(payload)

    @on("alias", Shape)
    def alias(self, payload: Shape, socket: Socket) -> HandleResult:
        return ok(payload)

    @on("annotated", Positive)
    def annotated(self, payload: int, socket: Socket) -> HandleResult:
        return ok(payload)

    @on("wider", AStruct)
    def wider(self, payload: Any, socket: Socket) -> HandleResult:
        return ok(payload)


class SubChannel(TypedChannel):
    """Overrides typed methods."""

    async def join(self, topic: str, payload: AStruct, socket: Socket) -> Result:
        return ok(payload.body)

    async def struct(self, payload: AStruct, socket: Socket) -> HandleResult:
        return await super().struct(payload, socket)


def call(channel: TypedChannel, socket: Socket) -> Result:
    """A typed method is still a method."""
    return channel.dataclass(ADataclass("hi"), socket)
