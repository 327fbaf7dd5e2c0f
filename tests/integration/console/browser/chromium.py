"""Headless Chromium for tests: pages that note what goes wrong and what they load from elsewhere.

Playwright drives the Chromium of the system. Without one of the two the tests are skipped, by name;
in CI they fail.
"""

from __future__ import annotations

import importlib
import importlib.util
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from tests.interop.long.needed import is_missing
from tests.patience import patient

FLAGS: Final = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
)
TIMEOUT_S: Final = 15.0


class Visit:
    """A page of the console, and what was noted about it.

    Attributes:
        page: Playwright's.
        problems: errors and warnings of the browser's console, and errors of scripts.
        elsewhere: addresses that the page wanted to load from other servers.
    """

    def __init__(self, page: Any, url: str) -> None:
        self.page = page
        self.url = url
        self.problems: list[str] = []
        self.elsewhere: list[str] = []
        page.on("console", self._note_message)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", lambda request: self._note_address(request.url))
        page.on("websocket", lambda socket: self._note_address(socket.url))

    async def open(self, place: str) -> None:
        """Go to a place, such as "/console#/tasks"."""
        await self.page.goto(self.url + place)

    async def has_text(self, text: str) -> None:
        """Wait until the page shows a text."""
        await self.page.get_by_text(text).first.wait_for()

    def check(self) -> None:
        """Nothing went wrong, and nothing was loaded from elsewhere."""
        assert self.problems == []
        assert self.elsewhere == []

    def _note_message(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.problems.append(str(message.text))

    def _note_address(self, address: str) -> None:
        own = (self.url, self.url.replace("http", "ws", 1), "data:", "blob:")
        if not address.startswith(own):
            self.elsewhere.append(address)


class Browser:
    """A running Chromium."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser

    @asynccontextmanager
    async def visit(
        self, url: str, *, width: int = 1280, height: int = 800, theme: str = "light"
    ) -> AsyncIterator[Visit]:
        """A new page without anything of other pages."""
        context = await self._browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme
        )
        context.set_default_timeout(patient(TIMEOUT_S) * 1_000)
        try:
            yield Visit(await context.new_page(), url)
        finally:
            await context.close()


def chromium() -> str:
    """The command of Chromium; skips the test without it, or without Playwright."""
    command = shutil.which("chromium") or shutil.which("chromium-browser")
    if command is None:
        is_missing("Chromium is missing: apt-get install chromium")
    if importlib.util.find_spec("playwright") is None:
        is_missing("Playwright is missing: pip install playwright")
    return str(command)


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Run Chromium."""
    command = chromium()
    playwright: Any = importlib.import_module("playwright.async_api")
    async with playwright.async_playwright() as driver:
        running = await driver.chromium.launch(
            executable_path=command, args=list(FLAGS), timeout=patient(60.0) * 1_000
        )
        try:
            yield Browser(running)
        finally:
            await running.close()


def axe_source() -> str:
    """The script of axe-core; skips the test without it."""
    path = Path(__file__).parents[3] / "interop/long/node_modules/axe-core/axe.min.js"
    if not path.is_file():
        is_missing("npm axe-core is missing: run `npm ci` in tests/interop/long")
    return path.read_text(encoding="utf-8")
