"""The time of a database that several servers share.

Whether a lease has run out is decided by the clock of the database. With this clock everything else
that is stored or compared has the same time, so a server whose own clock is wrong changes nothing.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Final

from phoenix_compat.tasks.model.clock import SystemClock, parse_time
from phoenix_compat.tasks.store.database import Database

ASK: Final = "SELECT clock_timestamp() AS now"
MAX_ROUND_TRIP_S: Final = 1.0
"""An answer that took longer says too little about the time; the last one counts on."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class DatabaseClock(SystemClock):
    """The monotonic clock of this machine, and how far that of the database is from it.

    Until `measure` has had an answer it is the machine's own time.

    Attributes:
        skew_s: how far the machine's clock is ahead of the database's, in seconds.
    """

    def __init__(self) -> None:
        self._offset_s = time.time() - time.monotonic()
        self.skew_s = 0.0

    def now(self) -> datetime:
        """The wall time of the database: aware, in UTC."""
        return _EPOCH + timedelta(seconds=time.monotonic() + self._offset_s)

    async def measure(self, database: Database) -> None:
        """Ask the database for its time; half of the round trip counts as the way back.

        Raises:
            StoreUnavailableError: it does not answer; the time goes on as it was.
        """
        asked_s = time.monotonic()
        ((text,),) = await database.read(ASK)
        answered_s = time.monotonic()
        self.take(text, asked_s, answered_s)

    def take(self, text: str, asked_s: float, answered_s: float) -> None:
        """Use an answer of the database that came with another statement.

        Args:
            text: its time, as `stored_time` writes it.
            asked_s: when the statement was sent, by the monotonic clock.
            answered_s: when the answer came.
        """
        if answered_s - asked_s > MAX_ROUND_TRIP_S:
            return
        at_s = (parse_time(text) - _EPOCH).total_seconds()
        self._offset_s = at_s - (asked_s + answered_s) / 2
        self.skew_s = time.time() - time.monotonic() - self._offset_s
