"""The deadlines of HTTP connections: for heads, bodies, taking answers, and idle time.

    head    complete `head_s` after it could begin: when the connection is made, and with the
            first byte of each further request. Late: 408, or a plain close if nothing was sent
    body    complete `body_s` after its head, and a second later for each `body_bytes_per_s` that
            have arrived. Late: whoever reads the body gets an error, which is answered with 408
    answer  the client takes something of it within any `send_s`. Late: the connection is aborted
    idle    the next request begins `idle_s` after an answer. Late: a plain close

Nothing is done here for a request that arrives at once: the deadlines are looked at when the wheel
comes by. No connection has a timer of the event loop: asyncio keeps up to a hundred cancelled ones,
and after many connects each of them keeps the memory around it from going back to the system.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from phoenix_compat.accept.send_progress import SendProgress
from phoenix_compat.accept.timer_wheel import TICK_S, TimerWheel

_SAMPLES: Final = 3
"""How often it is looked within `send_s` whether a client takes something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpBounds:
    """What an HTTP client may take its time for; see the module's docstring.

    Attributes:
        max_head_bytes: the limit for a request line with its headers; more is 431.
        idle_s: how long a connection is kept between two requests.
        tick_s: how late a deadline may be noticed.
    """

    head_s: float = 10.0
    max_head_bytes: int = 64 * 1024
    body_s: float = 30.0
    body_bytes_per_s: int = 64 * 1024
    idle_s: float = 75.0
    send_s: float = 30.0
    tick_s: float = TICK_S


@dataclass(slots=True)
class BoundCounters:
    """How often each bound was reached.

    Attributes:
        late_heads: requests whose head was not complete in time, or that did not begin.
        large_heads: requests with too long a head.
        late_bodies: requests whose body was not complete in time.
        idle_closed: connections that were idle for too long after their last request.
        unread_closed: connections whose clients did not take what they were sent.
    """

    late_heads: int = 0
    large_heads: int = 0
    late_bodies: int = 0
    idle_closed: int = 0
    unread_closed: int = 0


class Body(Protocol):
    """The body of a request while it arrives."""

    total_bytes: int

    def is_eof(self) -> bool:
        """Whether it is complete."""


class HttpConnection(Protocol):
    """What the deadlines need of the connection's protocol."""

    @property
    def is_reading_paused(self) -> bool:
        """Whether it is this server that does not read on."""

    def head_is_late(self, *, has_begun: bool) -> None:
        """Answer 408 and close, or just close if the request has not begun."""

    @property
    def idle_since_s(self) -> float | None:
        """When the last request was answered, by the loop's clock; None while not idle."""

    def close_idle(self) -> None:
        """Close: no further request came in time."""

    def body_is_late(self, body: Any) -> None:
        """Tell whoever reads the body."""


@dataclass(slots=True)
class Watch:
    """What the deadlines of one server's connections share."""

    bounds: HttpBounds
    counters: BoundCounters
    wheel: TimerWheel[RequestDeadlines] = field(init=False)

    def __post_init__(self) -> None:
        self.wheel = TimerWheel(RequestDeadlines.check, self.bounds.tick_s)


