"""A conversation as values and as JSON, so that it can be printed and played again.

`$ID` in any text stands for a name that is new in each play. So topics and users of one play have
nothing to do with those of another.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

ID = "$ID"
"""Stands for the name of the play."""


@dataclass(frozen=True, slots=True)
class Client:
    """A client that connects before the first step.

    Attributes:
        target: path and query, which end in `/websocket` or `/longpoll` before the query.
        headers: further headers of the request that opens the connection.
    """

    name: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def is_long_poll(self) -> bool:
        """Whether it is a long-poll session."""
        return self.target.partition("?")[0].endswith("/longpoll")

    @property
    def is_v1(self) -> bool:
        """Whether it speaks V1."""
        return "vsn=2." not in self.target


@dataclass(frozen=True, slots=True)
class Send:
    """A client sends text messages in one go; usually one."""

    client: str
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SendBinary:
    """A client sends one binary message, in base64 here."""

    client: str
    data: str

    @property
    def bytes(self) -> bytes:
        """The message; `$ID` in it has been kept."""
        return base64.b64decode(self.data)


@dataclass(frozen=True, slots=True)
class SendFrame:
    """A websocket client sends one frame as it is, which need not be valid."""

    client: str
    opcode: int
    data: str
    is_final: bool = True
    rsv: int = 0
    is_masked: bool = True


@dataclass(frozen=True, slots=True)
class Request:
    """A request on a connection of its own."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    version: str = "HTTP/1.1"


Step: TypeAlias = Send | SendBinary | SendFrame | Request

_STEPS = {kind.__name__: kind for kind in (Send, SendBinary, SendFrame, Request)}


@dataclass(frozen=True, slots=True)
class Script:
    """A conversation.

    Attributes:
        topics: the topics that its clients use.
    """

    clients: tuple[Client, ...] = ()
    steps: tuple[Step, ...] = ()
    topics: tuple[str, ...] = field(default=())

    @property
    def frames(self) -> int:
        """How many messages, frames and requests its steps send; connecting does not count."""
        return sum(len(step.texts) if isinstance(step, Send) else 1 for step in self.steps)

    def to_json(self) -> str:
        """One line of JSON that `from_json` reads."""
        return json.dumps(
            {
                "clients": [asdict(client) for client in self.clients],
                "steps": [{"kind": type(step).__name__, **asdict(step)} for step in self.steps],
                "topics": self.topics,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Script:
        """Read what `to_json` wrote.

        Raises:
            ValueError: it is not a conversation.
        """
        try:
            read = json.loads(text)
            return cls(
                tuple(Client(**_frozen(client)) for client in read["clients"]),
                tuple(_step(step) for step in read["steps"]),
                tuple(read["topics"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is not a conversation: {error!r}") from error


def _step(read: dict[str, Any]) -> Step:
    values = _frozen(read)
    return _STEPS[values.pop("kind")](**values)


def _frozen(read: dict[str, Any]) -> dict[str, Any]:
    """Lists as tuples, two levels deep."""
    return {
        name: tuple(tuple(item) if isinstance(item, list) else item for item in value)
        if isinstance(value, list)
        else value
        for name, value in read.items()
    }
