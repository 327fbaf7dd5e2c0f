"""What a channel needs of its connection, and the mailbox items that are not client messages."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from phoenix_compat.protocol.message import Message, Payload, Ref
from phoenix_compat.runtime.engine import Engine
from phoenix_compat.runtime.sending.outbox import Outbox
from phoenix_compat.socket import Socket


class Info(msgspec.Struct, frozen=True, gc=False):
    """A mailbox item: a message for handle_info."""

    message: Any


class Ending(msgspec.Struct, frozen=True, gc=False):
    """A mailbox item: ends the channel, after a leave of the client or its disconnect.

    Attributes:
        leave: the client's leave, which gets a reply; None after a disconnect.
    """

    reason: Any
    leave: Message | None = None


class OwnedChannel(Protocol):
    """What a connection needs of a channel that has ended."""

    socket: Socket
    join_ref: Ref


class Owner(Protocol):
    """The connection of a channel."""

    @property
    def outbox(self) -> Outbox:
        """The client's outbox."""

    @property
    def engine(self) -> Engine:
        """What all sockets of the endpoint share."""

    def send_reply(
        self, join_ref: Ref, ref: Ref, topic: Any, status: str, response: Payload
    ) -> None:
        """Encode and send a reply. Raises EncodeError."""

    def send_push(self, message: Message) -> None:
        """Encode and send a push. Raises EncodeError."""

    def close_at(self, time_s: float) -> None:
        """Close the connection at this time, in seconds since 1970, unless it closes earlier."""

    def channel_closed(self, channel: OwnedChannel) -> None:
        """Free the topic of a channel that ended gracefully, and send phx_close."""

    def channel_crashed(self, channel: OwnedChannel) -> None:
        """Free the topic of a channel that crashed, and send phx_error."""
