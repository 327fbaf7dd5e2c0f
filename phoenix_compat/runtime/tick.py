"""The end of the loop tick: when what was held back in it is written.

A send to a socket costs more than everything else on the way out together. So what one loop tick
produces for a client is held back until the tick ends, and is then one write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

LONG_BYTES: Final = 64 * 1024
"""A frame longer than this does not wait for the end of the tick behind others."""


class Flushable(Protocol):
    """Holds frames back until the tick ends."""

    def flush(self) -> None:
        """The tick ends: write what was held back."""


class First(Protocol):
    """An outbox with a single frame that waits for the end of a held tick.

    Attributes:
        first: the frame; None once it has joined a queue, or the client is gone.
    """

    first: bytes | None

    @property
    def write(self) -> Callable[[bytes], int]:
        """Write now and return how many bytes were taken; may raise OSError."""

    def stuck(self, data: bytes, sent: int, error: OSError | None = None) -> None:
        """`write` took only `sent` bytes of the data, or raised the error."""


class Tick:
    """The fanouts and outboxes that hold something back until the loop tick ends.

    Attributes:
        is_held: whether its end will be told by `release`.
        firsts: outboxes whose `first` is written at the end of a held tick, before all else.
    """

    __slots__ = ("_fanouts", "_is_scheduled", "_outboxes", "firsts", "is_held")

    def __init__(self) -> None:
        self.firsts: list[First] = []
        self._fanouts: list[Flushable] = []
        self._outboxes: list[Flushable] = []
        self._is_scheduled = False
        self.is_held = False

    def add_fanout(self, fanout: Flushable) -> None:
        """Flush this fanout at the end of the tick."""
        self._fanouts.append(fanout)
        if not self._is_scheduled:
            self._schedule()

    def add_outbox(self, outbox: Flushable) -> None:
        """Flush this outbox at the end of the tick."""
        self._outboxes.append(outbox)
        if not self._is_scheduled:
            self._schedule()

    def _schedule(self) -> None:
        self._is_scheduled = True
        if not self.is_held:
            asyncio.get_running_loop().call_soon(self.flush)

    def hold(self) -> None:
        """Whoever calls this is about to hand on a batch of messages, and calls `release`."""
        self.is_held = True

    def release(self) -> None:
        """The batch is handed on: for what it made, the tick ends here."""
        self.is_held = False
        if self.firsts or self._is_scheduled:
            self.flush()

    def flush(self) -> None:
        """Write everything out."""
        self._is_scheduled = False
        firsts, fanouts, outboxes = self.firsts, self._fanouts, self._outboxes
        if firsts:
            self.firsts = []
            for waiting in firsts:
                first = waiting.first
                if first is None:
                    continue  # it joined a queue, or the client is gone
                waiting.first = None
                try:
                    sent = waiting.write(first)
                except OSError as error:
                    waiting.stuck(first, 0, error)
                else:
                    if sent != len(first):
                        waiting.stuck(first, sent)
        if fanouts:
            self._fanouts = []
            for fanout in fanouts:
                fanout.flush()
        if outboxes:
            self._outboxes = []
            for outbox in outboxes:
                outbox.flush()
