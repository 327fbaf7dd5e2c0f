"""Runs an emulator on its own port for the duration of an `async with` block."""

from __future__ import annotations

import contextlib
import socket
from contextlib import AsyncExitStack
from typing import Self

from phoenix_compat.accept import Acceptor, Connections, bound_tcp_sockets
from phoenix_compat.accept.capacity import open_file_limit, room_for_connections
from phoenix_compat.emulator.clock import EmulatorClock
from phoenix_compat.emulator.persistence.record import RestoredState
from phoenix_compat.emulator.settings import EmulatorSettings
from phoenix_compat.emulator.state import EmulatorState
from phoenix_compat.emulator.web.app import build_emulator_app
from phoenix_compat.emulator.web.request_context import STATE
from phoenix_compat.emulator.web.webhook_sender import WEBHOOK_SENDER
from phoenix_compat.http_server import AppRunner

# For other handlers than those that wait or hang, which end at once at shutdown.
_SHUTDOWN_S = 2.0


class Emulator:
    """An emulator that listens while its `async with` block runs.

    Use it as `async with Emulator(EmulatorSettings(...)) as emulator:`.

    Args:
        max_connections: the limit on client connections; None derives it from the limit of open
            files.

    Raises:
        OSError: on entering, the address cannot be bound.
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
        # A handler is cancelled when its client disconnects, so that hangs do not pile up.
        self._runner = AppRunner(self._app, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_S)

    @property
    def state(self) -> EmulatorState:
        """The state: predictions, counts, faults, clock."""
        return self._app[STATE]

    @property
    def origin(self) -> str:
        """`http://host:port`. Raises RuntimeError when the emulator is not listening."""
        port = self.port
        host = self._listeners[0].getsockname()[0]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def port(self) -> int:
        """The port. Raises RuntimeError when the emulator is not listening."""
        if not self._listeners:
            raise RuntimeError("the emulator is not listening; enter it with `async with`")
        return int(self._listeners[0].getsockname()[1])

    @property
    def base_url(self) -> str:
        """The value of REPLICATE_BASE_URL for SDK 2: the origin and `/v1`."""
        return f"{self.origin}/v1"

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            restored = await self.state.restore()
            await self._listen(restored.port)
        except BaseException:
            await self._close()
            raise
        self._resume(restored)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._close()

    async def _listen(self, previous_port: int | None) -> None:
        """Listen on the configured port; port 0 prefers the port of the previous run."""
        host, port = self._settings.host, self._settings.port
        if port == 0 and previous_port is not None:
            with contextlib.suppress(OSError):
                # The same port keeps earlier picture URLs valid.
                await self._accept(host, previous_port)
                return
        await self._accept(host, port)

    async def _accept(self, host: str, port: int) -> None:
        if self._runner.server is None:
            raise RuntimeError("the emulator was closed")
        listeners = await bound_tcp_sockets(host, port)
        acceptor = Acceptor(listeners, self._runner.server, self.connections)
        await self._accepting.enter_async_context(acceptor)
        self._listeners = listeners

    def _resume(self, restored: RestoredState) -> None:
        port = self.port
        for prediction in restored.predictions.values():
            prediction.origin = _with_port(prediction.origin, restored.port, port)
            self._app[WEBHOOK_SENDER].watch(prediction)
        self.state.persistence.start(port, self.state.clock.now_s())

    async def _close(self) -> None:
        self._listeners = ()
        await self._accepting.aclose()
        await self._runner.cleanup()
        await self.state.persistence.close()


def _with_port(origin: str, old_port: int | None, new_port: int) -> str:
    """The origin with the new port; unchanged when it has another port, as behind a proxy."""
    before, colon, port = origin.rpartition(":")
    return f"{before}:{new_port}" if colon and port == str(old_port) else origin
