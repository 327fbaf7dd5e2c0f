"""One join of a channel, from its message to its reply.

Source: phoenix 1.8.12, lib/phoenix/channel/server.ex, join/4.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Protocol

from phoenix_compat.bounded import brief
from phoenix_compat.channel import Channel
from phoenix_compat.errors import CallbackError, EncodeError, LocalProtocolError
from phoenix_compat.protocol.message import JOIN_CRASHED, Message, Payload, Ref
from phoenix_compat.result import Reason, Result
from phoenix_compat.runtime.channel_owner import Owner
from phoenix_compat.runtime.channel_server import ChannelServer
from phoenix_compat.runtime.reporting.logs import log_join
from phoenix_compat.socket import Socket

log = logging.getLogger(__name__)


class JoinOwner(Owner, Protocol):
    """What a join needs of its client's socket server.

    Attributes:
        closed_for: why the connection was closed; None while it is open.
    """

    socket: Socket
    closed_for: Reason | None

    def hold(self) -> None:
        """Handle no further frames while the join is pending."""

    def go_on(self) -> None:
        """Handle the frames that came meanwhile."""

    def fail(self, reason: str) -> None:
        """Close the connection because of a bug in the application."""

    def joined(self, topic: str, channel: ChannelServer) -> None:
        """Enter a channel whose join was accepted."""

    def answer(self, join_ref: Ref, message: Message, status: str, response: Payload) -> None:
        """Reply to the join."""

    def close_old(self, old: ChannelServer | None) -> None:
        """Send the phx_close of the channel that this join replaces."""


class Join:
    """A join of one client.

    Args:
        old: the channel of the same topic, which this join has ended.
    """

    __slots__ = ("_channel", "_message", "_old", "_owner", "_server", "_started_at_s", "_timer")

    def __init__(self, owner: JoinOwner, message: Message, old: ChannelServer | None) -> None:
        self._owner = owner
        self._message = message
        self._old = old
        self._started_at_s = time.perf_counter()
        self._channel: Channel
        self._server: ChannelServer
        self._timer: asyncio.TimerHandle

    def start(self, channel_class: type[Channel], assigns: dict[str, Any] | None) -> None:
        """Make the channel and call its `join`."""
        owner, message = self._owner, self._message
        join_ref = message.join_ref
        try:
            channel = channel_class()
        except Exception as error:  # noqa: BLE001 - it refuses only this join
            self._refuse_crashed(error)
            return
        server = ChannelServer(channel, owner, join_ref)
        own_join_ref = message.ref if join_ref is None or join_ref is False else join_ref
        server.socket = owner.socket.for_channel(server, message.topic, own_join_ref, assigns)
        self._channel = channel
        self._server = server
        try:
            returned = server.join(message.payload)
            if not isinstance(returned, Result):
                task = owner.engine.spawner.start(returned)
                if not task.done():
                    self._wait_for(task)
                    return
                returned = task.result()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - it refuses only this join
            self._crashed(error)
        else:
            self._returned(returned)

    def _wait_for(self, task: asyncio.Task[Any]) -> None:
        self._owner.hold()
        limit_s = self._owner.engine.limits.join_timeout_s
        self._timer = asyncio.get_running_loop().call_later(limit_s, self._timed_out, task)
        task.add_done_callback(self._done)

    def _timed_out(self, task: asyncio.Task[Any]) -> None:
        engine = self._owner.engine
        engine.counters.joins_timed_out += 1
        limit_s = engine.limits.join_timeout_s
        log.error("join of %s took longer than %g s", brief(self._message.topic), limit_s)
        task.cancel()

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._timer.cancel()
        try:
            if task.cancelled():
                self._crashed(asyncio.CancelledError("join was cancelled"))
            elif (error := task.exception()) is not None:
                self._crashed(error)
            else:
                self._returned(task.result())
        except EncodeError:
            topic = brief(self._message.topic)
            log.exception("cannot encode the reply to the join of %s", topic)
            self._owner.fail("encode error")
        self._owner.go_on()

    def _returned(self, returned: Any) -> None:
        owner, message, server = self._owner, self._message, self._server
        if not isinstance(returned, Result) or returned.status not in {"ok", "error"}:
            self._crashed(CallbackError("join", returned, "ok(...) or error(...)"))
            return
        if server.is_ended:
            self._crashed(LocalProtocolError("join overfilled its own mailbox"))
            return
        is_accepted = returned.status == "ok"
        counters = owner.engine.counters
        log_join(
            self._channel,
            is_accepted=is_accepted,
            topic=message.topic,
            payload=message.payload,
            took_s=time.perf_counter() - self._started_at_s,
            words=owner.socket.endpoint.credential_words,
        )
        if not is_accepted:
            counters.joins_refused += 1
            server.kill()
        elif owner.closed_for is not None:
            server.socket.joined = True
            server.close(owner.closed_for)
            return
        else:
            counters.joins_accepted += 1
            owner.joined(message.topic, server)
            server.listen()
        owner.answer(message.join_ref, message, returned.status, returned.payload)
        owner.close_old(self._old)
        if is_accepted:
            server.begin()

    def _crashed(self, error: BaseException) -> None:
        self._server.kill()
        self._refuse_crashed(error)

    def _refuse_crashed(self, error: BaseException) -> None:
        owner, message = self._owner, self._message
        topic = brief(message.topic)
        log.error("join of %s crashed: %s", topic, brief(error), exc_info=error)
        counters = owner.engine.counters
        counters.channels_crashed += 1
        counters.joins_crashed += 1
        owner.answer(message.join_ref, message, "error", JOIN_CRASHED)
        owner.close_old(self._old)
