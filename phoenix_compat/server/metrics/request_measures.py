"""Counts HTTP requests by route and status, and how long they took.

It stands where aiohttp has its access log, after the response, so requests pay no middleware.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from phoenix_compat.measures import HistogramTable
from phoenix_compat.transports.aiohttp.mount import SocketResource
from phoenix_compat.transports.aiohttp.peers import is_from_peer

UNMATCHED: Final = "unmatched"
"""The route of a request that no route matches, or whose head cannot be read."""
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_MAX_ROWS: Final = 200


class RequestMeasures(AbstractAccessLogger):
    """The counts of one process.

    Args:
        answered: called with each request, its response and the seconds that it took.
        has_peers: whether requests of other processes are passed over: those have been counted
            where they came from.

    Attributes:
        requests: the seconds of requests by method, route and status.
    """

    def __init__(
        self,
        answered: Callable[[web.BaseRequest, web.StreamResponse, float], None],
        *,
        has_peers: bool = False,
    ) -> None:
        super().__init__(logging.getLogger(__name__), "")
        self.requests = HistogramTable(("method", "route", "status"), _BOUNDS_S, max_rows=_MAX_ROWS)
        self._answered = answered
        self._has_peers = has_peers

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """See aiohttp: called after each response; `time` is in seconds."""
        self._answered(request, response, time)
        if self._has_peers and is_from_peer(request):
            return
        method = request.method if request.method in _METHODS else "other"
        self.requests.observe((method, route_of(request), str(response.status)), time)

    def websocket_opened(self, route: str, took_s: float) -> None:
        """Count a handshake that was answered without the application."""
        self.requests.observe(("GET", route, "101"), took_s)


def route_of(request: web.BaseRequest) -> str:
    """The path of a request's route, with the names of its variables instead of their values."""
    match_info = getattr(request, "_match_info", None)
    resource = None if match_info is None else match_info.route.resource
    if resource is None:
        return UNMATCHED
    if isinstance(resource, SocketResource):
        return str(resource.get_info()["path"])
    return str(resource.canonical)
