"""One run of one task: what reaches it from outside while its steps are executed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from phoenix_compat.tasks.model.prediction import PredictionSnapshot, PredictionState


@dataclass(slots=True, kw_only=True)
class TaskRun:
    """The state of a run that is not in the task's row.

    Attributes:
        is_resumed: an earlier process began this task, so its prediction may be old.
        ticket: the create limiter's ticket, returned when the create is over; None without one.
        is_creating: a create may be sent or on its way; stopping now could lose a paid prediction.
        is_stopping: the worker stops: begin no further step once no create is on its way.
        lost_status: the HTTP status of a create whose outcome is unknown, if it had one.
        has_webhooks: webhooks report on the prediction, so polls are rare.
        reports: what webhooks said and no step has read yet, by prediction id.
        reported: set with each webhook.
        wake: set when the task's row has changed, or a webhook has arrived.
    """

    is_resumed: bool
    ticket: int | None = None
    is_creating: bool = False
    is_stopping: bool = False
    lost_status: int | None = None
    has_webhooks: bool = False
    reports: dict[str, PredictionSnapshot] = field(default_factory=dict)
    reported: asyncio.Event = field(default_factory=asyncio.Event)
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def report(self, snapshot: PredictionSnapshot | None) -> None:
        """Take what a webhook says; None says only that a poll is worth it.

        Webhooks may arrive out of order: one that says "running" never replaces one that says
        "ended".
        """
        if snapshot is not None:
            self.has_webhooks = True
            known = self.reports.get(snapshot.ref.id)
            if known is None or known.state is PredictionState.ACTIVE:
                self.reports[snapshot.ref.id] = snapshot
        self.reported.set()
        self.wake.set()
