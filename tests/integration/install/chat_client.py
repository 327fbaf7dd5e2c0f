"""Serves a chat.py of docs/channels.md and talks to it: `python chat_client.py chat.py`.

A script of its own, because it also runs where the library is installed and nothing else.
"""

from __future__ import annotations

import asyncio
import runpy
import sys
from typing import Any

import aiohttp
from aiohttp import web

_TIMEOUT_S = 20.0


def load(path: str) -> web.Application:
    """What `python chat.py` would serve."""
    apps: list[web.Application] = []
    web.run_app = lambda app, port: apps.append(app)  # type: ignore[assignment,misc]
    runpy.run_path(path, run_name="__main__")
    return apps[0]


async def talk(app: web.Application) -> Any:
    """Join the lobby, say hi; what the room hears."""
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        url = f"http://127.0.0.1:{port}/socket/websocket?vsn=2.0.0&name=ann"
        async with (
            asyncio.timeout(_TIMEOUT_S),
            aiohttp.ClientSession() as http,
            http.ws_connect(url) as socket,
        ):
            await socket.send_json(["1", "1", "room:lobby", "phx_join", {}])
            await socket.send_json(["1", "2", "room:lobby", "new_msg", {"body": "hi"}])
            while (message := await socket.receive_json())[3] != "new_msg":
                pass
            return message[4]
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    heard = asyncio.run(talk(load(sys.argv[1])))
    sys.stdout.write(f"{heard['from']}: {heard['body']}\n")
