"""Calls the callback of a channel that a mailbox item is for."""

from __future__ import annotations

from typing import Any

from phoenix_compat.channel import Channel
from phoenix_compat.protocol.message import Message
from phoenix_compat.runtime.channel_owner import Info
from phoenix_compat.runtime.logs import is_logged, log_handled
from phoenix_compat.socket import Socket


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
