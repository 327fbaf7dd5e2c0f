"""Runs an emulator on a port of its own, for as long as a `with` block lasts."""

from __future__ import annotations

import contextlib
import socket
from contextlib import AsyncExitStack
from typing import Self

from phoenix_compat.accept import Acceptor, Connections, bound_tcp_sockets
from phoenix_compat.accept.room import open_file_limit, room_for_connections
from phoenix_compat.emulator.clock import EmulatorClock
from phoenix_compat.emulator.persistence.record import Recollection
from phoenix_compat.emulator.settings import EmulatorSettings
from phoenix_compat.emulator.state import EmulatorState
from phoenix_compat.emulator.web.app import build_emulator_app
from phoenix_compat.emulator.web.request_context import STATE
from phoenix_compat.emulator.web.webhook_sender import COURIER
from phoenix_compat.http_server import AppRunner

# Handlers that wait or hang end at once when the emulator closes; this is for the others.
_SHUTDOWN_S = 2.0


class Emulator:
    """`async with Emulator(EmulatorSettings(...)) as emulator:` listens until the block ends.

    Args:
        max_connections: of its clients; None leaves it to the limit of open files.

    Raises:
        OSError: on entering, the port cannot be had.
    """

    def __init__(
        self,
        settings: EmulatorSettings | None = None,
        clock: EmulatorClock | None = None,
        max_connections: int | None = None,
    ) -> None:
        self.connections = Connections(max_connections or room_for_connections(open_file_limit()))
        self._listeners: tuple[socket.socket, ...] = ()
        self._accepting = AsyncExitStack()
        self._settings = settings or EmulatorSettings()
        self._app = build_emulator_app(self._settings, clock)
        # A client that leaves ends its handler: a hang must not outlive the one it is for.
        self._runner = AppRunner(self._app, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_S)

    @property
    def state(self) -> EmulatorState:
        """Everything inside: predictions, counts, faults, clock."""
        return self._app[STATE]

    @property
    def origin(self) -> str:
        """`http://host:port`. Raises RuntimeError when it is not listening."""
        if not self._listeners:
            raise RuntimeError("the emulator is not listening; enter it with `async with`")
        host, port = self._listeners[0].getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def base_url(self) -> str:
        """What REPLICATE_BASE_URL should say for SDK 2: the origin and `/v1`."""
        return f"{self.origin}/v1"

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            told = await self.state.recall()
            await self._listen(told.port)
        except BaseException:
            await self._close()
            raise
        self._take_up(told)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._close()

    async def _listen(self, remembered_port: int | None) -> None:
        """Listen; where it listened before, if that is free and no other port is wanted."""
        host, port = self._settings.host, self._settings.port
        if port == 0 and remembered_port is not None:
            with contextlib.suppress(OSError):
                # URLs of pictures that were given out stay good.
                await self._accept(host, remembered_port)
                return
        await self._accept(host, port)

    async def _accept(self, host: str, port: int) -> None:
        if self._runner.server is None:
            raise RuntimeError("the emulator was closed")
        listeners = await bound_tcp_sockets(host, port)
        acceptor = Acceptor(listeners, self._runner.server, self.connections)
        await self._accepting.enter_async_context(acceptor)
        self._listeners = listeners

    def _take_up(self, told: Recollection) -> None:
        port = self._listeners[0].getsockname()[1]
        for prediction in told.predictions.values():
            prediction.origin = _moved(prediction.origin, told.port, port)
            self._app[COURIER].follow(prediction)
        self.state.persistence.begin(port, self.state.clock.now_s())

    async def _close(self) -> None:
        self._listeners = ()
        await self._accepting.aclose()
        await self._runner.cleanup()
        await self.state.persistence.close()


def _moved(origin: str, old_port: int | None, new_port: int) -> str:
    """The origin as its client would write it now; one that leads through a proxy stays."""
    before, colon, port = origin.rpartition(":")
    return f"{before}:{new_port}" if colon and port == str(old_port) else origin
