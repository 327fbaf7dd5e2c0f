"""What clients learn about the tasks of others, and guesses at credentials."""

from __future__ import annotations

import asyncio
import statistics
import time
import uuid
from dataclasses import dataclass
from typing import Final

from tests.attack.registry import Finding, attack
from tests.attack.target import Target, keyed_target, new_key, status_of

_ROUNDS: Final = 400
_TRIES: Final = 3
"""A busy machine may disturb one measurement; a leak shows in each."""
_ROUTES: Final = (("GET", ""), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/retry"))
_MAX_DIFFERENCE: Final = 0.05
"""A lookup that ends at another statement, or checks the owner afterwards, differs by more."""
_GUESSES: Final = 400
_ALLOWED: Final = 60


@attack(
    "foreign and missing ids",
    rows="ownership",
    bound=f"the same answer; medians of their times differ by ≤ {_MAX_DIFFERENCE:.0%}",
    limit_s=90.0,
    is_quick=False,
    needs_own_server=True,
)
async def foreign_and_missing_ids(target: Target) -> Finding:
    """Whether the time of an answer tells that a task exists, on each route with an id."""
    folder = target.folder / "ids"
    folder.mkdir()
    other = await new_key(folder, "other")
    async with keyed_target(folder, target.late_s) as server:
        foreign = (await server.by(other).post_task())["task_id"]
        missing = str(uuid.UUID(int=uuid.UUID(foreign).int ^ (1 << 8)))
        seen, holds = [], True
        for method, action in _ROUTES:
            tries = 1
            compared = await _compared(server, method, action, foreign, missing)
            while tries < _TRIES and compared.difference > _MAX_DIFFERENCE:
                tries += 1
                compared = await _compared(server, method, action, foreign, missing)
            holds = holds and compared.difference <= _MAX_DIFFERENCE and compared.answers == 1
            seen.append(f"{method} {action or 'itself'} {compared}")
    return Finding(holds, "; ".join(seen))


@dataclass(frozen=True)
class _Compared:
    """How long two kinds of requests take.

    Attributes:
        answers: how many different ones there were, apart from the id.
    """

    foreign_s: float
    missing_s: float
    answers: int

    @property
    def difference(self) -> float:
        """That of the medians, as a part of them."""
        return abs(self.foreign_s - self.missing_s) / self.missing_s

    def __str__(self) -> str:
        times = f"{1e6 * self.foreign_s:.0f} and {1e6 * self.missing_s:.0f} µs"
        return f"{times} ({self.difference:.1%})"


async def _compared(
    target: Target, method: str, action: str, foreign: str, missing: str
) -> _Compared:
    """Ask for both ids in turn over one connection, each first in every second round."""
    times: dict[str, list[float]] = {foreign: [], missing: []}
    answers: set[bytes] = set()
    reader, writer = await asyncio.open_connection(*target.address)
    try:
        for number in range(_ROUNDS):
            for one in (foreign, missing) if number % 2 else (missing, foreign):
                asked = target.request(method, f"/api/tasks/{one}{action}")
                begun_s = time.perf_counter()
                writer.write(asked.replace(b"Connection: close\r\n", b""))
                head = await reader.readuntil(b"\r\n\r\n")
                times[one].append(time.perf_counter() - begun_s)
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                body = await reader.readexactly(int(length))
                answers.add(head.partition(b"\r\n")[0] + body.replace(one.encode(), b"ID"))
    finally:
        writer.transport.abort()
    of_foreign, of_missing = (statistics.median(times[one]) for one in (foreign, missing))
    return _Compared(of_foreign, of_missing, len(answers))


@attack(
    "failed credentials",
    rows="rates",
    bound="401 or 403, then 429; others are served, p99 ≤ 1 s",
    limit_s=60.0,
    is_quick=False,
    needs_own_server=True,
)
async def failed_credentials(target: Target) -> Finding:
    """One address that guesses keys and signs tokens wrongly, at the API and at the socket."""
    folder = target.folder / "guesses"
    folder.mkdir()
    guesses = (
        "pck_" + "A" * 43,
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.",
        "SFMyNTY.g2gDYQFuBgA.x",
        "x" * 4_000,
    )
    changes = {
        "PHOENIX_COMPAT_TRUSTED_PROXIES": '["127.0.0.1"]',
        "PHOENIX_COMPAT_ADDRESS_FAILED_CREDENTIALS_PER_MINUTE": str(_ALLOWED),
    }
    async with keyed_target(folder, target.late_s, **changes) as server:

        async def guess() -> list[int]:
            statuses = []
            for number in range(_GUESSES):
                asker = server.by(guesses[number % len(guesses)])
                path = "/socket/websocket?vsn=2.0.0" if number % 3 == 0 else "/api/tasks"
                asked = asker.request("GET", path, "X-Forwarded-For: 203.0.113.7")
                statuses.append(status_of(await server.say(asked)))
            return statuses

        statuses, others = await server.meanwhile(guess())
    checked = sum(status in {401, 403} for status in statuses)
    refused = statuses.count(429)
    return Finding(
        others.are_served and checked + refused == _GUESSES and checked <= 2 * _ALLOWED,
        f"{checked} checked, {refused} times 429, statuses {sorted(set(statuses))}; {others}",
    )
