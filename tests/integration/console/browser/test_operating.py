"""An operator's way through the console, in a real browser: sockets, keys, logs and settings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from phoenix_compat.operations.operator_tools import operator_tools
from phoenix_compat.server.process.logs.recent_lines import recent_lines
from phoenix_compat.server.process.settings.configuration import load_configuration
from tests.integration.console.browser.chromium import Browser, Visit, browser
from tests.integration.console.console_harness import Console, console_of
from tests.patience import patient
from tests.wire import PhoenixWire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def visited(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Console, Visit, Path]]:
    """A server with the tools of the command, and a page."""
    folder = tmp_path_factory.mktemp("operating")
    running: Browser
    tools = operator_tools(lambda: load_configuration({"data_dir": folder, "port": 0}, None, {}))
    async with (
        console_of(folder, tools=tools, show_watchers=True) as console,
        browser() as running,
        running.visit(console.url) as visit,
    ):
        yield console, visit, folder


def button(visit: Visit, name: str) -> Any:
    """A button by its name."""
    return visit.page.get_by_role("button", name=name)


async def test_a_client_is_found_watched_and_disconnected(
    visited: tuple[Console, Visit, Path],
) -> None:
    """Its topics are listed; its messages appear with what is wrong with them; then it is gone."""
    console, visit, _ = visited
    task_id = await console.client.post()
    app = await PhoenixWire.open(console.url)
    await app.send(["1", "1", f"task:{task_id}", "phx_join", {}])

    await visit.open("/console#/channels")
    await visit.page.get_by_role("button", name=f"1 present on task:{task_id}").click()
    await visit.page.get_by_role("dialog").get_by_text("1 present").wait_for()
    await button(visit, "Close").click()
    await visit.page.get_by_role("link", name=f"1 clients of task:{task_id}").click()
    await visit.has_text("1 connected")
    await visit.page.get_by_role("link", name="Messages of").click()
    await visit.has_text("Nothing has passed yet")
    await app.send([None, "7", "task:nobody-joined", "status", {"token": "hidden-from-operators"}])
    await visit.has_text("client/not-joined")
    shown = await visit.page.locator("ol.messages").inner_text()
    await visit.page.get_by_role("link", name="All clients").click()
    await button(visit, "Disconnect").click()
    await visit.has_text("was disconnected")

    assert "[FILTERED]" in shown
    assert "hidden-from-operators" not in shown
    while (await app.recv_frame(patient(5.0))).opcode != 0x8:
        pass  # the messages of its task, before the close
    await app.close()
    visit.check()


async def test_a_key_is_created_and_revoked(visited: tuple[Console, Visit, Path]) -> None:
    """It is shown once, listed, and gone from the list after it was revoked."""
    _, visit, _ = visited
    await visit.open("/console#/keys")
    await button(visit, "Create a key").click()
    await visit.page.get_by_label("Name").fill("web")
    await button(visit, "Create").last.click()
    await visit.has_text("Copy it now.")
    key = await visit.page.get_by_role("dialog").locator("pre").inner_text()
    await button(visit, "Done").click()
    await button(visit, "Revoke web").click()
    await visit.page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    await visit.has_text("Show revoked keys (1)")

    assert key.startswith("pck_")
    assert await button(visit, "Revoke web").count() == 0
    visit.check()


async def test_logs_provider_and_settings(visited: tuple[Console, Visit, Path]) -> None:
    """A new line appears by itself; a backup is written; the doctor says what it found."""
    console, visit, folder = visited
    page = visit.page
    await visit.open("/console#/logs?text=heron")
    await visit.has_text("No line fits")
    line = {"level": "warning", "event": "heron.seen", "timestamp": "2026-11-30T18:00:00Z"}
    recent_lines.remember(None, "", line)
    await visit.has_text("heron.seen")
    await page.get_by_label("Level").select_option("error")
    await visit.has_text("No line fits")
    await console.client.post("A heron")
    await visit.open("/console#/provider")
    await visit.has_text("google/imagen-4-fast")

    await visit.open("/console#/settings")
    await visit.page.get_by_label("Search").fill("data_dir")
    await page.get_by_role("cell", name="flag --data-dir").wait_for()
    await button(visit, "Back up now").click()
    await visit.has_text("verified")
    await button(visit, "Check everything").click()
    await visit.has_text(" checks, ")

    assert len(list((folder / "backups").iterdir())) == 1
    visit.check()
