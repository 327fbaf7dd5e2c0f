"""Opens and closes the transports of an endpoint, in one event loop at a time.

    closed --open(a)--> a is open --open(b)--> a and b are open --close(a)--> b is open ...

1. An endpoint may be opened again after its close, in any event loop: tests open it once each.
2. Several applications in one event loop may be open at once. Each closes its own clients only.
3. Two event loops at once are refused. What an endpoint shares (the writes of a loop's turn, and
   running callbacks) belongs to one loop, and a client of the other one would wait for ever.
4. If a loop was closed while the endpoint was open in it, the next `open` ends the channels of the
   clients that are left, as if they had disconnected, and logs this.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Iterator
from itertools import chain
from threading import get_ident
from typing import Final

from phoenix_compat.endpoint.draining import Transport
from phoenix_compat.errors import ConfigError, WrongThreadError
from phoenix_compat.runtime.limits import Limits
from phoenix_compat.runtime.sending.tick import Tick
from phoenix_compat.runtime.socket_server import SocketServer
from phoenix_compat.runtime.spawner import Spawner

log = logging.getLogger(__name__)

_TWO_LOOPS: Final = (
    "this endpoint is open in another event loop, which is still in use. Create one Endpoint for "
    "each event loop: move `endpoint = Endpoint(...)` and its `endpoint.socket(...)` into a "
    "function, and call it for each. If the other one is that of a test, shut its application or "
    "ChannelTest down first"
)


class Lifetime:
    """The open transports of an endpoint; see the module's rules.

    Attributes:
        is_closing: whether the endpoint was closed and is not open again.
    """

    def __init__(self, limits: Limits, tick: Tick, spawner: Spawner) -> None:
        self.is_closing = False
        self._limits = limits
        self._tick = tick
        self._spawner = spawner
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._transports: list[Transport] = []
        self._accepting: list[Transport] = []
        self._opened: list[Transport] = []
        self._closings: list[_Closing] = []

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return _clients_of(self._transports)

    @property
    def clients(self) -> Iterator[SocketServer]:
        """The socket servers of the connected clients."""
        return chain.from_iterable(transport.clients for transport in self._transports)

    def serve(self, transport: Transport) -> None:
        """Add a transport without the check of the event loop."""
        if transport not in self._accepting:
            self._accepting.append(transport)
        if transport not in self._transports:
            self._transports.append(transport)
        self.is_closing = False

    def open(self, *transports: Transport) -> None:
        """Accept clients of these transports, in the running event loop.

        Raises:
            ConfigError: the endpoint is open in another event loop.
        """
        self._enter_loop()
        for transport in transports:
            self.serve(transport)
            if transport not in self._opened:
                self._opened.append(transport)

    def check_loop(self, function: str) -> None:
        """Check that the caller is in the thread of the open transports, if there are any.

        This compares threads, because `get_running_loop` would double the time of a broadcast.

        Raises:
            WrongThreadError: it is in another thread.
        """
        if self._opened and get_ident() != self._thread:
            raise WrongThreadError(function)

    def is_open(self, transport: object) -> bool:
        """Whether a transport may accept a client."""
        return transport in self._accepting

    def client_disconnected(self) -> None:
        """A client of a transport has disconnected."""
        for closing in self._closings:
            closing.check()

    async def close(self, *transports: Transport, callbacks_timeout_s: float | None = None) -> None:
        """Close the clients of these transports, or all; see Endpoint.close."""
        self._enter_loop()
        closed = transports or tuple(self._transports)
        self._accepting = [each for each in self._accepting if each not in closed]
        self.is_closing = not self._accepting
        await asyncio.gather(*(transport.drain() for transport in closed))
        for transport in closed:
            transport.close_all()
        if _clients_of(closed):
            closing = _Closing(closed)
            self._closings.append(closing)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(closing.all_gone.wait(), self._limits.close_timeout_s)
            self._closings.remove(closing)
        for transport in closed:
            transport.abort_all()
        # One that was opened again meanwhile stays.
        gone = [each for each in closed if each not in self._accepting]
        self._transports = [each for each in self._transports if each not in gone]
        self._opened = [each for each in self._opened if each not in gone]
        await self._spawner.wait(
            self._limits.shutdown_timeout_s if callbacks_timeout_s is None else callbacks_timeout_s,
            is_cancelling=not self._transports,
        )

    def _enter_loop(self) -> None:
        """Bind what belongs to an event loop to the running one."""
        loop = asyncio.get_running_loop()
        if loop is self._loop:
            self._thread = get_ident()
            return
        if self._loop is not None:
            if self._opened and not self._loop.is_closed():
                raise ConfigError(_TWO_LOOPS)
            self._leave_loop()
        self._loop, self._thread = loop, get_ident()

    def _leave_loop(self) -> None:
        """Forget what belongs to a loop that is not used any more."""
        self._tick.reset()
        self._spawner.forget()
        left, self._opened = self._opened, []
        self._transports = [each for each in self._transports if each not in left]
        self._accepting = [each for each in self._accepting if each not in left]
        count = _clients_of(left)
        if count:
            log.warning(
                "an event loop was closed before the application in it was shut down; the channels "
                "of its %d clients end now. Shut it down first, for example with "
                "`await runner.cleanup()`",
                count,
            )
        for transport in left:
            transport.abandon()


class _Closing:
    """Waits until the clients of some transports have disconnected."""

    def __init__(self, transports: Collection[Transport]) -> None:
        self.all_gone = asyncio.Event()
        self._transports = transports

    def check(self) -> None:
        if not _clients_of(self._transports):
            self.all_gone.set()


def _clients_of(transports: Collection[Transport]) -> int:
    return sum(len(transport) for transport in transports)
