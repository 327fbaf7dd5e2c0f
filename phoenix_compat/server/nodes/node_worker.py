"""The workers of all nodes, as the API of one node sees them.

What is stored is done by the worker of this node. The node that runs a task is then told, so that
it need not wait for the next renewal of its lease; this is a hint, and may be lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import structlog

from phoenix_compat.cluster import Bus
from phoenix_compat.cluster.bus import CallError
from phoenix_compat.server.nodes.node_id import number_of
from phoenix_compat.tasks.model.prediction import PredictionSnapshot
from phoenix_compat.tasks.model.task import Task, TaskId
from phoenix_compat.tasks.observability.tracing import TaskTracer
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.worker.worker import Worker

_CANCEL: Final = "task.cancel"
_WAKE: Final = "queue.wake"
_NOTICE: Final = "task.notice"
_KNOWN: Final = b"1"

log = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True)
class NodeWorkerCounts:
    """What was passed on to other nodes.

    Attributes:
        cancels: hints that a cancel was requested.
        wakes: hints that a task was added here and this node has no free slot.
        notices: webhooks of the provider.
    """

    cancels: int = 0
    wakes: int = 0
    notices: int = 0


class NodeWorker:
    """See http.tasks.worker_client.WorkerClient."""

    def __init__(self, worker: Worker, store: TaskStore, bus: Bus) -> None:
        self.counts = NodeWorkerCounts()
        self._worker = worker
        self._store = store
        self._bus = bus
        bus.on_cast(_CANCEL, self._receive_cancel)
        bus.on_cast(_WAKE, lambda _node, _body: worker.wake())
        bus.on_call(_NOTICE, self._answer_notice)

    @property
    def tracer(self) -> TaskTracer:
        """See WorkerClient."""
        return self._worker.tracer

    def note_queued(self, task: Task) -> None:
        """See Worker. If this node is busy, others look for the task too."""
        self._worker.note_queued(task)
        if self._worker.runs.free_slots <= 0:
            self.counts.wakes += 1
            self._bus.cast(_WAKE, b"")

    async def cancel(self, task_id: str, *, owner: str | None = None) -> Task:
        """See Worker."""
        task = await self._worker.cancel(task_id, owner=owner)
        if not task.status.is_terminal and self._worker.runs.of(task.id) is None:
            self.counts.cancels += 1
            self._bus.cast(_CANCEL, task.id.encode())
        return task

    async def notice(self, task_id: str, snapshot: PredictionSnapshot | None) -> bool:
        """See Worker. The node that runs the task is asked to poll its prediction.

        The snapshot itself stays here: what is on the bus may be forged, and must change no task.
        """
        if self._worker.runs.of(TaskId(task_id)) is None:
            node = number_of(await self._store.node_of(task_id))
            if node is not None and node in self._bus.up:
                try:
                    return await self._pass_on(node, task_id)
                except CallError as error:
                    log.info("webhook.not_passed_on", task_id=task_id, reason=str(error))
        return await self._worker.notice(task_id, snapshot)

    async def _pass_on(self, node: int, task_id: str) -> bool:
        self.counts.notices += 1
        answer = await self._bus.call(node, _NOTICE, task_id.encode(), on_reply=bytes)
        return answer == _KNOWN

    def _receive_cancel(self, _node: int, body: bytes) -> None:
        run = self._worker.runs.of(TaskId(body.decode()))
        if run is not None:
            run.wake.set()

    async def _answer_notice(self, _node: int, body: bytes) -> bytes:
        return _KNOWN if await self._worker.notice(body.decode(), None) else b""
