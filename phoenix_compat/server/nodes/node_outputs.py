"""Outputs in a server with equal nodes: the node that runs a task writes, the others follow.

A node follows the texts that its clients watch. Of all others it only remembers who writes them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeAlias

from phoenix_compat.cluster import Bus
from phoenix_compat.cluster.bus import CallError
from phoenix_compat.endpoint import Endpoint
from phoenix_compat.server.multiprocess.bus_outputs import BusOutputs
from phoenix_compat.tasks.model.errors import StoreUnavailableError
from phoenix_compat.tasks.model.task import JSONObject, TaskId
from phoenix_compat.tasks.model.task_types import TaskType
from phoenix_compat.tasks.streams.written_text import WrittenText

MAX_WRITERS: Final = 10_000
"""Texts whose writer is remembered. Of a forgotten one, clients get the text with the result."""


FindWriter: TypeAlias = Callable[[str], Awaitable[int | None]]
"""Finds the node that runs a task; None if none does. Raises StoreUnavailableError."""


class NodeOutputs(BusOutputs):
    """The texts that are being written, in one node; see BusOutputs.

    Args:
        find_writer: asks the store, where the bus has told nothing of a task.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        bus: Bus,
        task_types: Mapping[str, TaskType],
        find_writer: FindWriter,
    ) -> None:
        super().__init__(endpoint, bus, task_types)
        self._find_writer = find_writer
        self._writers: OrderedDict[str, int] = OrderedDict()

    async def _fetch(self, task_id: str) -> None:
        """See BusOutputs."""
        if task_id not in self._writers:
            try:
                node = await self._find_writer(task_id)
            except StoreUnavailableError as error:
                raise CallError(str(error)) from error
            if node is None or (node != self._bus.node and node not in self._bus.up):
                return  # nothing is written; whoever takes the task says so
            self._note_writer(task_id, node)
        await super()._fetch(task_id)

    def announce_text(self, task_id: TaskId, text: WrittenText) -> None:
        """See TaskOutputs; from now on this node writes the text."""
        self._note_writer(task_id, self._bus.node)
        super().announce_text(task_id, text)

    def announce_files(
        self, task_id: TaskId, prediction_id: str, files: Sequence[JSONObject]
    ) -> None:
        """See TaskOutputs; from now on this node writes them."""
        self._note_writer(task_id, self._bus.node)
        super().announce_files(task_id, prediction_id, files)

    def end(self, task_id: str) -> None:
        """See TaskOutputs."""
        self._writers.pop(task_id, None)
        super().end(task_id)

    def up(self, node: int) -> None:
        """Read again what this node writes: parts of it are unknown."""
        self.gap(node)

    def down(self, node: int) -> None:
        """Forget that this node writes: another one takes its tasks over."""
        for task_id in [one for one, writer in self._writers.items() if writer == node]:
            del self._writers[task_id]
        self._drop_unwatched()

    def _writer_of(self, task_id: str) -> int | None:
        return self._writers.get(task_id)

    def _is_written_here(self, task_id: str) -> bool:
        return self._writers.get(task_id) == self._bus.node

    def _note_writer(self, task_id: str, node: int) -> None:
        if self._writers.get(task_id) == node:
            return
        self._writers[task_id] = node
        if len(self._writers) > MAX_WRITERS:
            self._writers.popitem(last=False)

    def _is_followed(self, task_id: str) -> bool:
        return task_id in self._shown or f"task:{task_id}" in self._endpoint.pubsub.topics
