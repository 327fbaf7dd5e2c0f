"""One connection to a broker for the processes of one machine: siblings.

Whoever has the lock is the holder: it has the connection, and listens on a Unix socket, to which
its siblings connect. Its end frees the lock, and one of them is the next holder. To the bus each of
that is a lost connection, after which it reads again what it may have missed.

While the broker is away nothing is passed on, also between siblings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from phoenix_compat.cluster.brokers.addresses import inbox_subject
from phoenix_compat.cluster.brokers.broker import Broker, BrokerError, OnMessage
from phoenix_compat.cluster.bus import BusCounts
from phoenix_compat.cluster.siblings.folder import SiblingFolder
from phoenix_compat.cluster.siblings.frames import Connected, Ended, Frame, Join, Message, pack
from phoenix_compat.cluster.siblings.hub import Hub
from phoenix_compat.cluster.siblings.stream import Stream
from phoenix_compat.cluster.unix.frames import BrokenStreamError

FIND_ATTEMPTS: Final = 20
FIND_PAUSE_S: Final = 0.025
"""A process that has just got the lock does not listen yet."""


class SharedBroker:
    """See Broker; the connection is that of one of the siblings.

    Args:
        broker: makes the connection where this process is the holder.
        folder: private to the siblings; the path of a socket in it has at most 107 bytes.
        prefix: that of the bus.
        inboxes: the inboxes of all siblings, the same in all of them; see BrokerBus.

    Attributes:
        name: that of the broker.
        max_payload_bytes: that of the broker.
        counts: what this process counts as the holder, for its siblings too; see Hub.
        is_holder: whether this process has the connection.
    """

    def __init__(
        self, broker: Broker, folder: Path, *, prefix: str, inboxes: Sequence[int]
    ) -> None:
        self.name = broker.name
        self.max_payload_bytes = broker.max_payload_bytes
        self.counts = BusCounts()
        self.is_holder = False
        self._broker = broker
        self._folder = SiblingFolder(folder)
        self._prefix = prefix
        self._inboxes = tuple(inboxes)
        self._inbox_subjects = frozenset(inbox_subject(prefix, inbox) for inbox in inboxes)
        self._publish: Callable[[str, bytes], bool] | None = None

    def load(self) -> None:
        """See Broker."""
        self._broker.load()
        self._folder.open()

    def publish(self, subject: str, data: bytes) -> bool:
        """See Broker."""
        return (
            self._publish is not None
            and len(data) <= self.max_payload_bytes
            and self._publish(subject, data)
        )

    async def run(
        self, subjects: Sequence[str], on_message: OnMessage, on_connected: Callable[[], None]
    ) -> None:
        """See Broker.

        Args:
            subjects: one of them is the inbox of this process, and the others are those of all.
        """
        [inbox] = self._inbox_subjects.intersection(subjects)
        shared = [subject for subject in subjects if subject != inbox]
        for _ in range(FIND_ATTEMPTS):
            if self._folder.take_lock():
                try:
                    await self._hold(shared, inbox, on_message, on_connected)
                finally:
                    self._folder.free_lock()
                return
            if await self._follow(inbox, on_message, on_connected):
                return
            await asyncio.sleep(FIND_PAUSE_S)
        raise BrokerError("the process of this machine that has the connection does not listen")

    async def _hold(
        self,
        shared: Sequence[str],
        inbox: str,
        on_message: OnMessage,
        on_connected: Callable[[], None],
    ) -> None:
        """Have the connection, for all siblings."""

        def connected() -> None:
            self.max_payload_bytes = self._broker.max_payload_bytes
            hub.connected()

        hub = Hub(
            self._broker,
            self.counts,
            prefix=self._prefix,
            inboxes=self._inboxes,
            shared=shared,
            own_inbox=inbox,
            on_message=on_message,
            on_connected=on_connected,
        )
        try:
            listener = await self._folder.bind()
        except OSError as error:
            raise BrokerError(f"the socket for the other processes: {error.strerror}") from error
        server = await asyncio.get_running_loop().create_unix_server(
            hub.new_stream,
            sock=listener,
            backlog=max(2, len(self._inboxes)),
            start_serving=False,
        )
        self.is_holder = True
        self._publish = hub.publish
        try:
            await server.start_serving()
            await self._broker.run(hub.subjects, hub.receive, connected)
        except BrokerError as error:
            hub.end(str(error))
            raise
        finally:
            self.is_holder = False
            self._publish = None
            server.close()
            hub.close()

    async def _follow(
        self, inbox: str, on_message: OnMessage, on_connected: Callable[[], None]
    ) -> bool:
        """Use the connection of the holder, until it is lost; False if none listens.

        Raises:
            BrokerError: why it was lost.
        """
        reason = "the process of this machine that had the connection has ended"
        lost = asyncio.Event()

        def handle(stream: Stream, frame: Frame) -> None:
            nonlocal reason
            if isinstance(frame, Message):
                on_message(frame.subject, frame.data)
            elif isinstance(frame, Connected):
                self.max_payload_bytes = frame.max_payload_bytes
                self._publish = lambda subject, data: stream.send(pack(Message(subject, data)))
                on_connected()
            elif isinstance(frame, Ended):
                reason = frame.reason
            else:
                raise BrokenStreamError(f"a {type(frame).__name__} that was not expected")

        stream = Stream(handle, lambda _stream: lost.set())
        try:
            await asyncio.get_running_loop().create_unix_connection(
                lambda: stream, str(self._folder.socket_path)
            )
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError as error:
            raise BrokerError(f"the socket of the other processes: {error.strerror}") from error
        stream.send(pack(Join(inbox)))
        try:
            await lost.wait()
        finally:
            self._publish = None
            self.counts.broken += stream.is_broken
            stream.close()
        raise BrokerError(reason)
