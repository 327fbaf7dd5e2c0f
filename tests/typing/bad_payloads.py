"""Mistakes in payloads with types; each line marked `# bad` must be reported, and no other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import msgspec
import pydantic

from phoenix_compat import Channel, HandleResult, Result, Socket, ok, on, on_join


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


class BadPayloads(Channel):
    """A handler for each possible mistake."""

    @on_join(AStruct)  # bad: arg-type
    def join(self, topic: str, payload: ADataclass, socket: Socket) -> Result:
        return ok()

    @on("struct", AStruct)  # bad: arg-type
    async def struct(self, payload: ADataclass, socket: Socket) -> HandleResult:
        return ok()

    @on("dataclass", ADataclass)  # bad: arg-type
    def dataclass(self, payload: AStruct, socket: Socket) -> HandleResult:
        return ok()

    @on("typed_dict", ATypedDict)  # bad: arg-type
    def typed_dict(self, payload: AStruct, socket: Socket) -> HandleResult:
        return ok()

    @on("model", AModel)  # bad: arg-type
    async def model(self, payload: ATypedDict, socket: Socket) -> HandleResult:
        return ok()

    @on("bytes", bytes)  # bad: arg-type
    def take_bytes(self, payload: str, socket: Socket) -> HandleResult:
        return ok()

    @on("list", list[int])  # bad: arg-type
    def take_list(self, payload: list[str], socket: Socket) -> HandleResult:
        return ok()

    @on("too_few", AStruct)  # bad: arg-type
    def too_few(self, payload: AStruct) -> HandleResult:
        return ok()

    @on("returns_dict", AStruct)  # bad: type-var
    def returns_dict(self, payload: AStruct, socket: Socket) -> dict[str, str]:
        return {"status": "ok"}

    @on("unknown_field", AStruct)
    def unknown_field(self, payload: AStruct, socket: Socket) -> HandleResult:
        return ok(payload.text)  # bad: attr-defined
