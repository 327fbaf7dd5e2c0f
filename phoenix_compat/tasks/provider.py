"""The seam behind which pictures are made, and what may come through it.

The worker knows `Provider` and `Snapshot`; the provider's own words, errors and shapes stay
behind the implementation. No I/O here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from phoenix_compat.tasks.errors import ProviderThrottledError
from phoenix_compat.tasks.progress import LOG_TAIL_CHARS
from phoenix_compat.tasks.task import Task


class PredictionState(StrEnum):
    """Where a prediction stands, in our words."""

    ACTIVE = "active"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class PredictionRef:
    """A prediction's name at the provider; opaque."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A prediction as the provider showed it once.

    Attributes:
        raw_status: the provider's own word.
        output: whatever the model answered; see `output.normalise_output`.
        error_text: the provider's text, for classification and never for clients.
        logs: the last 64 kB of what the model printed.
        is_removed: the provider has deleted input and output, as it does after an hour.
    """

    ref: PredictionRef
    state: PredictionState
    raw_status: str
    output: object = None
    error_text: str = ""
    logs: str = ""
    is_removed: bool = False


class RateReducedError(ProviderThrottledError):
    """Too many requests, and the provider says how many there may be.

    Attributes:
        per_minute, burst: so many creates in a minute, so many at once.
    """

    def __init__(self, retry_after_s: float, *, per_minute: int, burst: int) -> None:
        super().__init__(retry_after_s)
        self.per_minute = per_minute
        self.burst = burst


class Provider(Protocol):
    """What makes pictures. Each call is sent at most once; repeating is the caller's decision.

    All but `close` raise ProviderUnreachableError (never sent), ProviderUncertainError (sent,
    outcome unknown), ProviderThrottledError (wait) or ProviderRefusedError (no).
    """

    async def submit(self, task: Task) -> PredictionRef:
        """Order what the task asks for. This costs money."""
        ...

    async def fetch(self, ref: PredictionRef) -> Snapshot:
        """Look at a prediction."""
        ...

    async def cancel(self, ref: PredictionRef) -> Snapshot:
        """Ask that a prediction end; a wish, not a fact: the answer says where it stands."""
        ...

    async def find(self, since: datetime, fingerprint: str) -> Sequence[PredictionRef]:
        """Predictions made after `since` that answer to a fingerprint, oldest first."""
        ...

    async def close(self) -> None:
        """Let connections go."""
        ...


class Prediction(BaseModel):
    """Replicate's prediction as it may come: keys can be absent, null, or new."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str
    model: str | None = None
    version: str | None = None
    status: str | None = None
    input: object = None
    output: object = None
    error: object = None
    logs: str | None = None
    data_removed: bool | None = None
    completed_at: str | None = None

    def snapshot(self) -> Snapshot:
        """The same in the workshop's words."""
        return Snapshot(
            ref=PredictionRef(self.id),
            state=self._state(),
            raw_status=self.status or "",
            output=self.output,
            error_text="" if self.error is None else str(self.error)[:2_000],
            logs=(self.logs or "")[-LOG_TAIL_CHARS:],
            is_removed=bool(self.data_removed),
        )

    def _state(self) -> PredictionState:
        known = _STATES.get(self.status or "")
        if known is not None:
            return known
        # A word we do not know is waited for, unless the prediction says that it has ended.
        return PredictionState.FAILED if self.completed_at else PredictionState.ACTIVE


_STATES = {
    "starting": PredictionState.ACTIVE,
    "processing": PredictionState.ACTIVE,
    "succeeded": PredictionState.SUCCEEDED,
    "failed": PredictionState.FAILED,
    "canceled": PredictionState.CANCELED,
    # It ended before it began, by its deadline or by a cancel.
    "aborted": PredictionState.CANCELED,
}
KNOWN_STATUSES = frozenset(_STATES)
