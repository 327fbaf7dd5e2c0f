"""The README's JavaScript, as it stands, in a page of another host, in headless Chromium."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from aiohttp import web

from tests.docs.pages import ROOT, blocks
from tests.interop.job_server import job_server
from tests.interop.long.needed import require_chromium, require_package
from tests.interop.test_phoenix_js import HERE as NEWEST
from tests.interop.test_phoenix_js import Run, node, run
from tests.serving import serving

__all__ = ["node", "run"]  # fixtures

pytestmark = [pytest.mark.long, pytest.mark.node, pytest.mark.timeout(240)]

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGE = """<!doctype html>
<link rel="icon" href="data:,">
<script type="importmap">{"imports": {"phoenix": "/phoenix.mjs"}}</script>
<script type="module">
%s
</script>
"""
START_S = 60.0


def page_app(server_url: str) -> web.Application:
    """A web server with the README's JavaScript and npm `phoenix`."""
    (script,) = blocks(README, "js")
    text = PAGE % script.replace("127.0.0.1:4000", server_url.removeprefix("http://"))
    library = NEWEST / "node_modules" / "phoenix" / "priv" / "static" / "phoenix.mjs"

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text=text, content_type="text/html")

    async def phoenix(_request: web.Request) -> web.FileResponse:
        return web.FileResponse(library, headers={"Content-Type": "text/javascript"})

    app = web.Application()
    app.router.add_get("/", page)
    app.router.add_get("/phoenix.mjs", phoenix)
    return app


def origin_of(page_url: str) -> str:
    """The page's origin: localhost, while the server is 127.0.0.1."""
    return page_url.replace("127.0.0.1", "localhost")


async def test_with_the_setting_that_the_readme_names(run: Run, tmp_path: Path) -> None:
    """The page creates a task, follows it, and its console has the link of a picture."""
    require_package("playwright-core")
    chromium = require_chromium()
    (entry,) = re.findall(r"`check_origin = (\[.*?\])`", README)
    setting = entry.replace("www.example.com", "localhost")
    async with job_server(tmp_path, PHOENIX_COMPAT_CHECK_ORIGIN=setting) as server:
        await server.start()
        server.let_models_run()
        async with serving(page_app(server.url)) as page_url:
            script = await run("long/page.mjs", chromium, origin_of(page_url))
            said: list[str] = []
            while not said or not said[-1].startswith("completed 1 "):
                event, text = await script.next(START_S)
                assert event in {"log", "loaded"}, (event, text)
                said.append(text or "")

        link = said[-1].removeprefix("completed 1 ")
        assert await server.is_picture({"result_data": {"image_url": link}})


async def test_without_the_setting(run: Run, tmp_path: Path) -> None:
    """The console names the page that was blocked; the log names the page and the setting."""
    require_package("playwright-core")
    chromium = require_chromium()
    async with job_server(tmp_path) as server:
        await server.start()
        async with serving(page_app(server.url)) as page_url:
            origin = origin_of(page_url)
            script = await run("long/page.mjs", chromium, origin)
            events = await script.wait_for("error", START_S)

        log = await asyncio.to_thread((tmp_path / "server.log").read_text)
        assert f"from origin '{origin}' has been blocked by CORS policy" in events[-1][1]
        refused = [line for line in log.splitlines() if "browser.refused" in line]
        assert len(refused) == 1
        assert origin in refused[0]
        assert "`check_origin`" in refused[0]
