"""The feed of a server with equal nodes: the store has the truth, and the bus carries hints.

The node that changes a task announces it here, and casts the whole task to the other nodes. A hint
may be lost, late, or out of order with those of another node. So a state counts only if it is newer
than what clients here have (`_version`), a client that joins gets what the store has, and whatever
may have been missed is read from the store again:

    gap, up             hints of a node are missing
    down                a node ended, perhaps between a commit and its hint
    while it is deaf    every `DEAF_POLL_S`; otherwise every `POLL_S`, in case of a bug

A hint about a task that nobody here watches, reads or has written is not even decoded: half of all
hints, or more with more nodes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias

import msgspec
import structlog

from phoenix_compat.background import BackgroundTask
from phoenix_compat.cluster import Bus, NodeListener
from phoenix_compat.endpoint import Endpoint
from phoenix_compat.server.channel.feed import TaskFeed
from phoenix_compat.server.nodes.node_id import number_of
from phoenix_compat.server.nodes.node_outputs import NodeOutputs
from phoenix_compat.tasks.model.errors import StoreUnavailableError
from phoenix_compat.tasks.model.task import Task
from phoenix_compat.tasks.model.task_types import TASK_TYPES, TaskType
from phoenix_compat.tasks.store.task_store import TaskStore

_TOPICS: Final = "task:"
_CHANGED: Final = "task.changed"
_FORGET: Final = "task.forget_all"

MAX_KNOWN: Final = 100_000
"""States that clients are known to have; without one, a client may get its state a second time."""
POLL_S: Final = 30.0
DEAF_POLL_S: Final = 2.0
SETTLE_S: Final = 0.05
"""How long it waits for further reasons before it reads: nodes that end often end together."""
_BATCH: Final = 500
_RETRY_S: Final = 0.5

log = structlog.stdlib.get_logger(__name__)


class _Named(msgspec.Struct):
    """The id of a task, of which nothing else is decoded."""

    id: str


_named_decoder: Final = msgspec.json.Decoder(_Named)
_task_decoder: Final = msgspec.json.Decoder(Task)

Version: TypeAlias = tuple[int, bool, int, datetime]
"""Orders the states of one task: cycle, whether that has ended, lease, and when it changed."""


class _Known(NamedTuple):
    """What clients here have of a task."""

    version: Version
    digest: int


@dataclass(slots=True)
class NodeFeedCounts:
    """What has happened since the start.

    Attributes:
        hints: changes of other nodes that arrived.
        unwanted: those about tasks that nobody here watches.
        late: those that were older than what clients here had, or the same.
        reads: tasks that were read again.
        found: those that had changed without a hint.
    """

    hints: int = 0
    unwanted: int = 0
    late: int = 0
    reads: int = 0
    found: int = 0


class NodeFeed(TaskFeed, NodeListener):
    """The feed of one node.

    Args:
        poll_s, deaf_poll_s: see POLL_S and DEAF_POLL_S.

    Attributes:
        hint_counts: see NodeFeedCounts.
    """

    outputs: NodeOutputs

    def __init__(  # noqa: PLR0913 - its collaborators, and times with defaults
        self,
        store: TaskStore,
        endpoint: Endpoint,
        bus: Bus,
        task_types: Mapping[str, TaskType] = TASK_TYPES,
        *,
        poll_s: float | None = None,
        deaf_poll_s: float | None = None,
    ) -> None:
        outputs = NodeOutputs(endpoint, bus, task_types, self._node_of)
        super().__init__(store, endpoint, outputs=outputs)
        self.hint_counts = NodeFeedCounts()
        self._bus = bus
        self._poll_s = poll_s or POLL_S
        self._deaf_poll_s = deaf_poll_s or DEAF_POLL_S
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._being_read: Counter[str] = Counter()
        self._is_doubtful = asyncio.Event()
        self._reading = BackgroundTask("feed-read", self._run)
        bus.on_cast(_CHANGED, self._receive)
        bus.on_cast(_FORGET, lambda _node, _body: TaskFeed.forget_all(self))
        bus.listen(self)
        self.outputs.begin()

    def start(self) -> None:
        """Begin to read again what may have been missed."""
        self._reading.start()

    async def stop(self) -> None:
        """Stop reading."""
        await self._reading.stop()
        await self.outputs.stop()

    @property
    def background(self) -> tuple[BackgroundTask, ...]:
        """The tasks that read the watched tasks and their texts again."""
        return (self._reading, *self.outputs.background)

    def announce(self, task: Task) -> None:
        """Broadcast a change in every node; the worker and the API call this after each commit.

        Another node may have gone on with the task since, and its hint may have come before.
        """
        self._offer(task)
        self._bus.cast(_CHANGED, msgspec.json.encode(task.without_inputs()))

    async def read(self, task_id: str, owner: str | None = None) -> Task | None:
        """The present state of a task, from the store; see TaskFeed.

        Raises:
            StoreUnavailableError: the store cannot be read at the moment.
        """
        self._being_read[task_id] += 1
        try:
            task = await self._stored(task_id, owner)
        finally:
            self._being_read[task_id] -= 1
            if not self._being_read[task_id]:
                del self._being_read[task_id]
        if task is None:
            return None
        if task.id in self._known:
            self._offer(task)  # to those who watch it already
        else:
            self._remember(task)
            self._know(task)
        return self.newest(task)

    def forget_all(self) -> None:
        """Read every state again, in every node, since owners have changed in the store."""
        super().forget_all()
        self._bus.cast(_FORGET, b"")

    # Called by the bus.

    def up(self, node: int) -> None:
        """Read again: earlier hints of the node are unknown."""
        del node
        self._is_doubtful.set()

    def gap(self, node: int) -> None:
        """Read again: hints of the node were lost."""
        del node
        self._is_doubtful.set()

    def down(self, node: int) -> None:
        """Read again: the node may have ended between a commit and its hint."""
        del node
        self._is_doubtful.set()

    def _receive(self, _node: int, body: bytes) -> None:
        self.hint_counts.hints += 1
        if not self._is_wanted(_named_decoder.decode(body).id):
            self.hint_counts.unwanted += 1
        elif not self._offer(_task_decoder.decode(body)):
            self.hint_counts.late += 1

    def _is_wanted(self, task_id: str) -> bool:
        """Whether somebody here has a state of this task, or is about to get one."""
        return (
            task_id in self._known
            or task_id in self._being_read
            or _TOPICS + task_id in self._endpoint.pubsub.topics
            or self.wants_all()
        )

    def _offer(self, task: Task) -> bool:
        """Broadcast a state if it is newer than what clients here have; returns whether it is."""
        known = self._known.get(task.id)
        if known is not None:
            version = version_of(task)
            if version < known.version:
                return False
            if version == known.version and known.digest == _digest(task):
                return False
        self._broadcast(task)
        return True

    def _broadcast(self, task: Task) -> None:
        super()._broadcast(task)
        self._know(task)

    def _know(self, task: Task) -> None:
        """Note what the clients of a task have."""
        self._known[task.id] = _Known(version_of(task), _digest(task))
        self._known.move_to_end(task.id)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    # Reading again.

    async def _node_of(self, task_id: str) -> int | None:
        return number_of(await self._store.node_of(task_id))

    async def _run(self) -> None:
        while True:
            limit_s = self._deaf_poll_s if self._bus.is_deaf else self._poll_s
            # asyncio.wait_for of Python 3.11 ignores a cancel that comes with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit_s):
                    await self._is_doubtful.wait()
            await asyncio.sleep(SETTLE_S)
            self._is_doubtful.clear()
            try:
                await self._read_watched()
            except StoreUnavailableError as error:
                log.warning("feed.read_failed", reason=str(error))
                self._is_doubtful.set()
                await asyncio.sleep(_RETRY_S)

    async def _read_watched(self) -> None:
        """Read the tasks that clients here watch, and broadcast what they lack."""
        watched = [
            topic.removeprefix(_TOPICS)
            for topic in self._endpoint.pubsub.topics
            if topic.startswith(_TOPICS)
        ]
        for start in range(0, len(watched), _BATCH):
            for task in await self._store.get_many(watched[start : start + _BATCH]):
                self.hint_counts.reads += 1
                if self._offer(task):
                    self.hint_counts.found += 1


def version_of(task: Task) -> Version:
    """The place of a state among those of its task; later ones are larger.

    A cycle that has ended stays ended. A lease belongs to one node, whose clock is the database's.
    """
    return (task.cycle, task.status.is_terminal, task.lease, task.updated_at)


def _digest(task: Task) -> int:
    """A number for what clients are told of a task, the same for the same payload."""
    shown = (task.status, task.progress, task.updated_at, task.result_data, task.error_data)
    return hash(msgspec.json.encode((*shown, task.files)))
