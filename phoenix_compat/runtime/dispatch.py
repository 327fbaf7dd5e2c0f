"""Calls the callbacks of a channel: `join`, and the one that a mailbox item is for."""

from __future__ import annotations

from typing import Any

from phoenix_compat.channel import Channel
from phoenix_compat.protocol.message import Message
from phoenix_compat.runtime.channel_owner import Info
from phoenix_compat.runtime.reporting.invalid_payloads import InvalidPayloads
from phoenix_compat.runtime.reporting.logs import is_logged, log_handled
from phoenix_compat.socket import Socket
from phoenix_compat.typed_payload import InvalidPayloadError


def call_join(
    channel: Channel, socket: Socket, payload: Any, invalid_payloads: InvalidPayloads
) -> Any:
    """Call `join` and return its result, which may be awaitable.

    If the payload does not have the declared type, return the refusal instead.
    """
    if channel.join_type is not None:
        try:
            payload = channel.join_type.convert(payload)
        except InvalidPayloadError as error:
            return invalid_payloads.refuse_join(error)
    return channel.join(socket.topic, payload, socket)


def call_callback(channel: Channel, socket: Socket, item: Any) -> Any:
    """Call the callback for an item and return its result, which may be awaitable.

    Args:
        item: a Message, an Info, or a Broadcast of the channel's own or another topic.
    """
    if type(item) is Message:
        level, event = channel.log_handle_in, item.event
        if level is not None and is_logged(level):
            log_handled(channel, item, socket.endpoint.credential_words)
        socket.ref = item.ref
        handler = channel.handlers.get(event) if type(event) is str else None
        if handler is not None:
            return handler(channel, item.payload, socket)
        return channel.handle_in(event, item.payload, socket)
    if isinstance(item, Info):
        return channel.handle_info(item.message, socket)
    if item.topic == socket.topic:
        return channel.handle_out(item.event, item.payload, socket)
    return channel.handle_info(item, socket)
