"""Commands on a real terminal: bars, pictures, widths and colors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.commands.terminal import SIXEL, on_terminal
from tests.integration.task_server import Client, product, settings_for


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A client of a running task server."""
    async with product(settings_for(tmp_path)) as one:
        yield one


async def test_a_watch_draws_a_bar_and_the_picture(client: Client) -> None:
    """The bar fits the terminal, the link is below it, and a terminal with sixels gets them."""
    task_id = await client.post()

    shown = await on_terminal("task", "watch", task_id, "--url", client.url, answer=SIXEL)
    plain = await on_terminal("task", "watch", task_id, "--url", client.url, columns=40)
    unasked = await on_terminal("task", "watch", task_id, "--url", client.url, "--no-picture")

    assert (shown.code, plain.code, unasked.code) == (0, 0, 0)
    (bar,) = [line for line in plain.lines if "100%" in line]
    assert bar.startswith("completed")
    assert len(bar) <= 40
    assert any(line.startswith("http") and line.endswith(".jpg") for line in shown.lines)
    assert '\x1bPq"1;1;400;400' in shown.raw
    assert "\x1bP" not in plain.raw
    assert "\x1b[c" not in unasked.raw


async def test_a_list_fits(client: Client) -> None:
    """No line is wider than the terminal; with NO_COLOR nothing has a color."""
    task_id = await client.post("#fault:E005")
    await client.ended(task_id)

    narrow = await on_terminal("task", "list", "--url", client.url, columns=60)
    colorless = await on_terminal("task", "list", "--url", client.url, NO_COLOR="1")

    assert narrow.lines[1].split()[:2] == [task_id, "failed"]
    assert max(map(len, narrow.lines)) <= 60
    assert "\x1b[31mfailed" in narrow.raw
    assert "\x1b[3" not in colorless.raw
