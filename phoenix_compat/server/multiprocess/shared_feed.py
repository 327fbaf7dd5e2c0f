"""The feed of a server with several processes: the leader announces, the others broadcast.

Each change goes over the bus as the whole task, so every process remembers the newest state as the
leader does. If a process may have missed a change, or another process has become the leader, it
reads the tasks that its clients watch again: a lost announcement never loses a result.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import structlog

from phoenix_compat.background import BackgroundTask
from phoenix_compat.cluster.bus import Bus, CallError
from phoenix_compat.cluster.node_listener import NodeListener
from phoenix_compat.endpoint import Endpoint
from phoenix_compat.server.channel.feed import TaskFeed
from phoenix_compat.server.multiprocess.leader import ROLE, Leader
from phoenix_compat.server.multiprocess.shared_outputs import SharedOutputs
from phoenix_compat.tasks.model.errors import StoreUnavailableError, TaskNotFoundError
from phoenix_compat.tasks.model.task import Task, progress_payload
from phoenix_compat.tasks.model.task_types import TASK_TYPES, TaskType
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.worker.worker import Worker

_TOPICS: Final = "task:"
_CHANGED: Final = "task.changed"
_FORGET: Final = "task.forget_all"
_READ: Final = "task.read"
_CANCEL: Final = "task.cancel"
_BATCH: Final = 100
MAX_KNOWN: Final = 100_000
"""States that clients are known to have; without one, a client may get its state a second time."""
_RETRY_S: Final = 0.2

log = structlog.stdlib.get_logger(__name__)

_task_decoder: Final = msgspec.json.Decoder(Task)
_tasks_decoder: Final = msgspec.json.Decoder(list[Task])

_NOT_FOUND: Final = b"not found"


class _Read(msgspec.Struct, frozen=True):
    """A request for the present states of tasks of an owner; None for those of anybody."""

    task_ids: list[str]
    owner: str | None


class _Cancel(msgspec.Struct, frozen=True):
    """A request to cancel a task of an owner; None for one of anybody."""

    task_id: str
    owner: str | None


_read_decoder: Final = msgspec.json.Decoder(_Read)
_cancel_decoder: Final = msgspec.json.Decoder(_Cancel)


class SharedFeed(TaskFeed, NodeListener):
    """The feed in one process."""

    outputs: SharedOutputs

    def __init__(
        self,
        store: TaskStore,
        endpoint: Endpoint,
        bus: Bus,
        task_types: Mapping[str, TaskType] = TASK_TYPES,
    ) -> None:
        super().__init__(store, endpoint, outputs=SharedOutputs(endpoint, bus, task_types))
        self._bus = bus
        self._leader: Leader | None = None
        self._worker: Worker | None = None
        self._known_leader: int | None = None
        self._reading: BackgroundTask | None = None
        self._known: OrderedDict[str, int] = OrderedDict()

    def begin(self, leader: Leader, worker: Worker) -> None:
        """Register with the bus. The worker is used if this process becomes the leader."""
        self._leader = leader
        self._worker = worker
        self._bus.on_cast(_CHANGED, self._receive)
        self._bus.on_cast(_FORGET, lambda _node, _body: TaskFeed.forget_all(self))
        self._bus.on_call(_READ, self._answer_read)
        self._bus.on_call(_CANCEL, self._answer_cancel)
        self._bus.listen(self)
        self.outputs.begin()

    async def stop(self) -> None:
        """Stop reading."""
        await self.outputs.stop()
        if self._reading is not None:
            await self._reading.stop()

    @property
    def background(self) -> tuple[BackgroundTask, ...]:
        """The tasks that read the watched tasks and their texts again, while they run."""
        is_reading = self._reading is not None and self._reading.is_running
        own = (self._reading,) if self._reading is not None and is_reading else ()
        return (*own, *self.outputs.background)

    def announce(self, task: Task) -> None:
        """Broadcast a change on `task:<id>` in every process; the leader's worker calls this."""
        self._broadcast(task)
        self._bus.cast(_CHANGED, msgspec.json.encode(task.without_inputs()))

    async def read(self, task_id: str, owner: str | None = None) -> Task | None:
        """The present state of a task, or None if the owner has no such task; see TaskFeed.

        Raises:
            StoreUnavailableError: no process can read it at the moment.
        """
        found = self._remembered(task_id, owner)
        if found is not None:
            return found
        task = next(iter(await self._read([task_id], owner)), None)
        if task is not None and task_id not in self._known:
            # Not in place of an older state: others may wait for this one.
            self._know(task)
        return task

    def forget_all(self) -> None:
        """Read every state again, in every process, since owners have changed in the store."""
        super().forget_all()
        self._bus.cast(_FORGET, b"")

    async def cancel(self, task_id: str, *, owner: str | None = None) -> None:
        """Cancel a task, in whichever process the worker runs.

        Args:
            owner: None for a task of anybody.

        Raises:
            TaskNotFoundError: the owner has no task with this id.
            StoreUnavailableError: the cancel was not stored, as far as is known.
        """
        assert self._leader is not None  # noqa: S101 - `begin` comes before clients
        node = await self._leader.find()
        body = msgspec.json.encode(_Cancel(task_id, owner))
        try:
            if node == self._bus.node:
                answer = await self._answer_cancel(node, body)
            else:
                answer = await self._bus.call(node, _CANCEL, body, on_reply=bytes)
        except CallError as error:
            raise StoreUnavailableError(str(error)) from error
        if answer == _NOT_FOUND:
            raise TaskNotFoundError(task_id)

    # Called by the bus.

    def gap(self, node: int) -> None:
        """Read again if messages of the leader were lost."""
        if node == self._bus.holder(ROLE):
            self._read_again()

    def roles_changed(self, node: int) -> None:
        """Read again from a new leader: the old one's last announcements may be lost."""
        del node
        leader = self._bus.holder(ROLE)
        if leader not in {None, self._known_leader}:
            self._read_again()
        self._known_leader = leader

    def _receive(self, _node: int, body: bytes) -> None:
        self._broadcast(_task_decoder.decode(body))

    def _broadcast(self, task: Task) -> None:
        super()._broadcast(task)
        self._know(task)

    def _know(self, task: Task) -> None:
        """Note what the clients of a task have been told."""
        self._known[task.id] = _digest(task)
        self._known.move_to_end(task.id)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    # Reading from the leader.

    async def _read(self, task_ids: Sequence[str], owner: str | None = None) -> list[Task]:
        """The present states of those tasks that exist and are the owner's."""
        assert self._leader is not None  # noqa: S101 - `begin` comes before clients
        node = await self._leader.find()
        body = msgspec.json.encode(_Read(list(task_ids), owner))
        try:
            if node == self._bus.node:
                return _tasks_decoder.decode(await self._answer_read(node, body))
            return await self._bus.call(node, _READ, body, on_reply=_tasks_decoder.decode)
        except CallError as error:
            raise StoreUnavailableError(str(error)) from error

    async def _answer_read(self, _node: int, body: bytes) -> bytes:
        """Answer another process. Announcements that follow the answer are newer."""
        asked = _read_decoder.decode(body)
        read = [
            await self._store.get(task_id, owner=asked.owner, with_inputs=False)
            for task_id in asked.task_ids
        ]
        return msgspec.json.encode([self.newest(task) for task in read if task is not None])

    async def _answer_cancel(self, _node: int, body: bytes) -> bytes:
        assert self._worker is not None  # noqa: S101 - `begin` comes before calls
        try:
            asked = _cancel_decoder.decode(body)
            await self._worker.cancel(asked.task_id, owner=asked.owner)
        except TaskNotFoundError:
            return _NOT_FOUND
        return b""

    def _read_again(self) -> None:
        for task_id in tuple(self._newest):
            self._forget(task_id)
        if self._reading is not None:
            self._reading.cancel()
        self._reading = BackgroundTask("feed-read", self._read_all, is_endless=False)
        self._reading.start()

    async def _read_all(self) -> None:
        """Broadcast the state of each watched task that its clients do not have yet."""
        ids = [
            topic.removeprefix(_TOPICS)
            for topic in self._endpoint.pubsub.topics
            if topic.startswith(_TOPICS)
        ]
        for start in range(0, len(ids), _BATCH):
            for task in await self._read_until_success(ids[start : start + _BATCH]):
                if task.id in self._newest:
                    continue  # it was announced since
                if self._known.get(task.id) != _digest(task):
                    self._broadcast(task)

    async def _read_until_success(self, task_ids: Sequence[str]) -> list[Task]:
        while True:
            try:
                return await self._read(task_ids)
            except StoreUnavailableError as error:
                log.warning("feed.read_failed", reason=str(error))
                await asyncio.sleep(_RETRY_S)


def _digest(task: Task) -> int:
    """A number for what clients are told of a task, the same for the same payload."""
    return hash(msgspec.json.encode(progress_payload(task)))
