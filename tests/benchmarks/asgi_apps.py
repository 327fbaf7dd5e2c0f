"""ASGI applications to compare: `uvicorn --factory tests.benchmarks.asgi_apps:NAME`.

ours       the reference channel set
bare       a websocket of Starlette that decodes and encodes the same JSON, and keeps a set of
           clients for each topic; it validates nothing and has neither limits nor timeouts
socket_io  python-socketio with one room
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from phoenix_compat.conformance.reference_asgi import build_reference_asgi_app as ours

__all__ = ["bare", "ours", "socket_io"]


def bare() -> Starlette:
    """The websocket of Starlette."""
    clients: defaultdict[str, set[WebSocket]] = defaultdict(set)

    async def serve(websocket: WebSocket) -> None:
        await websocket.accept()
        joined = set()
        try:
            while True:
                join_ref, ref, topic, event, payload = json.loads(await websocket.receive_text())
                response: Any = {}
                if event == "phx_join":
                    joined.add(topic)
                    clients[topic].add(websocket)
                elif event == "echo":
                    response = payload
                elif event == "broadcast":
                    text = json.dumps([None, None, topic, "msg", payload])
                    for client in tuple(clients[topic]):
                        await client.send_text(text)
                reply = {"status": "ok", "response": response}
                await websocket.send_text(json.dumps([join_ref, ref, topic, "phx_reply", reply]))
        except WebSocketDisconnect:
            for topic in joined:
                clients[topic].discard(websocket)

    return Starlette(routes=[WebSocketRoute("/socket/websocket", serve)])


def socket_io() -> Any:
    """python-socketio; every client is in one room."""
    import socketio  # noqa: PLC0415 - only for this comparison

    server = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins="*")

    async def connect(sid: str, _environ: Any) -> None:
        await server.enter_room(sid, "a")

    async def echo(_sid: str, payload: Any) -> Any:
        return payload

    async def broadcast(_sid: str, payload: Any) -> None:
        await server.emit("msg", payload, room="a")

    server.on("connect", connect)
    server.on("echo", echo)
    server.on("broadcast", broadcast)
    return socketio.ASGIApp(server)
