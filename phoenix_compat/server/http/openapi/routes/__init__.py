"""The descriptions of all routes, in the order of the document.

A new module here, or a new route in one of them, needs a place in `ROUTES`. A test compares them
with the routes of a server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from phoenix_compat.server.http.openapi.described import Route
from phoenix_compat.server.http.openapi.routes.backends import BACKEND_ROUTES, TASK_WEBHOOK
from phoenix_compat.server.http.openapi.routes.files import FILE_ROUTES
from phoenix_compat.server.http.openapi.routes.server import SERVER_ROUTES
from phoenix_compat.server.http.openapi.routes.tasks import TASK_ROUTES

ROUTES: Final[tuple[Route, ...]] = (
    *TASK_ROUTES,
    *FILE_ROUTES,
    *BACKEND_ROUTES,
    *SERVER_ROUTES,
)

WEBHOOKS: Final[tuple[Route, ...]] = (TASK_WEBHOOK,)
"""The requests that this server sends; their paths are names."""

NOT_DESCRIBED: Final[Mapping[str, str]] = {
    "/socket/websocket": "the wire of Phoenix Channels, which docs/protocol.md describes",
    "/socket/longpoll": "the same",
    "/docs": "a page for people, which shows the document",
    "/docs/": "files of that page",
    "/console": "a page for people",
    "/console/": "files and the socket of that page",
    "/api/console/": "what that page asks for; it changes with the page",
    "/favicon.ico": "the icon of the pages",
    "/favicon.svg": "the same",
}
"""Paths that are no part of the HTTP API, with the reason. A path that ends with a slash stands for
all paths below it."""
