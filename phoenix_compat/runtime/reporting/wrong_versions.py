"""Counts and logs clients that write another version of messages than they asked for.

Such a client connects again at once and never joins, so one line a minute must do for all.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from phoenix_compat.errors import WrongVersionError
from phoenix_compat.runtime.limits import Counters
from phoenix_compat.runtime.reporting.limited_log import LimitedLog

log = logging.getLogger(__name__)


class WrongVersions:
    """Counts such clients, and logs the remedy at most once in `limited_log.PAUSE_S`.

    Args:
        counters: `wrong_versions` of it is raised.
        now_s: a monotonic clock.
    """

    def __init__(self, counters: Counters, now_s: Callable[[], float] = time.monotonic) -> None:
        self._counters = counters
        self._log = LimitedLog(log, now_s)

    def note(self, error: Exception) -> None:
        """Count and log an error of a client if it is a WrongVersionError."""
        if isinstance(error, WrongVersionError):
            self._counters.wrong_versions += 1
            self._log.warn("closing a connection: %s", error)
