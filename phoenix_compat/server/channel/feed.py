"""Broadcasts the changes of tasks to their clients, and knows the present state of each."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec

from phoenix_compat.endpoint import Endpoint
from phoenix_compat.server.channel.outputs import TaskOutputs
from phoenix_compat.server.channel.shared_reads import SharedReads
from phoenix_compat.tasks.model.task import JSONObject, Task, progress_payload
from phoenix_compat.tasks.store.task_store import TaskStore

PROGRESS: Final = "progress"
"""The event with a task's state."""

MAX_REMEMBERED: Final = 10_000
MAX_REMEMBERED_BYTES: Final = 64 * 2**20

# What CPython needs, rounded up: a task without results, and for each mark in the JSON of a result
# the object, list, item or key that it stands for.
_TASK_BYTES: Final = 2_048
_BYTES_OF_MARKS: Final = {b"{": 184, b"[": 88, b",": 56, b":": 110}


@dataclass(slots=True)
class _Remembered:
    """A task, and what the last client that asked for its state was shown.

    After a restart many clients ask for the same state, nearly all by the same address.

    Attributes:
        base_url: the address by which that client reaches this server.
        payload: None until somebody asks.
    """

    task: Task
    estimated_bytes: int
    base_url: str = ""
    payload: JSONObject | None = None


@dataclass(slots=True)
class FeedCounts:
    """What a feed remembers.

    Attributes:
        remembered: tasks that it remembers.
        remembered_bytes: an estimate of the memory that they use.
        forgotten: tasks that it had to forget, because there were too many or they were too large.
    """

    remembered: int = 0
    remembered_bytes: int = 0
    forgotten: int = 0


class TaskFeed:
    """Broadcasts changes of tasks, and remembers the newest state of each task.

    A client that joins must not get a state older than one it was already sent. A state read from
    the store can be outdated by the time it arrives. A remembered state cannot, because it is
    stored and broadcast in the same step of the event loop.

    Inputs are not remembered. When there are too many tasks, or they use too much memory, those
    that have not changed for the longest time are forgotten; their state is read from the store.

    Attributes:
        counts: see FeedCounts.
        outputs: the texts that are being written.
        listener: called with each change, in every process; None if nobody listens. It must not
            block or raise.
        wants_all: whether the listener has any use for a change now.
    """

    def __init__(
        self,
        store: TaskStore,
        endpoint: Endpoint,
        *,
        outputs: TaskOutputs | None = None,
        max_remembered: int = MAX_REMEMBERED,
        max_remembered_bytes: int = MAX_REMEMBERED_BYTES,
    ) -> None:
        self.counts = FeedCounts()
        self.outputs = outputs or TaskOutputs(endpoint)
        self.listener: Callable[[Task], None] | None = None
        self.wants_all: Callable[[], bool] = lambda: self.listener is not None
        self._store = store
        self._endpoint = endpoint
        self._max_remembered = max_remembered
        self._max_remembered_bytes = max_remembered_bytes
        self._newest: OrderedDict[str, _Remembered] = OrderedDict()
        self._reads = SharedReads(self._read_store)

    def announce(self, task: Task) -> None:
        """Broadcast a change on `task:<id>`; the worker calls this after each commit."""
        self._broadcast(task)

    async def read(self, task_id: str, owner: str | None = None) -> Task | None:
        """The present state of a task without its inputs, or None if the owner has no such task.

        A remembered task of another owner is looked up in the store like a missing one.

        Args:
            owner: None for a task of anybody.
        """
        return self._remembered(task_id, owner) or await self._stored(task_id, owner)

    async def _stored(self, task_id: str, owner: str | None) -> Task | None:
        """The state in the store; clients that join at the same time share a read."""
        return await self._reads.get((task_id, owner))

    async def _read_store(self, key: tuple[str, str | None]) -> Task | None:
        task_id, owner = key
        return await self._store.get(task_id, owner=owner, with_inputs=False)

    async def adopt(self, owner: str) -> int:
        """Give the tasks that belong to nobody to an owner; see TaskStore.adopt."""
        try:
            return await self._store.adopt(owner)
        finally:
            self.forget_all()

    def forget_all(self) -> None:
        """Read every state from the store again, since owners have changed there."""
        self._newest.clear()
        self.counts.remembered = self.counts.remembered_bytes = 0

    def _broadcast(self, task: Task) -> None:
        """Broadcast a change to the clients of this process: links by the address each one uses."""
        self._remember(task)
        if task.status.is_terminal:
            self.outputs.flush(task.id)
            self.outputs.end(task.id)
        self._endpoint.local_broadcast(
            task.topic,
            PROGRESS,
            progress_payload(task),
            newest_only=not task.status.is_terminal,
            payload_for=partial(progress_payload, task) if task.files else None,
        )
        if self.listener is not None:
            self.listener(task)

    def newest(self, read: Task) -> Task:
        """The newest state: the one that `read` returned, or one that was announced since."""
        remembered = self._newest.get(read.id)
        return read if remembered is None else remembered.task

    def payload(self, read: Task, base_url: str) -> JSONObject:
        """The payload of `progress` for the newest state of a task; it must not be changed.

        Args:
            read: what `read` returned.
            base_url: the address by which the client reaches this server.
        """
        remembered = self._newest.get(read.id)
        if remembered is None:
            return progress_payload(read, base_url)
        if remembered.payload is None or remembered.base_url != base_url:
            remembered.payload = progress_payload(remembered.task, base_url)
            remembered.base_url = base_url
        return remembered.payload

    def _remembered(self, task_id: str, owner: str | None) -> Task | None:
        remembered = self._newest.get(task_id)
        if remembered is None or owner not in {None, remembered.task.owner}:
            return None
        return remembered.task

    def _remember(self, task: Task) -> None:
        self._forget(task.id)
        remembered = _Remembered(task.without_inputs(), _estimated_bytes(task))
        self._newest[task.id] = remembered
        self.counts.remembered += 1
        self.counts.remembered_bytes += remembered.estimated_bytes
        while (
            self.counts.remembered > self._max_remembered
            or self.counts.remembered_bytes > self._max_remembered_bytes
        ):
            self._forget(next(iter(self._newest)))
            self.counts.forgotten += 1

    def _forget(self, task_id: str) -> None:
        remembered = self._newest.pop(task_id, None)
        if remembered is not None:
            self.counts.remembered -= 1
            self.counts.remembered_bytes -= remembered.estimated_bytes


def _estimated_bytes(task: Task) -> int:
    """About how much memory a task uses without its inputs.

    Most tasks have no result yet. The JSON of a result is searched in C, faster than its objects
    could be visited. A mark in a text counts too much, which does no harm.
    """
    if task.result_data is None and task.error_data is None and not task.files:
        return _TASK_BYTES
    text = msgspec.json.encode((task.result_data, task.error_data, task.files))
    marks = sum(text.count(mark) * size_bytes for mark, size_bytes in _BYTES_OF_MARKS.items())
    # With files, a payload has the result once more, with other links in it.
    return _TASK_BYTES + (len(text) + marks) * (2 if task.files else 1)
