"""What a client's channels have in common: refs, the serializer, the outbox and the topics."""

from __future__ import annotations

from typing import Any, Protocol

from phoenix_compat.client.counters import ClientCounters
from phoenix_compat.client.options import ChannelOptions
from phoenix_compat.client.serializer import ClientSerializer
from phoenix_compat.client.transports.outbox import Outbox
from phoenix_compat.protocol.message import Message, Payload


class LinkedChannel(Protocol):
    """A channel as its client sees it."""

    @property
    def topic(self) -> str:
        """The topic."""

    def receive(self, message: Message, size_bytes: int) -> None:
        """Take a message on the topic."""

    def connected(self) -> None:
        """A connection was opened: join."""

    def disconnected(self) -> None:
        """The connection was lost."""

    def close(self, *, sends_leave: bool = False) -> None:
        """The channel has ended, with the client or because of another one on its topic."""


class Link:
    """The channels' way to their client's connection.

    Attributes:
        channels: the channels that were joined and not closed, by topic.
    """

    __slots__ = ("_outbox", "_ref", "_serializer", "channels", "counters", "options")

    def __init__(
        self,
        serializer: ClientSerializer,
        outbox: Outbox,
        options: ChannelOptions,
        counters: ClientCounters,
    ) -> None:
        self._serializer = serializer
        self._outbox = outbox
        self._ref = 0
        self.options = options
        self.counters = counters
        self.channels: dict[str, LinkedChannel] = {}

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection."""
        return self._outbox.is_open

    def next_ref(self) -> str:
        """A ref that no other message of this client has."""
        self._ref += 1
        return str(self._ref)

    def send(  # noqa: PLR0913 - the five items of a message
        self,
        join_ref: str | None,
        ref: str,
        topic: str,
        event: str,
        payload: Payload,
        *,
        is_limited: bool = False,
    ) -> None:
        """Send a message soon.

        Args:
            is_limited: whether it is refused when too much waits to be sent.

        Raises:
            EncodeError: the payload cannot be encoded.
            BufferFullError: too much waits.
        """
        frame = self._serializer.encode(Message(join_ref, ref, topic, event, payload))
        self._outbox.put(frame, is_limited=is_limited)

    def decode(self, data: bytes, *, is_binary: bool) -> Message:
        """Read a frame of the server. Raises RemoteProtocolError."""
        return self._serializer.decode(data, is_binary=is_binary)

    def claim(self, channel: LinkedChannel) -> None:
        """Take the topic for a channel; another one that has it is left.

        Source: phoenix.js 1.8, socket.js, leaveOpenTopic.
        """
        other = self.channels.get(channel.topic)
        self.channels[channel.topic] = channel
        if other is not None and other is not channel:
            other.close(sends_leave=True)

    def release(self, channel: LinkedChannel) -> None:
        """Give the topic back, if the channel has it."""
        if self.channels.get(channel.topic) is channel:
            del self.channels[channel.topic]

    def receive(self, message: Message, size_bytes: int) -> None:
        """Hand a message to the channel of its topic."""
        topic: Any = message.topic
        if not isinstance(topic, str) or not isinstance(message.event, str):
            self.counters.messages_unreadable += 1
            return
        channel = self.channels.get(topic)
        if channel is None:
            self.counters.messages_unmatched += 1
        else:
            channel.receive(message, size_bytes)
