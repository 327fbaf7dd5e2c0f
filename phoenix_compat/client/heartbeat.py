"""The heartbeats of one client, which also tell whether its connection still lives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from phoenix_compat.client.interval_timer import Beat, IntervalTimer, interval_timer
from phoenix_compat.client.link import Link
from phoenix_compat.client.transports.connection import ConnectionLostError
from phoenix_compat.protocol.message import HEARTBEAT, PHOENIX_TOPIC

HEARTBEAT_TIMEOUT: Final = "heartbeat timeout"
_ABNORMAL_CLOSURE: Final = 1006


class Heartbeat:
    """Sends a heartbeat in each interval, if the one before was answered.

    Args:
        interrupt: gives the connection up.
        on_alive: called when a heartbeat is answered.

    Source: phoenix.js 1.8, socket.js, sendHeartbeat and heartbeatTimeout.
    """

    __slots__ = (
        *("_beat", "_interrupt", "_interval_s", "_link", "_on_alive", "_pending", "_timer"),
        "_trial",
    )

    def __init__(
        self,
        link: Link,
        interval_s: float,
        interrupt: Callable[[ConnectionLostError], None],
        on_alive: Callable[[], None],
    ) -> None:
        self._link = link
        self._interval_s = interval_s
        self._interrupt = interrupt
        self._on_alive = on_alive
        self._pending: str | None = None
        self._timer: IntervalTimer | None = None
        self._beat: Beat | None = None
        self._trial: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin, with the first heartbeat after one interval."""
        self._timer = interval_timer(self._interval_s)
        self._beat = self._timer.add(self._tick)

    def prove(self, within_s: float, on_failure: Callable[[], None]) -> None:
        """Send a heartbeat now; if it is not answered in time, give the connection up."""

        def fail() -> None:
            on_failure()
            self._interrupt(ConnectionLostError(_ABNORMAL_CLOSURE, "the websocket does not work"))

        self._trial = asyncio.get_running_loop().call_later(within_s, fail)
        self._send()

    def stop(self) -> None:
        """Stop: the connection has ended."""
        self._pending = None
        self._timer = None
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None
        self._end_trial()

    def receive(self, ref: Any) -> None:
        """Look whether a message answers the heartbeat."""
        if self._pending is not None and ref == self._pending:
            self._pending = None
            self._end_trial()
            self._on_alive()

    def _tick(self) -> None:
        if self._pending is not None:
            self._pending = None
            self._link.counters.heartbeat_timeouts += 1
            self._interrupt(ConnectionLostError(_ABNORMAL_CLOSURE, HEARTBEAT_TIMEOUT))
            return
        self._send()
        if self._timer is not None:
            self._beat = self._timer.add(self._tick)

    def _send(self) -> None:
        self._pending = ref = self._link.next_ref()
        self._link.send(None, ref, PHOENIX_TOPIC, HEARTBEAT, {})

    def _end_trial(self) -> None:
        if self._trial is not None:
            self._trial.cancel()
            self._trial = None
