"""What the process with the connection does for its siblings: it passes their messages on.

    from a sibling, to all             to the other siblings at once, and to the broker
    from a sibling, to a sibling       to that one; the broker does not see it
    from a sibling, to another node    to the broker
    from the broker, of another node   to all siblings, or to the one that has the inbox
    from the broker, of a sibling      a Hello or Bye to the sibling itself; all else has arrived

A node that does not hear its own Hello is deaf. So that one comes back through the broker only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from phoenix_compat.cluster.brokers.addresses import inbox_subject, sender_inbox
from phoenix_compat.cluster.brokers.broker import Broker, OnMessage
from phoenix_compat.cluster.brokers.messages import Bye, Hello, kind_of
from phoenix_compat.cluster.bus import BusCounts
from phoenix_compat.cluster.siblings.frames import Connected, Ended, Frame, Join, Message, pack
from phoenix_compat.cluster.siblings.stream import Stream
from phoenix_compat.cluster.unix.frames import BrokenStreamError


class Hub:
    """Passes messages on for the time of one connection.

    Args:
        prefix: see BrokerBus.
        inboxes: the numbers of the inboxes of all siblings, also of those that do not run.
        shared: the other subjects, to which all siblings subscribe.
        own_inbox: the subject of the inbox of this process, and what handles its messages.
        on_connected: called once the broker is connected.
        counts: its `dropped` counts what a sibling or the broker did not take, and `broken` streams
            with invalid content.
    """

    def __init__(  # noqa: PLR0913 - by name
        self,
        broker: Broker,
        counts: BusCounts,
        *,
        prefix: str,
        inboxes: Iterable[int],
        shared: Iterable[str],
        own_inbox: str,
        on_message: OnMessage,
        on_connected: Callable[[], None],
    ) -> None:
        self._broker = broker
        self._counts = counts
        self._inboxes = {inbox: inbox_subject(prefix, inbox) for inbox in inboxes}
        self._shared = frozenset(shared)
        self._own_inbox = own_inbox
        self._on_message = on_message
        self._on_connected = on_connected
        self._subjects = frozenset(self._inboxes.values())
        self._streams: set[Stream] = set()
        self._joined: dict[str, Stream] = {}
        self._is_connected = False

    @property
    def subjects(self) -> Sequence[str]:
        """What the connection subscribes: the shared subjects, and all inboxes."""
        return (*self._shared, *self._subjects)

    # Siblings.

    def new_stream(self) -> Stream:
        """The end of a stream that a sibling has opened."""
        stream = Stream(self._handle, self._forget)
        self._streams.add(stream)
        return stream

    def publish(self, subject: str, data: bytes) -> bool:
        """Pass on a message of this process; see Broker.publish."""
        return self._is_connected and self._pass_on(self._own_inbox, subject, data)

    def end(self, reason: str) -> None:
        """Tell the siblings why the connection has ended."""
        self._send_to_all(Ended(reason))

    def close(self) -> None:
        """End the streams."""
        self._is_connected = False
        for stream in tuple(self._streams):
            stream.close()

    def _handle(self, stream: Stream, frame: Frame) -> None:
        if isinstance(frame, Message) and stream.inbox is not None:
            if not self._pass_on(stream.inbox, frame.subject, frame.data):
                self._counts.dropped += 1
        elif isinstance(frame, Join) and stream.inbox is None and frame.inbox in self._subjects:
            self._join(stream, frame.inbox)
        else:
            raise BrokenStreamError(f"a {type(frame).__name__} that was not expected")

    def _join(self, stream: Stream, inbox: str) -> None:
        earlier = self._joined.get(inbox)
        if earlier is not None:
            earlier.close()  # its end was not noticed yet
        stream.inbox = inbox
        self._joined[inbox] = stream
        if self._is_connected:
            stream.send(pack(Connected(self._broker.max_payload_bytes)))

    def _forget(self, stream: Stream) -> None:
        self._counts.broken += stream.is_broken
        self._streams.discard(stream)
        if stream.inbox is not None and self._joined.get(stream.inbox) is stream:
            del self._joined[stream.inbox]

    def _pass_on(self, sender: str, subject: str, data: bytes) -> bool:
        """Pass a message of a sibling on; return whether all of it could be sent."""
        if subject in self._subjects:
            return self._deliver_to(subject, subject, data)
        if subject in self._shared:
            self._deliver_to_all(subject, data, but=sender)
        return self._is_connected and self._broker.publish(subject, data)

    # The broker.

    def connected(self) -> None:
        """Tell all that the broker is connected."""
        self._is_connected = True
        self._send_to_all(Connected(self._broker.max_payload_bytes))
        self._on_connected()

    def receive(self, subject: str, data: bytes) -> None:
        """Deliver a message of the broker."""
        sender = self._inboxes.get(sender_inbox(data))
        if sender is None and subject in self._shared:
            self._deliver_to_all(subject, data)
            return
        if sender is not None and kind_of(data) not in {Hello, Bye}:
            return
        inbox = subject if sender is None else sender
        if not self._deliver_to(inbox, subject, data) and inbox in self._joined:
            self._counts.dropped += 1

    def _deliver_to(self, inbox: str, subject: str, data: bytes) -> bool:
        if inbox == self._own_inbox:
            self._on_message(subject, data)
            return True
        stream = self._joined.get(inbox)
        return stream is not None and stream.send(pack(Message(subject, data)))

    def _deliver_to_all(self, subject: str, data: bytes, *, but: str | None = None) -> None:
        streams = [stream for inbox, stream in self._joined.items() if inbox != but]
        if streams:
            packed = pack(Message(subject, data))
            for stream in streams:
                self._counts.dropped += not stream.send(packed)
        if but != self._own_inbox:
            self._on_message(subject, data)

    def _send_to_all(self, frame: Frame) -> None:
        packed = pack(frame)
        for stream in self._joined.values():
            stream.send(packed)
