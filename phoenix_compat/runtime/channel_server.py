"""Runs one joined channel: its mailbox, its callbacks and its end.

    JOINING --join answered-->  BUSY
    IDLE  --message-->  BUSY  --callback done, mailbox empty-->  IDLE
                        BUSY  --stop, crash, leave, client disconnected-->  ENDING  -->  ENDED
                         any  --killed by a duplicate join-->  ENDED

Rules:
1. A message to an idle channel is handled before `deliver` returns, up to its callback's first
   wait. A message to a busy channel goes to the mailbox.
2. A graceful end (`stop`, leave) frees the topic and sends `phx_close`, then runs `terminate`, so
   that its pushes come after `phx_close`. A crash runs `terminate` first, then sends `phx_error`.
3. A killed channel sends nothing more, and its `terminate` does not run.
4. The mailbox is bounded. If it overflows, the channel ends as after a crash, and the client
   rejoins.

Source: phoenix 1.8.12, lib/phoenix/channel/server.ex.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from phoenix_compat.bounded import brief
from phoenix_compat.channel import Channel, UnhandledEventError
from phoenix_compat.errors import CallbackError
from phoenix_compat.protocol.message import Broadcast, Message, Payload, Ref
from phoenix_compat.result import Reason, Result, Stop, is_graceful, ok
from phoenix_compat.runtime.channel_owner import Ending, Info, Owner
from phoenix_compat.runtime.dispatch import call_callback, call_join
from phoenix_compat.runtime.ended_channel import EndedChannel
from phoenix_compat.runtime.sending.outbox import Outbox
from phoenix_compat.runtime.termination import log_terminate_error, start_terminate
from phoenix_compat.socket import Socket
from phoenix_compat.typed_payload import InvalidPayloadError

log = logging.getLogger(__name__)

_MAX_MESSAGES_IN_A_ROW = 64
"""After this number of messages without a wait, the channel yields to other connections."""

_EXPECTED = "ok(...), error(...), reply(status, ...), stop(...) or None"

# Plain integers, because the members of an Enum cost a lookup for each message.
_JOINING: Final = 0
_IDLE: Final = 1
_BUSY: Final = 2
_ENDING: Final = 3
_ENDED: Final = 4


class ChannelServer:
    """Runs one channel; see the module's rules.

    Attributes:
        socket: the socket that the callbacks get.
        join_ref: the join's ref as the client sent it; null stays null.
        is_leaving: whether the client has sent a leave.
        received: how many messages the client has sent since the join.
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
        "received",
        "socket",
    )

    def __init__(self, channel: Channel, owner: Owner, join_ref: Ref) -> None:
        self.socket: Socket
        self.join_ref = join_ref
        self.is_leaving = False
        self.received = 0
        self._channel = channel
        self._owner = owner
        self._state: int = _JOINING
        self._mailbox: deque[Any] | None = None
        self._task: asyncio.Task[Any] | None = None
        self._subscriptions: set[str] | None = None
        self._monitors: list[Callable[[], None]] | None = None
        self._has_left = False

    # pubsub.Member.

    @property
    def outbox(self) -> Outbox:
        """See pubsub.Member."""
        return self._owner.outbox

    @property
    def intercepts(self) -> frozenset[str]:
        """See pubsub.Member."""
        return self._channel.intercepts

    @property
    def audience(self) -> str:
        """See pubsub.Member."""
        return self.socket.audience

    def intercept(self, broadcast: Broadcast) -> None:
        """See pubsub.Member."""
        self.deliver(broadcast)

    # The join.

    def join(self, payload: Any) -> Any:
        """Call the channel's `join`; the result may be awaitable."""
        invalid_payloads = self._owner.engine.invalid_payloads
        return call_join(self._channel, self.socket, payload, invalid_payloads)

    def listen(self) -> None:
        """Subscribe to the topic; called just before the reply to the join."""
        self._owner.engine.pubsub.join(self.socket.topic, self)
        self.socket.joined = True

    def begin(self) -> None:
        """Handle what arrived during the join; called after the reply to it."""
        if self._state == _JOINING:
            self._state = _BUSY
            self._next()

    # The mailbox.

    def leave(self, message: Message) -> None:
        """Leave for the client; the reply follows after the earlier messages are handled."""
        if self.is_leaving:
            return  # the first leave ends the channel
        self.is_leaving = True
        self.deliver(Ending(("shutdown", "left"), message))

    def deliver(self, item: Any) -> None:
        """Handle an item, or put it into the mailbox if the channel is busy.

        Args:
            item: a Message, a Broadcast, an Info or an Ending.
        """
        if self._state == _IDLE:
            self._state = _BUSY
            self._run(item)
        elif self._state <= _BUSY:
            self._post(item)

    def receive(self, message: Message) -> None:
        """Handle a message of the client: `deliver`, with a fast path for the usual case.

        In the usual case the channel is idle and the callback replies without waiting.
        """
        self.received += 1
        if self._state != _IDLE:
            self.deliver(message)
            return
        self._state = _BUSY
        try:
            returned = call_callback(self._channel, self.socket, message)
            if type(returned) is Result and self._state == _BUSY:
                socket = self.socket
                self._owner.send_reply(
                    socket.join_ref, message.ref, socket.topic, returned.status, returned.payload
                )
                socket.ref = None
                is_ready = True
            else:
                is_ready = self._returned(message, returned)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - it ends only this channel
            is_ready = self._failed(message, error)
        if is_ready:
            self._next()

    def close(self, reason: Reason) -> None:
        """End the channel of a disconnected client, after the earlier messages are handled."""
        self._leave_topics()
        self.deliver(Ending(reason))
        self.begin()  # if the reply to the join could not be sent

    def kill(self) -> None:
        """End immediately, even in the middle of a callback, and send nothing more."""
        self._state = _ENDED
        self._mailbox = None
        self._leave_topics()
        self._release_socket()
        if self._task is not None:
            self._task.cancel()

    @property
    def is_ended(self) -> bool:
        """Whether the channel has ended and sends nothing more."""
        return self._state == _ENDED

    def _post(self, item: Any) -> None:
        limits = self._owner.engine.limits
        if self._mailbox is None:
            self._mailbox = deque()
        if len(self._mailbox) < limits.max_mailbox_messages or isinstance(item, Ending):
            self._mailbox.append(item)
            return
        self._owner.engine.counters.mailboxes_overflowed += 1
        log.warning(
            "channel on %s ended: more than %d messages are waiting in its mailbox",
            brief(self.socket.topic),
            limits.max_mailbox_messages,
        )
        self.kill()
        self._owner.channel_crashed(self)

    def _next(self) -> None:
        """Continue with the mailbox after a callback, or become idle."""
        if self._mailbox:
            self._run(self._mailbox.popleft())
        else:
            self._mailbox = None
            self._state = _IDLE

    def _run(self, item: Any) -> None:
        """Handle this item and the mailbox, until a callback waits or the channel ends."""
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
        """Run the callback for one item; return whether the channel is ready for the next."""
        try:
            if isinstance(item, Ending):
                return self._end(item)
            returned = call_callback(self._channel, self.socket, item)
            return self._returned(item, returned)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - it ends only this channel
            return self._failed(item, error)

    def _failed(self, item: Any, error: BaseException) -> bool:
        """Handle what was raised instead of a result; return whether the channel continues."""
        if self.is_ended:
            return False
        if (
            isinstance(error, InvalidPayloadError)
            and type(item) is Message
            and item.event in self._channel.payload_types
        ):
            answer = self._owner.engine.invalid_payloads.answer
            return self._finish(item, answer(self._channel, item, error))
        self._crash(error)
        return False

    def _returned(self, item: Any, returned: Any) -> bool:
        """Process a callback's result or coroutine; return whether the channel is ready."""
        if inspect.isawaitable(returned):
            task = self._owner.engine.spawner.start(returned)
            if not task.done():
                self._task = task
                task.add_done_callback(partial(self._handle_late, item))
                if self.is_ended:  # its own callback overfilled the mailbox
                    task.cancel()
                return False
            returned = task.result()
        return not self.is_ended and self._finish(item, returned)

    def _handle_late(self, item: Any, task: asyncio.Task[Any]) -> None:
        """Process the result of a callback that had to wait."""
        self._task = None
        if self._state != _BUSY:
            if not task.cancelled():
                task.exception()  # mark it as retrieved, so that asyncio does not log it
            return
        try:
            is_ready = self._finish(item, task.result())
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - it ends only this channel
            self._crash(error)
            return
        if is_ready:
            self._next()

    def _finish(self, item: Any, returned: Any) -> bool:
        """Carry out a callback's result; return whether the channel continues."""
        message = item if isinstance(item, Message) else None
        if isinstance(returned, Result) and message is not None:
            self._answer(message, returned)
        elif isinstance(returned, Stop):
            if returned.reply is not None and message is not None:
                self._answer(message, returned.reply)
            self._stop(returned.reason)
            return False
        elif returned is not None:
            if message is None:
                raise CallbackError("handle_info or handle_out", returned, _EXPECTED)
            raise CallbackError(f"the handler of {brief(message.event)}", returned, _EXPECTED)
        self.socket.ref = None
        return True

    def _answer(self, message: Message, result: Result) -> None:
        self.reply(self.socket.join_ref, message.ref, result)

    # The end.

    def _end(self, ending: Ending) -> bool:
        if ending.leave is not None:
            self._answer(ending.leave, ok())
        self._stop(ending.reason)
        return False

    def _stop(self, reason: Reason) -> None:
        """End as requested by a callback or the client."""
        if not is_graceful(reason):
            self._crash(reason)
            return
        self._state = _ENDING
        self._leave_topics()
        self._owner.channel_closed(self)
        self._terminate(reason, self._ended)

    def _crash(self, reason: Reason) -> None:
        """End because of an error: run `terminate` first, then send `phx_error`."""
        self._state = _ENDING
        self._owner.engine.counters.channels_crashed += 1
        error = reason if isinstance(reason, BaseException) else None
        topic = brief(self.socket.topic)
        if isinstance(error, UnhandledEventError):  # the client's mistake, or a handler is missing
            log.error("channel on %s crashed: %s", topic, error)
        else:
            log.error("channel on %s crashed: %s", topic, brief(reason), exc_info=error)
        self._terminate(reason, self._ended_by_crash)

    def _terminate(self, reason: Reason, on_done: Callable[[], None]) -> None:
        self._mailbox = None
        task = start_terminate(self._channel, self.socket, reason, self._owner.engine.spawner)
        if task is None:
            on_done()
            return
        self._task = task
        task.add_done_callback(partial(self._terminate_late, on_done))

    def _terminate_late(self, on_done: Callable[[], None], task: asyncio.Task[Any]) -> None:
        self._task = None
        log_terminate_error(task, self.socket)
        if self._state == _ENDING:
            on_done()

    def _ended(self) -> None:
        self._state = _ENDED
        self._release_socket()

    def _ended_by_crash(self) -> None:
        self._state = _ENDED
        self._leave_topics()
        self._release_socket()
        self._owner.channel_crashed(self)

    def _release_socket(self) -> None:
        """Break the reference cycle with the socket; see ended_channel."""
        self.socket.channel_ended(EndedChannel(self._owner, self.socket.topic))

    def _leave_topics(self) -> None:
        self._has_left = True
        pubsub = self._owner.engine.pubsub
        pubsub.leave(self.socket.topic, self)
        if self._subscriptions is not None:
            for topic in self._subscriptions:
                pubsub.unsubscribe(topic, self.deliver)
            self._subscriptions = None
        monitors, self._monitors = self._monitors, None
        for on_end in monitors or ():
            on_end()

    # socket.RunningChannel.

    def push(self, event: str, payload: Payload) -> None:
        """Send an event to this client; does nothing once the channel has ended."""
        if self._state != _ENDED:
            socket = self.socket
            self._owner.send_push(Message(socket.join_ref, None, socket.topic, event, payload))

    def broadcast(self, event: str, payload: Payload, *, is_from: bool) -> None:
        """See socket.RunningChannel."""
        exclude = self if is_from else None
        self._owner.engine.pubsub.broadcast(self.socket.topic, event, payload, exclude=exclude)

    def reply(self, join_ref: Ref, ref: Ref, result: Result) -> None:
        """Reply to one message, even after the channel has ended."""
        self._owner.send_reply(join_ref, ref, self.socket.topic, result.status, result.payload)

    def send_self(self, message: Any) -> None:
        """See socket.RunningChannel."""
        self.deliver(Info(message))

    def subscribe(self, topic: str) -> None:
        """See socket.RunningChannel."""
        if self._subscriptions is None:
            self._subscriptions = set()
        self._subscriptions.add(topic)
        self._owner.engine.pubsub.subscribe(topic, self.deliver)

    def unsubscribe(self, topic: str) -> None:
        """See socket.RunningChannel."""
        if self._subscriptions is not None:
            self._subscriptions.discard(topic)
        self._owner.engine.pubsub.unsubscribe(topic, self.deliver)

    def monitor(self, on_end: Callable[[], None]) -> None:
        """Call a function when the channel ends; immediately, if it has left its topics already."""
        if self._has_left:
            on_end()
            return
        if self._monitors is None:
            self._monitors = []
        self._monitors.append(on_end)

    def close_at(self, time_s: float) -> None:
        """See socket.RunningChannel."""
        self._owner.close_at(time_s)
