"""More clients than descriptors or places."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Final

from tests.attack.registry import Finding, attack
from tests.attack.target import Target, status_of
from tests.integration.hardening.crowd import DESCRIPTORS, Crowd, limited_server

_CROWD: Final = 1_000
_LOOKS: Final = 50
_MAX_LINES: Final = 40


def _serve(target: Target, name: str) -> tuple[str, ...]:
    folder = target.folder / name
    command = (sys.executable, "-m", "phoenix_compat", "serve", "--port", "0")
    return (*command, "--data-dir", str(folder))


@attack(
    "more clients than descriptors",
    rows="S9",
    bound=f"`ulimit -n {DESCRIPTORS}`: health answered, few log lines, back within 5 s",
    limit_s=60.0,
    is_quick=False,
    needs_own_server=True,
)
async def more_clients_than_descriptors(target: Target) -> Finding:
    """A thousand clients at a server with few descriptors, then none."""
    async with limited_server(*_serve(target, "descriptors")) as server:
        crowd = await Crowd.gather(server.url, _CROWD)
        statuses = {(await server.health())[0] for _ in range(_LOOKS)}
        await crowd.leave()
        left_s = time.monotonic()
        await server.open_connections(0)
        answer = await server.ask("GET", "/api/tasks")
        back_s = time.monotonic() - left_s
        lines = len(server.log_lines)
    holds = statuses == {200} and status_of(answer) == 200 and back_s <= 5.0 * target.late_s
    return Finding(
        holds and lines < _MAX_LINES,
        f"health {sorted(statuses)}, back after {back_s:.1f} s, {lines} log lines",
    )


@attack(
    "silent clients at all places",
    rows="connections",
    bound="health answered, all else 503; served again within 15 s",
    limit_s=60.0,
    is_quick=False,
    needs_own_server=True,
)
async def silent_clients_at_all_places(target: Target) -> Finding:
    """Connections that say nothing, and half heads, as many as there may be."""
    async with limited_server(
        *_serve(target, "places"), PHOENIX_COMPAT_MAX_CONNECTIONS="50"
    ) as server:
        begun_s = time.monotonic()
        crowd = await Crowd.gather(server.url, 50)
        refused = status_of(await server.ask("GET", "/api/tasks"))
        health, _ = await server.health()
        while status_of(await server.ask("GET", "/api/tasks")) != 200:  # noqa: ASYNC110 - it only tells when asked
            await asyncio.sleep(0.2)
        back_s = time.monotonic() - begun_s
        await crowd.leave()
    return Finding(
        refused == 503 and health == 200 and back_s <= 15.0 * target.late_s,
        f"others {refused}, health {health}, served again after {back_s:.1f} s",
    )
