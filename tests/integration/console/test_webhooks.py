"""Outgoing webhooks in the console."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.integration.console.console_harness import console_of


async def test_webhooks_are_listed_and_replayed(tmp_path: Path) -> None:
    """Each with what it got; the secret is not shown. An unknown one is refused."""
    secret = "whsec_" + "c" * 44
    webhook: Any = {"name": "shop", "url": "https://shop.example/hooks", "secret": secret}
    async with console_of(tmp_path, on_task_webhooks=(webhook,)) as console:
        status, body = await console.ask("GET", "/api/console/webhooks")
        replayed = await console.ask("POST", "/api/console/webhooks/replay", json={"name": "shop"})
        mistakes: tuple[Any, ...] = ({"name": "nobody"}, {}, [])
        refused = [
            await console.ask("POST", "/api/console/webhooks/replay", json=mistake)
            for mistake in mistakes
        ]
        settings = await console.ask("GET", "/api/console/settings")

    assert (status, [each["name"] for each in body["webhooks"]]) == (200, ["shop"])
    assert (body["webhooks"][0]["delivered"], body["webhooks"][0]["disabled_at"]) == (0, None)
    assert replayed == (200, {"events": 0})
    assert [status for status, _ in refused] == [422] * 3
    assert secret not in str((body, settings))


async def test_without_webhooks_the_list_is_empty(tmp_path: Path) -> None:
    """Then the screen has no panel for them."""
    async with console_of(tmp_path) as console:
        assert await console.ask("GET", "/api/console/webhooks") == (200, {"webhooks": []})
