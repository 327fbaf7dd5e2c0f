"""How many connections there are and may be, and what was done about those that were too many."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

log = logging.getLogger(__name__)

FREE_FILES: Final = 8
"""So many files may be sent at once from the descriptors that are kept back; more take the place of
connections."""

_LINE_S: Final = 1.0
_SAME_LINE_S: Final = 10.0


class Connections:
    """The connections of one server's clients: their number, its limit, and the counters.

    Attributes:
        max_connections: the limit.
        open: connections within the limit. Each counts until its descriptor is closed.
        refused_over_cap: connections beyond the limit that were turned away.
        accept_errors: attempts to accept that failed; the connections wait in the kernel meanwhile.
        open_files: files that are being sent to clients.
        refused_files: files that were not sent for want of descriptors.
    """

    def __init__(self, max_connections: int, now_s: Callable[[], float] = time.monotonic) -> None:
        self.max_connections = max_connections
        self.open = 0
        self.refused_over_cap = 0
        self.accept_errors = 0
        self.open_files = 0
        self.refused_files = 0
        self._now_s = now_s
        self._told_s = float("-inf")
        self._told: dict[str, tuple[float, int]] = {}

    @property
    def is_full(self) -> bool:
        """Whether the next connection is beyond the limit."""
        return self.open + max(0, self.open_files - FREE_FILES) >= self.max_connections

    @property
    def counts(self) -> dict[str, int]:
        """For `/healthz` and metrics."""
        return {
            "open": self.open,
            "max": self.max_connections,
            "refused_over_cap": self.refused_over_cap,
            "accept_errors": self.accept_errors,
            "refused_files": self.refused_files,
        }

    def closed(self) -> None:
        """The descriptor of a connection within the limit is closed."""
        self.open -= 1

    def refused(self) -> None:
        """One was turned away."""
        self.refused_over_cap += 1
        if (times := self._untold("refused", self.refused_over_cap)) is not None:
            log.warning(
                "connections.at_limit",
                extra={"open": self.open, "max": self.max_connections, "times": times},
            )

    def not_accepted(self, error: OSError) -> None:
        """An attempt to accept failed."""
        self.accept_errors += 1
        if (times := self._untold("not_accepted", self.accept_errors)) is not None:
            log.warning(
                "connections.not_accepted",
                extra={"reason": error.strerror, "open": self.open, "times": times},
            )

    def has_room_for_file(self) -> bool:
        """Whether one more file may be sent now; if not, that is counted."""
        if self.open_files < FREE_FILES or not self.is_full:
            return True
        self.refused_files += 1
        return False

    @contextmanager
    def sending_file(self) -> Iterator[None]:
        """While a file is open to be sent to a client."""
        self.open_files += 1
        try:
            yield
        finally:
            self.open_files -= 1

    def _untold(self, kind: str, count: int) -> int | None:
        """How many came since the last line of this kind, if it is time for one.

        There is one of a kind in ten seconds, and one of any kind in a second.
        """
        now_s = self._now_s()
        line_s, told = self._told.get(kind, (float("-inf"), 0))
        if now_s < line_s + _SAME_LINE_S or now_s < self._told_s + _LINE_S:
            return None
        self._told_s = now_s
        self._told[kind] = (now_s, count)
        return count - told
