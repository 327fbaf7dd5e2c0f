"""One joined channel at work: a mailbox that wakes only when it has something to do.

    JOINING --join answered-->  BUSY
    IDLE  --message-->  BUSY  --callback done, mailbox empty-->  IDLE
                        BUSY  --stop, crash, leave, client gone-->  ENDING  -->  ENDED
                         any  --killed by a duplicate join-->  ENDED

Rules:
1. A message that finds the channel idle is handled before `deliver` returns, as far as its callback
   does not wait. One that finds it busy goes to the mailbox.
2. A graceful end (`stop`, leave) frees the topic and sends `phx_close`, then runs `terminate`: what
   it pushes comes after. A crash runs `terminate` first, then sends `phx_error`.
3. A killed channel says nothing more; its `terminate` does not run.
4. The mailbox is bounded; past the bound the channel ends as if it had crashed, and the client
   joins again.

Source: phoenix 1.8.12, lib/phoenix/channel/server.ex.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol

import msgspec

from phoenix_compat.bounded import brief
from phoenix_compat.channel import Channel
from phoenix_compat.errors import CallbackError
from phoenix_compat.protocol.message import Broadcast, Message, Payload, Ref
from phoenix_compat.result import Reason, Result, Stop, is_graceful, ok
from phoenix_compat.runtime.engine import Engine
from phoenix_compat.runtime.logs import is_logged, log_handled
from phoenix_compat.runtime.outbox import Outbox
from phoenix_compat.socket import Socket

log = logging.getLogger(__name__)

_MAX_MESSAGES_IN_A_ROW = 64
"""After so many messages without a wait, other connections get their turn."""

_EXPECTED = "ok(...), error(...), reply(status, ...), stop(...) or None"


# Small integers, because an Enum's members cost a look-up for each message.
_JOINING: Final = 0
_IDLE: Final = 1
_BUSY: Final = 2
_ENDING: Final = 3
_ENDED: Final = 4


class _Info(msgspec.Struct, frozen=True, gc=False):
    """A message for handle_info."""

    message: Any


class _Ending(msgspec.Struct, frozen=True, gc=False):
    """The channel is to end: the client left (then `leave` is to be answered) or is gone."""

    reason: Any
    leave: Message | None = None


class Owner(Protocol):
    """What a channel knows of its connection."""

    @property
    def outbox(self) -> Outbox:
        """Where the client's frames go."""

    @property
    def engine(self) -> Engine:
        """What all sockets share."""

    def send_reply(
        self, join_ref: Ref, ref: Ref, topic: Any, status: str, response: Payload
    ) -> None:
        """Encode and send. Raises EncodeError."""

    def send_push(self, message: Message) -> None:
        """Encode and send. Raises EncodeError."""

    def channel_closed(self, channel: ChannelServer) -> None:
        """The channel ended gracefully: free its topic, send phx_close."""

    def channel_crashed(self, channel: ChannelServer) -> None:
        """The channel ended otherwise: free its topic, send phx_error."""


