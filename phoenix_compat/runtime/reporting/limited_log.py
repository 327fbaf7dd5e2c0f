"""Logs the mistakes of clients at a limited rate.

A client repeats its mistake at once, and there may be many clients, so one line must do for all.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Final

PAUSE_S: Final = 60.0


class LimitedLog:
    """Writes at most one warning in `PAUSE_S`, with the number of those that were left out.

    Args:
        log: where the warnings go.
        now_s: a monotonic clock.
    """

    def __init__(self, log: logging.Logger, now_s: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._now_s = now_s
        self._logged_at_s = -math.inf
        self._left_out = 0

    def warn(self, text: str, *values: object) -> None:
        """Log a warning, or count it."""
        now_s = self._now_s()
        if now_s < self._logged_at_s + PAUSE_S:
            self._left_out += 1
            return
        self._log.warning(f"{text} (%d more since the last such line)", *values, self._left_out)
        self._logged_at_s, self._left_out = now_s, 0
