"""Limits how fast one client address, and one owner, may create tasks, connect, join and guess.

Each limit is a rate per minute, and as much may come at once. A request that is refused takes no
token. Addresses that are None are not counted; see `client_address`. Neither is the owner "": that
is every client where authentication is off.

With several processes each has its own buckets, so each gets its share of the rate. Only the tasks
of an owner are counted in one place, because the leader creates them all.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

import structlog

from phoenix_compat.errors import PhoenixCompatError
from phoenix_compat.server.process.settings.rates import RateSettings
from phoenix_compat.server.rates.bucket_table import BucketTable

_MINUTE_S: Final = 60.0
_SAME_LINE_S: Final = 10.0

log = structlog.stdlib.get_logger(__name__)


class RateLimitedError(PhoenixCompatError):
    """A client acts faster than it may.

    Attributes:
        retry_after_s: in how many whole seconds it may act again; at least one.
    """

    def __init__(self, text: str, retry_after_s: int) -> None:
        super().__init__(f"{text}. Try again in {retry_after_s} s.")
        self.retry_after_s = retry_after_s


class _Limit:
    """One limit: its buckets, and how many were refused.

    Args:
        name: that of its setting, without `_per_minute`.
        subject: what may not come too fast, for people, such as "tasks of this owner".
        share: the part of the rate that this process has.
    """

    def __init__(self, name: str, subject: str, share: float, now_s: Callable[[], float]) -> None:
        self.name = name
        self.refused = 0
        self._subject = subject
        self._share = share
        self._now_s = now_s
        self._per_minute = 0
        self._table: BucketTable | None = None
        self._logged_at_s = float("-inf")
        self._logged = 0

    def set_rate(self, per_minute: int) -> None:
        """Change the rate, 0 for no limit; after a change all buckets are full."""
        if per_minute == self._per_minute:
            return
        self._per_minute = per_minute
        own = per_minute * self._share
        self._table = (
            BucketTable(own / _MINUTE_S, max(own, 1.0), self._now_s) if per_minute else None
        )

    def check(self, key: str) -> None:
        """Check that this key has a token. Raises RateLimitedError."""
        if self._table is not None and (wait_s := self._table.wait_s(key)) > 0.0:
            raise self._refusal(wait_s)

    def take(self, key: str) -> None:
        """Take a token of this key. Raises RateLimitedError if there is none."""
        if self._table is not None and (wait_s := self._table.try_take(key)) > 0.0:
            raise self._refusal(wait_s)

    def count(self, key: str) -> None:
        """Take a token of this key for what has already happened."""
        if self._table is not None:
            self._table.take(key)

    def _refusal(self, wait_s: float) -> RateLimitedError:
        self.refused += 1
        self._log()
        text = f"Too many {self._subject}: at most {self._per_minute} a minute"
        return RateLimitedError(text, max(math.ceil(wait_s), 1))

    def _log(self) -> None:
        now_s = self._now_s()
        if now_s < self._logged_at_s + _SAME_LINE_S:
            return
        log.warning(
            "rates.limited",
            setting=f"{self.name}_per_minute",
            per_minute=self._per_minute,
            times=self.refused - self._logged,
        )
        self._logged_at_s = now_s
        self._logged = self.refused


class RateLimiter:
    """All limits of this process.

    Args:
        settings: the rates.
        processes: how many processes share the port.
        now_s: a monotonic clock.
    """

    def __init__(
        self,
        settings: RateSettings,
        *,
        processes: int = 1,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        def limit(name: str, subject: str, share: float = 1.0 / processes) -> _Limit:
            return _Limit(name, subject, share, now_s)

        self._address_creates = limit("address_creates", "tasks from this address")
        self._address_connects = limit("address_connects", "connections from this address")
        self._address_joins = limit("address_joins", "joins from this address")
        self._failed_credentials = limit(
            "address_failed_credentials", "invalid credentials from this address"
        )
        self._owner_creates = limit("owner_creates", "tasks of this owner", share=1.0)
        self._owner_connects = limit("owner_connects", "connections of this owner")
        self._owner_joins = limit("owner_joins", "joins of this owner")
        self._limits = (
            self._address_creates,
            self._address_connects,
            self._address_joins,
            self._failed_credentials,
            self._owner_creates,
            self._owner_connects,
            self._owner_joins,
        )
        self.change(settings)

    def change(self, settings: RateSettings) -> None:
        """Use these rates from now on."""
        for limit in self._limits:
            limit.set_rate(getattr(settings, f"{limit.name}_per_minute"))

    @property
    def refused_counts(self) -> dict[str, int]:
        """How many were refused by each limit, for `/healthz` and metrics."""
        return {limit.name: limit.refused for limit in self._limits}

    def check_credentials(self, address: str | None) -> None:
        """Before a credential is checked: its address has not sent too many that were invalid.

        Raises:
            RateLimitedError: it has; no credential from there is checked now, not even a valid one.
        """
        if address is not None:
            self._failed_credentials.check(address)

    def credential_failed(self, address: str | None) -> None:
        """Count a credential that turned out to be invalid."""
        if address is not None:
            self._failed_credentials.count(address)

    def take_create(self, owner: str, address: str | None) -> None:
        """Count a task that is to be created or retried. Raises RateLimitedError."""
        _take(self._owner_creates, owner, self._address_creates, address)

    def take_connect(self, owner: str, address: str | None) -> None:
        """Count a socket that is to be opened. Raises RateLimitedError."""
        _take(self._owner_connects, owner, self._address_connects, address)

    def take_join(self, owner: str, address: str | None) -> None:
        """Count a channel that is to be joined. Raises RateLimitedError."""
        _take(self._owner_joins, owner, self._address_joins, address)


def _take(of_owner: _Limit, owner: str, of_address: _Limit, address: str | None) -> None:
    """Take a token of both, or, if one of them has none, of neither. Raises RateLimitedError."""
    if address is not None:
        if owner:
            of_owner.check(owner)
        of_address.take(address)
    if owner:
        of_owner.take(owner)
