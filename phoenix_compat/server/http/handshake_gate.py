"""Lets websocket handshakes pass that the checks in front of all routes would let pass.

`first_requests` answers these without the middlewares of `application`. A request that one of them
would refuse goes through them, and is refused and logged there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import hdrs, web

from phoenix_compat.protocol.page_guard import PageGuard
from phoenix_compat.server.http.base_url import BaseUrls
from phoenix_compat.server.http.browsers.open_access import is_local
from phoenix_compat.server.rates.client_address import ClientAddresses
from phoenix_compat.server.rates.connect_attempt import ConnectAttempt, current_attempt
from phoenix_compat.transports.aiohttp.gate import HandshakeHead

Opened = Callable[[HandshakeHead, str, str | None, float], None]
"""Called with a websocket's request, its route, the address it counts for, and its seconds."""


class HandshakeGate:
    """The gate of the task server; see transports.aiohttp.gate.

    Args:
        pages: which hosts this server answers to.
        is_local_only: whether only programs on this machine may use the server.
        addresses, base_urls: those of the middlewares.
    """

    def __init__(
        self,
        pages: PageGuard,
        addresses: ClientAddresses,
        base_urls: BaseUrls,
        *,
        is_local_only: bool,
    ) -> None:
        self._pages = pages
        self._is_local_only = is_local_only
        self._addresses = addresses
        self._base_urls = base_urls
        self._observers: list[Opened] = []

    def observe(self, opened: Opened) -> None:
        """Call this for each websocket that is opened."""
        self._observers.append(opened)

    def attempt(self, head: HandshakeHead) -> _Attempt | None:
        """See Gate."""
        if self._pages.refuse_host(head.headers.get(hdrs.HOST)) is not None:
            return None
        if self._is_local_only and not is_local(head):
            return None
        return _Attempt(self._addresses.of(head), self._base_urls.of(head), head, self._observers)


class _Attempt(ConnectAttempt):
    """See transports.aiohttp.gate.Attempt."""

    __slots__ = ("_head", "_observers")

    def __init__(
        self, address: str | None, base_url: str, head: HandshakeHead, observers: list[Opened]
    ) -> None:
        super().__init__(address, base_url)
        self._head = head
        self._observers = observers

    def repeat(self) -> None:
        """See Attempt: the middleware of the rates answers 429 to those who are too fast."""
        current_attempt().refused = self.refused

    def opened(self, route: str, took_s: float) -> None:
        """See Attempt."""
        for observe in self._observers:
            observe(self._head, route, self.address, took_s)


HANDSHAKE_GATE: Final = web.AppKey("server_handshake_gate", HandshakeGate)
"""The key under which an application stores it, for those who observe it."""
