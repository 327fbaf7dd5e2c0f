"""A newcomer's way through the console, in a real browser."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import unused_port
from PIL import Image

from tests.integration.console.browser.chromium import Browser, Visit, browser
from tests.integration.console.console_harness import OPERATOR, READER, console_at, console_of

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chrome() -> AsyncIterator[Browser]:
    """One Chromium for all tests here."""
    async with browser() as running:
        yield running


def photo_bytes() -> bytes:
    """A small picture."""
    target = io.BytesIO()
    Image.new("RGB", (64, 48), "teal").save(target, "PNG")
    return target.getvalue()


def button(visit: Visit, name: str) -> Any:
    """A button by its name."""
    return visit.page.get_by_role("button", name=name, exact=True)


async def create(visit: Visit, prompt: str, fault: str = "") -> None:
    """Create a task in the playground."""
    await visit.page.get_by_label("Prompt").first.fill(prompt)
    if fault:
        await visit.page.get_by_text("Let the emulator fail").click()
        await visit.page.get_by_label("Fault").select_option(fault)
    await button(visit, "Create task").click()


async def test_from_the_first_page_to_the_picture(tmp_path: Path, chrome: Browser) -> None:
    """A task ordered in the playground appears in Tasks with its picture, without a reload; one is
    canceled, and one that failed says why."""
    async with console_of(tmp_path) as console, chrome.visit(console.url) as visit:
        page = visit.page
        await visit.open("/")
        await page.get_by_role("link", name="Open the console").click()
        await visit.has_text("No Replicate token is set")

        await page.get_by_role("link", name="Tasks", exact=True).click()
        await visit.has_text("No tasks yet")
        await page.get_by_role("link", name="playground", exact=True).click()
        await create(visit, "Medieval monk")
        await page.locator("img.output").wait_for()
        frames = await page.locator(".frames").inner_text()

        await page.get_by_role("link", name="Tasks", exact=True).click()
        await page.locator(".card img").wait_for()
        cards = page.locator(".card")
        assert await cards.count() == 1

        # Another client's task arrives by itself.
        await console.client.post("A heron in the reeds #fault:safety_system")
        await page.get_by_text("content policy").wait_for()
        assert await cards.count() == 2

        await page.get_by_role("link", name="A heron in the reeds").click()
        await visit.has_text("The prompt or the picture was refused by the content filter.")
        await page.get_by_role("link", name="Use again").click()
        await create(visit, "A fox", fault="stuck_processing")
        await page.get_by_role("link", name="Show in Tasks").click()
        await button(visit, "Cancel").click()
        await visit.has_text("The task was canceled.")
        await button(visit, "Retry").wait_for()
        await page.get_by_role("tab", name="Swift").click()
        await visit.has_text("SwiftPhoenixClient")

        assert '"phx_join"' in frames
        assert '"status":"completed"' in frames
        visit.check()


async def test_a_photo_is_sent_and_used_again(tmp_path: Path, chrome: Browser) -> None:
    """The form has an upload where a model takes a picture; a task can be ordered again with it."""
    photo = {"name": "photo.png", "mimeType": "image/png", "buffer": photo_bytes()}
    async with console_of(tmp_path) as console, chrome.visit(console.url) as visit:
        page = visit.page
        await visit.open("/console#/playground")
        await page.locator("form select").first.select_option("upscale")
        await page.get_by_label("Image", exact=True).set_input_files([photo])
        await page.locator(".files").get_by_text("photo.png").wait_for()
        await button(visit, "Create task").click()
        await page.locator("img.output").wait_for()

        await page.get_by_role("link", name="Show in Tasks").click()
        await page.get_by_role("link", name="Use again").click()
        await page.locator(".files").get_by_text("upload:").wait_for()
        await button(visit, "Create task").click()
        await page.locator("img.output").wait_for()

        visit.check()


async def test_several_at_once(tmp_path: Path, chrome: Browser) -> None:
    """Two selected tasks are canceled, and then retried, with one press each."""
    async with console_of(tmp_path) as console, chrome.visit(console.url) as visit:
        for name in ("One", "Two"):
            await console.client.post(f"{name} #fault:stuck_processing")
        await visit.open("/console#/tasks")
        for name in ("One", "Two"):
            await visit.page.get_by_label(f"Select: {name}").check()

        await button(visit, "Cancel 2").click()
        await visit.has_text("2 tasks canceled.")
        await visit.page.get_by_text("canceled", exact=True).nth(1).wait_for()
        for name in ("One", "Two"):
            await visit.page.get_by_label(f"Select: {name}").check()
        await button(visit, "Retry 2").click()

        await visit.has_text("2 tasks queued again.")
        visit.check()


async def test_a_bug_in_one_screen_leaves_the_others(tmp_path: Path, chrome: Browser) -> None:
    """The screen says so, and the menu still works."""
    async with console_of(tmp_path) as console, chrome.visit(console.url) as visit:
        await visit.page.route(
            "**/api/task_types", lambda route: route.fulfill(json={"task_types": None})
        )
        await visit.open("/console#/playground")
        await visit.has_text("This screen stopped because of a bug.")

        await visit.page.get_by_role("link", name="Overview", exact=True).click()

        await visit.has_text("No Replicate token is set")
        assert visit.problems != []


async def test_it_comes_back_by_itself_after_a_restart(tmp_path: Path, chrome: Browser) -> None:
    """The page says that the server is away, and goes on when it is there again, without a
    reload."""
    port = unused_port()
    async with chrome.visit(f"http://127.0.0.1:{port}") as visit:
        async with console_at(port, tmp_path) as console:
            await console.client.ended(await console.client.post("Before"))
            await visit.open("/console#/tasks")
            await visit.page.locator(".card img").wait_for()
            await visit.page.evaluate("window.isTheSamePage = true")
        await visit.page.get_by_text("The server does not answer.").wait_for()

        async with console_at(port, tmp_path) as console:
            await visit.page.get_by_text("The server does not answer.").wait_for(state="hidden")
            await console.client.post("After")
            await visit.page.get_by_role("link", name="After").locator("img").wait_for()

            assert await visit.page.evaluate("window.isTheSamePage")
            assert visit.elsewhere == []


async def test_a_key_opens_it(tmp_path: Path, chrome: Browser) -> None:
    """A wrong key and a key of an app are refused with the reason; the right one opens it, for
    this tab only."""
    async with (
        console_of(tmp_path, auth=("keys",)) as console,
        chrome.visit(console.url) as visit,
    ):
        await visit.open("/console#/tasks")
        field = visit.page.get_by_label("Key with the scope")
        for key, words in (("pck_wrong", "unknown or revoked"), (READER, "scope “operate”.")):
            await field.fill(key)
            await button(visit, "Open the console").click()
            await visit.page.get_by_role("alert").get_by_text(words).wait_for()
        await field.fill(OPERATOR)
        await button(visit, "Open the console").click()
        await visit.has_text("No tasks yet")
        await visit.page.get_by_text("Live").wait_for()
        await visit.page.reload()
        await visit.has_text("No tasks yet")

        await button(visit, "Sign out").click()
        await field.wait_for()

        assert visit.elsewhere == []
