"""Outputs in a server with a leader, whose worker writes all of them."""

from __future__ import annotations

from phoenix_compat.server.multiprocess.bus_outputs import BusOutputs
from phoenix_compat.server.multiprocess.leader import ROLE
from phoenix_compat.tasks.model.task import Task


class SharedOutputs(BusOutputs):
    """The texts that are being written, in one process; see BusOutputs."""

    async def read(self, task: Task) -> None:
        """See TaskOutputs; the leader has all texts."""
        if not self._is_leader:
            await super().read(task)

    def roles_changed(self, node: int) -> None:
        """Drop what nobody watches: the end of its task may have been lost with the leader."""
        del node
        if not self._is_leader:
            self._drop_unwatched()

    @property
    def _is_leader(self) -> bool:
        return self._bus.holder(ROLE) in {None, self._bus.node}

    def _writer_of(self, task_id: str) -> int | None:
        del task_id
        return self._bus.holder(ROLE)

    def _is_written_here(self, task_id: str) -> bool:
        del task_id
        return self._is_leader
