"""Asks the processes of this server: one, or with `--workers` several.

Each process answers a question for itself; `ask_all` collects the answers. A process that does not
answer in time is named, and the others' answers are used.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

from phoenix_compat.errors import PhoenixCompatError

Answerer: TypeAlias = Callable[[bytes], Awaitable[bytes]]
"""Answers a question for this process. Raises PhoenixCompatError with words for people."""


class ProcessError(PhoenixCompatError):
    """A process did not answer, or there is no process with this number."""


class Answers(NamedTuple):
    """The answers to one question.

    Attributes:
        by_node: the answers by the number of the process.
        silent: the processes that did not answer in time, or failed.
    """

    by_node: dict[int, bytes]
    silent: tuple[int, ...]


@dataclass(slots=True)
class ProcessCounts:
    """What was asked.

    Attributes:
        asked: questions to all processes, and to one.
        silent: answers that did not come in time, or were errors.
    """

    asked: int = 0
    silent: int = 0


class Processes(Protocol):
    """The processes of this server."""

    counts: ProcessCounts

    @property
    def node(self) -> int:
        """The number of this process; 0 if it is the only one."""

    def answer(self, question: str, answerer: Answerer) -> None:
        """Set what answers a question in this process."""

    async def ask_all(self, question: str, body: bytes = b"") -> Answers:
        """Ask every process, this one included."""

    async def ask_siblings(self, question: str, body: bytes = b"") -> Answers:
        """Ask those that listen on the same port of the same machine, this one included."""

    async def ask(self, node: int, question: str, body: bytes = b"") -> bytes:
        """Ask one process.

        Raises:
            PhoenixCompatError: it did not answer, or its answer is this error.
        """

    async def ask_leader(self, question: str, body: bytes = b"") -> bytes:
        """Ask the process that has the database; raises as `ask` does."""


class OneProcess:
    """The only process of a server; see Processes."""

    node = 0

    def __init__(self) -> None:
        self.counts = ProcessCounts()
        self._answerers: dict[str, Answerer] = {}

    def answer(self, question: str, answerer: Answerer) -> None:
        """See Processes."""
        self._answerers[question] = answerer

    async def ask_all(self, question: str, body: bytes = b"") -> Answers:
        """See Processes."""
        return Answers({self.node: await self.ask(self.node, question, body)}, ())

    async def ask_siblings(self, question: str, body: bytes = b"") -> Answers:
        """See Processes."""
        return await self.ask_all(question, body)

    async def ask(self, node: int, question: str, body: bytes = b"") -> bytes:
        """See Processes."""
        if node != self.node:
            raise ProcessError(f"there is no process {node}: this server has one process")
        self.counts.asked += 1
        return await self._answerers[question](body)

    async def ask_leader(self, question: str, body: bytes = b"") -> bytes:
        """See Processes."""
        return await self.ask(self.node, question, body)
