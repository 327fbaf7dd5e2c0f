"""The state of one run of a task that is not in the task's row, shared by the steps of the run."""

from __future__ import annotations

import asyncio
import contextlib
import math
from dataclasses import dataclass, field
from typing import Final

from phoenix_compat.tasks.model.clock import elapsed_s
from phoenix_compat.tasks.model.prediction import PredictionRef, PredictionSnapshot, PredictionState

_LOOK_AGAIN_S: Final = 1.0


@dataclass(slots=True, kw_only=True)
class TaskRun:
    """What the steps of a run share, and what a stop, a cancel or a webhook tells them.

    Attributes:
        is_resumed: an earlier process began this task, so its prediction may be old.
        ticket: the create limiter's ticket, returned when the create is over; None if it has none.
        is_creating: a create may be on its way; stopping now could lose a paid prediction.
        is_stopping: the worker is stopping; once no create is on its way, no further step begins.
        submitted_at_s: when this run sent its first create, on the monotonic clock; None if an
            earlier run has sent it.
        lost_status: the HTTP status of the answer to a create whose outcome is unknown; None if
            there was no answer.
        created: the prediction that this run's create made; None if it has made none.
        has_webhooks: webhooks report on the prediction, so polls can be rare.
        reports: snapshots from webhooks that no step has read yet, by prediction id.
        reported: set by each webhook.
        wake: set when the task's row has changed or a webhook has arrived.
        is_claimed: the task was taken from the queue as submitting, and its create is not sent yet.
        lease: its lease, where several nodes share the store.
        sure_until_s: until then no other node can have taken the task, by `elapsed_s`.
        renewed: set when that has changed.
    """

    is_resumed: bool
    ticket: int | None = None
    is_creating: bool = False
    is_stopping: bool = False
    submitted_at_s: float | None = None
    lost_status: int | None = None
    created: PredictionRef | None = None
    has_webhooks: bool = False
    reports: dict[str, PredictionSnapshot] = field(default_factory=dict)
    reported: asyncio.Event = field(default_factory=asyncio.Event)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    is_claimed: bool = False
    lease: int = 0
    sure_until_s: float = math.inf
    renewed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_sure(self) -> bool:
        """Whether no other node can have taken the task."""
        return elapsed_s() < self.sure_until_s

    def renew(self, sure_until_s: float) -> None:
        """Another node cannot take the task before this time, by `elapsed_s`."""
        self.sure_until_s = max(self.sure_until_s, sure_until_s)
        self.renewed.set()

    async def until_sure(self) -> bool:
        """Wait until no other node can have taken the task; False if the worker stops."""
        while not self.is_sure and not self.is_stopping:
            self.renewed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN_S):
                    await self.renewed.wait()
        return self.is_sure

    def report(self, snapshot: PredictionSnapshot | None) -> None:
        """Store a webhook's snapshot; None only asks for a poll.

        Webhooks may arrive out of order: an active snapshot never replaces one that has ended.
        """
        if snapshot is not None:
            self.has_webhooks = True
            known = self.reports.get(snapshot.ref.id)
            if known is None or known.state is PredictionState.ACTIVE:
                self.reports[snapshot.ref.id] = snapshot
        self.reported.set()
        self.wake.set()
