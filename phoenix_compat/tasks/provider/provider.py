"""The interface of a provider of predictions, as the worker uses it.

The worker sees only `Provider` and `PredictionSnapshot`. Each implementation (`replicate`) converts
its provider's own statuses, errors and documents.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from phoenix_compat.tasks.model.prediction import PredictionRef, PredictionSnapshot
from phoenix_compat.tasks.model.task import Task
from phoenix_compat.tasks.streams.server_sent_events import ServerSentEvent


class Candidates(NamedTuple):
    """What a lookup for the prediction of a lost create has found, each oldest first.

    Attributes:
        ours: the task's prediction, or that of another task with the same input.
        maybe: those of which it cannot be told. While there is one, nothing is created again.
    """

    ours: Sequence[PredictionRef] = ()
    maybe: Sequence[PredictionRef] = ()


class Provider(Protocol):
    """A service that runs predictions. It sends each request at most once.

    Repeating a request is up to the caller.

    All methods except `close` raise ProviderUnreachableError (never sent), ProviderUncertainError
    (sent, outcome unknown), ProviderThrottledError (wait) or ProviderRefusedError (refused).
    """

    async def submit(self, task: Task) -> PredictionRef:
        """Create a prediction for the task. This costs money."""
        ...

    async def fetch(self, ref: PredictionRef) -> PredictionSnapshot:
        """Get a prediction's current state."""
        ...

    async def cancel(self, ref: PredictionRef) -> PredictionSnapshot:
        """Ask the provider to cancel a prediction. The returned state says whether it has ended."""
        ...

    async def find(self, since: datetime, task: Task) -> Candidates:
        """Predictions created after `since` that are, or may be, the task's."""
        ...

    def stream(self, ref: PredictionRef, after: str | None) -> AsyncGenerator[ServerSentEvent]:
        """The events of a prediction's stream, from one connection to it.

        Args:
            after: the id of the last event that is known; None for all events.

        Raises:
            StreamBrokenError, StreamRefusedError: the stream ended without an event `done`.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
