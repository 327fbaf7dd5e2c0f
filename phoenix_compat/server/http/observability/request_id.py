"""Gives every request an id: in the header `x-request-id` of its response, and in its log lines.

An id that the client sends is used, if it has 20 to 200 visible characters; so an id of a proxy
goes through. Sockets have none: their responses are Phoenix's.

Source: plug 1.19.2, lib/plug/request_id.ex.
"""

from __future__ import annotations

import re
import secrets
from typing import Final

from aiohttp import web

from phoenix_compat.server.process.logs.request_id import RequestMark, mark_request
from phoenix_compat.transports.aiohttp.mount import SocketResource

HEADER: Final = "x-request-id"

_ID_BYTES: Final = 15  # twenty characters
_ACCEPTED: Final = re.compile(r"[!-~]{20,200}", re.ASCII)
_MARK: Final = web.RequestKey("request_mark", RequestMark)


def note_request_id(request: web.Request) -> None:
    """Choose the id of a request; a check that refuses nothing."""
    if isinstance(request.match_info.route.resource, SocketResource):
        return
    sent = request.headers.get(HEADER, "")
    accepted = sent if _ACCEPTED.fullmatch(sent) else secrets.token_urlsafe(_ID_BYTES)
    request[_MARK] = mark_request(accepted)


async def add_request_id(request: web.Request, response: web.StreamResponse) -> None:
    """Add the header; for `on_response_prepare`."""
    mark = request.get(_MARK)
    if mark is not None and mark.id is not None:
        response.headers[HEADER] = mark.id


def request_id_of(request: web.Request) -> str | None:
    """The id of a request that is being answered; None for sockets."""
    mark = request.get(_MARK)
    return None if mark is None else mark.id


def end_request(request: web.BaseRequest) -> None:
    """Log lines have the id no longer: the request was answered."""
    mark = request.get(_MARK)
    if mark is not None:
        mark.id = None
