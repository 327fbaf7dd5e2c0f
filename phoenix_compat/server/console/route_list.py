"""All routes of the console."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from aiohttp import web

from phoenix_compat.server.console.context import ConsoleContext
from phoenix_compat.server.console.routes import (
    faults,
    home_page,
    keys,
    session,
    settings,
    static_files,
    tasks,
    webhooks,
)

AddRoutes: TypeAlias = Callable[[web.UrlDispatcher, ConsoleContext], None]
"""Adds the routes of one module."""

ROUTES: Final[Sequence[AddRoutes]] = (
    home_page.add_routes,
    static_files.add_routes,
    session.add_routes,
    tasks.add_routes,
    faults.add_routes,
    keys.add_routes,
    settings.add_routes,
    webhooks.add_routes,
)
"""A new screen with actions adds its routes here."""
