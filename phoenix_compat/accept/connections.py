"""How many connections there are and may be, and what was done about those that were too many."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import Final

from phoenix_compat.accept.accepted import AcceptedSocket
from phoenix_compat.accept.addresses import client_of, is_loopback
from phoenix_compat.accept.request_deadlines import BoundCounters

log = logging.getLogger(__name__)

FREE_FILES: Final = 8
"""So many files may be sent at once from the descriptors that are kept back; more take the place of
connections."""

_LINE_S: Final = 1.0
_SAME_LINE_S: Final = 10.0


class Connections:
    """The connections of one server's clients: their number, its limits, and the counters.

    Args:
        is_uncounted: whether an IP address has no limit of its own: this machine's and, as many
            clients come from them, those of trusted proxies.

    Attributes:
        max_connections: the limit.
        max_per_address: the limit for those of one address; None for no limit.
        open: connections within the limit. Each counts until its descriptor is closed.
        peak: the most that were open at once, since memory was last given back.
        refused_over_cap: connections beyond the limit that were turned away.
        refused_per_address: connections beyond the limit of their address that were turned away.
        bounds: how often clients took longer than they may.
        accept_errors: attempts to accept that failed; the connections wait in the kernel meanwhile.
        open_files: files that are being sent to clients.
        refused_files: files that were not sent for want of descriptors.
    """

    def __init__(
        self,
        max_connections: int,
        now_s: Callable[[], float] = time.monotonic,
        *,
        max_per_address: int | None = None,
        is_uncounted: Callable[[str], bool] = is_loopback,
    ) -> None:
        self.max_connections = max_connections
        self.max_per_address = max_per_address
        self.open = 0
        self.peak = 0
        self.refused_over_cap = 0
        self.refused_per_address = 0
        self.bounds = BoundCounters()
        self._is_uncounted = is_uncounted
        self._open_by_client: dict[str, int] = {}
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
            "refused_per_address": self.refused_per_address,
            "accept_errors": self.accept_errors,
            "refused_files": self.refused_files,
            **asdict(self.bounds),
        }

    def admit(self, accepted: AcceptedSocket) -> bool:
        """Count a connection, unless there are as many from its address as there may be."""
        address, most = accepted.peer_address, self.max_per_address
        accepted.peer_address = None  # a websocket keeps this object, and need not keep the text
        if most is not None and address is not None and not self._is_uncounted(address):
            client = client_of(address)
            count = self._open_by_client.get(client, 0)
            if count >= most:
                return False
            self._open_by_client[client] = count + 1
            accepted.on_close = partial(self._closed_from, client)
        self.open += 1
        self.peak = max(self.peak, self.open)
        return True

    def closed(self) -> None:
        """The descriptor of a connection within the limit is closed."""
        self.open -= 1

    def _closed_from(self, client: str) -> None:
        """The same, of a connection that counts for its address."""
        self.open -= 1
        count = self._open_by_client[client] - 1
        if count:
            self._open_by_client[client] = count
        else:
            del self._open_by_client[client]

    def refused(self, *, is_for_address: bool = False) -> None:
        """One was turned away.

        Args:
            is_for_address: whether it is its address that has too many.
        """
        if is_for_address:
            self.refused_per_address += 1
            if (times := self._untold("address", self.refused_per_address)) is not None:
                log.warning(
                    "connections.address_at_limit",
                    extra={"max": self.max_per_address, "times": times},
                )
            return
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
