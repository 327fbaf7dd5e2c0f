"""A channel of the client: one topic."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from phoenix_compat.client.callbacks import Callbacks, Remove
from phoenix_compat.client.channels.inbox import Inbox
from phoenix_compat.client.channels.membership import ChannelState, Membership
from phoenix_compat.client.channels.pushes import Outcome, Push, Pushes, Reply
from phoenix_compat.client.counters import ClientCounters
from phoenix_compat.client.errors import (
    ChannelClosedError,
    JoinError,
    JoinTimeoutError,
    MisuseError,
    PushError,
    PushTimeoutError,
)
from phoenix_compat.client.link import Link
from phoenix_compat.client.options import ClientLimits, Params
from phoenix_compat.protocol.message import (
    PHX_CLOSE,
    PHX_ERROR,
    PHX_LEAVE,
    PHX_REPLY,
    Message,
    Payload,
)


class ClientChannel:
    """One topic of a client; `Client.channel` makes it.

    It stays joined: after a crash, a refused join, a timeout and each reconnect it joins again by
    itself, until it is left, or closed by the server.

    `async for message in channel` yields every message whose event has no callback, a `Message`
    with `event` and `payload`. It goes on over rejoins and ends when the channel is closed. If the
    app reads too slowly, the oldest messages are dropped and counted (`ClientLimits`).

    Attributes:
        topic: the topic.

    Source: phoenix.js 1.8, channel.js.
    """

    __slots__ = (
        *("_errors", "_inbox", "_is_begun", "_joined", "_link", "_membership", "_pushes"),
        *("_closes", "_waiter", "topic"),
    )

    def __init__(self, topic: str, params: Params | Callable[[], Params], link: Link) -> None:
        self.topic = topic
        self._link = link
        self._inbox = Inbox(link.options.limits, link.counters)
        self._pushes = Pushes(topic, link)
        self._membership = Membership(topic, params, link, self._tell_joiner)
        self._joined = Callbacks(link.counters)
        self._errors = Callbacks(link.counters)
        self._closes = Callbacks(link.counters)
        self._waiter: asyncio.Future[Outcome] | None = None
        self._is_begun = False

    @property
    def is_joined(self) -> bool:
        """Whether the channel is joined now."""
        return self._membership.is_joined

    @property
    def join_ref(self) -> str | None:
        """The ref of the last join; it changes with each rejoin."""
        return self._membership.join_ref

    @property
    def counters(self) -> ClientCounters:
        """The counters of the client."""
        return self._link.counters

    @property
    def limits(self) -> ClientLimits:
        """The limits of the client."""
        return self._link.options.limits

    # What the app calls.

    async def join(self, timeout_s: float | None = None) -> Any:
        """Join the topic, and return the response of the server.

        After a refusal or a timeout the channel goes on joining in the background, as phoenix.js
        does; `leave` ends that. If the call is cancelled, the channel is left.

        Args:
            timeout_s: how long to wait for each answer; by default the client's.

        Raises:
            JoinError: the server refused; JoinTimeoutError if it did not answer.
            ChannelClosedError: the channel or the client was closed.
            EncodeError: the params cannot be encoded.
            MisuseError: it was called before.
        """
        if self._is_begun:
            raise MisuseError("join can be called once; create another channel with channel()")
        self._is_begun = True
        timeout_s = self._link.options.timeout_s if timeout_s is None else timeout_s
        self._link.claim(self)
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            self._membership.join(timeout_s)
            async with asyncio.timeout(timeout_s):
                outcome = await self._waiter
        except TimeoutError:
            raise JoinTimeoutError(self.topic, timeout_s) from None
        except BaseException:  # cancelled, or the params cannot be encoded
            self.close(sends_leave=True)
            raise
        finally:
            self._waiter = None
        if isinstance(outcome, Reply):
            return outcome.response
        raise outcome

    async def push(
        self, event: str, payload: Payload | None = None, timeout_s: float | None = None
    ) -> Any:
        """Push an event, and return the response of the reply.

        Before the join, and while the connection is lost, the push waits; it is sent after the next
        join, unless its time is over.

        Args:
            payload: a dict, or bytes, which only V2 can send; by default `{}`.
            timeout_s: how long to wait for the reply; by default the client's.

        Raises:
            PushError: the status of the reply is not `ok`; PushTimeoutError if none came,
                PushLostError if none can come any more.
            ChannelClosedError: the channel was left or closed.
            BufferFullError: a limit is reached.
            EncodeError: the payload cannot be encoded.
            MisuseError: `join` was not called.
        """
        timeout_s = self._link.options.timeout_s if timeout_s is None else timeout_s
        loop = asyncio.get_running_loop()
        push = Push(
            event,
            {} if payload is None else payload,
            loop.time() + timeout_s,
            loop.create_future(),
        )
        self._submit(push)
        assert push.outcome is not None  # noqa: S101 - set above
        try:
            async with asyncio.timeout(timeout_s):
                outcome = await push.outcome
        except TimeoutError:
            self._link.counters.push_timeouts += 1
            raise PushTimeoutError(self.topic, event, timeout_s) from None
        finally:
            self._pushes.forget(push)
        if not isinstance(outcome, Reply):
            raise outcome
        if outcome.status != "ok":
            raise PushError(self.topic, event, outcome.status, outcome.response)
        return outcome.response

    def push_nowait(self, event: str, payload: Payload | None = None) -> None:
        """Push an event to which no reply is awaited. It raises like `push`, except PushError."""
        deadline_s = asyncio.get_running_loop().time() + self._link.options.timeout_s
        self._submit(Push(event, {} if payload is None else payload, deadline_s))

    async def leave(self, timeout_s: float | None = None) -> None:
        """Leave the topic; `async for` ends. A channel that is closed already stays so.

        Args:
            timeout_s: how long to wait for the answer; the channel is closed in any case.
        """
        membership = self._membership
        is_on_server = membership.state in {ChannelState.JOINED, ChannelState.JOINING}
        if membership.state is ChannelState.CLOSED or not is_on_server:
            self.close()
            return
        membership.leave()
        self._tell_joiner(ChannelClosedError(self.topic))
        loop = asyncio.get_running_loop()
        timeout_s = self._link.options.timeout_s if timeout_s is None else timeout_s
        push = Push(PHX_LEAVE, {}, loop.time() + timeout_s, loop.create_future())
        assert push.outcome is not None  # noqa: S101 - set above
        try:
            if self._link.is_connected and membership.join_ref is not None:
                self._pushes.send(push, membership.join_ref, is_limited=False)
                await asyncio.wait([push.outcome], timeout=timeout_s)
        finally:
            self._pushes.forget(push)
            self.close()

    def on(self, event: str, callback: Callable[[Any], object]) -> Remove:
        """Call `callback(payload)` for each message with this event; returns what removes it.

        Callbacks are plain functions; they run while the message is received, so they must not
        block. Their messages are not in `async for`. Raises MisuseError for coroutine functions.
        """
        return self._inbox.on(event, callback)

    def on_join(self, callback: Callable[[Any], object]) -> Remove:
        """Call `callback(response)` after each join and rejoin; returns what removes it."""
        return self._joined.add(callback)

    def on_error(self, callback: Callable[[Any], object]) -> Remove:
        """Call `callback(reason)` when the channel crashes or its connection is lost."""
        return self._errors.add(callback)

    def on_close(self, callback: Callable[[], object]) -> Remove:
        """Call `callback()` when the channel is closed for good."""
        return self._closes.add(callback)

    def __aiter__(self) -> ClientChannel:
        return self

    async def __anext__(self) -> Message:
        if not self._is_begun:
            raise MisuseError("nothing comes before the join; call `await channel.join()` first")
        message = await self._inbox.get()
        if message is None:
            raise StopAsyncIteration
        return message

    # What the client calls.

    def receive(self, message: Message, size_bytes: int) -> None:
        """Take a message on the topic; messages of earlier joins are dropped."""
        if not self._membership.is_member(message.join_ref):
            self._link.counters.messages_stale += 1
            return
        event = message.event
        if event == PHX_REPLY:
            self._receive_reply(message)
        elif event == PHX_ERROR:
            self._link.counters.channel_errors += 1
            self._interrupt(message.payload)
        elif event == PHX_CLOSE:
            self.close()
        else:
            self._inbox.put(message, size_bytes)

    def connected(self) -> None:
        """A connection was opened: join."""
        self._membership.connected()

    def disconnected(self) -> None:
        """The connection was lost."""
        if self._membership.state is not ChannelState.ERRORED:
            self._interrupt({"reason": "connection lost"})
        else:
            self._membership.fail()

    def close(self, *, sends_leave: bool = False) -> None:
        """The channel has ended.

        Args:
            sends_leave: whether the server must still be told.
        """
        membership = self._membership
        if membership.state is ChannelState.CLOSED:
            self._inbox.end()
            return
        if sends_leave and membership.join_ref is not None:
            ref = self._link.next_ref()
            self._link.send(membership.join_ref, ref, self.topic, PHX_LEAVE, {})
        membership.close()
        self._link.release(self)
        error = ChannelClosedError(self.topic)
        self._pushes.fail_all(error)
        self._tell_joiner(error)
        self._inbox.end()
        self._closes.call()

    def _receive_reply(self, message: Message) -> None:
        payload = message.payload
        if not isinstance(payload, dict):
            return
        reply = Reply(str(payload.get("status", "")), payload.get("response"))
        membership = self._membership
        if message.ref is None or message.ref != membership.join_ref:
            self._pushes.reply(message.ref, reply)
        elif membership.state is ChannelState.JOINING:
            if reply.status == "ok":
                self._accept(reply)
            else:
                self._link.counters.joins_refused += 1
                membership.fail()
                self._tell_joiner(JoinError(self.topic, reply.response))

    def _accept(self, reply: Reply) -> None:
        self._link.counters.joins += 1
        self._membership.accept()
        self._pushes.flush(self._membership.join_ref)
        self._tell_joiner(reply)
        self._joined.call(reply.response)

    def _interrupt(self, reason: Any) -> None:
        """The channel crashed, or its connection was lost."""
        if self._membership.state is ChannelState.LEAVING:
            self.close()
            return
        self._membership.fail()
        self._pushes.lose_pending()
        self._errors.call(reason)

    def _submit(self, push: Push) -> None:
        state = self._membership.state
        if not self._is_begun:
            raise MisuseError(
                f"cannot push {push.event!r} before the join; call `await channel.join()` first"
            )
        if state in {ChannelState.CLOSED, ChannelState.LEAVING}:
            raise ChannelClosedError(self.topic)
        if state is ChannelState.JOINED and self._link.is_connected:
            self._pushes.send(push, self._membership.join_ref)
        else:
            self._pushes.buffer(push)

    def _tell_joiner(self, outcome: Outcome) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(outcome)
