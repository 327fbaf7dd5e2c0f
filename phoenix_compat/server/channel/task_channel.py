"""This product's own socket and channel: `task:<id>` on `/socket`.

A client that joins gets `ok`, then one `progress` with the task's present state, whatever it is,
then one `progress` for each change. Nobody has to be there in time: the last state stays.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

from phoenix_compat.channel import Channel, on
from phoenix_compat.presence import InvalidPresenceError, Presence
from phoenix_compat.protocol.message import JSON
from phoenix_compat.protocol.query import Params
from phoenix_compat.result import HandleResult, Result, error, ok
from phoenix_compat.server.channel.feed import PROGRESS, TaskFeed
from phoenix_compat.socket import ConnectInfo, Socket, SocketHandler
from phoenix_compat.tasks.model.errors import StoreUnavailableError, TaskNotFoundError
from phoenix_compat.tasks.model.task import progress_payload

_ANONYMOUS = "anonymous"
_PRESENT_STATE = "present_state"


class Canceller(Protocol):
    """Who can end a task: the worker, or who asks it in another process."""

    async def cancel(self, task_id: str) -> object:
        """Ask for a task's end. Raises TaskNotFoundError, StoreUnavailableError."""


class TaskChannel(Channel):
    """One task, watched by one client."""

    async def join(self, topic: str, payload: JSON, socket: Socket) -> Result:
        """Let everyone watch who knows the task's id."""
        del payload
        feed: TaskFeed = socket.assigns["feed"]
        try:
            task = await feed.read(topic.removeprefix("task:"))
        except StoreUnavailableError:
            return error(reason="unavailable")  # the client joins again by itself
        if task is None:
            return error(reason="not found")
        socket.assign(task=task)
        socket.send_self(_PRESENT_STATE)
        return ok()

    def handle_info(self, message: Any, socket: Socket) -> None:
        """After the join: where the task stands, and who else watches, if that is shown."""
        del message
        socket.push(PROGRESS, self._present_state(socket))
        presence: Presence | None = socket.assigns["presence"]
        if presence is not None:
            _show(presence, socket)
            socket.push("presence_state", presence.list(socket))

    @on("status")
    def status(self, payload: JSON, socket: Socket) -> HandleResult:
        """Answer with the same payload that `progress` carries."""
        del payload
        return ok(self._present_state(socket))

    @on("cancel")
    async def cancel(self, payload: JSON, socket: Socket) -> HandleResult:
        """Ask for the task's end; a result that is faster is kept."""
        del payload
        worker: Canceller = socket.assigns["worker"]
        try:
            await worker.cancel(socket.assigns["task"].id)
        except TaskNotFoundError:
            return error(reason="not found")
        except StoreUnavailableError:
            return error(reason="unavailable")
        return ok()

    def _present_state(self, socket: Socket) -> JSON:
        feed: TaskFeed = socket.assigns["feed"]
        return progress_payload(feed.newest(socket.assigns["task"]))


def _show(presence: Presence, socket: Socket) -> None:
    meta = {"online_at": int(time.time())}
    try:
        presence.track(socket, socket.assigns["user"], meta)
    except InvalidPresenceError:  # a name that would break clients; nobody gains by a crash
        presence.track(socket, _ANONYMOUS, meta)


def user_socket(
    feed: TaskFeed, worker: Canceller, presence: Presence | None = None
) -> type[SocketHandler]:
    """The socket of this product, bound to the tasks it shows.

    Args:
        presence: shows the clients of a task to each other; None shows nobody.
    """
    assigns = {"feed": feed, "worker": worker, "presence": presence}

    class UserSocket(SocketHandler):
        """Anyone may connect; a task's id is what one has to know."""

        channels = {"task:*": (TaskChannel, assigns)}  # noqa: RUF012 - a ClassVar of the base

        def connect(self, params: Params, socket: Socket, connect_info: ConnectInfo) -> Result:
            del connect_info
            user = params.get("user")
            socket.assign(user=user if isinstance(user, str) and user else _ANONYMOUS)
            return ok()

    return UserSocket
