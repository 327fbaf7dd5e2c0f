"""Logs clients that write another version of messages than the one that they asked for.

Such a client connects again at once and never joins, so one line a minute must do for all.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Final

from phoenix_compat.errors import WrongVersionError
from phoenix_compat.runtime.limits import Counters

PAUSE_S: Final = 60.0

log = logging.getLogger(__name__)


class WrongVersions:
    """Counts such clients, and logs the remedy at most once in `PAUSE_S`.

    Args:
        counters: `wrong_versions` of it is raised.
        now_s: a monotonic clock.
    """

    def __init__(self, counters: Counters, now_s: Callable[[], float] = time.monotonic) -> None:
        self._counters = counters
        self._now_s = now_s
        self._logged_at_s = -math.inf
        self._logged_count = 0

    def note(self, error: Exception) -> None:
        """Count and log an error of a client if it is a WrongVersionError."""
        if not isinstance(error, WrongVersionError):
            return
        self._counters.wrong_versions += 1
        now_s = self._now_s()
        if now_s < self._logged_at_s + PAUSE_S:
            return
        others = self._counters.wrong_versions - self._logged_count - 1
        self._logged_at_s, self._logged_count = now_s, self._counters.wrong_versions
        log.warning("closing a connection: %s (%d more since the last such line)", error, others)
