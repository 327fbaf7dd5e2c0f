"""The task server's socket and channel: `task:<id>` on `/socket`.

A client that joins gets `ok`, then one `progress` with the task's present state, then one
`progress` for each change. A client may join late: it always gets the last state.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

from phoenix_compat.channel import Channel, on
from phoenix_compat.presence import InvalidPresenceError, Presence
from phoenix_compat.protocol.message import JSON, Broadcast
from phoenix_compat.protocol.query import Params
from phoenix_compat.result import HandleResult, Result, Stop, error, ok, stop
from phoenix_compat.server.auth.principal import Principal, Scope
from phoenix_compat.server.channel.feed import PROGRESS, TaskFeed
from phoenix_compat.server.channel.socket_authentication import DISCONNECT, SocketAuthentication
from phoenix_compat.socket import ConnectInfo, Socket, SocketHandler
from phoenix_compat.tasks.model.errors import StoreUnavailableError, TaskNotFoundError
from phoenix_compat.tasks.model.task import progress_payload

_ANONYMOUS = "anonymous"
_PRESENT_STATE = "present_state"


class Canceller(Protocol):
    """Cancels tasks: the worker, or the feed that calls the worker in another process."""

    async def cancel(self, task_id: str) -> object:
        """Cancel a task. Raises TaskNotFoundError, StoreUnavailableError."""


class TaskChannel(Channel):
    """One task, watched by one client."""

    async def join(self, topic: str, payload: JSON, socket: Socket) -> Result:
        """Accept every client that may read and knows the task's id."""
        authentication: SocketAuthentication = socket.assigns["authentication"]
        refusal = await authentication.join(payload, socket)
        if refusal is not None:
            return refusal
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

    def handle_info(self, message: Any, socket: Socket) -> Stop | None:
        """After the join: push the task's state, and the presence list if it is enabled.

        A channel with an owner of its own ends when that owner is disconnected.
        """
        if isinstance(message, Broadcast):
            return stop(("shutdown", "disconnected")) if message.event == DISCONNECT else None
        socket.push(PROGRESS, self._present_state(socket))
        presence: Presence | None = socket.assigns["presence"]
        if presence is not None:
            _track(presence, socket)
            socket.push("presence_state", presence.list(socket))
        return None

    @on("status")
    def status(self, payload: JSON, socket: Socket) -> HandleResult:
        """Reply with the payload of `progress`."""
        del payload
        return ok(self._present_state(socket))

    @on("cancel")
    async def cancel(self, payload: JSON, socket: Socket) -> HandleResult:
        """Cancel the task; a result that arrives before the cancel is kept."""
        del payload
        worker: Canceller = socket.assigns["worker"]
        principal: Principal = socket.assigns["principal"]
        if not principal.allows(Scope.CANCEL):
            return error(reason="forbidden")
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


def _track(presence: Presence, socket: Socket) -> None:
    meta = {"online_at": int(time.time())}
    try:
        presence.track(socket, socket.assigns["user"], meta)
    except InvalidPresenceError:  # a name that would break clients, such as __proto__
        presence.track(socket, _ANONYMOUS, meta)


def user_socket(
    feed: TaskFeed,
    worker: Canceller,
    presence: Presence | None = None,
    authentication: SocketAuthentication | None = None,
) -> type[SocketHandler]:
    """The socket class of the task server, with its dependencies.

    Args:
        presence: shows the clients of a task to each other; None disables this.
        authentication: decides who may connect and join; None accepts everybody.
    """
    door = authentication or SocketAuthentication()
    assigns = {
        "authentication": door,
        "feed": feed,
        "worker": worker,
        "presence": presence,
    }

    class UserSocket(SocketHandler):
        """Clients that are authenticated may connect."""

        channels = {"task:*": (TaskChannel, assigns)}  # noqa: RUF012 - a ClassVar of the base

        async def connect(
            self, params: Params, socket: Socket, connect_info: ConnectInfo
        ) -> Result:
            if not await door.connect(params, socket, connect_info):
                return error()
            user = params.get("user")
            socket.assign(user=user if isinstance(user, str) and user else _ANONYMOUS)
            return ok()

        def id(self, socket: Socket) -> str | None:
            return door.socket_id(socket)

    return UserSocket
