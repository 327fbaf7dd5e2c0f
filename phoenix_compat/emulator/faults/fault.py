"""What a fault is: a name, the stage where it acts, and the action as a value; it performs none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TypeAlias

from phoenix_compat.emulator.schedule import Schedule


class Stage(StrEnum):
    """Where a fault acts."""

    CREATE = "create"
    POLL = "poll"
    LIST = "list"
    CANCEL = "cancel"
    OUTCOME = "outcome"
    FILE = "file"
    WEBHOOK = "webhook"


class Garble(Enum):
    """How a true answer is spoiled on its way."""

    TRUNCATED = "half of the JSON, framed as if it were all"
    CUT = "half of the body, then the connection closes"
    INVALID = "a text that only looks like JSON"
    DRIP = "a few bytes at a time"
    DELAY = "all of it, late"


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer this instead of the truth.

    Attributes:
        is_after: the request was carried out first; on a create the prediction exists.
    """

    status: int
    body: str
    content_type: str = "application/problem+json"
    headers: tuple[tuple[str, str], ...] = ()
    is_after: bool = False


@dataclass(frozen=True, slots=True)
class Hang:
    """Never answer. `is_after`: the request was carried out first."""

    is_after: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset the connection. `is_after`: the request was carried out first."""

    is_after: bool = False


@dataclass(frozen=True, slots=True)
class Spoil:
    """Carry the request out, and spoil the answer; `seconds` is how long a slow one takes."""

    garble: Garble
    seconds: float = 0.0


HttpAction: TypeAlias = Answer | Hang | Reset | Spoil


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Change the course that a new prediction takes."""

    change: Callable[[Schedule], Schedule]


class FileTrick(Enum):
    """What goes wrong with an output file."""

    NOT_FOUND = "404"
    FORBIDDEN = "403"
    EMPTY = "200 with no bytes"
    WRONG_TYPE = "a web page that says it is one"
    MISLABELED = "the picture, labeled application/octet-stream"
    REDIRECT = "302 to another host"
    TOO_LARGE = "more bytes than anyone wants, with Content-Length"
    ENDLESS = "more bytes than anyone wants, length unsaid"
    STALLED = "half of the bytes, then silence"
    CUT = "half of the bytes, then the connection closes"
    ERROR = "500"


class WebhookTrick(Enum):
    """What goes wrong with the webhooks of a prediction."""

    DUPLICATE = "the terminal one comes twice, under one id"
    REORDERED = "an earlier state comes again after the terminal one"
    LATE = "the terminal one comes 20 s late"
    BAD_SIGNATURE = "signed with another secret"
    OLD_TIMESTAMP = "signed an hour ago"
    NEVER = "none comes"


FaultAction: TypeAlias = HttpAction | Rewrite | FileTrick | WebhookTrick


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the fault table."""

    name: str
    stage: Stage
    description: str
    action: FaultAction
