"""Keeps a broker connected, and notices when this node does not hear itself through it.

Drivers lose subscriptions silently, brokers stop, and networks swallow what they are given. So a
connection counts only if the node's own Hello comes back. If none does for a while, the node is
deaf, and it connects and subscribes anew, however healthy the connection looks.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from typing import Final

from phoenix_compat.cluster.brokers.attended_clock import AttendedClock
from phoenix_compat.cluster.brokers.broker import Broker, BrokerError, OnMessage
from phoenix_compat.cluster.bus import BusCounts

log = logging.getLogger(__name__)

_FIRST_PAUSE_S: Final = 0.1
_LAST_PAUSE_S: Final = 2.0
_LOG_EVERY_S: Final = 60.0


class Connection:
    """The connection to a broker, made again whenever it is lost; for one opening of a bus.

    Args:
        clock: ticks in `check`'s caller.
        deaf_after_s: how long the own Hello may be missing.
        on_connected: called after each subscription; says a Hello.

    Attributes:
        is_deaf: whether the own Hello is missing for so long.
        is_heard: set while the node hears itself.
    """

    def __init__(
        self,
        broker: Broker,
        clock: AttendedClock,
        counts: BusCounts,
        *,
        deaf_after_s: float,
        on_connected: Callable[[], None],
    ) -> None:
        self.is_deaf = False
        self.is_heard = asyncio.Event()
        self._broker = broker
        self._clock = clock
        self._counts = counts
        self._deaf_after_s = deaf_after_s
        self._on_connected = on_connected
        self._heard_at = clock.now
        self._attempted_at = clock.now
        self._limit: asyncio.Timeout | None = None
        self._logged_at = -_LOG_EVERY_S

    async def run(self, subjects: Sequence[str], on_message: OnMessage) -> None:
        """Connect again and again, until cancelled."""
        pause_s = _FIRST_PAUSE_S
        while True:
            self._attempted_at = self._clock.now
            reason = await self._attempt(subjects, on_message)
            if self.is_heard.is_set():
                self.is_heard.clear()
                pause_s = _FIRST_PAUSE_S
            if reason is not None:
                self._log(reason)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - spreads nodes
            pause_s = min(pause_s * 2, _LAST_PAUSE_S)

    async def _attempt(self, subjects: Sequence[str], on_message: OnMessage) -> str | None:
        """Connect once, and return why it has ended; None if nothing came back."""
        try:
            async with asyncio.timeout(None) as self._limit:
                await self._broker.run(subjects, on_message, self._connected)
        except TimeoutError:
            return None
        except BrokerError as error:
            return str(error)
        finally:
            self._limit = None
        return "it ended"

    def _connected(self) -> None:
        self._counts.connects += 1
        self._on_connected()

    def heard_self(self) -> None:
        """Note that the own Hello has come back."""
        if self.is_deaf:
            silent_s = self._clock.now - self._heard_at
            log.warning("%s: this node hears again, after %.0f s", self._broker.name, silent_s)
        elif self._logged_at > 0 and not self.is_heard.is_set():
            log.info("%s: connected again", self._broker.name)
        self._heard_at = self._attempted_at = self._clock.now
        self.is_deaf = False
        self.is_heard.set()

    def check(self) -> None:
        """Notice deafness, and end a connection through which nothing comes back."""
        now = self._clock.now
        if now - self._heard_at > self._deaf_after_s and not self.is_deaf:
            self.is_deaf = True
            self._counts.deaf += 1
            log.warning(
                "%s: this node has heard nothing for %.0f s, not even itself; it subscribes again",
                self._broker.name,
                self._deaf_after_s,
            )
        if now - self._attempted_at > self._deaf_after_s and self._limit is not None:
            self._attempted_at = now
            self._limit.reschedule(asyncio.get_running_loop().time())

    def _log(self, reason: str) -> None:
        """Log the end of a connection: the first one, and one a minute while it lasts."""
        now = asyncio.get_running_loop().time()
        if now - self._logged_at >= _LOG_EVERY_S:
            self._logged_at = now
            log.warning("%s: %s; connecting again", self._broker.name, reason)
