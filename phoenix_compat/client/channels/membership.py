"""A channel's join, and its rejoins.

    state     becomes   when
    closed    joining   join()
    joining   joined    the reply is ok
    joining   errored   the reply is an error, or does not come; phx_error; the connection is lost
    joined    errored   phx_error; the connection is lost
    errored   joining   after a wait, or as soon as a connection is opened
    any       leaving   leave()
    any       closed    phx_close; the end of leave() or of the client

Source: phoenix.js 1.8, channel.js.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum

from phoenix_compat.client.backoff import Backoff
from phoenix_compat.client.callbacks import log, place_of
from phoenix_compat.client.errors import JoinTimeoutError
from phoenix_compat.client.link import Link
from phoenix_compat.client.options import Params
from phoenix_compat.errors import EncodeError
from phoenix_compat.protocol.message import PHX_JOIN, PHX_LEAVE


class ChannelState(Enum):
    """The states of a channel, in phoenix.js's words."""

    CLOSED = "closed"
    ERRORED = "errored"
    JOINED = "joined"
    JOINING = "joining"
    LEAVING = "leaving"


class Membership:
    """Joins a topic, and joins it again after errors.

    Args:
        params: the payload of each join, or a function that returns it.
        on_failure: called when the server does not answer a join, or the params cannot be encoded.

    Attributes:
        join_ref: the ref of the last join; None while there is none to answer to.
    """

    __slots__ = (
        *("_backoff", "_link", "_on_failure", "_params", "_timer", "_timeout_s", "_topic"),
        *("join_ref", "state"),
    )

    def __init__(
        self,
        topic: str,
        params: Params | Callable[[], Params],
        link: Link,
        on_failure: Callable[[JoinTimeoutError | EncodeError], None],
    ) -> None:
        options = link.options
        self._topic = topic
        self._params = params
        self._link = link
        self._on_failure = on_failure
        self._timeout_s = options.timeout_s
        self._timer: asyncio.TimerHandle | None = None
        self._backoff = Backoff(options.rejoin_after_s, options.jitter)
        self.state = ChannelState.CLOSED
        self.join_ref: str | None = None

    @property
    def is_joined(self) -> bool:
        """Whether the server has accepted the join."""
        return self.state is ChannelState.JOINED

    def is_member(self, join_ref: object) -> bool:
        """Whether a message is of the present join: its join_ref is null, empty or ours.

        Source: phoenix.js 1.8, channel.js, isMember.
        """
        return not join_ref or join_ref == self.join_ref

    def join(self, timeout_s: float) -> None:
        """Join now, or when there is a connection. Raises EncodeError."""
        self._timeout_s = timeout_s
        self._cancel_timer()
        self.state = ChannelState.JOINING
        self.join_ref = None
        if not self._link.is_connected:
            return
        params = self._params() if callable(self._params) else self._params
        ref = self._link.next_ref()
        self._link.send(ref, ref, self._topic, PHX_JOIN, params)
        self.join_ref = ref
        self._timer = asyncio.get_running_loop().call_later(timeout_s, self._time_out)

    def accept(self) -> None:
        """The server has accepted the join."""
        self._cancel_timer()
        self._backoff.reset()
        self.state = ChannelState.JOINED

    def fail(self) -> None:
        """The join was refused, or the channel crashed: join again after a wait."""
        self._cancel_timer()
        if self.state is ChannelState.JOINING:
            self.join_ref = None
        self.state = ChannelState.ERRORED
        if self._link.is_connected:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._backoff.next_s(), self._rejoin)

    def connected(self) -> None:
        """Join again at once: there is a new connection."""
        if self.state in {ChannelState.JOINING, ChannelState.ERRORED}:
            self._backoff.reset()
            self._rejoin()

    def leave(self) -> None:
        """Stop joining."""
        self._cancel_timer()
        self.state = ChannelState.LEAVING

    def close(self) -> None:
        """Stop joining for good."""
        self._cancel_timer()
        self.state = ChannelState.CLOSED

    def _rejoin(self) -> None:
        self._timer = None
        try:
            self.join(self._timeout_s)
        except Exception as error:  # noqa: BLE001 - the app's function may raise anything
            # The text of the exception may quote the params.
            log.error("the params of a join raised %s at %s", type(error).__name__, place_of(error))
            self._link.counters.callback_errors += 1
            self.fail()
            if isinstance(error, EncodeError):
                self._on_failure(error)

    def _time_out(self) -> None:
        """Leave what may be joined after all, and join again later."""
        self._timer = None
        self._link.counters.join_timeouts += 1
        self._link.send(self.join_ref, self._link.next_ref(), self._topic, PHX_LEAVE, {})
        self.fail()
        self._on_failure(JoinTimeoutError(self._topic, self._timeout_s))

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
