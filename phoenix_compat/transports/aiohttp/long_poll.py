"""Long-polling over aiohttp: the clients of its requests, and sessions of other processes."""

from __future__ import annotations

import logging

from aiohttp import web

from phoenix_compat.http_server import is_body_raw, is_encoded
from phoenix_compat.transports.aiohttp.body import BodyBrokenError, BodyTooLargeError, read_body
from phoenix_compat.transports.aiohttp.peers import (
    MISDIRECTED,
    PeerGoneError,
    Peers,
    forward_while_connected,
    is_from_peer,
)
from phoenix_compat.transports.long_poll import Client, with_cors
from phoenix_compat.transports.request import HttpRequest
from phoenix_compat.transports.response import HttpResponse, refusal

log = logging.getLogger(__name__)


class AiohttpClient:
    """The client of a request; see long_poll.Client."""

    __slots__ = ("_request",)

    def __init__(self, request: web.Request) -> None:
        self._request = request

    @property
    def is_gone(self) -> bool:
        """See long_poll.Client."""
        return self._request.transport is None

    async def read_body(self, max_bytes: int) -> bytes | HttpResponse:
        """See long_poll.Client.

        Differs from Phoenix: Plug ignores the Content-Encoding and takes the body as received. So
        does `http_server`. aiohttp's own server would decompress it, so an encoded body is refused
        there.
        """
        request = self._request
        is_refused = is_encoded(request) and not is_body_raw(request)
        try:
            body = await read_body(request, max_bytes)
        except BodyTooLargeError:
            return refusal(400)
        except TimeoutError:  # as Bandit responds
            return refusal(408, closes=True)
        except BodyBrokenError:
            return refusal(415 if is_refused else 400, closes=True)
        return refusal(415) if is_refused else body


class PeerSessions:
    """The sessions of the other processes; see long_poll.OtherProcesses."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    def session_name(self, name: str) -> str:
        """See long_poll.OtherProcesses."""
        return self._peers.session_name(name)

    async def ask_owner(
        self, request: HttpRequest, client: Client, name: str | None, max_body_bytes: int
    ) -> HttpResponse | None:
        """See long_poll.OtherProcesses."""
        native: web.Request = request.native
        if is_from_peer(native):
            return HttpResponse(MISDIRECTED)
        owner = None if name is None else self._peers.owner_of(name)
        if owner is None:
            return None
        body = await client.read_body(max_body_bytes) if request.method == "POST" else None
        if isinstance(body, HttpResponse):
            return with_cors(body)
        try:
            response = await forward_while_connected(self._peers, owner, native, body)
        except PeerGoneError as error:
            log.info("a long-poll session has ended: %s", error)
            return None
        return HttpResponse(response.status, native=response)
