"""aiohttp's connections, as this package changes them."""

from __future__ import annotations

import asyncio
import gc
from typing import Any, cast

import pytest
from aiohttp import web

from phoenix_compat.http_server import AppRunner, ClientHandler


@pytest.mark.filterwarnings("error")
async def test_a_pipelined_request_may_be_cancelled_before_its_turn(
    recwarn: pytest.WarningsRecorder,
) -> None:
    """It waits for a turn of the event loop; when the server stops then, nothing was begun."""
    runner = AppRunner(web.Application())
    await runner.setup()
    assert runner.server is not None
    handler = cast("ClientHandler", runner.server())
    handler._messages.append(cast("Any", None))  # another request, behind the one below

    handling = asyncio.ensure_future(handler._handle_request(cast("Any", None), 0.0, None))
    await asyncio.sleep(0)
    handling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handling
    del handling
    gc.collect()
    handler._messages.clear()
    await runner.cleanup()

    assert [str(warning.message) for warning in recwarn] == []
