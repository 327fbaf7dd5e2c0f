"""The protocol of one HTTP connection: aiohttp's, adapted for untrusted clients.

Differs from Phoenix: aiohttp answers 400 to bytes in a request line that are not ASCII; Bandit
passes them on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from inspect import signature
from typing import Any, Final, TypeAlias

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import _ErrInfo

from phoenix_compat.accept.request_deadlines import RequestDeadlines, Watch
from phoenix_compat.http_server.errors import (
    SAFE_HEADERS,
    SERVER_NAME,
    TOO_LARGE,
    TOO_LATE,
    BodyTooSlowError,
    bad_request,
    error_info,
    is_client_error,
    log_refused,
)

log = logging.getLogger(__name__)

_HEAD_END: Final = b"\r\n\r\n"

Decision: TypeAlias = Callable[[], Any]
"""Returns what was decided about a request before aiohttp had it, or raises it."""


class HttpServer(web.Server):
    """Makes the protocol of each connection.

    Attributes:
        watch: the deadlines of all connections.
    """

    def __init__(self, watch: Watch, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.watch = watch
        self.no_timer = asyncio.Handle(_nothing, (), self._loop)
        self.no_timer.cancel()

    def __call__(self) -> web.RequestHandler:
        return self.handler()

    def handler(
        self, begun_s: float | None = None, decision: Decision | None = None
    ) -> ClientHandler:
        """A protocol.

        Args:
            begun_s: when the connection began, by the loop's clock; None for now.
            decision: about its first request, for `take_decision`.
        """
        made = ClientHandler(self, loop=self._loop, **self._kwargs)
        made.begun_s, made.decision = begun_s, decision
        return made

    @property
    def logs_requests(self) -> bool:
        """Whether something is called after each response."""
        return self._kwargs.get("access_log") is not None

    @property
    def parser_limits(self) -> dict[str, int]:
        """What aiohttp's parser gets to limit the parts of a head, by its names."""
        given = signature(web.RequestHandler).parameters
        names = ("max_line_size", "max_headers", "max_field_size")
        return {name: self._kwargs.get(name, given[name].default) for name in names}


def _nothing() -> None:
    """What the handle of no timer would call."""


