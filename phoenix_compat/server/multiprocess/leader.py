"""The leader: of several processes the one that has the database, and with it the worker.

SQLite before 3.51.3 can damage a WAL that two processes write, and one worker must place an order,
so one process does both, and the others send it what concerns tasks. Which one is decided by the
lock on the database file, which the kernel takes from a process that dies. All others try for it:
at once when the leader is heard to be gone, and else four times a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from phoenix_compat.cluster.bus import Bus, NodeListener
from phoenix_compat.errors import PhoenixCompatError
from phoenix_compat.tasks.model.errors import StoreInUseError, StoreUnavailableError

ROLE: Final = "leader"
FIND_TIMEOUT_S: Final = 10.0
"""So long a request waits for the next leader; a takeover takes a fraction of a second."""

_LOOK_S: Final = 0.25

log = structlog.stdlib.get_logger(__name__)


class Leader(NodeListener):
    """This process's part in it.

    Args:
        begin: opens the database and starts the worker. Raises StoreInUseError while another has
            the database; any other error ends this process.
    """

    def __init__(self, bus: Bus, begin: Callable[[], Awaitable[None]]) -> None:
        self._bus = bus
        self._begin = begin
        self._found = asyncio.Event()
        self._look = asyncio.Event()
        self._trying: asyncio.Task[None] | None = None
        bus.listen(self)

    @property
    def is_here(self) -> bool:
        """Whether this process is the leader."""
        return self._bus.holder(ROLE) == self._bus.node

    async def find(self, timeout_s: float = FIND_TIMEOUT_S) -> int:
        """The process that is the leader; waits while none is.

        Raises:
            StoreUnavailableError: there is none for so long.
        """
        node = self._bus.holder(ROLE)
        while node is None:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._found.wait()
            except TimeoutError:
                raise StoreUnavailableError("no process has the database") from None
            node = self._bus.holder(ROLE)
        return node

    async def start(self) -> None:
        """Begin to try; back once some process is the leader.

        Raises:
            Exception: this one had the database and could not begin.
        """
        self._trying = asyncio.create_task(self._try(), name="leader")
        finding = asyncio.create_task(self._found.wait(), name="leader-found")
        await asyncio.wait({self._trying, finding}, return_when=asyncio.FIRST_COMPLETED)
        finding.cancel()
        if self._trying.done():
            self._trying.result()
        self._trying.add_done_callback(_end_the_process_on_failure)

    async def retire(self, _app: object = None) -> None:
        """Try no more; what is kept stays kept."""
        if self._trying is not None:
            self._trying.cancel()
            await asyncio.wait({self._trying})

    async def stop(self) -> None:
        """Tell the others to look for another leader.

        Raises:
            Exception: why this process could not take over.
        """
        await self.retire()
        self._bus.drop_role(ROLE)
        if self._trying is not None and not self._trying.cancelled():
            self._trying.result()

    def roles_changed(self, node: int) -> None:
        """The leader is another, or gone."""
        del node
        if self._bus.holder(ROLE) is None:
            self._found.clear()
            self._look.set()
        else:
            self._found.set()

    async def _try(self) -> None:
        while True:
            self._look.clear()
            try:
                await self._begin()
            except StoreInUseError:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._look.wait(), _LOOK_S)
            else:
                log.info("leader.here", node=self._bus.node)
                self._bus.take_role(ROLE)
                return


def _end_the_process_on_failure(trying: asyncio.Task[None]) -> None:
    """A process that took the database and cannot use it stops, and its supervisor says so."""
    if not trying.cancelled() and (error := trying.exception()) is not None:
        is_a_bug = not isinstance(error, PhoenixCompatError | OSError)
        log.error("leader.failed", reason=str(error), exc_info=error if is_a_bug else None)
        signal.raise_signal(signal.SIGTERM)
