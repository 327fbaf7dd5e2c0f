"""The AsyncAPI document of an endpoint."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import jsonschema
import msgspec
import pydantic
import pytest

from phoenix_compat import (
    Channel,
    Endpoint,
    HandleResult,
    Result,
    Socket,
    SocketHandler,
    on,
    on_join,
)
from phoenix_compat.result import ok
from tests.interop.packages import node_package


class Params(msgspec.Struct):
    """The payload of a join."""

    name: str


class Author(pydantic.BaseModel):
    """A part of a model."""

    name: str


class NewMsg(pydantic.BaseModel):
    """The payload of an event, with an alias and a part."""

    body: str = pydantic.Field(min_length=1)
    reply_to: int | None = pydantic.Field(None, alias="replyTo")
    authors: list[Author] = []


@dataclass
class Move:
    """The payload of another event."""

    x: int
    y: int = 0


class Wrapped(msgspec.Struct):
    """A pydantic model inside of a Struct."""

    messages: list[NewMsg]


class RoomChannel(Channel):
    """A room."""

    pushes = {"new_msg": NewMsg, "history": Wrapped, "picture": bytes}  # noqa: RUF012 - a ClassVar of the base

    replies = {"move": Move, "phx_join": list[NewMsg]}  # noqa: RUF012 - the same

    @on_join(Params)
    def join(self, topic: str, payload: Params, socket: Socket) -> Result:
        """Enter the room."""
        return ok()

    @on("new_msg", NewMsg)
    def new_msg(self, payload: NewMsg, socket: Socket) -> HandleResult:
        """Say something."""
        return ok()

    @on("move", Move)
    def move(self, payload: Move, socket: Socket) -> None: ...

    @on("up/load ~", bytes)
    def upload(self, payload: bytes, socket: Socket) -> None: ...

    @on("either", bytes | list[int])
    def either(self, payload: bytes | list[int], socket: Socket) -> None: ...

    @on("nothing", None)
    def nothing(self, payload: None, socket: Socket) -> None: ...

    @on("untyped")
    def untyped(self, payload: Any, socket: Socket) -> None: ...


class LobbyChannel(Channel):
    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        return ok()


class UserSocket(SocketHandler):
    """Two channels; one of them twice."""

    channels = {  # noqa: RUF012 - a ClassVar of the base
        "room:*": (RoomChannel, {"limit": 5}),
        "lobby": LobbyChannel,
        "other:*": LobbyChannel,
    }

    def connect(self, params: Any, socket: Socket, connect_info: Any) -> Result:
        return ok()


def document(**options: Any) -> Any:
    """The document of an endpoint with two sockets, as JSON."""
    endpoint = Endpoint(url_host="chat.example.com")
    endpoint.socket("/socket", UserSocket, longpoll=True, auth_token=True)
    endpoint.socket("/app/:tenant", UserSocket)
    made = endpoint.asyncapi(title="Chat", version="1.2", **options)
    assert json.loads(json.dumps(made)) == made
    return made


def resolve(made: Any, ref: str) -> Any:
    """What a reference points to."""
    found = made
    for key in ref.removeprefix("#/").split("/"):
        found = found[key]
    return found


def refs(value: Any) -> list[str]:
    """All references in the document."""
    if isinstance(value, list):
        return [ref for one in value for ref in refs(one)]
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [ref for one in value.values() for ref in refs(one)]
    return []


@pytest.mark.node
@pytest.mark.parametrize("version", ["3.0.0", "3.1.0"])
def test_it_is_valid(version: str) -> None:
    """The document is valid by the schema of AsyncAPI's authors, also by that of the next minor."""
    _, package = node_package("@asyncapi/specs")
    schema = json.loads((package / "schemas" / f"{version}.json").read_text())
    made = document() | {"asyncapi": version}

    errors = list(jsonschema.Draft7Validator(schema).iter_errors(made))

    assert [error.message for error in errors] == []


def test_every_reference_exists() -> None:
    """Each `$ref` points to a part of the document."""
    made = document()

    found = refs(made)

    assert len(found) > 50
    assert all(resolve(made, ref) is not None for ref in found)


def test_servers() -> None:
    """Each transport is a server, with the variables of its path."""
    made = document()

    assert made["info"]["title"] == "Chat"
    assert made["info"]["version"] == "1.2"
    host = "chat.example.com"
    assert made["servers"] == {
        "socket-websocket": {"host": host, "pathname": "/socket/websocket", "protocol": "ws"},
        "socket-longpoll": {"host": host, "pathname": "/socket/longpoll", "protocol": "http"},
        "app-tenant-websocket": {
            "host": host,
            "pathname": "/app/{tenant}/websocket",
            "protocol": "ws",
            "variables": {"tenant": {"description": "A parameter."}},
        },
    }


def test_another_host() -> None:
    """The host and the protocol can be given."""
    servers = document(host="localhost:4000", is_secure=True)["servers"]

    assert [(one["host"], one["protocol"]) for one in servers.values()] == [
        ("localhost:4000", "wss"),
        ("localhost:4000", "https"),
        ("localhost:4000", "wss"),
    ]


