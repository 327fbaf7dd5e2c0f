"""Typed objects as payloads: a Struct, a dataclass or a pydantic model is sent as an object."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import msgspec
import pydantic
import pytest

from phoenix_compat.errors import EncodeError
from phoenix_compat.protocol import jason
from phoenix_compat.protocol.message import Broadcast, Message
from phoenix_compat.protocol.serializer import V1, V2, Serializer


class AStruct(msgspec.Struct, rename="camel"):
    """Names on the wire differ from those in Python."""

    user_id: int


class AnArray(msgspec.Struct, array_like=True):
    """Is written as an array."""

    user_id: int


@dataclass
class ADataclass:
    """A dataclass."""

    user_id: int


class AModel(pydantic.BaseModel):
    """A model with an alias."""

    user_id: int = pydantic.Field(alias="userId")


class ARoot(pydantic.RootModel[list[int]]):
    """A model that is written as an array."""


class Unknown:
    """A class that is not JSON."""


def test_dicts_are_objects() -> None:
    """A class of dict is one too."""

    class OwnDict(dict[str, int]):
        """Nothing else."""

    values: list[Any] = [{}, OwnDict(), [], None, "x"]
    assert [jason.is_object(value) for value in values] == [True, True, False, False, False]


OBJECTS = [
    (AStruct(5), {"userId": 5}),
    (ADataclass(5), {"user_id": 5}),
    (AModel(userId=5), {"userId": 5}),
]


@pytest.mark.parametrize("serializer", [V1, V2])
@pytest.mark.parametrize(("payload", "expected"), OBJECTS)
def test_typed_objects(serializer: Serializer, payload: Any, expected: Any) -> None:
    """Pushes, replies and broadcasts carry them, at the top and inside of JSON."""
    push = json.loads(serializer.encode(Message("1", None, "t", "e", payload)))
    reply = json.loads(serializer.encode_reply("1", "2", "t", "ok", {"list": [payload]}))
    broadcast = json.loads(serializer.fastlane(Broadcast("t", "e", payload)))

    if serializer is V2:
        assert (push[4], broadcast[4]) == (expected, expected)
        assert reply[4]["response"] == {"list": [expected]}
    else:
        assert (push["payload"], broadcast["payload"]) == (expected, expected)
        assert reply["payload"]["response"] == {"list": [expected]}


@pytest.mark.parametrize("payload", [AnArray(5), ARoot([5]), AStruct, 5, [AStruct(5)]])
def test_what_is_not_an_object(payload: Any) -> None:
    """V2 pushes only objects."""
    with pytest.raises(EncodeError, match="must be a dict or bytes"):
        V2.encode(Message("1", None, "t", "e", payload))


def test_an_unknown_class() -> None:
    """An object of a class that is none of these is an error that names the class."""
    with pytest.raises(EncodeError, match="type Unknown is unsupported"):
        jason.encode({"a": Unknown()})


@pytest.mark.parametrize(("value", "expected"), OBJECTS)
def test_the_json_of_a_typed_object(value: Any, expected: Any) -> None:
    """`to_json` returns what clients get."""
    assert jason.to_json(value) == expected
