"""phoenix.js when it connects or joins too fast: it is refused, and comes back by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from phoenix_compat.server.rates.rate_limiter import RateLimitedError, RateLimiter
from tests.integration.task_server import product, settings_for
from tests.interop.test_phoenix_js import Run, node, run

__all__ = ["node", "run"]  # fixtures

pytestmark = pytest.mark.node


def refusing(times: int) -> Callable[..., None]:
    """A limit that refuses the first few, so that the test does not depend on the time."""
    left = [RateLimitedError("Too many", 1) for _ in range(times)]

    def take(_self: RateLimiter, _owner: str, _address: str | None) -> None:
        if left:
            raise left.pop()

    return take


@pytest.mark.parametrize(
    ("script_name", "mode", "code"),
    [("stay.mjs", (), 1006), ("longpoll.mjs", ("longpoll",), 1008)],
)
async def test_it_connects_again(  # noqa: PLR0917 - the fixtures, and the three of a transport
    tmp_path: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    script_name: str,
    mode: tuple[str, ...],
    code: int,
) -> None:
    """The 429 closes the connection for it; with its usual pauses it is soon let in, and joins."""
    monkeypatch.setattr(RateLimiter, "take_connect", refusing(3))
    async with product(settings_for(tmp_path)) as client:
        task_id = await client.post()

        script = await run(script_name, client.url, f"task:{task_id}", *mode)
        events = await script.wait_for("joined")

    assert events.count(["close", code]) == 3
    assert events[-2][0] == "open"


async def test_it_joins_again(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the error reply its rejoin timer tries again, on the same connection."""
    monkeypatch.setattr(RateLimiter, "take_join", refusing(1))
    async with product(settings_for(tmp_path)) as client:
        task_id = await client.post()

        script = await run("longpoll.mjs", client.url, f"task:{task_id}", "longpoll")
        events = await script.wait_for("joined")

    assert ["refused", {"reason": "unavailable", "detail": "Too many. Try again in 1 s."}] in events
    assert [name for name, _ in events].count("open") == 1