class ChannelServer:
    """Runs one channel: its mailbox, its callbacks, its end.

    Attributes:
        socket: what the callbacks hold.
        join_ref: the join's ref as the client sent it; null stays null.
        is_leaving: whether a leave was handed on.
    """

    __slots__ = (
        "_channel",
        "_has_left",
        "_mailbox",
        "_monitors",
        "_owner",
        "_state",
        "_subscriptions",
        "_task",
        "is_leaving",
        "join_ref",
        "socket",
    )

    def __init__(self, channel: Channel, owner: Owner, join_ref: Ref) -> None:
        self.socket: Socket
        self.join_ref = join_ref
        self.is_leaving = False
        self._channel = channel
        self._owner = owner
        self._state: int = _JOINING
        self._mailbox: deque[Any] | None = None
        self._task: asyncio.Task[Any] | None = None
        self._subscriptions: set[str] | None = None
        self._monitors: list[Callable[[], None]] | None = None
        self._has_left = False

    # What PubSub asks of a member.

    @property
    def outlet(self) -> Outbox:
        """See pubsub.Member."""
        return self._owner.outbox

    @property
    def intercepts(self) -> frozenset[str]:
        """See pubsub.Member."""
        return self._channel.intercepts

    def intercept(self, broadcast: Broadcast) -> None:
        """See pubsub.Member."""
        self.deliver(broadcast)

    # The join.

    def join(self, payload: Any) -> Any:
        """Call the channel's `join`; what it returns may have to be awaited."""
        return self._channel.join(self.socket.topic, payload, self.socket)

    def listen(self) -> None:
        """Subscribe to the topic, just before the join is answered."""
        self._owner.engine.pubsub.join(self.socket.topic, self)
        self.socket.joined = True

    def begin(self) -> None:
        """The join was answered: handle what came meanwhile."""
        if self._state == _JOINING:
            self._state = _BUSY
            self._next()

    # The mailbox.

    def leave(self, message: Message) -> None:
        """The client leaves; it is answered once the messages before this are handled."""
        if self.is_leaving:
            return  # the first leave ends it
        self.is_leaving = True
        self.deliver(_Ending(("shutdown", "left"), message))

    def deliver(self, item: Any) -> None:
        """Take a Message, a Broadcast, or one of this module's notices."""
        if self._state == _IDLE:
            self._state = _BUSY
            self._run(item)
        elif self._state <= _BUSY:
            self._post(item)

    def receive(self, message: Message) -> None:
        """Take a message of the client: `deliver`, with the usual case in one piece.

        The usual case: the channel is idle, and the callback answers at once.
        """
        if self._state != _IDLE:
            self.deliver(message)
            return
        self._state = _BUSY
        try:
            returned = self._call(message)
            if type(returned) is Result and self._state == _BUSY:
                socket = self.socket
                self._owner.send_reply(
                    socket.join_ref, message.ref, socket.topic, returned.status, returned.payload
                )
                socket.ref = None
                goes_on = True
            else:
                goes_on = self._returned(message, returned)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - it ends this channel alone
            self._failed(error)
            return
        if goes_on:
            self._next()

    def close(self, reason: Reason) -> None:
        """The client is gone; `terminate` runs once the messages before this are handled."""
        self._leave_topics()
        self.deliver(_Ending(reason))
        self.begin()  # in case that its join could not be answered

    def kill(self) -> None:
        """End at once, in the middle of a callback if need be, and say nothing more."""
        self._state = _ENDED
        self._mailbox = None
        self._leave_topics()
        if self._task is not None:
            self._task.cancel()

    @property
    def is_ended(self) -> bool:
        """Whether it says nothing more."""
        return self._state == _ENDED

    def _post(self, item: Any) -> None:
        limits = self._owner.engine.limits
        if self._mailbox is None:
            self._mailbox = deque()
        if len(self._mailbox) < limits.max_mailbox_messages or isinstance(item, _Ending):
            self._mailbox.append(item)
            return
        self._owner.engine.counters.mailboxes_overflowed += 1
        log.warning(
            "channel on %s ended: more than %d messages wait for it",
            brief(self.socket.topic),
            limits.max_mailbox_messages,
        )
        self.kill()
        self._owner.channel_crashed(self)

    def _next(self) -> None:
        """A callback is done: go on with the mailbox, or go to sleep."""
        if self._mailbox:
            self._run(self._mailbox.popleft())
        else:
            self._mailbox = None
            self._state = _IDLE

    def _run(self, item: Any) -> None:
        """Handle this item and those in the mailbox, until one waits or the channel ends."""
        for _ in range(_MAX_MESSAGES_IN_A_ROW):
            if not self._handle(item):
                return
            if not self._mailbox:
                self._mailbox = None
                self._state = _IDLE
                return
            item = self._mailbox.popleft()
        asyncio.get_running_loop().call_soon(self._run_unless_ended, item)

    def _run_unless_ended(self, item: Any) -> None:
        if self._state == _BUSY:
            self._run(item)

    # Callbacks.

    def _handle(self, item: Any) -> bool:
        """Run the callback for one item; whether the channel is ready for the next."""
        try:
            if isinstance(item, _Ending):
                return self._end(item)
            return self._returned(item, self._call(item))
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - it ends this channel alone
            self._failed(error)
            return False

    def _returned(self, item: Any, returned: Any) -> bool:
        """A callback returned, a coroutine perhaps; whether the channel is ready for the next."""
        if inspect.isawaitable(returned):
            task = self._owner.engine.spawner.start(returned)
            if not task.done():
                self._task = task
                task.add_done_callback(partial(self._handle_late, item))
                if self.is_ended:  # by its own callback, which filled the mailbox
                    task.cancel()
                return False
            returned = task.result()
        return not self.is_ended and self._finish(item, returned)

    def _failed(self, error: BaseException) -> None:
        if not self.is_ended:
            self._crash(error)

    def _handle_late(self, item: Any, task: asyncio.Task[Any]) -> None:
        """A callback that waited is done."""
        self._task = None
        if self._state != _BUSY:
            if not task.cancelled():
                task.exception()  # nobody wants it, and asyncio need not log it
            return
        try:
            goes_on = self._finish(item, task.result())
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - it ends this channel alone
            self._crash(error)
            return
        if goes_on:
            self._next()

    def _call(self, item: Any) -> Any:
        channel, socket = self._channel, self.socket
        if type(item) is Message:
            level, event = channel.log_handle_in, item.event
            if level is not None and is_logged(level):
                log_handled(channel, item)
            socket.ref = item.ref
            handler = channel.handlers.get(event) if type(event) is str else None
            if handler is not None:
                return handler(channel, item.payload, socket)
            return channel.handle_in(event, item.payload, socket)
        if isinstance(item, _Info):
            return channel.handle_info(item.message, socket)
        if item.topic == socket.topic:
            return channel.handle_out(item.event, item.payload, socket)
        return channel.handle_info(item, socket)

    def _finish(self, item: Any, returned: Any) -> bool:
        """Do what a callback's result asks for; whether the channel goes on."""
        message = item if isinstance(item, Message) else None
        if isinstance(returned, Result) and message is not None:
            self._answer(message, returned)
        elif isinstance(returned, Stop):
            if returned.reply is not None and message is not None:
                self._answer(message, returned.reply)
            self._stop(returned.reason)
            return False
        elif returned is not None:
            callback = "handle_in" if message is not None else "handle_info or handle_out"
            raise CallbackError(callback, returned, _EXPECTED)
        self.socket.ref = None
        return True

    def _answer(self, message: Message, result: Result) -> None:
        self.reply(self.socket.join_ref, message.ref, result)

    # The end.

    def _end(self, ending: _Ending) -> bool:
        if ending.leave is not None:
            self._answer(ending.leave, ok())
        self._stop(ending.reason)
        return False

    def _stop(self, reason: Reason) -> None:
        """End as a callback or the client asked."""
        if not is_graceful(reason):
            self._crash(reason)
            return
        self._state = _ENDING
        self._leave_topics()
        self._owner.channel_closed(self)
        self._terminate(reason, self._ended)

    def _crash(self, reason: Reason) -> None:
        """End by an error: terminate first, then tell the client."""
        self._state = _ENDING
        self._owner.engine.counters.channels_crashed += 1
        error = reason if isinstance(reason, BaseException) else None
        topic = brief(self.socket.topic)
        log.error("channel on %s crashed: %s", topic, brief(reason), exc_info=error)
        self._terminate(reason, self._ended_by_crash)

    def _terminate(self, reason: Reason, then: Callable[[], None]) -> None:
        self._mailbox = None
        try:
            returned = self._channel.terminate(reason, self.socket)
            if returned is not None:
                task = self._owner.engine.spawner.start(returned)
                if not task.done():
                    self._task = task
                    task.add_done_callback(partial(self._terminate_late, then))
                    return
                task.result()
        except (Exception, asyncio.CancelledError):
            log.exception("terminate of the channel on %s failed", brief(self.socket.topic))
        then()

    def _terminate_late(self, then: Callable[[], None], task: asyncio.Task[Any]) -> None:
        self._task = None
        error = None if task.cancelled() else task.exception()
        if error is not None:
            topic = brief(self.socket.topic)
            log.error("terminate of the channel on %s failed", topic, exc_info=error)
        if self._state == _ENDING:
            then()

    def _ended(self) -> None:
        self._state = _ENDED

    def _ended_by_crash(self) -> None:
        self._state = _ENDED
        self._leave_topics()
        self._owner.channel_crashed(self)

    def _leave_topics(self) -> None:
        self._has_left = True
        pubsub = self._owner.engine.pubsub
        pubsub.leave(self.socket.topic, self)
        if self._subscriptions is not None:
            for topic in self._subscriptions:
                pubsub.unsubscribe(topic, self.deliver)
            self._subscriptions = None
        monitors, self._monitors = self._monitors, None
        for at_end in monitors or ():
            at_end()

    # The socket's powers, see socket.Port.

    def push(self, event: str, payload: Payload) -> None:
        """Send to this client. A killed channel is not heard any more."""
        if self._state != _ENDED:
            socket = self.socket
            self._owner.send_push(Message(socket.join_ref, None, socket.topic, event, payload))

    def broadcast(self, event: str, payload: Payload, *, is_from: bool) -> None:
        """Send to all subscribers of the topic, or to all but this channel."""
        but = self if is_from else None
        self._owner.engine.pubsub.broadcast(self.socket.topic, event, payload, but=but)

    def reply(self, join_ref: Ref, ref: Ref, result: Result) -> None:
        """Answer one message, even after the channel ended."""
        self._owner.send_reply(join_ref, ref, self.socket.topic, result.status, result.payload)

    def send_self(self, message: Any) -> None:
        """Put a message into the mailbox."""
        self.deliver(_Info(message))

    def subscribe(self, topic: str) -> None:
        """Have another topic's broadcasts put into the mailbox."""
        if self._subscriptions is None:
            self._subscriptions = set()
        self._subscriptions.add(topic)
        self._owner.engine.pubsub.subscribe(topic, self.deliver)

    def unsubscribe(self, topic: str) -> None:
        """Undo subscribe."""
        if self._subscriptions is not None:
            self._subscriptions.discard(topic)
        self._owner.engine.pubsub.unsubscribe(topic, self.deliver)

    def monitor(self, at_end: Callable[[], None]) -> None:
        """Have a function called when the channel ends: at once, if it left its topics already."""
        if self._has_left:
            at_end()
            return
        if self._monitors is None:
            self._monitors = []
        self._monitors.append(at_end)