class RequestDeadlines:
    """The deadlines of one connection.

    Args:
        transport: the connection; it is held on to after the protocol has closed it, because a
            transport that is closed still waits for the client to take the rest.
        now_s: the loop's clock.
        begun_s: when the connection began; None for now.
    """

    __slots__ = (
        "_body",
        "_body_since_s",
        "_connection",
        "_has_begun",
        "_head_bytes",
        "_head_since_s",
        "_now_s",
        "_progress",
        "_transport",
        "_watch",
    )

    def __init__(
        self,
        watch: Watch,
        connection: HttpConnection,
        transport: Any,
        now_s: Callable[[], float],
        *,
        begun_s: float | None = None,
    ) -> None:
        self._watch = watch
        self._connection = connection
        self._transport = transport
        self._now_s = now_s
        self._head_since_s: float | None = now_s() if begun_s is None else begun_s
        self._has_begun = False
        self._head_bytes = 0
        self._body: Body | None = None
        self._body_since_s = 0.0
        self._progress = SendProgress()
        watch.wheel.put(self, self._head_since_s + min(watch.bounds.head_s, watch.bounds.idle_s))

    # What the protocol tells.

    def head_goes_on(self, nbytes: int) -> bool:
        """Bytes of a head came; return whether there are too many by now."""
        self._has_begun = True
        self._head_bytes += nbytes
        if self._head_since_s is None:
            self._head_since_s = self._now_s()
            self._watch.wheel.put_sooner(self, self._head_since_s + self._watch.bounds.head_s)
        if self._head_bytes <= self._watch.bounds.max_head_bytes:
            return False
        self._watch.counters.large_heads += 1
        return True

    def may_be_large(self, nbytes: int) -> bool:
        """Whether a head that is complete with so many more bytes may be too long."""
        return self._head_bytes + nbytes > self._watch.bounds.max_head_bytes

    def head_complete(self) -> None:
        """A request came, or was refused."""
        self._head_since_s = None
        self._head_bytes = 0

    def body_begins(self, body: Body) -> None:
        """A request came whose body is not complete yet."""
        self._body = body
        self._body_since_s = self._now_s()
        self._watch.wheel.put_sooner(self, self._body_since_s + self._watch.bounds.body_s)

    def is_in_body(self) -> bool:
        """Whether what comes next belongs to a body."""
        body = self._body
        if body is None:
            return False
        if body.is_eof():
            self._body = None
            return False
        return True

    def writing_paused(self) -> None:
        """The client takes less than it is sent."""
        self._watch.wheel.put_sooner(self, self._now_s())

    def lost(self) -> None:
        """The connection is closed, or belongs to somebody else now."""
        self._watch.wheel.remove(self)

    # What the wheel asks.

    def check(self, now_s: float) -> float | None:
        """Act on what is late; return when to check again."""
        bounds = self._watch.bounds
        stalled_s = self._progress.stalled_s(
            self._transport.get_extra_info("socket"),
            now_s,
            self._transport.get_write_buffer_size(),
        )
        if stalled_s is not None and stalled_s >= bounds.send_s:
            self._watch.counters.unread_closed += 1
            self._transport.abort()
            return None
        next_s = now_s + bounds.send_s / (1 if stalled_s is None else _SAMPLES)
        if self._transport.is_closing():
            return next_s
        return min(
            next_s, self._check_head(now_s), self._check_body(now_s), self._check_idle(now_s)
        )

    def _check_head(self, now_s: float) -> float:
        if self._head_since_s is None:
            return float("inf")
        late_s = self._head_since_s + self._watch.bounds.head_s
        if now_s < late_s:
            return late_s
        if self._connection.is_reading_paused:
            return now_s + self._watch.bounds.head_s
        self._watch.counters.late_heads += 1
        self.head_complete()
        self._connection.head_is_late(has_begun=self._has_begun)
        return float("inf")

    def _check_body(self, now_s: float) -> float:
        body, bounds = self._body, self._watch.bounds
        if body is None or not self.is_in_body():
            return float("inf")
        if self._connection.is_reading_paused:
            self._body_since_s = now_s
        late_s = self._body_since_s + bounds.body_s + body.total_bytes / bounds.body_bytes_per_s
        if now_s < late_s:
            return late_s
        self._watch.counters.late_bodies += 1
        self._body = None
        self._connection.body_is_late(body)
        return float("inf")

    def _check_idle(self, now_s: float) -> float:
        since_s, bounds = self._connection.idle_since_s, self._watch.bounds
        if since_s is None or self._head_since_s is not None:
            return now_s + bounds.idle_s  # it cannot have been idle for longer by then
        late_s = since_s + bounds.idle_s
        if now_s < late_s:
            return late_s
        self._watch.counters.idle_closed += 1
        self._connection.close_idle()
        return float("inf")
