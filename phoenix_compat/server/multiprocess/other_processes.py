"""Asks all processes of this server over the bus; see inspection.processes."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final

from phoenix_compat.cluster.bus import Bus, CallError
from phoenix_compat.errors import PhoenixCompatError
from phoenix_compat.server.inspection.processes import (
    Answerer,
    Answers,
    ProcessCounts,
    ProcessError,
)
from phoenix_compat.server.multiprocess.leader import ROLE

TIMEOUT_S: Final = 2.0
"""How long an answer may take; a person is waiting for it."""
LEADER_TIMEOUT_S: Final = 10.0
"""The same for the leader, whose answer may need the database."""

_PREFIX: Final = "inspect."


class BusProcesses:
    """All processes of this server; see Processes."""

    def __init__(self, bus: Bus) -> None:
        self.counts = ProcessCounts()
        self._bus = bus
        self._answerers: dict[str, Answerer] = {}

    @property
    def node(self) -> int:
        """See Processes."""
        return self._bus.node

    def answer(self, question: str, answerer: Answerer) -> None:
        """See Processes. Call it before the bus is open."""
        self._answerers[question] = answerer

        async def reply(_node: int, body: bytes) -> bytes:
            return await answerer(body)

        self._bus.on_call(_PREFIX + question, reply)

    async def ask_all(self, question: str, body: bytes = b"") -> Answers:
        """See Processes."""
        return await self._ask_each({self.node, *self._bus.up}, question, body)

    async def ask_siblings(self, question: str, body: bytes = b"") -> Answers:
        """See Processes."""
        return await self.ask_all(question, body)

    async def _ask_each(self, wanted: Collection[int], question: str, body: bytes) -> Answers:
        nodes = sorted(wanted)
        answers = await asyncio.gather(
            *(self.ask(node, question, body) for node in nodes), return_exceptions=True
        )
        silent: list[int] = []
        by_node: dict[int, bytes] = {}
        for node, answer in zip(nodes, answers, strict=True):
            if isinstance(answer, bytes):
                by_node[node] = answer
            elif isinstance(answer, PhoenixCompatError) and node != self.node:
                silent.append(node)
            else:
                raise answer
        return Answers(by_node, tuple(silent))

    async def ask(self, node: int, question: str, body: bytes = b"") -> bytes:
        """See Processes."""
        return await self._ask(node, question, body, TIMEOUT_S)

    async def ask_leader(self, question: str, body: bytes = b"") -> bytes:
        """See Processes."""
        node = self._bus.holder(ROLE)
        if node is None:
            raise ProcessError("no process has the database at the moment; try again")
        return await self._ask(node, question, body, LEADER_TIMEOUT_S)

    async def _ask(self, node: int, question: str, body: bytes, timeout_s: float) -> bytes:
        self.counts.asked += 1
        if node == self.node:
            return await self._answerers[question](body)
        if node not in self._bus.up:
            raise ProcessError(f"there is no process {node}, or it does not answer")
        try:
            return await self._bus.call(
                node, _PREFIX + question, body, on_reply=bytes, timeout_s=timeout_s
            )
        except CallError:
            self.counts.silent += 1
            raise
