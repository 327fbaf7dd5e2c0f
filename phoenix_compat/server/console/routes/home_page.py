"""`GET /`: what this server is, as a page for browsers and as text for everything else."""

from __future__ import annotations

import asyncio
import html
from importlib import resources
from typing import Final

from aiohttp import hdrs, web

from phoenix_compat.server.console.context import ConsoleContext
from phoenix_compat.server.http.base_url import base_url_of
from phoenix_compat.server.http.browsers.response_headers import CONSOLE_POLICY
from phoenix_compat.version import __version__

_PAGE: Final = "home.html"
_TEXT: Final = "home.txt"
_HEADERS: Final = {
    hdrs.CACHE_CONTROL: "no-cache",
    hdrs.VARY: hdrs.ACCEPT,
    "Content-Security-Policy": CONSOLE_POLICY,
}


def add_routes(router: web.UrlDispatcher, context: ConsoleContext) -> None:
    """Add the route."""
    del context
    templates: dict[str, str] = {}

    async def show(request: web.Request) -> web.Response:
        if not templates:
            templates.update(await asyncio.to_thread(_read_templates))
        url = base_url_of(request) or "http://localhost:4000"
        if "text/html" in request.headers.get(hdrs.ACCEPT, ""):
            text = _filled(templates[_PAGE], html.escape(url))
            return web.Response(text=text, content_type="text/html", headers=_HEADERS)
        return web.Response(text=_filled(templates[_TEXT], url), headers={hdrs.VARY: hdrs.ACCEPT})

    router.add_get("/", show)


def _read_templates() -> dict[str, str]:
    folder = resources.files("phoenix_compat.server.console") / "templates"
    return {name: (folder / name).read_text(encoding="utf-8") for name in (_PAGE, _TEXT)}


def _filled(template: str, url: str) -> str:
    socket_url = url.replace("http", "ws", 1)
    return (
        template.replace("{{version}}", __version__)
        .replace("{{socket_url}}", socket_url)
        .replace("{{url}}", url)
    )
