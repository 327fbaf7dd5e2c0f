"""What the servers of this package know of a request besides what aiohttp shows."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import hdrs, web

from phoenix_compat.http_server.handler import ClientHandler, Decision

_UNENCODED: Final = frozenset({"", "identity"})


def take_decision(request: web.BaseRequest) -> Decision | None:
    """What was decided about the request before aiohttp had it; None if nothing was."""
    protocol = request.protocol
    if not isinstance(protocol, ClientHandler):
        return None
    decision, protocol.decision = protocol.decision, None
    return decision


def when_gone(request: web.BaseRequest) -> asyncio.Future[None]:
    """Is done once the client has disconnected; never on aiohttp's own server."""
    protocol = request.protocol
    if isinstance(protocol, ClientHandler):
        return protocol.gone
    return asyncio.get_running_loop().create_future()


def is_encoded(request: web.BaseRequest) -> bool:
    """Whether the body has a Content-Encoding, for example because it is compressed."""
    return any(
        value.strip().lower() not in _UNENCODED
        for value in request.headers.getall(hdrs.CONTENT_ENCODING, ())
    )


def is_body_raw(request: web.BaseRequest) -> bool:
    """Whether the server leaves bodies as received; aiohttp's own server decompresses them."""
    return isinstance(request.protocol, ClientHandler)


def close_after(request: web.BaseRequest, response: web.Response) -> web.Response:
    """The response to a request with a broken body, set to close the connection.

    aiohttp's own server would read on, find the same error again and log a traceback.
    """
    response.force_close()
    request.content.feed_eof()
    return response
