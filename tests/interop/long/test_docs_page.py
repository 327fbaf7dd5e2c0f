"""The page at /docs in headless Chromium: it works offline, for everybody, and sends requests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.task_server import product, settings_for
from tests.interop.long.needed import require_chromium, require_package
from tests.interop.test_phoenix_js import Run, node, run

__all__ = ["node", "run"]  # fixtures

pytestmark = [pytest.mark.long, pytest.mark.node, pytest.mark.timeout(240)]


async def test_the_page_works(run: Run, tmp_path: Path) -> None:
    """Light and dark, wide and narrow: no error, no request elsewhere, nothing hard to read."""
    require_package("playwright-core")
    require_package("axe-core")
    chromium = require_chromium()
    async with product(settings_for(tmp_path)) as client:
        await client.post()
        script = await run("long/docs_page.mjs", chromium, client.url)
        seen = await script.wait_for("done", 60.0)

    widths = [data for event, data in seen if event == "width"]
    assert [data for event, data in seen if event == "answered"] == ["200"] * 4
    assert [data for event, data in seen if event == "violations"] == [[]] * 4
    assert widths == [1280, 1280, 360, 360]
    assert {event for event, _ in seen} == {"answered", "violations", "width", "done"}
