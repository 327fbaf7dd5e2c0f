"""Keeps the state of one connection: its requests, and the joins of each topic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from phoenix_compat.conformance.trace.recording.frames import Entry
from phoenix_compat.conformance.trace.rules.rule import Rule
from phoenix_compat.conformance.trace.server_frame import Version, key
from phoenix_compat.protocol.message import (
    HEARTBEAT,
    JSON,
    PHOENIX_TOPIC,
    PHX_JOIN,
    PHX_LEAVE,
    Message,
)

ReportViolation = Callable[[Rule, Entry, str], None]
"""Takes a broken rule, the entry that breaks it, and what exactly was found."""


class JoinStatus(Enum):
    """The status of a join, by the answers of the server."""

    REQUESTED = auto()
    JOINED = auto()
    REFUSED = auto()
    ENDED = auto()


@dataclass(slots=True, eq=False)
class Join:
    """One phx_join of a topic, and the channel it started.

    Attributes:
        stored: the join_ref as the client sent it; the socket compares later messages with it.
        channel_ref: the join_ref of the channel's frames: `stored`, or the ref if that is null or
            false.
        number: the number of the phx_join's entry.
        is_replaced: whether a later join of the topic was answered; a phx_close may still follow.
        leave: the first phx_leave for it.
        leave_answered: the reply to that phx_leave.
        end: the phx_close or phx_error that ended it.
    """

    stored: JSON
    channel_ref: JSON
    number: int
    status: JoinStatus = JoinStatus.REQUESTED
    is_replaced: bool = False
    leave: Entry | None = None
    leave_answered: Entry | None = None
    end: Entry | None = None

    @property
    def is_open(self) -> bool:
        """Whether its channel is live, or replaced but not yet closed."""
        return self.status is JoinStatus.JOINED

    @property
    def is_live(self) -> bool:
        """Whether its channel is live."""
        return self.is_open and not self.is_replaced


class RequestKind(Enum):
    """What a client's message requests for."""

    HEARTBEAT = auto()
    JOIN = auto()
    LEAVE = auto()
    EVENT = auto()


@dataclass(slots=True, eq=False)
class Request:
    """A message of the client, which may get a reply.

    Attributes:
        join: for a phx_join, the join that it starts; otherwise the latest join of its topic.
        answers: the number of replies so far.
        is_final: whether it got a reply of a kind that is sent only once.
        is_overdue: whether its missing reply has been reported.
    """

    entry: Entry
    message: Message
    kind: RequestKind
    join: Join | None
    answers: int = 0
    is_final: bool = False
    is_overdue: bool = False

    @property
    def number(self) -> int:
        """The number of its entry."""
        return self.entry.number


@dataclass(slots=True, eq=False)
class State:
    """The state of one connection.

    Attributes:
        version: the serializer version; None until the URL or the first frame decides it.
        requests: messages of the client by `key` of their ref.
        waiting: heartbeats and joins without a reply, oldest first.
        undecodable: the first frame of the client that Phoenix cannot read.
    """

    report: ReportViolation
    version: Version | None = None
    requests: dict[str, list[Request]] = field(default_factory=dict)
    waiting: list[Request] = field(default_factory=list)
    undecodable: Entry | None = None
    _topics: dict[str, list[Join]] = field(default_factory=dict)

    def joins(self, topic: JSON) -> list[Join]:
        """All joins of a topic on this connection, oldest first."""
        return self._topics.get(key(topic), [])

    def last_join(self, topic: JSON) -> Join | None:
        """The latest join of a topic, whatever its status."""
        joins = self.joins(topic)
        return joins[-1] if joins else None

    def add_join(self, entry: Entry, message: Message) -> Join:
        """Add a phx_join."""
        stored = message.join_ref
        join = Join(
            stored, message.ref if stored is None or stored is False else stored, entry.number
        )
        self._topics.setdefault(key(message.topic), []).append(join)
        return join

    def open_joins(self) -> Iterator[Join]:
        """The open joins of all topics."""
        return (join for joins in self._topics.values() for join in joins if join.is_open)

    def pending_join(self, before: Request) -> Request | None:
        """The oldest join without a reply that was sent before this message."""
        joins = (request for request in self.waiting if request.kind is RequestKind.JOIN)
        return next((request for request in joins if request.number < before.number), None)


def request_kind(message: Message) -> RequestKind:
    """What a message requests for."""
    if message.event == HEARTBEAT and message.topic == PHOENIX_TOPIC:
        return RequestKind.HEARTBEAT
    return {PHX_JOIN: RequestKind.JOIN, PHX_LEAVE: RequestKind.LEAVE}.get(
        _text(message.event), RequestKind.EVENT
    )


def _text(value: JSON) -> str:
    return value if isinstance(value, str) else ""
