"""Drops empty segments of paths: `//api/tasks` and `/api/tasks/` are `/api/tasks`.

Plug does so, and apps join paths to base URLs that end with a slash. It happens before anything
else sees the request, so that no check of a path can be passed by another spelling of it.

Source: plug 1.19.2, lib/plug/conn/adapter.ex, conn/6.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web
from aiohttp.http_parser import RawRequestMessage


def drop_empty_segments(app: web.Application) -> None:
    """Drop them from the paths of all requests, in an app that has not started.

    aiohttp chooses the route before its middlewares run, so requests are changed where they are
    made.
    """
    make_request = app._make_request  # noqa: SLF001 - the only place before the router

    def make_clean(message: RawRequestMessage, *arguments: Any, **options: Any) -> web.Request:
        return make_request(_cleaned(message), *arguments, **options)

    vars(app)["_make_request"] = make_clean


def _cleaned(message: RawRequestMessage) -> RawRequestMessage:
    if not ("//" in message.path or "/?" in message.path or message.path.endswith("/")):
        return message  # as nearly all
    path, question_mark, query = message.path.partition("?")
    if not path.startswith("/") or path == "/" or not ("//" in path or path.endswith("/")):
        return message
    clean = "/" + "/".join(segment for segment in path.split("/") if segment)
    url = message.url.with_path(clean, encoded=True, keep_query=True, keep_fragment=True)
    cleaned: RawRequestMessage = message._replace(path=clean + question_mark + query, url=url)
    return cleaned
