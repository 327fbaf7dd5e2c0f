"""Answers websocket handshakes without aiohttp's request, router, middlewares, response and task.

aiohttp's parser reads the request; the checks are those of `handshake`, in their order. Only the
usual case is served here: a complete GET request for the path of a websocket, which came at once
and passes the application's gate. Everything else is handed to aiohttp with the bytes as they came,
and so is a request that is refused, with the decision: its response goes the usual way.

A connection that sends nothing is closed at the deadline for heads, as in `request_deadlines`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextvars import copy_context
from functools import partial
from typing import Any, Final, NoReturn

from aiohttp import hdrs, web
from aiohttp.http import HttpRequestParser, HttpVersion11, RawRequestMessage

from phoenix_compat.accept.accepted import AcceptedSocket
from phoenix_compat.accept.acceptor import Front, HandOver
from phoenix_compat.accept.timer_wheel import TimerWheel
from phoenix_compat.endpoint import WebSocketOptions
from phoenix_compat.http_server import Decision, HttpServer
from phoenix_compat.transports.aiohttp.gate import (
    FAST_HANDSHAKE,
    GATE,
    WEBSOCKET_ROUTES,
    Attempt,
    Gate,
    HandshakeHead,
    OpenGate,
    WebSocketRoute,
)
from phoenix_compat.transports.aiohttp.polled_stream import PolledStream
from phoenix_compat.transports.aiohttp.poller import IS_AVAILABLE, Poller
from phoenix_compat.transports.aiohttp.request import query_of
from phoenix_compat.transports.handshake import check_handshake
from phoenix_compat.transports.request import HttpRequest
from phoenix_compat.transports.response import HttpResponse

_PER_ROUND: Final = 16
"""So many handshakes are served before those who are connected already get their turn."""
_HEAD_BYTES: Final = 8 * 1024
"""A longer head is aiohttp's to read."""
_MORE_BYTES: Final = 64 * 1024
_READ_BYTES: Final = 64 * 1024
_CLOSE_TIMEOUT_S: Final = 5.0

_GET: Final = b"GET /"
_HEAD_END: Final = b"\r\n\r\n"
_FOR_AIOHTTP: Final = (hdrs.EXPECT, hdrs.CONTENT_LENGTH, hdrs.TRANSFER_ENCODING)
"""Headers of requests that are not simply a head."""


def front_of(app: web.Application, server: HttpServer) -> Callable[[HandOver], Front] | None:
    """What looks at the first requests of an application that has started; None for nothing.

    It is None where no websocket could be served: the application has none, says so itself, or has
    middlewares or an access log and no gate; or the system has no epoll.
    """
    gate: Gate | None = app.get(GATE)
    if gate is None and not app.middlewares and not server.logs_requests:
        gate = OpenGate()
    routes = [route for route in app.get(WEBSOCKET_ROUTES, ()) if _is_plain(route.hub.options)]
    taken = {resource.canonical for resource in app.router.resources()}
    routes = [route for route in routes if route.path not in taken]
    if gate is None or not routes or not app.get(FAST_HANDSHAKE, True) or not IS_AVAILABLE:
        return None
    return partial(FirstRequests, routes, gate, server)


def _is_plain(options: WebSocketOptions) -> bool:
    """Whether no function in the options wants aiohttp's request."""
    return (
        options.session is False
        and not callable(options.connect_info)
        and options.error_handler is None
    )


class _NoTick:
    """Handshakes end no tick: what they send is sent at once."""

    def hold(self) -> None:
        """See HeldTick."""

    def release(self) -> None:
        """See HeldTick."""