def test_channels() -> None:
    """Each topic pattern of each socket is a channel, with its parameter and its servers."""
    channels = document()["channels"]

    assert {name: one["address"] for name, one in channels.items()} == {
        "RoomChannel": "room:{subtopic}",
        "LobbyChannel": "lobby",
        "LobbyChannel-2": "other:{subtopic}",
        "RoomChannel-2": "room:{subtopic}",
        "LobbyChannel-3": "lobby",
        "LobbyChannel-4": "other:{subtopic}",
    }
    room = channels["RoomChannel"]
    assert room["description"] == "A room."
    assert list(room["parameters"]) == ["subtopic"]
    assert room["servers"] == [
        {"$ref": "#/servers/socket-websocket"},
        {"$ref": "#/servers/socket-longpoll"},
    ]
    assert "parameters" not in channels["LobbyChannel"]
    assert "description" not in channels["LobbyChannel"]


def test_the_query_of_the_websocket() -> None:
    """The binding names the versions, and the header of the token where it is used."""
    channels = document()["channels"]

    binding = channels["RoomChannel"]["bindings"]["ws"]
    assert binding["query"]["properties"]["vsn"]["enum"] == ["1.0.0", "2.0.0"]
    assert list(binding["headers"]["properties"]) == ["Sec-WebSocket-Protocol"]
    assert "headers" not in channels["RoomChannel-2"]["bindings"]["ws"]


def test_operations() -> None:
    """The join and each event can be received, each push can be sent."""
    operations = document()["operations"]

    actions = {
        name.removeprefix("RoomChannel."): one["action"]
        for name, one in operations.items()
        if name.startswith("RoomChannel.")
    }
    assert actions == {
        "join": "receive",
        "event.new_msg": "receive",
        "event.move": "receive",
        "event.up-load": "receive",
        "event.either": "receive",
        "event.nothing": "receive",
        "event.untyped": "receive",
        "push.new_msg": "send",
        "push.history": "send",
        "push.picture": "send",
        "push.phx_close": "send",
        "push.phx_error": "send",
    }
    assert operations["RoomChannel.event.new_msg"]["description"] == "Say something."
    assert operations["RoomChannel.join"]["description"] == "Enter the room."


def test_payloads() -> None:
    """The message of an event has its name and its schema."""
    made = document()
    messages = made["channels"]["RoomChannel"]["messages"]

    def schema(key: str) -> Any:
        return messages[key]["payload"]

    assert schema("join") == {"$ref": "#/components/schemas/Params"}
    assert (
        schema("event.new_msg") == schema("push.new_msg") == {"$ref": "#/components/schemas/NewMsg"}
    )
    assert messages["event.up-load"] == {
        "name": "up/load ~",
        "payload": {"type": "string", "format": "binary"},
        "contentType": "application/octet-stream",
    }
    assert schema("event.either")["oneOf"][1] == {"type": "array", "items": {"type": "integer"}}
    assert schema("event.nothing") == {"type": "null"}
    assert schema("event.untyped") == {}
    schemas = made["components"]["schemas"]
    assert schemas["Move"]["required"] == ["x"]
    assert set(schemas["NewMsg"]["properties"]) == {"body", "replyTo", "authors"}
    assert schemas["Wrapped"]["properties"]["messages"]["items"] == {
        "$ref": "#/components/schemas/NewMsg"
    }


def test_replies() -> None:
    """A typed event may be answered with the error; an untyped one has any reply."""
    operations = document()["operations"]

    def replies(name: str) -> list[str]:
        messages = operations[f"RoomChannel.{name}"]["reply"]["messages"]
        return [one["$ref"].rpartition("/")[2] for one in messages]

    assert replies("event.new_msg") == ["reply", "reply.invalid_payload"]
    assert replies("event.untyped") == ["reply"]
    assert replies("join") == ["reply.join", "reply.error", "reply.invalid_payload"]
    assert replies("event.move") == ["reply.event.move", "reply.error", "reply.invalid_payload"]


def test_the_type_of_a_reply() -> None:
    """A declared reply has the status ok and the type of the response."""
    messages = document()["channels"]["RoomChannel"]["messages"]

    assert messages["reply.event.move"] == {
        "name": "phx_reply",
        "payload": {
            "type": "object",
            "properties": {
                "status": {"const": "ok"},
                "response": {"$ref": "#/components/schemas/Move"},
            },
            "required": ["status", "response"],
        },
    }


def test_equal_names() -> None:
    """Two types with the same name have two schemas."""
    struct = msgspec.defstruct("Same", [("a", int)], module="one")
    model = pydantic.create_model("Same", b=(int, ...), __module__="two")

    class TwiceChannel(LobbyChannel):
        pushes = {"a": struct, "b": model}  # noqa: RUF012 - a ClassVar of the base

    class TwiceSocket(UserSocket):
        channels = {"twice": TwiceChannel}  # noqa: RUF012 - a ClassVar of the base

    endpoint = Endpoint()
    endpoint.socket("/socket", TwiceSocket)
    schemas = endpoint.asyncapi(title="T", version="1")["components"]["schemas"]

    assert list(schemas["Same"]["properties"]) == ["a"]
    assert list(schemas["two.Same"]["properties"]) == ["b"]


def test_an_endpoint_without_sockets() -> None:
    """The document is complete without any socket."""
    made = Endpoint().asyncapi(title="T", version="1")

    assert (made["servers"], made["channels"], made["operations"]) == ({}, {}, {})
