"""Requests, clients and nodes for tests of hubs without a web framework."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from multidict import CIMultiDict

from phoenix_compat import Endpoint
from phoenix_compat.cluster.bus import CallError
from phoenix_compat.endpoint import LongPollOptions, MountedSocket, WebSocketOptions
from phoenix_compat.transports.long_poll import LongPollHub
from phoenix_compat.transports.request import HttpRequest
from phoenix_compat.transports.response import HttpResponse, refusal

JSON_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Cache-Control": "no-store",
    "Content-Type": "application/json; charset=utf-8",
}


def a_request(
    method: str = "GET", query: str = "vsn=2.0.0", path: str = "/socket/longpoll", **headers: str
) -> HttpRequest:
    """A request to localhost; of names of headers `_` is `-`."""
    named = CIMultiDict({"Host": "localhost"})
    named.update({name.replace("_", "-"): value for name, value in headers.items()})
    return HttpRequest(
        method, path, query, named, "http", ("127.0.0.1", 50_000), (1, 1), "native", lambda _: None
    )


class FakeClient:
    """The client of a request with this body, which may be gone."""

    def __init__(self, body: bytes = b"", *, is_gone: bool = False) -> None:
        self.body = body
        self.is_gone = is_gone

    async def read_body(self, max_bytes: int) -> bytes | HttpResponse:
        """See long_poll.Client."""
        return refusal(400) if len(self.body) > max_bytes else self.body


class LongPoll:
    """One socket that is served over long-polling, and requests for it.

    Args:
        others: the other processes.
    """

    def __init__(
        self,
        handler: type[Any],
        options: LongPollOptions | None = None,
        *,
        endpoint: Endpoint | None = None,
        others: Any = None,
        **socket: Any,
    ) -> None:
        self.endpoint = endpoint or Endpoint(secret_key_base="x" * 64)
        self.endpoint.socket(
            "/socket", handler, websocket=False, longpoll=options or LongPollOptions(), **socket
        )
        mounted: MountedSocket = self.endpoint.sockets[-1]
        (chosen,) = mounted.transports
        assert isinstance(chosen, LongPollOptions)
        self.hub = LongPollHub(self.endpoint, mounted, chosen, {}, others)
        self.endpoint.open(self.hub)

    async def ask(
        self,
        method: str = "GET",
        token: str | None = None,
        body: bytes = b"",
        *,
        client: FakeClient | None = None,
        **headers: str,
    ) -> tuple[int, Any, HttpResponse]:
        """Send a request; the status and the JSON of the response, and the response itself."""
        if token is not None:
            headers["X_Phoenix_Longpoll_Token"] = token
        request = a_request(method, **headers)
        response = await self.hub.handle(request, {}, client or FakeClient(body))
        is_json = response.headers.get("Content-Type") == JSON_HEADERS["Content-Type"]
        return response.status, json.loads(response.body) if is_json else None, response

    async def open(self) -> str:
        """Begin a session that does not end by itself, and return its token."""
        status, body, _ = await self.ask()
        assert (status, body["status"]) == (200, 410)
        self.hub.abort_all()  # windows are short here
        token: str = body["token"]
        return token

    async def post(self, token: str | None, *message: Any) -> Any:
        """Post a message; the JSON of the response."""
        return (await self.ask("POST", token, json.dumps(message).encode()))[1]

    async def poll(self, token: str, **more: Any) -> Any:
        """Poll; the JSON of the response."""
        return (await self.ask(token=token, **more))[1]


class FakeBus:
    """One node of a bus whose messages arrive at once.

    Attributes:
        buses: all nodes, by number.
        error: what `call` raises instead.
        asked: the timeout of each call.
    """

    def __init__(self, buses: dict[int, FakeBus], node: int) -> None:
        self.node = node
        self.buses = buses
        self.error: CallError | None = None
        self.asked: list[float | None] = []
        self.calls: dict[str, Callable[[int, bytes], Any]] = {}
        self.casts: dict[str, Callable[[int, bytes], None]] = {}
        buses[node] = self

    @property
    def up(self) -> frozenset[int]:
        """See Bus."""
        return frozenset(self.buses) - {self.node}

    @property
    def seam(self) -> Any:
        """This as a Bus: it has what sessions need of one."""
        return self

    def on_call(self, kind: str, handler: Any) -> None:
        """See Bus."""
        self.calls[kind] = handler

    def on_cast(self, kind: str, handler: Any) -> None:
        """See Bus."""
        self.casts[kind] = handler

    def cast(self, kind: str, body: bytes) -> None:
        """See Bus."""
        for bus in self.buses.values():
            if bus is not self:
                bus.casts[kind](self.node, body)

    async def call(
        self, node: int, kind: str, body: bytes, *, on_reply: Any, timeout_s: float | None
    ) -> Any:
        """See Bus."""
        self.asked.append(timeout_s)
        if self.error is not None:
            raise self.error
        return on_reply(await self.buses[node].calls[kind](self.node, body))


class FakeWebSocketHub:
    """What a handshake needs of a hub.

    Attributes:
        refusals: the payloads that `respond` was called with.
    """

    def __init__(
        self, handler: type[Any], options: WebSocketOptions | None = None, **socket: Any
    ) -> None:
        self.endpoint = Endpoint(secret_key_base="x" * 64)
        self.endpoint.socket("/socket", handler, websocket=options or WebSocketOptions(), **socket)
        self.mounted_socket: MountedSocket = self.endpoint.sockets[0]
        (chosen,) = self.mounted_socket.transports
        assert isinstance(chosen, WebSocketOptions)
        self.options = chosen
        self.refusals: list[Any] = []
        self.is_open = True
        vars(self.endpoint)["is_open"] = lambda _hub: self.is_open

    async def respond(self, request: HttpRequest, refused: Any) -> HttpResponse:
        """See handshake.Hub."""
        assert request.native == "native"
        self.refusals.append(refused.payload)
        return HttpResponse(402, {"X-By": "handler"})
