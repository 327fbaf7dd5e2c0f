"""Faults as values: a name, the stage at which a fault applies, and its action."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TypeAlias

from phoenix_compat.emulator.schedule import Schedule


class Stage(StrEnum):
    """The stage at which a fault applies."""

    CREATE = "create"
    POLL = "poll"
    LIST = "list"
    CANCEL = "cancel"
    OUTCOME = "outcome"
    FILE = "file"
    WEBHOOK = "webhook"
    STREAM = "stream"


class AnswerFault(Enum):
    """What goes wrong with a response after the request was carried out."""

    TRUNCATED = "half of the JSON, with a matching Content-Length"
    CUT = "half of the body, then the connection closes"
    INVALID = "text that is not valid JSON"
    DRIP = "the whole body, a few bytes at a time"
    DELAY = "the whole body, late"


@dataclass(frozen=True, slots=True)
class Answer:
    """Send this response instead of the normal one.

    Attributes:
        is_after: carry the request out first, so that a create leaves a prediction behind.
    """

    status: int
    body: str
    content_type: str = "application/problem+json"
    headers: tuple[tuple[str, str], ...] = ()
    is_after: bool = False


@dataclass(frozen=True, slots=True)
class Hang:
    """Never answer. `is_after`: carry the request out first."""

    is_after: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset the connection. `is_after`: carry the request out first."""

    is_after: bool = False


@dataclass(frozen=True, slots=True)
class FaultyAnswer:
    """Carry the request out, and damage or delay the response.

    Attributes:
        duration_s: how long a slow response takes.
    """

    fault: AnswerFault
    duration_s: float = 0.0


HttpAction: TypeAlias = Answer | Hang | Reset | FaultyAnswer


@dataclass(frozen=True, slots=True)
class ScheduleChange:
    """Change the schedule of a new prediction."""

    change: Callable[[Schedule], Schedule]


class FileFault(Enum):
    """What goes wrong with the download of an output file."""

    NOT_FOUND = "404"
    FORBIDDEN = "403"
    EMPTY = "200 with no bytes"
    WRONG_TYPE = "an HTML page, labeled text/html"
    MISLABELED = "the picture, labeled application/octet-stream"
    REDIRECT = "302 to another host"
    TOO_LARGE = "a very large file with Content-Length"
    ENDLESS = "a very large file without Content-Length"
    STALLED = "half of the bytes, then nothing"
    CUT = "half of the bytes, then the connection closes"
    ERROR = "500"


class WebhookFault(Enum):
    """What goes wrong with the webhooks of a prediction."""

    DUPLICATE = "the terminal webhook comes twice with the same id"
    REORDERED = "an earlier state follows the terminal webhook"
    LATE = "the terminal webhook comes 20 s late"
    BAD_SIGNATURE = "signed with another secret"
    OLD_TIMESTAMP = "signed an hour ago"
    NEVER = "no webhook is sent"


class StreamFault(Enum):
    """What goes wrong with a stream of server-sent events. Several may apply to one stream."""

    CUT = "breaks off in the middle of the fourth event, on each connection"
    REPEAT = "begins with the first event again, whatever Last-Event-ID says"
    LOST = "leaves the third event out, without a sign"
    GARBAGE = "sends bytes that are not UTF-8 in place of the third event"
    ENDLESS = "stays open at the end, without the event done"
    SLOW = "sends a few bytes at a time"
    ERROR = "sends the event error in place of the third event"


FaultAction: TypeAlias = HttpAction | ScheduleChange | FileFault | WebhookFault | StreamFault


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the fault table."""

    name: str
    stage: Stage
    description: str
    action: FaultAction
