"""Puts together what a worker has beside the usual parts where several nodes share the store.

It is imported only where they do.
"""

from __future__ import annotations

from collections import Counter

from phoenix_compat.tasks.model.clock import Clock
from phoenix_compat.tasks.model.task import TaskId
from phoenix_compat.tasks.store.leases.lease_store import LeaseStore
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.streams.output_sink import OutputSink
from phoenix_compat.tasks.worker.context import MakeLimits
from phoenix_compat.tasks.worker.dispatch.leased_claims import LeasedClaims
from phoenix_compat.tasks.worker.dispatch.renewal import STANDARD, LeaseOptions
from phoenix_compat.tasks.worker.dispatch.runs import Runs
from phoenix_compat.tasks.worker.dispatch.sure_outputs import SureOutputs
from phoenix_compat.tasks.worker.limits.create_limiter import CreateLimiter
from phoenix_compat.tasks.worker.limits.create_reports import CreateReports
from phoenix_compat.tasks.worker.limits.shared_limiter import SharedCreateLimiter, SharedReports
from phoenix_compat.tasks.worker.options import WorkerOptions
from phoenix_compat.tasks.worker.recorder import Announce


class Sharing:
    """The parts for one node.

    Attributes:
        outputs: shows and announces nothing of a task that another node may have.
    """

    def __init__(
        self,
        leases: LeaseStore,
        options: LeaseOptions | None,
        outputs: OutputSink,
        announce: Announce,
    ) -> None:
        self.outputs = SureOutputs(outputs, announce)
        self._leases = leases
        self._options = options or STANDARD

    def limits(self, clock: Clock, options: WorkerOptions) -> MakeLimits:
        """The limits of an account that several nodes use."""

        def make(
            counts: Counter[str], failed_probes: dict[TaskId, None]
        ) -> tuple[CreateLimiter, CreateReports]:
            limiter = SharedCreateLimiter(clock, options, self._leases, counts, failed_probes)
            return limiter, SharedReports(limiter)

        return make

    def claims(self, store: TaskStore, runs: Runs) -> LeasedClaims:
        """How the runs get their tasks."""
        self.outputs.runs = runs
        return LeasedClaims(store, self._leases, runs, self._options)
