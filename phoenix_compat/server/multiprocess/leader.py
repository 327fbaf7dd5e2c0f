"""Elects the leader: the one process that has the database open and runs the worker.

SQLite before 3.51.3 can damage a WAL that two processes write, and only one worker may create a
prediction for a task. So one process does both, and the others forward requests about tasks to it.
The lock on the database file decides which one; the kernel releases the lock when a process dies.
The other processes try to take it as soon as the bus reports that the leader is gone, and
otherwise four times a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from phoenix_compat.cluster.bus import Bus
from phoenix_compat.cluster.node_listener import NodeListener
from phoenix_compat.errors import PhoenixCompatError
from phoenix_compat.tasks.model.errors import StoreInUseError, StoreUnavailableError

ROLE: Final = "leader"
FIND_TIMEOUT_S: Final = 10.0
"""How long a request waits for the next leader; a takeover takes a fraction of a second."""

_RETRY_S: Final = 0.25
_ATTEMPTS_BEFORE_WARNING: Final = 12
"""The next leader of this server is known long before: then another server has the database."""

log = structlog.stdlib.get_logger(__name__)


class Leader(NodeListener):
    """This process's part in the election.

    Args:
        begin: opens the database and starts the worker. Raises StoreInUseError while another
            process has the database; any other error ends this process.
    """

    def __init__(self, bus: Bus, begin: Callable[[], Awaitable[None]]) -> None:
        self._bus = bus
        self._begin = begin
        self._found = asyncio.Event()
        self._retry_now = asyncio.Event()
        self._trying: asyncio.Task[None] | None = None
        bus.listen(self)

    @property
    def is_here(self) -> bool:
        """Whether this process is the leader."""
        return self._bus.holder(ROLE) == self._bus.node

    async def find(self, timeout_s: float = FIND_TIMEOUT_S) -> int:
        """The number of the leading process; waits while there is none.

        Raises:
            StoreUnavailableError: no process became the leader in this time.
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
        """Take part in the election; returns once some process is the leader.

        Raises:
            Exception: this process took the database and could not begin.
        """
        self._trying = asyncio.create_task(self._try(), name="leader")
        finding = asyncio.create_task(self._found.wait(), name="leader-found")
        await asyncio.wait({self._trying, finding}, return_when=asyncio.FIRST_COMPLETED)
        finding.cancel()
        if self._trying.done():
            self._trying.result()
        self._trying.add_done_callback(_stop_process_on_failure)

    async def retire(self, _app: object = None) -> None:
        """Stop trying to become the leader; a leader stays the leader."""
        if self._trying is not None:
            self._trying.cancel()
            await asyncio.wait({self._trying})

    async def stop(self) -> None:
        """Give up the lead, so that the others elect another leader.

        Raises:
            Exception: why this process could not take over.
        """
        await self.retire()
        self._bus.drop_role(ROLE)
        if self._trying is not None and not self._trying.cancelled():
            self._trying.result()

    def roles_changed(self, node: int) -> None:
        """Note that the leader has changed, or is gone."""
        del node
        if self._bus.holder(ROLE) is None:
            self._found.clear()
            self._retry_now.set()
        else:
            self._found.set()

    async def _try(self) -> None:
        attempts = 0
        while True:
            self._retry_now.clear()
            try:
                await self._begin()
            except StoreInUseError as error:
                attempts = attempts + 1 if self._bus.holder(ROLE) is None else 0
                if attempts == _ATTEMPTS_BEFORE_WARNING:
                    log.warning("leader.waiting", reason=str(error))
                # asyncio.wait_for of Python 3.11 ignores a cancel that comes with the event.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_RETRY_S):
                        await self._retry_now.wait()
            else:
                log.info("leader.elected", node=self._bus.node)
                self._bus.take_role(ROLE)
                return


def _stop_process_on_failure(trying: asyncio.Task[None]) -> None:
    """Stop a process that took the database and cannot use it; the supervisor reports it."""
    if not trying.cancelled() and (error := trying.exception()) is not None:
        is_a_bug = not isinstance(error, PhoenixCompatError | OSError)
        log.error("leader.failed", reason=str(error), exc_info=error if is_a_bug else None)
        signal.raise_signal(signal.SIGTERM)
