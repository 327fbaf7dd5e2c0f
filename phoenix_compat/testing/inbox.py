"""Records the messages of a client or the broadcasts of a topic, for assertions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, NamedTuple, TypeAlias

from phoenix_compat.protocol import jason
from phoenix_compat.protocol.message import Broadcast, Payload

Seconds: TypeAlias = float | None
"""How long an assertion waits; None uses the timeout of ChannelTest."""


class Timeouts(NamedTuple):
    """How long assertions and refutations wait by default."""

    assert_s: float
    refute_s: float


class _Including:
    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields

    def __call__(self, payload: Any) -> bool:
        return isinstance(payload, Mapping) and all(
            name in payload
            and _matches(
                _Including(expected) if isinstance(expected, dict) else expected, payload[name]
            )
            for name, expected in self._fields.items()
        )

    def __repr__(self) -> str:
        return f"including({self._fields!r})"


def including(fields: Mapping[str, Any] | None = None, /, **more: Any) -> Callable[[Any], bool]:
    """Match dicts that have at least these fields; nested dicts are matched the same way.

    A value may be a predicate: `including(user={"name": "ann"}, id=lambda id: id > 5)`.
    """
    return _Including({**(fields or {}), **more})


def _matches(expected: Any, value: Any) -> bool:
    if type(expected) is not dict and jason.is_object(expected):
        expected = jason.to_json(expected)
    return bool(expected(value) if callable(expected) else expected == value)


class RecordedMessage(NamedTuple):
    """A message that was sent, or that is expected.

    Attributes:
        label: ("push", event), ("broadcast", event) or ("reply", ref, status).
        payload: the value that was given to `push`, `broadcast` or `ok`; of an expected message, a
            value or a predicate.
    """

    label: tuple[Any, ...]
    payload: Payload

    def matches(self, expected: RecordedMessage) -> bool:
        """Whether this is the expected message."""
        return expected.label == self.label and _matches(expected.payload, self.payload)

    def __str__(self) -> str:
        direction, *names = self.label
        return f"{direction} {', '.join(map(repr, names))} with {self.payload!r}"


class Inbox:
    """The messages of one join, or the broadcasts of one topic.

    Each message satisfies only one assertion.

    Args:
        topic: the topic, for error messages.
    """

    def __init__(self, topic: str, timeouts: Timeouts) -> None:
        self._topic = topic
        self._timeouts = timeouts
        self._messages: list[RecordedMessage] = []
        self._asserted: set[int] = set()
        self._changed = asyncio.Event()
        self._end_reason: str | None = None

    def add(self, message: RecordedMessage) -> None:
        """Record a message."""
        self._messages.append(message)
        self._changed.set()

    def add_broadcast(self, broadcast: Broadcast) -> None:
        """Record a copy of a broadcast, because the sender may modify the payload later."""
        self.add(RecordedMessage(("broadcast", broadcast.event), deepcopy(broadcast.payload)))

    def close(self, reason: str) -> None:
        """Stop all waiting, because there will be no more messages."""
        self._end_reason = reason
        self._changed.set()

    async def expect(self, *label: Any, payload: Payload, timeout_s: Seconds) -> RecordedMessage:
        """Wait for the first matching message that satisfied no assertion yet, and return it.

        Raises:
            AssertionError: there was none within the timeout.
        """
        wait_s = self._timeouts.assert_s if timeout_s is None else timeout_s
        expected = RecordedMessage(label, payload)
        found = await self._wait_for(expected, wait_s)
        if found is None:
            raise AssertionError(f"no {expected} within {wait_s:g} s\n{self}")
        return found

    async def refute(self, *label: Any, payload: Payload, timeout_s: Seconds) -> None:
        """Raise AssertionError if there is a matching message within the timeout."""
        wait_s = self._timeouts.refute_s if timeout_s is None else timeout_s
        found = await self._wait_for(RecordedMessage(label, payload), wait_s)
        if found is not None:
            raise AssertionError(f"unexpected {found}\n{self}")

    async def _wait_for(self, expected: RecordedMessage, wait_s: float) -> RecordedMessage | None:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + wait_s
        await asyncio.sleep(0)  # broadcasts are written when the loop tick ends
        while True:
            for number, message in enumerate(self._messages):
                if number not in self._asserted and message.matches(expected):
                    self._asserted.add(number)
                    return message
            left_s = deadline_s - loop.time()
            if self._end_reason is not None or left_s <= 0:
                return None
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left_s)

    def __str__(self) -> str:
        lines = [
            f"messages on {self._topic}:" if self._messages else f"no messages on {self._topic}"
        ]
        for number, message in enumerate(self._messages):
            lines.append(f"  {message}{' (asserted)' if number in self._asserted else ''}")
        return "\n".join(lines if self._end_reason is None else [*lines, self._end_reason])
