"""The server for the interop tests, as an application and as a process.

As a process, `python -m tests.interop.server [PORT]` prints its port once it listens, and serves
until it is killed.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from aiohttp import web

from phoenix_compat import Channel, Endpoint, Result, Socket, SocketHandler, error, mount, ok
from phoenix_compat.conformance.reference import RoomChannel

STEPS = [
    {"progress": 0.1, "status": "processing"},
    {"progress": 0.55, "status": "processing"},
    {"progress": 1.0, "status": "completed", "result_data": {"image_url": "https://x.test/é.png"}},
]


class TaskChannel(Channel):
    """`task:*`: pushes the progress of a task from start to end."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        """Refuse `task:missing`; start with any other task."""
        task_id = topic.removeprefix("task:")
        if task_id == "missing":
            return error({"reason": "not found"})
        socket.assign(task_id=task_id)
        socket.send_self(0)
        return ok({"task_id": task_id})

    async def handle_info(self, message: int, socket: Socket) -> None:
        """Push one step, and schedule the next."""
        await socket.push("progress", {"task_id": socket.assigns["task_id"], **STEPS[message]})
        await asyncio.sleep(0.01)
        if message + 1 < len(STEPS):
            socket.send_self(message + 1)


class UserSocket(SocketHandler):
    """Accepts everyone except `token=deny`; the user is the socket id."""

    channels = {"room:*": RoomChannel, "task:*": TaskChannel}  # noqa: RUF012

    def connect(self, params: Any, socket: Socket, connect_info: Any) -> Result:
        """Store the user."""
        socket.assign(user=params.get("user"))
        return error() if params.get("token") == "deny" else ok()

    def id(self, socket: Socket) -> str | None:
        """`user:<user>`, or None without the param `user`."""
        user = socket.assigns["user"]
        return None if user is None else f"user:{user}"


def build_app() -> web.Application:
    """Build the application."""
    endpoint = Endpoint()
    endpoint.socket("/socket", UserSocket)
    app = web.Application()
    mount(app, endpoint)
    return app


async def serve(port: int) -> None:
    """Listen on the loopback, print the port, and serve until killed."""
    runner = web.AppRunner(build_app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print(runner.addresses[0][1], flush=True)  # noqa: T201 - the parent process waits for it
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
