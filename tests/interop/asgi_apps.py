"""The reference channel set in applications of several frameworks, and their servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import django
from aiohttp import web
from django.conf import settings
from django.core.asgi import get_asgi_application
from fastapi import FastAPI
from starlette.applications import Starlette

from phoenix_compat import Endpoint, asgi, mount
from phoenix_compat.conformance.reference import mount_reference_sockets
from phoenix_compat.presence import Presence
from tests.asgi_serving import serving_uvicorn
from tests.serving import serving


def _reference_endpoint() -> Endpoint:
    endpoint = Endpoint()
    mount_reference_sockets(endpoint, Presence(endpoint))
    return endpoint


def starlette_app() -> Starlette:
    """Starlette, with the sockets mounted."""
    app = Starlette()
    asgi.mount(app, _reference_endpoint())
    return app


def fastapi_app() -> FastAPI:
    """FastAPI, with the sockets mounted."""
    app = FastAPI()
    asgi.mount(app, _reference_endpoint())
    return app


def django_app() -> asgi.Application:
    """Django, as the application for all other paths."""
    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=(), SECRET_KEY="tests")
        django.setup()
    return asgi.app(_reference_endpoint(), fallback=get_asgi_application())


_ASGI_APPS: Final[dict[str, Callable[[], Any]]] = {
    "starlette": starlette_app,
    "fastapi": fastapi_app,
    "django": django_app,
}
FRAMEWORKS: Final = ("aiohttp", *_ASGI_APPS)


@asynccontextmanager
async def serving_framework(name: str, port: int = 0) -> AsyncIterator[str]:
    """Serve the reference channel set with a framework, and yield the base URL."""
    if name == "aiohttp":
        app = web.Application()
        mount(app, _reference_endpoint())
        async with serving(app, port=port) as base_url:
            yield base_url
    else:
        async with serving_uvicorn(_ASGI_APPS[name](), port=port) as base_url:
            yield base_url
