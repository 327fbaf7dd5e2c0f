"""The seam behind which predictions run: what the worker asks of a provider. No I/O.

The worker knows `Provider` and `PredictionSnapshot`; the provider's own words, errors and shapes
stay behind
the implementation (`replicate`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from phoenix_compat.tasks.model.prediction import PredictionRef, PredictionSnapshot
from phoenix_compat.tasks.model.task import Task


class Provider(Protocol):
    """What makes pictures. Each call is sent at most once; repeating is the caller's decision.

    All but `close` raise ProviderUnreachableError (never sent), ProviderUncertainError (sent,
    outcome unknown), ProviderThrottledError (wait) or ProviderRefusedError (no).
    """

    async def submit(self, task: Task) -> PredictionRef:
        """Order what the task asks for. This costs money."""
        ...

    async def fetch(self, ref: PredictionRef) -> PredictionSnapshot:
        """Look at a prediction."""
        ...

    async def cancel(self, ref: PredictionRef) -> PredictionSnapshot:
        """Ask that a prediction end; a wish, not a fact: the answer says where it stands."""
        ...

    async def find(self, since: datetime, fingerprint: str) -> Sequence[PredictionRef]:
        """Predictions made after `since` that answer to a fingerprint, oldest first."""
        ...

    async def close(self) -> None:
        """Let connections go."""
        ...
