"""An emulator whose HTTP exchanges a test can observe and hold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from enum import Enum, auto

from aiohttp import web
from aiohttp.typedefs import Handler

from phoenix_compat.emulator import EmulatorSettings, EmulatorState, build_emulator_app
from phoenix_compat.emulator.predictions.run_output import parse_file_name
from phoenix_compat.emulator.web.request_context import STATE

_SHUTDOWN_S = 1.0


class Operation(Enum):
    """The operation that the server requests from the provider."""

    CREATE = auto()
    POLL = auto()
    LIST = auto()
    FILE = auto()
    UPLOAD = auto()


class Phase(Enum):
    """REQUEST: before the provider has done anything. RESPONSE: its response is ready.

    For a file, RESPONSE means that the first bytes are being sent.
    """

    REQUEST = auto()
    RESPONSE = auto()


@dataclass(frozen=True, slots=True)
class Exchange:
    """An HTTP exchange between the server and the provider.

    Attributes:
        prompt: the prompt of its prediction; empty for a list and for a file that is sent.
        is_over: its prediction has ended.
    """

    operation: Operation
    phase: Phase
    prompt: str = ""
    is_over: bool = False


class Interception:
    """Waits for an exchange: sets `matched`, and may hold the exchange until its client exits."""

    def __init__(self, wanted: Callable[[Exchange], bool], *, holds: bool) -> None:
        self.wanted = wanted
        self.holds = holds
        self.matched = asyncio.Event()


class ObservedEmulator:
    """An emulator with interceptions of its exchanges.

    Attributes:
        state: the state of the emulator.
        origin: `http://127.0.0.1:port`.
        create_prompts: the prompts of all creates that have arrived, also of failed ones.
    """

    def __init__(self, state: EmulatorState) -> None:
        self.state = state
        self.origin = ""
        self.create_prompts: set[str] = set()
        self._interceptions: list[Interception] = []

    @contextmanager
    def intercept(
        self, wanted: Callable[[Exchange], bool], *, holds: bool = False
    ) -> Iterator[Interception]:
        """Intercept the first matching exchange while the block runs.

        Args:
            holds: hold the exchange until its client disconnects.
        """
        interception = Interception(wanted, holds=holds)
        self._interceptions.append(interception)
        try:
            yield interception
        finally:
            self._interceptions.remove(interception)

    async def handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Observe an exchange before and after its handler."""
        exchange = await self._exchange(request)
        if exchange is None:
            return await handler(request)
        if exchange.operation is Operation.CREATE:
            self.create_prompts.add(exchange.prompt)
        await self._notify(exchange)
        response = await handler(request)
        if exchange.operation is not Operation.FILE:
            await self._notify(replace(exchange, phase=Phase.RESPONSE))
        return response

    async def on_response_start(self, request: web.Request, _response: web.StreamResponse) -> None:
        """Observe a file when its first bytes are sent; the rest may never be."""
        exchange = await self._exchange(request)
        if exchange is not None and exchange.operation is Operation.FILE:
            await self._notify(replace(exchange, phase=Phase.RESPONSE))

    async def _notify(self, exchange: Exchange) -> None:
        for interception in tuple(self._interceptions):
            if interception.wanted(exchange):
                interception.matched.set()
                if interception.holds:
                    # Held until the handler is cancelled, when its client disconnects.
                    await asyncio.get_running_loop().create_future()

    async def _exchange(self, request: web.Request) -> Exchange | None:
        path = request.path
        if request.method == "POST" and path.endswith("/predictions"):
            body = await request.json()
            return Exchange(Operation.CREATE, Phase.REQUEST, str(body["input"].get("prompt", "")))
        if request.method == "POST" and path == "/v1/files":
            return Exchange(Operation.UPLOAD, Phase.REQUEST)
        if request.method != "GET":
            return None
        if path.endswith("/predictions"):
            return Exchange(Operation.LIST, Phase.REQUEST)
        if path.startswith("/v1/predictions/"):
            return self._about(Operation.POLL, request.match_info["id"])
        file = parse_file_name(request.match_info.get("file", ""))
        return None if file is None else self._about(Operation.FILE, file[0])

    def _about(self, operation: Operation, prediction_id: str) -> Exchange | None:
        prediction = self.state.predictions.find(prediction_id)
        if prediction is None:
            return None
        is_over = prediction.at(self.state.clock.now_s()).is_over
        return Exchange(operation, Phase.REQUEST, prediction.prompt, is_over)


@asynccontextmanager
async def observed_emulator(settings: EmulatorSettings) -> AsyncIterator[ObservedEmulator]:
    """Run an observed emulator on a free loopback port while the block runs."""
    app = build_emulator_app(settings)
    emulator = ObservedEmulator(app[STATE])

    @web.middleware
    async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await emulator.handle(request, handler)

    app.middlewares.append(observe)
    app.on_response_prepare.append(emulator.on_response_start)
    runner = web.AppRunner(
        app, access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_S
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        emulator.origin = f"http://{host}:{port}"
        yield emulator
    finally:
        await runner.cleanup()
