"""Flushes the buffered writes of a loop tick when the tick ends.

A send to a socket costs more than all other work on an outgoing message. So everything that one
loop tick produces for a client is buffered until the tick ends, and then written at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from phoenix_compat.errors import WrongThreadError

LONG_BYTES: Final = 64 * 1024
"""A frame longer than this is written before the end of the tick."""


class Flushable(Protocol):
    """Buffers frames until the tick ends."""

    def flush(self) -> None:
        """Write the buffered frames."""


class HeldOutbox(Protocol):
    """An outbox with a single frame that waits for the end of a held tick.

    Attributes:
        held_frame: the frame; None once it has moved to a queue, or the client has disconnected.
    """

    held_frame: bytes | None

    @property
    def write(self) -> Callable[[bytes], int]:
        """Write now and return how many bytes were written; may raise OSError."""

    def write_failed(self, data: bytes, sent: int, error: OSError | None = None) -> None:
        """Handle a `write` that wrote only `sent` bytes of the data, or raised the error."""


class Tick:
    """The fanouts and outboxes with buffered writes in this loop tick.

    Attributes:
        is_held: whether the tick is held open until `release`.
        held_outboxes: outboxes whose `held_frame` is written first at the end of a held tick.
    """

    __slots__ = ("_fanouts", "_is_scheduled", "_outboxes", "held_outboxes", "is_held")

    def __init__(self) -> None:
        self.held_outboxes: list[HeldOutbox] = []
        self._fanouts: list[Flushable] = []
        self._outboxes: list[Flushable] = []
        self._is_scheduled = False
        self.is_held = False

    def add_fanout(self, fanout: Flushable) -> None:
        """Flush this fanout at the end of the tick. Raises WrongThreadError without a loop."""
        if not self._is_scheduled:
            self._schedule()
        self._fanouts.append(fanout)

    def add_outbox(self, outbox: Flushable) -> None:
        """Flush this outbox at the end of the tick. Raises WrongThreadError without a loop."""
        if not self._is_scheduled:
            self._schedule()
        self._outboxes.append(outbox)

    def _schedule(self) -> None:
        if not self.is_held:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                raise WrongThreadError("a broadcast") from None
            loop.call_soon(self.flush)
        self._is_scheduled = True

    def reset(self) -> None:
        """Drop what is buffered: the event loop that would have flushed it is closed."""
        self.held_outboxes, self._fanouts, self._outboxes = [], [], []
        self._is_scheduled = self.is_held = False

    def hold(self) -> None:
        """Hold the tick open while a batch of messages is handled; `release` ends it."""
        self.is_held = True

    def release(self) -> None:
        """End a held tick and flush it."""
        self.is_held = False
        if self.held_outboxes or self._is_scheduled:
            self.flush()

    def flush(self) -> None:
        """Write everything that is buffered."""
        self._is_scheduled = False
        held, fanouts, outboxes = self.held_outboxes, self._fanouts, self._outboxes
        if held:
            self.held_outboxes = []
            for outbox in held:
                frame = outbox.held_frame
                if frame is None:
                    continue  # it moved to a queue, or the client has disconnected
                outbox.held_frame = None
                try:
                    sent = outbox.write(frame)
                except OSError as error:
                    outbox.write_failed(frame, 0, error)
                else:
                    if sent != len(frame):
                        outbox.write_failed(frame, sent)
        if fanouts:
            self._fanouts = []
            for fanout in fanouts:
                fanout.flush()
        if outboxes:
            self._outboxes = []
            for queued in outboxes:
                queued.flush()
