"""The access log: one line for each response, if the operator wants it.

    off     none
    short   method, path, status and time, in the format of the log
    json    the same with route, size, address and user agent, always as JSON

Paths are logged without their queries, which may have credentials.
"""

from __future__ import annotations

import structlog
from aiohttp import hdrs, web

from phoenix_compat.server.http.observability.request_id import end_request
from phoenix_compat.server.metrics.request_measures import route_of
from phoenix_compat.server.process.logs import ACCESS_LOGGER, configure_access_log
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.server.rates.client_address import CLIENT_ADDRESS
from phoenix_compat.transports.aiohttp.gate import HandshakeHead
from phoenix_compat.transports.aiohttp.peers import is_from_peer

log = structlog.stdlib.get_logger(ACCESS_LOGGER)


class AccessLog:
    """Writes the lines; applies the setting `access_log`, also on reload.

    Args:
        has_peers: whether requests of other processes are passed over, which have logged them.
    """

    def __init__(self, settings: Settings, *, has_peers: bool) -> None:
        self._style = settings.access_log
        self._has_peers = has_peers
        self.change(settings)

    def change(self, settings: Settings) -> None:
        """Use the style of these settings from now on."""
        self._style = settings.access_log
        configure_access_log(settings.access_log, settings.log_format)

    def answered(
        self, request: web.BaseRequest, response: web.StreamResponse, took_s: float
    ) -> None:
        """Log a response, and end its request."""
        if self._style != "off" and not (self._has_peers and is_from_peer(request)):
            self._write(
                method=request.method,
                path=request.path,
                status=response.status,
                took_s=took_s,
                route=route_of(request),
                bytes=response.body_length if response.prepared else 0,
                address=request.get(CLIENT_ADDRESS) or request.remote,
                user_agent=request.headers.get(hdrs.USER_AGENT),
            )
        end_request(request)

    def websocket_opened(
        self, head: HandshakeHead, route: str, address: str | None, took_s: float
    ) -> None:
        """Log a handshake that was answered without the application."""
        if self._style != "off":
            self._write(
                method=head.method,
                path=head.path,
                status=101,
                took_s=took_s,
                route=route,
                bytes=0,
                address=address or head.remote,
                user_agent=head.headers.get(hdrs.USER_AGENT),
            )

    def _write(self, *, method: str, path: str, status: int, took_s: float, **more: object) -> None:
        """Write a line; `more` is only in the style "json"."""
        took_ms = round(took_s * 1_000, 1)
        fields = more if self._style == "json" else {}
        log.info("http.request", method=method, path=path, status=status, took_ms=took_ms, **fields)
