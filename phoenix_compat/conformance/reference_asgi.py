"""The reference channel set as an ASGI application: the same sockets under another server.

uvicorn --factory phoenix_compat.conformance.reference_asgi:build_reference_asgi_app --port 4001
"""

from __future__ import annotations

from phoenix_compat.asgi import Application, HttpResponse, app
from phoenix_compat.conformance.control_guard import ControlGuard, control_guard
from phoenix_compat.conformance.reference import mount_reference_sockets
from phoenix_compat.conformance.reference_broadcast import (
    MAX_BODY_BYTES,
    broadcast,
    is_broadcast,
)
from phoenix_compat.endpoint import Endpoint
from phoenix_compat.presence import Presence
from phoenix_compat.transports.asgi.client import AsgiClient
from phoenix_compat.transports.asgi.request import request_value, segments_of, send_response
from phoenix_compat.transports.asgi.types import Receive, Scope, Send
from phoenix_compat.transports.request import HttpRequest
from phoenix_compat.transports.response import refusal


def build_reference_asgi_app(
    *, speedup: float = 1.0, guard: ControlGuard | None = None
) -> Application:
    """The reference channel set as an ASGI application, with `POST /broadcast/…`.

    Args:
        speedup: the factor by which its timeouts are shortened, for fast tests.
        guard: who may post broadcasts; by default every program, and web pages of this machine.
    """
    endpoint = Endpoint()
    mount_reference_sockets(endpoint, Presence(endpoint), speedup)
    return app(endpoint, _Control(endpoint, guard or control_guard()))


class _Control:
    """The other paths: `POST /broadcast/TOPIC/EVENT` and `GET /healthz`."""

    def __init__(self, endpoint: Endpoint, guard: ControlGuard) -> None:
        self._endpoint = endpoint
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request; lifespan events and websockets are refused."""
        if scope["type"] == "lifespan":
            raise ValueError("the endpoint's application handles lifespan events")
        response = refusal(404)
        path = segments_of(scope)
        if scope["type"] == "http" and scope["method"] == "GET" and path == ["healthz"]:
            response = HttpResponse(200, {"Content-Type": "application/json"}, b'{"node": 0}')
        elif scope["type"] == "http" and is_broadcast(scope["method"], path):
            with AsgiClient(receive, self._endpoint.counters) as client:
                response = await self._broadcast(request_value(scope), client, path)
        await send_response(response, scope, receive, send)

    async def _broadcast(
        self, request: HttpRequest, client: AsgiClient, path: list[str]
    ) -> HttpResponse:
        """Broadcast the JSON object in the body `n` times, from outside any channel."""
        refused = self._guard.pages.refuse("POST", request.headers, has_body=True)
        if refused is not None:
            return refusal(refused.status, refused.detail)
        if not self._guard.has_token(request.headers):
            return refusal(401)
        body = await client.read_body(MAX_BODY_BYTES)
        if isinstance(body, HttpResponse):
            return body
        return broadcast(self._endpoint, path, request.query, body)
