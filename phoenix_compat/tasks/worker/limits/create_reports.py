"""What the steps of a run report about their creates, which decides when the next one is sent."""

from __future__ import annotations

from typing import Protocol

from phoenix_compat.tasks.model.errors import ProviderThrottledError
from phoenix_compat.tasks.worker.circuit_breaker import ACCOUNT
from phoenix_compat.tasks.worker.limits.create_limiter import CreateLimiter


class CreateReports(Protocol):
    """Passes on how creates ended. The methods are those of CreateLimiter, and never raise."""

    async def succeeded(self) -> None:
        """A create was accepted."""
        ...

    async def answered(self) -> None:
        """An answer shows that the provider and the account work."""
        ...

    async def failed(self, reason: str) -> bool:
        """The account was refused, or the provider unavailable; see `CreateLimiter.failed`."""
        ...

    async def throttled(self, error: ProviderThrottledError, jitter: float) -> None:
        """A 429 was answered; see `CreateLimiter.throttled`."""
        ...

    def account_refused(self) -> None:
        """The provider refuses the account, which was found without a create."""
        ...


class OwnReports:
    """For a worker that has the provider's account to itself. See CreateReports."""

    def __init__(self, limiter: CreateLimiter) -> None:
        self._limiter = limiter

    async def succeeded(self) -> None:
        """See CreateReports."""
        self._limiter.succeeded()

    async def answered(self) -> None:
        """See CreateReports."""
        self._limiter.answered()

    async def failed(self, reason: str) -> bool:
        """See CreateReports."""
        return self._limiter.failed(reason)

    async def throttled(self, error: ProviderThrottledError, jitter: float) -> None:
        """See CreateReports."""
        self._limiter.throttled(error, jitter)

    def account_refused(self) -> None:
        """See CreateReports."""
        self._limiter.failed(ACCOUNT)
