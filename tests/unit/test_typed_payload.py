"""Converts payloads of each kind of type, and names the field that does not fit."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Annotated, Any, NotRequired, TypedDict
from uuid import UUID

import msgspec
import pydantic
import pydantic.dataclasses
import pytest

from phoenix_compat.result import error
from phoenix_compat.typed_payload import InvalidPayloadError, PayloadType, type_name


class Item(msgspec.Struct):
    """A part of an order."""

    name: str
    count: int = 1


class Order(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """Names on the wire differ from those in Python."""

    order_items: list[Item]
    at: datetime | None = None
    by_name: dict[str, Item] = {}


class Tree(msgspec.Struct):
    """A recursive type."""

    child: Tree | None = None


@dataclass
class Body:
    """A dataclass with a check of its own."""

    body: str
    tags: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.body.startswith("bad"):
            raise ValueError(self.body)


class Typing(TypedDict):
    """A TypedDict."""

    is_typing: bool
    since: NotRequired[int]


class Model(pydantic.BaseModel):
    """A pydantic model with an alias and a limit."""

    body: str = pydantic.Field(min_length=1)
    scores: list[int] = []
    reply_to: int | None = pydantic.Field(None, alias="replyTo")


class Models(msgspec.Struct):
    """Pydantic models inside of a Struct."""

    models: list[Model]


class Color(Enum):
    """A type with few values."""

    RED = "red"


Positive = Annotated[int, msgspec.Meta(ge=0)]


@pytest.mark.parametrize(
    ("declared", "payload", "expected"),
    [
        (Item, {"name": "a", "more": 1}, Item("a")),
        (Order, {"orderItems": [{"name": "a", "count": 2}]}, Order([Item("a", 2)])),
        (
            Order,
            {"orderItems": [], "at": "2026-01-01T00:00:00Z"},
            Order([], datetime(2026, 1, 1, tzinfo=UTC)),
        ),
        (Tree, {"child": {"child": None}}, Tree(Tree())),
        (Body, {"body": "hi"}, Body("hi")),
        (Typing, {"is_typing": True, "more": 1}, {"is_typing": True}),
        (Model, {"body": "hi", "replyTo": 5}, Model(body="hi", replyTo=5)),
        (Models, {"models": [{"body": "hi"}]}, Models([Model(body="hi")])),
        (list[Model], [{"body": "hi"}], [Model(body="hi")]),
        (int, 5, 5),
        (float, 5, 5.0),
        (list[int], [1, 2], [1, 2]),
        (dict[int, str], {"1": "a"}, {1: "a"}),
        (Item | None, None, None),
        (None, None, None),
        (Any, {"any": ["thing"]}, {"any": ["thing"]}),
        (Positive, 0, 0),
        (bytes, b"\x00\xff", b"\x00\xff"),
        (bytes | Item, b"\x00", b"\x00"),
        (bytes | Item, {"name": "a"}, Item("a")),
        (bytes | Model, {"body": "hi"}, Model(body="hi")),
    ],
)
def test_a_payload_that_fits(declared: Any, payload: Any, expected: Any) -> None:
    """The payload is converted to the type."""
    converted = PayloadType(declared).convert(payload)

    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("declared", "payload", "at", "message"),
    [
        (Item, {}, "name", "Object missing required field `name`"),
        (Item, {"name": 5}, "name", "Expected `str`, got `int`"),
        (Item, ["a"], "", "Expected `object`, got `array`"),
        (Item, None, "", "Expected `object`, got `null`"),
        (Item, b"\x00", "", "Expected `object`, got `bytes`"),
        (Order, {"orderItems": [{"name": "a"}, {}]}, "orderItems[1].name", "missing required"),
        (Order, {"orderItems": [{"name": 1}]}, "orderItems[0].name", "got `int`"),
        (Order, {"orderItems": [], "more": 1}, "more", "unknown field"),
        (Order, {"orderItems": [], "byName": {"secret": {}}}, "byName[...].name", "missing"),
        (Order, {"orderItems": [], "at": "today"}, "at", "Invalid RFC3339"),
        (Body, {"body": "bad"}, "", "bad"),
        (Body, {"body": "bad - at `$.tags`"}, "", "bad - at `$.tags`"),
        (list[Body], [{"body": "bad - at `$.tags`"}], "[0]", "bad - at `$.tags`"),
        (Body, {"body": "hi", "tags": [1]}, "tags[0]", "got `int`"),
        (Typing, {"is_typing": 1}, "is_typing", "Expected `bool`"),
        (Model, {}, "body", "Field required"),
        (Model, {"body": ""}, "body", "at least 1 character"),
        (Model, {"body": "a", "scores": [1, "x"]}, "scores[1]", "valid integer"),
        (Model, {"body": "a", "replyTo": "x"}, "replyTo", "valid integer"),
        (Model, [], "", "valid dictionary"),
        (Model, b"{}", "", "got a binary payload"),
        (Models, {"models": [{"body": "a"}, {}]}, "models[1].body", "Field required"),
        (Models, {"models": [5]}, "models[0]", "valid dictionary"),
        (list[int], [1, "a"], "[1]", "Expected `int`, got `str`"),
        (dict[int, int], {"a": 1}, "", "Expected `int`, got `str`"),
        (int, True, "", "Expected `int`, got `bool`"),
        (Positive, -1, "", ">= 0"),
        (bytes, "aGk=", "", "Expected a binary payload, got JSON"),
        (bytes | Item, {"name": 5}, "name", "got `int`"),
        (bytes | Item, "aGk=", "", "got `str`"),
    ],
)
def test_a_payload_that_does_not_fit(declared: Any, payload: Any, at: str, message: str) -> None:
    """The error names the field by its name on the wire, and what is expected."""
    with pytest.raises(InvalidPayloadError) as caught:
        PayloadType(declared).convert(payload)

    assert caught.value.field == at
    assert message in caught.value.message


def test_a_payload_that_is_nested_too_deep() -> None:
    """A recursive type does not crash on what is deeper than Python's recursion limit."""
    payload: Any = None
    for _ in range(50_000):
        payload = {"child": payload}

    with pytest.raises(InvalidPayloadError, match="nested too deep"):
        PayloadType(Tree).convert(payload)


