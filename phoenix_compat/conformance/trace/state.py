"""What is known of one connection: what was asked, the joins of each topic, how they stand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from phoenix_compat.conformance.trace.recording.frames import Entry
from phoenix_compat.conformance.trace.rules.rule import Rule
from phoenix_compat.conformance.trace.server_frame import Version
from phoenix_compat.protocol.message import (
    HEARTBEAT,
    JSON,
    PHOENIX_TOPIC,
    PHX_JOIN,
    PHX_LEAVE,
    Message,
)

ReportViolation = Callable[[Rule, Entry, str], None]
"""Takes a broken rule, the entry that breaks it, and what exactly was seen."""


class JoinStatus(Enum):
    """How a join stands, by what the server said."""

    REQUESTED = auto()
    JOINED = auto()
    REFUSED = auto()
    ENDED = auto()


@dataclass(slots=True, eq=False)
class Join:
    """One phx_join of a topic, and the channel it started.

    Attributes:
        stored: the join_ref as the client sent it; the socket compares with it.
        channel_ref: the join_ref of the channel's own frames: `stored`, or the ref when it is null.
        number: of the entry that asked for it.
        is_replaced: a later join of the topic was answered; the phx_close of this one may follow.
        leave: the first phx_leave for it.
        leave_answered: the reply to that.
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
        """Whether its channel lives, or has been replaced and not yet closed."""
        return self.status is JoinStatus.JOINED

    @property
    def is_live(self) -> bool:
        """Whether its channel lives."""
        return self.is_open and not self.is_replaced


class RequestKind(Enum):
    """What a client's message requests for."""

    HEARTBEAT = auto()
    JOIN = auto()
    LEAVE = auto()
    EVENT = auto()


@dataclass(slots=True, eq=False)
class Request:
    """A message of the client, which may be answered.

    Attributes:
        join: what it starts, for a phx_join; else the last join of its topic that was asked before.
        answers: how many replies it has got.
        is_final: it was answered as is done once only.
        is_overdue: that it waits too long has been told.
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
        """Of its entry."""
        return self.entry.number


@dataclass(slots=True, eq=False)
class State:
    """One connection.

    Attributes:
        version: how messages are written on it; None until the URL or the first frame tells.
        requests: messages of the client by `key` of their ref.
        waiting: heartbeats and joins without an answer, oldest first.
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
        """The newest join of a topic, however it stands."""
        joins = self.joins(topic)
        return joins[-1] if joins else None

    def add_join(self, entry: Entry, message: Message) -> Join:
        """Note a phx_join."""
        stored = message.join_ref
        join = Join(stored, message.ref if stored is None else stored, entry.number)
        self._topics.setdefault(key(message.topic), []).append(join)
        return join

    def open_joins(self) -> Iterator[Join]:
        """The joins of all topics whose channels live."""
        return (join for joins in self._topics.values() for join in joins if join.is_open)

    def pending_join(self, before: Request) -> Request | None:
        """The oldest join without an answer that was asked before this message."""
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


def key(value: JSON) -> str:
    """A JSON value as a key: 1, 1.0, "1" and true are four."""
    return json.dumps(value, sort_keys=True)


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same, type and all."""
    return key(one) == key(other)
