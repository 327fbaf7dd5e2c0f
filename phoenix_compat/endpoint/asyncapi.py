"""Describes the sockets and channels of an endpoint as an AsyncAPI 3.0 document.

    servers        each transport of each socket
    channels       each topic pattern of each socket; the address is the topic
    operations     receive: join and the events of `@on`; send: the events of `pushes`
    messages       the payload of an event, without the frame around it

Source: AsyncAPI 3.0.0, spec/asyncapi.md; bindings/websockets 0.1.0.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any, Final

from phoenix_compat.channel import Channel
from phoenix_compat.endpoint.mounted_socket import MountedSocket
from phoenix_compat.endpoint.options import TransportOptions, WebSocketOptions
from phoenix_compat.endpoint.schemas import Schemas
from phoenix_compat.protocol.message import CHANNEL_CRASH, INVALID_PAYLOAD, PHX_JOIN, PHX_REPLY
from phoenix_compat.typed_payload import PayloadType

_ABOUT: Final = (
    "Phoenix Channels. One connection carries all channels. A client joins a topic, the address of "
    "a channel, with the event `phx_join`, and sends every message in a frame: with `vsn=2.0.0` "
    "the array `[join_ref, ref, topic, event, payload]`, with `vsn=1.0.0` the object `{topic, "
    "event, payload, ref}`. The messages of this document are the payloads; their names are the "
    "events. A reply has the event `phx_reply` and the ref of the message that it answers."
)

_TEXT: Final = {"type": "string"}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


_COMPONENTS: Final = {
    "phoenix.reply": _object(status=_TEXT, response={}),
    "phoenix.error_reply": _object(status={"const": "error"}, response={}),
    "phoenix.invalid_payload": _object(
        status={"const": "error"},
        response=_object(reason={"const": INVALID_PAYLOAD}, field=_TEXT, message=_TEXT),
    ),
    "phoenix.close": {"type": "object"},
    "phoenix.error": _object(reason={"const": CHANNEL_CRASH["reason"]}),
}


def asyncapi_document(
    sockets: Sequence[MountedSocket], *, title: str, version: str, host: str, is_secure: bool
) -> dict[str, Any]:
    """See Endpoint.asyncapi."""
    document = _Document(sockets)
    for socket in sockets:
        document.add_socket(socket, host, is_secure=is_secure)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": title, "version": version, "description": _ABOUT},
        "defaultContentType": "application/json",
        "servers": document.servers,
        "channels": document.channels,
        "operations": document.operations,
        "components": {"schemas": {**document.schemas.components, **_COMPONENTS}},
    }


class _Document:
    """The parts of the document that depend on the sockets."""

    def __init__(self, sockets: Sequence[MountedSocket]) -> None:
        self.servers: dict[str, Any] = {}
        self.channels: dict[str, Any] = {}
        self.operations: dict[str, Any] = {}
        self.schemas = Schemas(
            found.declared
            for socket in sockets
            for _, channel in _channels_of(socket)
            for found in _types_of(channel)
        )

    def add_socket(self, socket: MountedSocket, host: str, *, is_secure: bool) -> None:
        """Add a socket with its channels."""
        names = [
            self._add_server(socket, options, host, is_secure=is_secure)
            for options in socket.transports
        ]
        for pattern, channel in _channels_of(socket):
            self._add_channel(socket, names, pattern, channel)

    def _add_server(
        self, socket: MountedSocket, options: TransportOptions, host: str, *, is_secure: bool
    ) -> str:
        path = socket.path.rstrip("/") + options.path
        variables = re.findall(r":(\w+)", path)
        protocol = "ws" if isinstance(options, WebSocketOptions) else "http"
        server: dict[str, Any] = {
            "host": host,
            "pathname": re.sub(r":(\w+)", r"{\1}", path),
            "protocol": protocol + "s" if is_secure else protocol,
        }
        if variables:
            server["variables"] = {name: {"description": "A parameter."} for name in variables}
        return _add(self.servers, _slug(path), server)

    def _add_channel(
        self, socket: MountedSocket, servers: list[str], pattern: str, channel: type[Channel]
    ) -> None:
        entry: dict[str, Any] = {
            "address": pattern.replace("*", "{subtopic}"),
            "title": channel.__name__,
            "servers": [{"$ref": f"#/servers/{name}"} for name in servers],
            "messages": {},
            **_described(channel),
        }
        if pattern.endswith("*"):
            entry["parameters"] = {"subtopic": {"description": f"The end of {pattern}."}}
        if bindings := _bindings(socket):
            entry["bindings"] = {"ws": bindings}
        name = _add(self.channels, channel.__name__, entry)
        parts = _Parts(f"#/channels/{name}", entry["messages"], self.schemas)
        self.operations |= {f"{name}.{key}": value for key, value in parts.of(channel).items()}


class _Parts:
    """The messages and operations of one channel."""

    def __init__(self, ref: str, messages: dict[str, Any], schemas: Schemas) -> None:
        self._ref = ref
        self._messages = messages
        self._schemas = schemas
        self._reply_types: dict[str, PayloadType] = {}

    def of(self, channel: type[Channel]) -> dict[str, Any]:
        """The operations; the messages are added to those of the channel."""
        self._reply_types = channel.reply_types
        self._fixed("reply", PHX_REPLY, "phoenix.reply")
        if channel.reply_types:
            self._fixed("reply.error", PHX_REPLY, "phoenix.error_reply")
        if channel.join_type is not None or channel.payload_types:
            self._fixed("reply.invalid_payload", PHX_REPLY, "phoenix.invalid_payload")
        operations = {"join": self._receive("join", PHX_JOIN, channel.join_type, channel.join)}
        for event, handler in channel.handlers.items():
            key = f"event.{_slug(event)}"
            declared = channel.payload_types.get(event)
            _add(operations, key, self._receive(key, event, declared, handler))
        for event, declared in channel.push_types.items():
            key = f"push.{_slug(event)}"
            _add(operations, key, self._send(self._message(key, event, declared)))
        for event in ("close", "error"):
            message = self._fixed(f"push.phx_{event}", f"phx_{event}", f"phoenix.{event}")
            _add(operations, f"push.phx_{event}", self._send(message))
        return operations

    def _receive(
        self, key: str, event: str, declared: PayloadType | None, handler: Any
    ) -> dict[str, Any]:
        replies = self._replies(key, event)
        if declared is not None:
            replies.append("reply.invalid_payload")
        return {
            "action": "receive",
            "channel": {"$ref": self._ref},
            "messages": [self._message(key, event, declared)],
            "reply": {
                "channel": {"$ref": self._ref},
                "messages": [{"$ref": f"{self._ref}/messages/{name}"} for name in replies],
            },
            **_described(handler),
        }

    def _replies(self, key: str, event: str) -> list[str]:
        """The keys of the replies to an event."""
        declared = self._reply_types.get(event)
        if declared is None:
            return ["reply"]
        response = self._schemas.of(declared.declared)
        message = {"name": PHX_REPLY, "payload": _object(status={"const": "ok"}, response=response)}
        return [_add(self._messages, f"reply.{key}", message), "reply.error"]

    def _send(self, message: dict[str, str]) -> dict[str, Any]:
        return {"action": "send", "channel": {"$ref": self._ref}, "messages": [message]}

    def _message(self, key: str, event: str, declared: PayloadType | None) -> dict[str, str]:
        message: dict[str, Any] = {"name": event}
        message["payload"] = {} if declared is None else self._schemas.of(declared.declared)
        if declared is not None and declared.declared is bytes:
            message["contentType"] = "application/octet-stream"
        return {"$ref": f"{self._ref}/messages/{_add(self._messages, key, message)}"}

    def _fixed(self, key: str, event: str, schema: str) -> dict[str, str]:
        message = {"name": event, "payload": {"$ref": f"#/components/schemas/{schema}"}}
        return {"$ref": f"{self._ref}/messages/{_add(self._messages, key, message)}"}


def _channels_of(socket: MountedSocket) -> list[tuple[str, type[Channel]]]:
    return [
        (pattern, target[0] if isinstance(target, tuple) else target)
        for pattern, target in socket.handler.channels.items()
    ]


def _types_of(channel: type[Channel]) -> list[PayloadType]:
    join = [] if channel.join_type is None else [channel.join_type]
    events = (channel.payload_types, channel.push_types, channel.reply_types)
    return [*join, *(found for types in events for found in types.values())]


def _bindings(socket: MountedSocket) -> dict[str, Any] | None:
    """What the handshake of the websocket contains; None without a websocket."""
    options = next((one for one in socket.transports if isinstance(one, WebSocketOptions)), None)
    if options is None:
        return None
    versions = [wanted.removeprefix("~>").strip() for _, wanted in options.serializers]
    vsn = {**_TEXT, "enum": versions, "description": "The version of the frames."}
    bindings: dict[str, Any] = {
        "method": "GET",
        "query": {"type": "object", "properties": {"vsn": vsn}},
        "bindingVersion": "0.1.0",
    }
    if socket.auth_token:
        text = "`phoenix, base64url.bearer.phx.` and the token in base64url without padding"
        header = {"Sec-WebSocket-Protocol": {**_TEXT, "description": text}}
        bindings["headers"] = {"type": "object", "properties": header}
    return bindings


def _described(documented: Any) -> dict[str, str]:
    """The docstring as a description, unless it is that of a method of the base class."""
    text = documented.__doc__
    if not text or documented is Channel.join:
        return {}
    return {"description": inspect.cleandoc(text)}


def _slug(text: str) -> str:
    """The text as a key that a reference can contain."""
    return re.sub(r"[^\w.-]+", "-", text, flags=re.ASCII).strip("-") or "-"


def _add(entries: dict[str, Any], key: str, entry: Any) -> str:
    """Add an entry under this key, or under the key with a number; return the key."""
    free, number = key, 1
    while free in entries:
        number += 1
        free = f"{key}-{number}"
    entries[free] = entry
    return free