class FirstRequests:
    """The connections that have not sent a request yet, and the handshakes in progress.

    Args:
        routes: the websockets that are served here.
        server: makes aiohttp's protocols.
        hand_over: gives a connection to one of them.
    """

    def __init__(
        self, routes: Sequence[WebSocketRoute], gate: Gate, server: HttpServer, hand_over: HandOver
    ) -> None:
        self._routes = tuple(routes)
        self._by_path = {route.path.encode(): route for route in routes if ":" not in route.path}
        self._gate = gate
        self._server = server
        self._hand_over = hand_over
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._protocol: Any = asyncio.Protocol()  # has no body to hold back
        self._limits: dict[str, Any] = dict(server.parser_limits)
        bounds = server.watch.bounds
        self._first_s = min(bounds.head_s, bounds.idle_s)
        self._poller = Poller(
            _NoTick(),
            bytearray(_MORE_BYTES),
            sockets_per_round=_PER_ROUND,
            slot_bytes=_HEAD_BYTES,
            keeps_epoll=True,
        )
        self._wheel = TimerWheel(_FirstRequest.check, bounds.tick_s)

    def __len__(self) -> int:
        """How many connections have sent nothing yet."""
        return len(self._poller)

    def take(self, accepted: AcceptedSocket) -> None:
        """See acceptor.Front."""
        accepted.setblocking(False)  # noqa: FBT003 - its only form
        stream = PolledStream(self._poller, accepted)
        now_s = self._loop.time()
        first = _FirstRequest(self, stream, now_s)
        self._wheel.put(first, now_s + self._first_s)
        stream.start(first)

    async def close(self) -> None:
        """See acceptor.Front."""
        self._poller.close()
        self._wheel.close()
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=_CLOSE_TIMEOUT_S)
        for task in late:
            task.cancel()

    # For the first requests.

    def forget(self, first: _FirstRequest) -> None:
        """The connection is lost, or has sent something."""
        self._wheel.remove(first)

    def sent_nothing(self) -> None:
        """Count a connection that is closed at the deadline."""
        self._server.watch.counters.late_heads += 1

    def handle(self, own: AcceptedSocket, begun_s: float, data: bytes) -> None:
        """Handle what came first.

        Args:
            own: the connection.
            begun_s: when it began, by the loop's clock.
        """
        try:
            if (found := self._route_of(data)) is not None:
                route, path_params = found
                message = self._parsed(data)
                if message is not None:
                    path = message.path.partition("?")[0]
                    head = HandshakeHead(path, query_of(message.path), message.headers, own)
                    attempt = self._gate.attempt(head)
                    if attempt is not None:
                        self._run(
                            self._shake_hands(own, begun_s, data, route, path_params, head, attempt)
                        )
                        return
            self._give_away(own, begun_s, data)
        except BaseException:
            own.close()
            raise

    def _route_of(self, data: bytes) -> tuple[WebSocketRoute, dict[str, str]] | None:
        """The websocket that a complete head asks for, and the variables of its path."""
        if not data.startswith(_GET) or data.find(_HEAD_END) != len(data) - len(_HEAD_END):
            return None
        path = data[4 : data.find(b" ", 4)].partition(b"?")[0]
        found = self._by_path.get(path)
        if found is not None:
            return found, {}
        if b"#" in path or not path.isascii():
            return None
        text = path.decode()
        for route in self._routes:
            captured = route.resource.match(text)
            if captured is not None:
                return route, captured
        return None

    def _parsed(self, data: bytes) -> RawRequestMessage | None:
        """The request as aiohttp's parser reads it; None if it is not simply a head."""
        parser = HttpRequestParser(
            self._protocol,
            self._loop,
            _READ_BYTES,
            payload_exception=web.RequestPayloadError,
            auto_decompress=False,
            **self._limits,
        )
        try:
            messages, is_upgrade, rest = parser.feed_data(data)
        except Exception:  # noqa: BLE001 - aiohttp's own protocol meets and answers it again
            return None
        if len(messages) != 1 or not is_upgrade or rest:
            return None
        message: RawRequestMessage = messages[0][0]
        headers = message.headers
        if message.version != HttpVersion11 or any(name in headers for name in _FOR_AIOHTTP):
            return None
        return message

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a handshake, in a context of its own; in a task, if `connect` is asynchronous.

        A task for each would cost a tenth of the handshake.
        """
        context = copy_context()
        try:
            context.run(coroutine.send, None)
        except StopIteration:
            return
        task = self._loop.create_task(coroutine, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _shake_hands(  # noqa: PLR0913, PLR0917 - a record of them would be made for each
        self,
        own: AcceptedSocket,
        begun_s: float,
        data: bytes,
        route: WebSocketRoute,
        path_params: dict[str, str],
        head: HandshakeHead,
        attempt: Attempt,
    ) -> None:
        """Check the handshake, call `connect`, and open the websocket."""
        began_s = time.perf_counter()
        request = HttpRequest(
            method="GET",
            path=head.path,
            query=head.query,
            headers=head.headers,
            scheme="http",
            peer=head.peer,
            http_version=(1, 1),
            native=None,
            session_of=_no_session,
        )
        try:
            with attempt:
                outcome = await check_handshake(route.hub, request, path_params)
        except Exception as error:  # noqa: BLE001 - aiohttp answers it with 500, and logs it
            self._give_away(own, begun_s, data, partial(_raise, attempt, error))
            return
        except BaseException:
            own.close()
            raise
        if isinstance(outcome, HttpResponse):
            self._give_away(own, begun_s, data, partial(_answer, attempt, outcome))
            return
        try:
            route.hub.open_on(own, outcome, head.headers[hdrs.SEC_WEBSOCKET_KEY])
        except BaseException:
            own.close()
            raise
        attempt.opened(route.path, time.perf_counter() - began_s)

    def _give_away(
        self, own: AcceptedSocket, begun_s: float, data: bytes, decision: Decision | None = None
    ) -> None:
        self._hand_over(own, data, self._server.handler(begun_s, decision))


def _answer(attempt: Attempt, outcome: HttpResponse) -> HttpResponse:
    attempt.repeat()
    return outcome


def _raise(attempt: Attempt, error: Exception) -> NoReturn:
    attempt.repeat()
    raise error


def _no_session(_request: object) -> None:
    """No option asks for the session of a request that is served here."""


class _FirstRequest:
    """A connection that has not sent anything yet; see stream.StreamProtocol."""

    __slots__ = ("_begun_s", "_requests", "_stream")

    def __init__(self, requests: FirstRequests, stream: PolledStream, begun_s: float) -> None:
        self._requests = requests
        self._stream = stream
        self._begun_s = begun_s

    def received(self, buffer: bytearray, nbytes: int) -> None:
        """Let it go; its request belongs to somebody else."""
        requests = self._requests
        requests.forget(self)
        own: Any = self._stream.release()
        requests.handle(own, self._begun_s, bytes(memoryview(buffer)[:nbytes]))

    def resume_writing(self) -> None:
        """Never called: nothing is written."""

    def eof_received(self) -> None:
        """The client has gone without a request."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        del exc
        self._requests.forget(self)

    def check(self, now_s: float) -> None:
        """Close: nothing came in time."""
        del now_s
        self._requests.sent_nothing()
        self._stream.abort()
