"""Every screen of the console, light and dark, wide and narrow, in a real browser.

With PHOENIX_COMPAT_SCREENSHOTS=FOLDER the pictures stay there, to be looked at.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from tests.integration.console.browser.chromium import Browser, Visit, axe_source, browser
from tests.integration.console.console_harness import Console, console_of
from tests.unit.server.console.test_static_files import STATIC

pytestmark = [
    pytest.mark.long,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(240),
]

SERIOUS: Final = {"serious", "critical"}
PROMPTS: Final = (
    *("Medieval monk illuminating a manuscript by candlelight", "A lighthouse in a storm"),
    *("A heron in the reeds, woodblock print", "Portrait of an astronaut #fault:safety_system"),
    "A word that is very long: " + "Donaudampfschifffahrtsgesellschaft" * 3,
)


def places() -> list[str]:
    """The path of each screen in the list, and further places."""
    names = re.findall(r'from "\./screens/(\w+)\.js"', (STATIC / "screens.js").read_text())
    paths = [
        found[1]
        for name in names
        if (found := re.search(r'path = "(\w+)"', (STATIC / f"screens/{name}.js").read_text()))
    ]
    assert len(paths) == len(names) > 2
    return [f"/console#/{path}" for path in paths]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chrome() -> AsyncIterator[Browser]:
    """One Chromium for all tests here."""
    async with browser() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def console(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Console]:
    """A server with some tasks that have ended, and one that goes on."""
    async with console_of(tmp_path_factory.mktemp("screens")) as opened:
        ids = [await opened.client.post(prompt) for prompt in PROMPTS]
        for task_id in ids:
            await opened.client.ended(task_id)
        await opened.client.post("Still running #fault:stuck_processing")
        yield opened


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """The folder of the screenshots."""
    folder = Path(os.environ.get("PHOENIX_COMPAT_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


async def settled(visit: Visit) -> None:
    """Wait until the page shows its heading, and everything that it loads is there."""
    await visit.page.locator("h1").first.wait_for()
    await visit.page.locator("[aria-busy=true]").first.wait_for(state="detached")
    await visit.page.wait_for_function(
        "[...document.images].every(image => image.complete || image.loading === 'lazy')"
    )


async def faults_of(visit: Visit) -> list[str]:
    """What axe-core finds that is serious."""
    report: Any = await visit.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{found['id']}: {json.dumps([node['html'][:200] for node in found['nodes'][:3]])}"
        for found in report["violations"]
        if found["impact"] in SERIOUS
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
async def test_every_screen(
    console: Console, chrome: Browser, pictures: Path, theme: str, width: int
) -> None:
    """No error, nothing from elsewhere, nothing wider than the window, no serious fault of
    accessibility."""
    axe = axe_source()
    _, page = await console.ask("GET", "/api/console/tasks")
    tasks = {task["state"]: f"/console#/tasks/{task['task_id']}" for task in page["tasks"]}
    wrong: list[str] = []
    async with chrome.visit(console.url, width=width, theme=theme) as visit:
        for place in ("/", *places(), *tasks.values()):
            await visit.open(place)
            await visit.page.reload()
            await settled(visit)
            name = re.sub(r"\W+", "-", place.removeprefix("/console#/")).strip("-") or "home"
            name = next((f"task-{state}" for state, one in tasks.items() if one == place), name)
            await visit.page.screenshot(path=pictures / f"{name}-{theme}-{width}.png")
            excess = await visit.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            await visit.page.evaluate(axe)
            wrong += [f"{place}: {fault}" for fault in await faults_of(visit)]
            if excess > 0:
                wrong.append(f"{place}: {excess} px too wide")

        assert wrong == []
        visit.check()


async def test_the_sign_in(chrome: Browser, tmp_path: Path, pictures: Path) -> None:
    """The same for the page that asks for a key."""
    axe = axe_source()
    async with (
        console_of(tmp_path, auth=("keys",)) as console,
        chrome.visit(console.url) as visit,
    ):
        await visit.open("/console")
        await visit.page.get_by_label("Key with the scope").fill("pck_wrong")
        await visit.page.get_by_role("button", name="Open the console").click()
        await visit.page.get_by_role("alert").wait_for()
        await visit.page.screenshot(path=pictures / "sign-in-light-1280.png")
        await visit.page.evaluate(axe)

        assert await faults_of(visit) == []
        assert visit.elsewhere == []


async def test_the_keyboard_alone(console: Console, chrome: Browser) -> None:
    """Screens by number, tasks by arrow keys, and back with Escape; without a mouse."""
    async with chrome.visit(console.url) as visit:
        press = visit.page.keyboard.press
        await visit.open("/console#/overview")
        await settled(visit)

        await press("2")
        await visit.page.locator(".card").first.wait_for()
        await visit.page.locator("[data-card]").first.focus()
        await press("ArrowRight")
        focused = await visit.page.evaluate(
            "[...document.querySelectorAll('[data-card]')].indexOf(document.activeElement)"
        )
        await press("Enter")
        await visit.has_text("History")
        await press("Escape")
        await visit.page.locator(".card").first.wait_for()
        await press("/")
        searching = await visit.page.evaluate("document.activeElement.type")
        await press("Escape")
        await visit.page.locator("h1").click()
        await press("?")
        await visit.page.get_by_role("dialog").wait_for()
        await press("Escape")
        await visit.page.get_by_role("dialog").wait_for(state="detached")

        assert (focused, searching) == (1, "search")
        visit.check()
