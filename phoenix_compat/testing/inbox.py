"""What came to a client or to a topic, and the assertions about it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, NamedTuple, TypeAlias

from phoenix_compat.protocol.message import Broadcast, Payload

Seconds: TypeAlias = float | None
"""How long an assertion waits; None for what ChannelTest was given."""


class Timeouts(NamedTuple):
    """How long assertions and refutations wait when they are not told."""

    assert_s: float
    refute_s: float


class _Including:
    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields

    def __call__(self, payload: Any) -> bool:
        return isinstance(payload, Mapping) and all(
            name in payload
            and _fits(_Including(wanted) if isinstance(wanted, dict) else wanted, payload[name])
            for name, wanted in self._fields.items()
        )

    def __repr__(self) -> str:
        return f"including({self._fields!r})"


def including(fields: Mapping[str, Any] | None = None, /, **more: Any) -> Callable[[Any], bool]:
    """Match dicts with these fields, whatever else they hold; dicts inside of them likewise.

    A value may be a predicate: `including(user={"name": "ann"}, id=lambda id: id > 5)`.
    """
    return _Including({**(fields or {}), **more})


def _fits(wanted: Any, value: Any) -> bool:
    return bool(wanted(value) if callable(wanted) else wanted == value)


class Arrival(NamedTuple):
    """Something that was sent, or is expected.

    Attributes:
        what: ("push", event), ("broadcast", event) or ("reply", ref, status).
        payload: the value as it was given to `push`, `broadcast` or `ok`; if it is expected, a
            value or a predicate.
    """

    what: tuple[Any, ...]
    payload: Payload

    def is_like(self, wanted: Arrival) -> bool:
        """Whether this is what was expected."""
        return wanted.what == self.what and _fits(wanted.payload, self.payload)

    def __str__(self) -> str:
        kind, *names = self.what
        return f"{kind} {', '.join(map(repr, names))} with {self.payload!r}"


class Inbox:
    """What came to one place. Each arrival satisfies one assertion."""

    def __init__(self, place: str, timeouts: Timeouts) -> None:
        self._place = place
        self._timeouts = timeouts
        self._arrivals: list[Arrival] = []
        self._asserted: set[int] = set()
        self._changed = asyncio.Event()
        self._end: str | None = None

    def add(self, arrival: Arrival) -> None:
        """Something came."""
        self._arrivals.append(arrival)
        self._changed.set()

    def hear(self, broadcast: Broadcast) -> None:
        """A subscriber. A copy is kept, because the sender may change the payload later."""
        self.add(Arrival(("broadcast", broadcast.event), deepcopy(broadcast.payload)))

    def close(self, why: str) -> None:
        """Nothing more will come, so nobody need wait for it."""
        self._end = why
        self._changed.set()

    async def expect(self, *what: Any, payload: Payload, timeout_s: Seconds) -> Arrival:
        """The first such arrival that satisfied no assertion yet; AssertionError if none comes."""
        wait_s = self._timeouts.assert_s if timeout_s is None else timeout_s
        wanted = Arrival(what, payload)
        found = await self._wait_for(wanted, wait_s)
        if found is None:
            raise AssertionError(f"no {wanted} came within {wait_s:g} s\n{self}")
        return found

    async def refute(self, *what: Any, payload: Payload, timeout_s: Seconds) -> None:
        """Raise AssertionError if such an arrival is there or comes."""
        wait_s = self._timeouts.refute_s if timeout_s is None else timeout_s
        found = await self._wait_for(Arrival(what, payload), wait_s)
        if found is not None:
            raise AssertionError(f"unexpected {found}\n{self}")

    async def _wait_for(self, wanted: Arrival, wait_s: float) -> Arrival | None:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + wait_s
        await asyncio.sleep(0)  # broadcasts are written when the loop tick ends
        while True:
            for number, arrival in enumerate(self._arrivals):
                if number not in self._asserted and arrival.is_like(wanted):
                    self._asserted.add(number)
                    return arrival
            left_s = deadline_s - loop.time()
            if self._end is not None or left_s <= 0:
                return None
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left_s)

    def __str__(self) -> str:
        lines = [f"came to {self._place}:" if self._arrivals else f"nothing came to {self._place}"]
        for number, arrival in enumerate(self._arrivals):
            lines.append(f"  {arrival}{' (asserted)' if number in self._asserted else ''}")
        return "\n".join(lines if self._end is None else [*lines, self._end])