@pytest.mark.parametrize(
    ("declared", "payload"),
    [
        (dict[int, int], {"9" * 5_000: 1}),
        (float, 10**400),
        (Color, "x" * 100_000),
        (UUID, "x" * 100_000),
        (timedelta, "P99999999999D"),
        (set[tuple[int, ...]], [[["deep"]]]),
        (Model, {"body": "a", "scores": ["9" * 5_000]}),
    ],
)
def test_hostile_values(declared: Any, payload: Any) -> None:
    """Values at the limits of Python's types are refused and do not crash the channel."""
    with pytest.raises(InvalidPayloadError) as caught:
        PayloadType(declared).convert(payload)

    assert all(len(text) < 300 for text in caught.value.result.payload.values())


def test_the_reply_is_short() -> None:
    """What a client has sent is shortened and escaped."""
    with pytest.raises(InvalidPayloadError) as caught:
        PayloadType(Order).convert({"orderItems": [], "\x1b" + "x" * 10_000: 1})

    payload = caught.value.result.payload
    assert payload["field"].startswith("\\x1bxxx")
    assert all(len(text) < 300 for text in payload.values())


def test_the_reply() -> None:
    """The reply has three fields, all text."""
    with pytest.raises(InvalidPayloadError) as caught:
        PayloadType(Item).convert({"name": 5})

    assert caught.value.result == error(
        reason="invalid_payload", field="name", message="Expected `str`, got `int`"
    )


def test_a_validator_that_crashes() -> None:
    """An error that says nothing about the payload is not hidden."""

    class Crashing(pydantic.BaseModel):
        body: str

        @pydantic.field_validator("body")
        @classmethod
        def crash(cls, value: str) -> str:
            return value[999]

    with pytest.raises(IndexError):
        PayloadType(Crashing).convert({"body": "a"})


@pydantic.dataclasses.dataclass
class PydanticDataclass:
    """Its validators would not run."""

    body: str


class Custom:
    """A class that msgspec does not know."""


class Holder(msgspec.Struct):
    """A Struct with such a class."""

    custom: list[Custom]


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        (Custom, "cannot convert to Custom"),
        (Holder, "cannot convert to Custom"),
        (object, "cannot convert to object"),
        (set[list[int]], "the items of a set must be hashable; write a list"),
        (list[frozenset[Typing]], "the items of a set must be hashable; write a list"),
        ("Item", "'Item'' is not supported"),
        (Item("a"), "is not supported"),
        (Item | Order, "must be tagged"),
        (PydanticDataclass, "PydanticDataclass is a pydantic dataclass"),
        (list[PydanticDataclass], "PydanticDataclass is a pydantic dataclass"),
    ],
)
def test_a_type_that_cannot_be_used(declared: Any, reason: str) -> None:
    """The error says why."""
    with pytest.raises(TypeError, match=reason):
        PayloadType(declared)


def test_a_type_with_an_unknown_name() -> None:
    """The error says where to define it."""
    unknown = msgspec.defstruct("Unknown", [("body", "Missing")])

    with pytest.raises(TypeError, match="'Missing' is not defined; define it in its module"):
        PayloadType(unknown)


@pytest.mark.parametrize(
    ("declared", "name"),
    [
        (Item, "Item"),
        (list[int], "list[int]"),
        ("Item", "'Item'"),
        (int | str, "int | str"),
        (Any, "Any"),
    ],
)
def test_the_name_of_a_type(declared: Any, name: str) -> None:
    """A type is shown as it is written."""
    assert type_name(declared) == name


def test_items_of_a_set_that_are_not_hashable() -> None:
    """A class tells only when an item is put into the set; the client is told, not the log."""
    with pytest.raises(InvalidPayloadError, match="Expected hashable items"):
        PayloadType(set[Body]).convert([{"body": "hello"}])
