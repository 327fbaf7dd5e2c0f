"""The page of docs/web.md, as it stands, in headless Chromium."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web

from tests.docs.pages import blocks, page
from tests.integration.uploads.photo import photo
from tests.interop.job_server import job_server
from tests.interop.long.needed import require_chromium, require_package
from tests.interop.long.test_browser import START_S, origin_of
from tests.interop.test_phoenix_js import HERE as NEWEST
from tests.interop.test_phoenix_js import Run, node, run
from tests.serving import serving

__all__ = ["node", "run"]  # fixtures

pytestmark = [pytest.mark.long, pytest.mark.node, pytest.mark.timeout(240)]

HOST = "//localhost"


def page_app(server_url: str) -> web.Application:
    """A web server with the page and phoenix.mjs beside it."""
    [text] = blocks(page("web.md"), "html")
    text = text.replace("http://127.0.0.1:4000", server_url)
    library = NEWEST / "node_modules" / "phoenix" / "priv" / "static" / "phoenix.mjs"

    async def shown(_request: web.Request) -> web.Response:
        return web.Response(text=text, content_type="text/html")

    async def phoenix(_request: web.Request) -> web.FileResponse:
        return web.FileResponse(library, headers={"Content-Type": "text/javascript"})

    app = web.Application()
    app.router.add_get("/", shown)
    app.router.add_get("/phoenix.mjs", phoenix)
    return app


@pytest.mark.parametrize("is_photo", [True, False])
async def test_the_page_sends_a_photo(run: Run, tmp_path: Path, *, is_photo: bool) -> None:
    """It shows the progress and the edited picture, or why the file is refused."""
    require_package("playwright-core")
    chromium = require_chromium()
    file = tmp_path / "photo.jpg"
    file.write_bytes(photo(400) if is_photo else b"just words")
    async with job_server(tmp_path, PHOENIX_COMPAT_CHECK_ORIGIN=f'["{HOST}"]') as server:
        await server.start()
        server.let_models_run()
        async with serving(page_app(server.url)) as page_url:
            script = await run("long/photo.mjs", chromium, origin_of(page_url), str(file))
            said: list[str] = []
            while not said or not said[-1].startswith(("picture ", "The file ")):
                event, text = await script.next(START_S)
                assert event != "uncaught", text
                if event == "state":
                    said.append(str(text))

        if not is_photo:
            assert "is not a picture, audio or video, by its first bytes" in said[-1]
            return
        assert "completed, 100 %" in said
        _, width_px, link = said[-1].split(" ")
        assert int(width_px) > 0
        assert await server.is_picture({"result_data": {"image_url": link}})
