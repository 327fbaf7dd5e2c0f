"""What a bus calls when something arrives, and the calls of this node that wait for a reply.

A bug in one handler or listener is logged, and does not affect the others.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

from phoenix_compat.cluster.bus import CallError, CallHandler, CastHandler
from phoenix_compat.cluster.node_listener import NodeListener
from phoenix_compat.errors import PhoenixCompatError

log = logging.getLogger(__name__)

T = TypeVar("T")

NodeEvent: TypeAlias = Literal["up", "gap", "down", "roles_changed"]


class Handlers:
    """The listeners of one bus, and its handlers of casts and calls.

    Attributes:
        listeners: in the order in which they are called.
    """

    def __init__(self) -> None:
        self.listeners: list[NodeListener] = []
        self._casts: dict[str, CastHandler] = {}
        self._calls: dict[str, CallHandler] = {}

    def on_cast(self, kind: str, handler: CastHandler) -> None:
        """See Bus.on_cast."""
        self._casts[kind] = handler

    def on_call(self, kind: str, handler: CallHandler) -> None:
        """See Bus.on_call."""
        self._calls[kind] = handler

    def listen(self, listener: NodeListener, peers: Iterable[tuple[int, bool]]) -> None:
        """Add a listener, and call it for the nodes that are up, each with whether it has roles."""
        self.listeners.append(listener)
        for node, has_roles in peers:
            listener.up(node)
            if has_roles:
                listener.roles_changed(node)

    def notify(self, event: NodeEvent, node: int) -> None:
        """Call all listeners."""
        for listener in self.listeners:
            try:
                getattr(listener, event)(node)
            except Exception:  # a bug in one listener must not affect the others
                log.exception("a listener failed at %s of node %d", event, node)

    async def caught_up(self) -> None:
        """Return once all listeners have complete copies of the state of the nodes that are up."""
        await asyncio.gather(*(listener.caught_up() for listener in self.listeners))

    def handle_cast(self, node: int, kind: str, body: bytes) -> None:
        """Call the handler of a cast, if there is one."""
        handler = self._casts.get(kind)
        if handler is None:
            return
        try:
            handler(node, body)
        except Exception:  # a bug in one handler must not affect the other kinds
            log.exception("the handler failed for a cast of kind %r from node %d", kind, node)

    async def handle_call(self, node: int, kind: str, body: bytes) -> tuple[bytes, str | None]:
        """Return the reply to a call, and why it failed, if it did."""
        try:
            handler = self._calls.get(kind)
            if handler is None:
                raise CallError(f"no handler for calls of kind {kind!r}")  # noqa: TRY301 - replied below
            return await handler(node, body), None
        except Exception as error:  # the caller gets a reply even if the handler has a bug
            if not isinstance(error, PhoenixCompatError):
                log.exception("a call of kind %r from node %d failed", kind, node)
            return b"", str(error)


class PendingCall(NamedTuple):
    """A call of this node that has no reply yet."""

    node: int
    result: asyncio.Future[Any]
    on_reply: Callable[[bytes], Any]


class PendingCalls:
    """The calls of this node, by number; at most `limit` at once."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._calls: dict[int, PendingCall] = {}
        self._last = 0

    def begin(self, node: int, on_reply: Callable[[bytes], T]) -> tuple[int, asyncio.Future[T]]:
        """Return the number and the future of a new call; `end` must be called for it.

        Raises:
            CallError: too many calls are pending.
        """
        if len(self._calls) >= self._limit:
            raise CallError(f"{self._limit} calls are pending already")
        self._last = number = self._last + 1
        result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._calls[number] = PendingCall(node, result, on_reply)
        return number, result

    def end(self, number: int) -> None:
        """Forget a call, whatever became of it."""
        result = self._calls.pop(number).result
        if result.done() and not result.cancelled():
            result.exception()  # the call may have ended before it could be raised

    def resolve(self, node: int, number: int, body: bytes, error: str | None) -> None:
        """Handle a reply. One that comes too late, or from another node, is ignored."""
        call = self._calls.get(number)
        if call is None or call.node != node or call.result.done():
            return
        if error is not None:
            call.result.set_exception(CallError(error))
            return
        try:
            call.result.set_result(call.on_reply(body))
        except Exception as failure:  # noqa: BLE001 - the caller of `call` gets it
            call.result.set_exception(failure)

    def fail(self, node: int, reason: str) -> None:
        """End all calls of a node with a CallError."""
        for call in tuple(self._calls.values()):
            if call.node == node and not call.result.done():
                call.result.set_exception(CallError(reason))
