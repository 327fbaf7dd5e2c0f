"""The task server in this process, with short bounds for slow clients."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from phoenix_compat.accept.request_deadlines import HttpBounds
from phoenix_compat.server.main import WEBSOCKET, open_app
from phoenix_compat.server.process.connection_limit import HTTP_BOUNDS
from phoenix_compat.server.process.listening import listening
from tests.attack.target import LATE_S, Target
from tests.integration.task_server import settings_for
from tests.patience import patient

BOUNDS = HttpBounds(head_s=1.0, body_s=1.5, idle_s=2.0, send_s=1.5, tick_s=0.1)
FRAME_S = 1.5


@asynccontextmanager
async def hurried(folder: Path) -> AsyncIterator[Target]:
    """A server with its data in the folder, to be attacked."""
    websocket = replace(WEBSOCKET, frame_timeout_s=FRAME_S)
    async with open_app(settings_for(folder), websocket=websocket) as app:
        app[HTTP_BOUNDS] = BOUNDS
        async with listening(app, "127.0.0.1", 0) as url:
            yield Target(url, folder, late_s=patient(LATE_S))
