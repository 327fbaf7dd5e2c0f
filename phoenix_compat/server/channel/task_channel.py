"""The task server's socket and channel: `task:<id>` on `/socket`.

A client that joins gets `ok`, then one `progress` with the task's present state, then one
`progress` for each change. A client may join late: it always gets the last state. While a text is
written there are also events `output`, the first with all of it so far. Files that are ready before
the others go to clients that join with `{"partial": true}`. See `outputs`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

from phoenix_compat.channel import Channel, on
from phoenix_compat.presence import InvalidPresenceError, Presence
from phoenix_compat.protocol.message import JSON, Broadcast
from phoenix_compat.protocol.query import Params
from phoenix_compat.result import HandleResult, Result, Stop, error, ok, stop
from phoenix_compat.server.auth.principal import Principal, Scope, ScopeError
from phoenix_compat.server.auth.visibility import Visibility, watched_owner
from phoenix_compat.server.channel.feed import PROGRESS, TaskFeed
from phoenix_compat.server.channel.listener_channel import listener_channels
from phoenix_compat.server.channel.outputs import OUTPUT, files_payload, files_topic
from phoenix_compat.server.channel.socket_authentication import (
    DISCONNECT,
    SocketAuthentication,
)
from phoenix_compat.server.rates.connect_attempt import current_attempt
from phoenix_compat.server.rates.rate_limiter import RateLimitedError, RateLimiter
from phoenix_compat.socket import ConnectInfo, Socket, SocketHandler
from phoenix_compat.tasks.model.errors import StoreUnavailableError, TaskNotFoundError

_ANONYMOUS = "anonymous"
_PRESENT_STATE = "present_state"


class Canceller(Protocol):
    """Cancels tasks: the worker, or the feed that calls the worker in another process."""

    async def cancel(self, task_id: str, *, owner: str | None = None) -> object:
        """Cancel a task of an owner. Raises TaskNotFoundError, StoreUnavailableError."""


class TaskChannel(Channel):
    """One task, watched by one client."""

    async def join(self, topic: str, payload: JSON, socket: Socket) -> Result:
        """Accept the clients of the task's owner; all others are told that it was not found."""
        authentication: SocketAuthentication = socket.assigns["authentication"]
        refusal = await authentication.join(payload, socket)
        if refusal is not None:
            return refusal
        limiter: RateLimiter = socket.assigns["limiter"]
        try:
            limiter.take_join(socket.assigns["principal"].owner, socket.assigns["address"])
        except RateLimitedError as too_fast:
            # The reason after which apps stay: the client joins again by itself.
            return error(reason="unavailable", detail=str(too_fast))
        feed: TaskFeed = socket.assigns["feed"]
        principal: Principal = socket.assigns["principal"]
        owner = watched_owner(principal, socket.assigns["visibility"])
        try:
            task = await feed.read(topic.removeprefix("task:"), owner)
        except StoreUnavailableError:
            return error(reason="unavailable")  # the same
        if task is None:
            return error(reason="not found")
        await feed.outputs.read(task)
        is_partial = isinstance(payload, dict) and payload.get("partial") is True
        socket.assign(task=task, is_partial=is_partial)
        socket.send_self(_PRESENT_STATE)
        return ok()

    def handle_info(self, message: Any, socket: Socket) -> Stop | None:
        """After the join: push the state, the text so far, and the presence list if it is enabled.

        A channel with an owner of its own ends when that owner is disconnected.
        """
        if isinstance(message, Broadcast):
            if message.event == OUTPUT:
                self._push_files(message.payload, socket)
            return stop(("shutdown", "disconnected")) if message.event == DISCONNECT else None
        socket.push(PROGRESS, self._present_state(socket))
        feed: TaskFeed = socket.assigns["feed"]
        task_id = socket.assigns["task"].id
        written = feed.outputs.present(task_id)
        if written is not None:
            socket.push(OUTPUT, written)
        if socket.assigns["is_partial"]:
            socket.subscribe(files_topic(task_id))
            kept = feed.outputs.present_files(task_id, socket.audience)
            if kept is not None:
                socket.push(OUTPUT, kept)
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
        try:
            principal.require(Scope.CANCEL)
            await worker.cancel(socket.assigns["task"].id, owner=principal.visible_owner)
        except ScopeError:
            return error(reason="forbidden")
        except TaskNotFoundError:
            return error(reason="not found")
        except StoreUnavailableError:
            return error(reason="unavailable")
        return ok()

    def _push_files(self, new: Any, socket: Socket) -> None:
        """Push files that are ready before the others, with links for this client."""
        task_id = socket.assigns["task"].id
        socket.push(OUTPUT, files_payload(task_id, new["start"], new["files"], socket.audience))

    def _present_state(self, socket: Socket) -> JSON:
        feed: TaskFeed = socket.assigns["feed"]
        return feed.payload(socket.assigns["task"], socket.audience)


def _track(presence: Presence, socket: Socket) -> None:
    """Show the client by its owner. Where there is none, by the name that it gives itself."""
    principal: Principal = socket.assigns["principal"]
    name = principal.owner or socket.assigns["user"]
    meta = {"online_at": int(time.time())}
    try:
        presence.track(socket, name, meta)
    except InvalidPresenceError:  # a name that would break clients, such as __proto__
        presence.track(socket, _ANONYMOUS, meta)


def user_socket(  # noqa: PLR0913 - its dependencies, most of them optional
    feed: TaskFeed,
    worker: Canceller,
    limiter: RateLimiter,
    *,
    presence: Presence | None = None,
    visibility: Visibility = "owner",
    authentication: SocketAuthentication | None = None,
    listen_topics: Sequence[str] = (),
) -> type[SocketHandler]:
    """The socket class of the task server, with its dependencies.

    Args:
        limiter: limits connects and joins.
        presence: shows the clients of a task to each other; None disables this.
        visibility: who may join a task by its id.
        authentication: decides who may connect and join; None accepts everybody.
        listen_topics: the patterns of further topics; see `listener_channel`.
    """
    door = authentication or SocketAuthentication(limiter=limiter)
    assigns = {
        "authentication": door,
        "feed": feed,
        "worker": worker,
        "limiter": limiter,
        "presence": presence,
        "visibility": visibility,
    }

    class UserSocket(SocketHandler):
        """Clients that are authenticated may connect."""

        channels = {  # noqa: RUF012 - a ClassVar of the base
            "task:*": (TaskChannel, assigns),
            **listener_channels(listen_topics, assigns),
        }

        async def connect(
            self, params: Params, socket: Socket, connect_info: ConnectInfo
        ) -> Result:
            if not await door.connect(params, socket, connect_info):
                return error()
            attempt = current_attempt()
            socket.audience = attempt.base_url
            user = params.get("user")
            socket.assign(user=user if isinstance(user, str) and user else _ANONYMOUS)
            principal: Principal | None = socket.assigns["principal"]
            try:
                limiter.take_connect("" if principal is None else principal.owner, attempt.address)
            except RateLimitedError as too_fast:
                attempt.refused = too_fast
                return error()
            return ok()

        def id(self, socket: Socket) -> str | None:
            return door.socket_id(socket)

    return UserSocket