class ClientHandler(web.RequestHandler):
    """The protocol of one HTTP connection.

    Much of what it needs to know of the requests has no public name in aiohttp.

    Attributes:
        begun_s, decision: see HttpServer.handler.
    """

    __slots__ = ("_deadlines", "_gone", "_is_refused", "_no_timer", "_watch", "begun_s", "decision")

    def __init__(self, manager: HttpServer, **options: Any) -> None:
        super().__init__(manager, **options)
        self.begun_s: float | None = None
        self.decision: Decision | None = None
        self._watch = manager.watch
        self._no_timer = manager.no_timer
        self._deadlines: RequestDeadlines | None = None
        self._is_refused = False
        self._gone: asyncio.Future[None] | None = None

    @property
    def gone(self) -> asyncio.Future[None]:
        """Is done once the client has disconnected."""
        if self._gone is None:
            self._gone = self._loop.create_future()
            if self.transport is None:
                self._gone.set_result(None)
        return self._gone

    # Deadlines.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._keepalive_handle = self._no_timer  # aiohttp starts none where it has one
        self._deadlines = RequestDeadlines(
            self._watch, self, transport, self._loop.time, begun_s=self.begun_s
        )

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the deadlines; a websocket has its own."""
        if self._deadlines is not None:
            self._deadlines.lost()
            self._deadlines = None
        super().connection_lost(exc)
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Notice where heads and bodies begin and end."""
        deadlines = self._deadlines
        if self._is_refused or deadlines is None:
            return
        count = self._request_count
        was_in_body = deadlines.is_in_body()
        super().data_received(data)
        if self._request_count != count:
            self._requests_came(deadlines, self._request_count - count, data)
        elif (
            data
            and not (was_in_body or self._is_holding_back)
            and deadlines.head_goes_on(len(data))
        ):
            self._refuse(TOO_LARGE)

    def _requests_came(self, deadlines: RequestDeadlines, count: int, data: bytes) -> None:
        if deadlines.may_be_large(len(data)):
            self._check_sizes(count)
        deadlines.head_complete()
        body = self._messages[-1][1]
        if not body.is_eof():
            deadlines.body_begins(body)
        elif (
            data
            and body is EMPTY_PAYLOAD
            and not self._is_holding_back
            and not data.endswith(_HEAD_END)
        ):
            deadlines.head_goes_on(0)  # a part of the next request has come with this one

    @property
    def _is_holding_back(self) -> bool:
        """Whether what comes is not parsed now: too many requests wait, or none is expected."""
        return self._buffer_paused or self._upgraded or self._force_close or self._close

    def _check_sizes(self, count: int) -> None:
        """Put a refusal in the place of each new request whose head is too long."""
        for place in range(max(-count, -len(self._messages)), 0):
            message, _ = self._messages[place]
            if isinstance(message, _ErrInfo):
                continue
            size = sum(len(name) + len(value) for name, value in message.raw_headers)
            if size + len(message.path) > self._watch.bounds.max_head_bytes:
                self._watch.counters.large_heads += 1
                self._messages[place] = (error_info(TOO_LARGE), EMPTY_PAYLOAD)

    def _refuse(self, error: HttpProcessingError) -> None:
        """Answer an unfinished head, after the requests before it, and read nothing more."""
        self._is_refused = True
        self._request_count += 1
        self._messages.append((error_info(error), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _handle_request(
        self, *args: Any, **kwargs: Any
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        if self._messages:
            return self._handle_after_a_turn(*args, **kwargs)
        return super()._handle_request(*args, **kwargs)

    async def _handle_after_a_turn(
        self, *args: Any, **kwargs: Any
    ) -> tuple[web.StreamResponse, bool]:
        """Let other connections have their turn between the requests that are pipelined on one.

        Since Python 3.12 a request may be answered without a turn of the event loop.
        """
        await asyncio.sleep(0)
        return await super()._handle_request(*args, **kwargs)

    def pause_writing(self) -> None:
        """See whether the client takes what it is sent."""
        super().pause_writing()
        if self._deadlines is not None:
            self._deadlines.writing_paused()

    def _process_keepalive(self) -> None:
        self._keepalive_handle = self._no_timer  # idle time is a matter of the deadlines

    @property
    def idle_since_s(self) -> float | None:
        """See request_deadlines.HttpConnection."""
        if self._waiter is None or self._waiter.done():
            return None
        return self._next_keepalive_close_time or None  # the time of the answer and a timeout of 0

    def close_idle(self) -> None:
        """See request_deadlines.HttpConnection."""
        self.force_close()

    @property
    def is_reading_paused(self) -> bool:
        """See request_deadlines.HttpConnection."""
        return self._reading_paused or self._buffer_paused

    def head_is_late(self, *, has_begun: bool) -> None:
        """See request_deadlines.HttpConnection."""
        if has_begun:
            self._refuse(TOO_LATE)
        else:
            self.force_close()

    def body_is_late(self, body: StreamReader) -> None:
        """See request_deadlines.HttpConnection."""
        body.set_exception(BodyTooSlowError())

    # Errors.

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Respond to a failed request: 400 if the client caused it, 500 if the server did."""
        if exc is not None and is_client_error(request, exc):
            log_refused(request, exc)
            if request._payload_writer.output_size:  # noqa: SLF001 - aiohttp checks this too
                raise ConnectionError("the response was already started")
            return bad_request(exc)
        response = super().handle_error(request, status, exc, message)
        response.headers.update({hdrs.SERVER: SERVER_NAME, **SAFE_HEADERS})
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log an error between two requests; at debug level if the client caused it."""
        error = kw.get("exc_info")
        is_disconnected = isinstance(error, ConnectionError) and self.transport is None
        if is_disconnected or isinstance(error, web.RequestPayloadError):
            log.debug("http.body_broken: %s", type(error).__name__)
            return
        super().log_exception(*args, **kw)
