"""The emulator with someone at the door, who sees what the server asks and can hold the answer."""

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


class Deed(Enum):
    """What the server asks of the provider."""

    CREATE = auto()
    POLL = auto()
    LIST = auto()
    FILE = auto()


class Moment(Enum):
    """Before the provider has done anything, or with its answer ready to go (a file: going)."""

    ARRIVES = auto()
    ANSWERS = auto()


@dataclass(frozen=True, slots=True)
class Sight:
    """What is seen at the door.

    Attributes:
        prompt: of the prediction it is about; empty for a list.
        is_over: a poll, of a prediction that has ended by now.
    """

    deed: Deed
    moment: Moment
    prompt: str = ""
    is_over: bool = False


class Trap:
    """Waits for a sight; once it is `sprung` the exchange may be held until its client dies."""

    def __init__(self, wanted: Callable[[Sight], bool], *, holds: bool) -> None:
        self.wanted = wanted
        self.holds = holds
        self.sprung = asyncio.Event()


class Lookout:
    """An emulator, and whoever watches its door.

    Attributes:
        state: the emulator's inside.
        origin: `http://127.0.0.1:port`.
        asked_for: the prompts of the creates that have arrived, whatever became of them.
    """

    def __init__(self, state: EmulatorState) -> None:
        self.state = state
        self.origin = ""
        self.asked_for: set[str] = set()
        self._traps: list[Trap] = []

    @contextmanager
    def trap(self, wanted: Callable[[Sight], bool], *, holds: bool = False) -> Iterator[Trap]:
        """Watch for a sight while the block lasts.

        Args:
            holds: let the exchange go no further; it ends with its client.
        """
        trap = Trap(wanted, holds=holds)
        self._traps.append(trap)
        try:
            yield trap
        finally:
            self._traps.remove(trap)

    async def stand(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Look at an exchange on its way in and on its way out."""
        sight = await self._sight(request)
        if sight is None:
            return await handler(request)
        if sight.deed is Deed.CREATE:
            self.asked_for.add(sight.prompt)
        await self._see(sight)
        response = await handler(request)
        if sight.deed is not Deed.FILE:
            await self._see(replace(sight, moment=Moment.ANSWERS))
        return response

    async def begin_answer(self, request: web.Request, _response: web.StreamResponse) -> None:
        """Look at a file whose first bytes go out now; the rest may never come."""
        sight = await self._sight(request)
        if sight is not None and sight.deed is Deed.FILE:
            await self._see(replace(sight, moment=Moment.ANSWERS))

    async def _see(self, sight: Sight) -> None:
        for trap in tuple(self._traps):
            if trap.wanted(sight):
                trap.sprung.set()
                if trap.holds:
                    # Never let go: a handler whose client is dead is cancelled.
                    await asyncio.get_running_loop().create_future()

    async def _sight(self, request: web.Request) -> Sight | None:
        path = request.path
        if request.method == "POST" and path.endswith("/predictions"):
            body = await request.json()
            return Sight(Deed.CREATE, Moment.ARRIVES, str(body["input"].get("prompt", "")))
        if request.method != "GET":
            return None
        if path.endswith("/predictions"):
            return Sight(Deed.LIST, Moment.ARRIVES)
        if path.startswith("/v1/predictions/"):
            return self._about(Deed.POLL, request.match_info["id"])
        file = parse_file_name(request.match_info.get("file", ""))
        return None if file is None else self._about(Deed.FILE, file[0])

    def _about(self, deed: Deed, prediction_id: str) -> Sight | None:
        prediction = self.state.predictions.find(prediction_id)
        if prediction is None:
            return None
        is_over = prediction.at(self.state.clock.now_s()).is_over
        return Sight(deed, Moment.ARRIVES, prediction.prompt, is_over)


@asynccontextmanager
async def watched_emulator(settings: EmulatorSettings) -> AsyncIterator[Lookout]:
    """An emulator on a free port of the loopback, for as long as the block lasts."""
    app = build_emulator_app(settings)
    lookout = Lookout(app[STATE])

    @web.middleware
    async def door(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await lookout.stand(request, handler)

    app.middlewares.append(door)
    app.on_response_prepare.append(lookout.begin_answer)
    runner = web.AppRunner(
        app, access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_S
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        lookout.origin = f"http://{host}:{port}"
        yield lookout
    finally:
        await runner.cleanup()
