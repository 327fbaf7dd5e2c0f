"""Asks the nodes of this server over the bus; see inspection.processes."""

from __future__ import annotations

from phoenix_compat.cluster import Bus
from phoenix_compat.server.inspection.processes import Answers
from phoenix_compat.server.multiprocess.other_processes import LEADER_TIMEOUT_S, BusProcesses

_PLACE = "place"


class NodeProcesses(BusProcesses):
    """All nodes of this server; see Processes. Each of them has the database.

    Args:
        place: the same for the processes that listen on one port of one machine, and for no
            others; None for a process that is alone there.
    """

    def __init__(self, bus: Bus, place: str | None) -> None:
        super().__init__(bus)
        self._place = place
        self._siblings: frozenset[int] = frozenset()
        self._asked: frozenset[int] = frozenset()
        self.answer(_PLACE, self._answer_place)

    async def ask_leader(self, question: str, body: bytes = b"") -> bytes:
        """See Processes; this node can answer as well as any other."""
        return await self._ask(self.node, question, body, LEADER_TIMEOUT_S)

    async def ask_siblings(self, question: str, body: bytes = b"") -> Answers:
        """See Processes."""
        siblings = await self._find_siblings()
        return await self._ask_each({self.node, *siblings & self._bus.up}, question, body)

    async def _find_siblings(self) -> frozenset[int]:
        """The other processes at this place. Nodes are asked once."""
        if self._place is None:
            return frozenset()
        new = self._bus.up - self._asked
        if new:
            answers = await self._ask_each(new, _PLACE, b"")
            place = self._place.encode()
            found = {node for node, answer in answers.by_node.items() if answer == place}
            self._siblings = (self._siblings & self._bus.up) | found
            self._asked = (self._asked & self._bus.up) | frozenset(answers.by_node)
        return self._siblings

    async def _answer_place(self, _body: bytes) -> bytes:
        return b"" if self._place is None else self._place.encode()
