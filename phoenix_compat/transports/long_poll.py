"""Serves long-polling: GET fetches messages and POST sends them. The real status is in the body.

    GET   410  a session was just created, with a new token
    GET   200  messages           GET   204  no messages within the window
    POST  200  handled            POST  408  not handled within the window
    POST  410  no such session    any   403  origin, version or connect refused

A POST whose message waits behind a join when the server stops is answered with 410 at once.

Source: phoenix 1.8.12, lib/phoenix/transports/long_poll.ex.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterable, Iterator
from typing import Any, Final, Protocol

import msgspec

from phoenix_compat.endpoint import Endpoint, LongPollOptions, MountedSocket, drain_in_batches
from phoenix_compat.protocol.base64_text import Base64Error, decode_base64
from phoenix_compat.protocol.query import BadQueryError, Params
from phoenix_compat.protocol.token import TokenError
from phoenix_compat.result import Result
from phoenix_compat.runtime.socket_server import SocketServer
from phoenix_compat.transports.admission import admit, is_from_allowed_origin
from phoenix_compat.transports.request import HttpRequest, full_connect_info, read_params
from phoenix_compat.transports.response import NO_STORE, HttpResponse, refusal
from phoenix_compat.transports.session import NOT_TEXT, LongPollSession

log = logging.getLogger(__name__)

Sessions = dict[str, LongPollSession]
"""All sessions of an endpoint by name; a token is valid on every path of the endpoint."""

_SALT: Final = "phx:lp"
_NAME_BYTES: Final = 16
_TOKEN_HEADER: Final = "X-Phoenix-Longpoll-Token"  # noqa: S105 - a header's name
_AUTH_TOKEN_HEADER: Final = "X-Phoenix-AuthToken"  # noqa: S105 - the same
_MAX_TOKEN_CHARS: Final = 1_024
"""A session's token has about 150."""
_NDJSON: Final = "application/x-ndjson"
_MAX_BASE64_CHARS: Final = 10_000_000
_IDLE_WINDOWS: Final = 1.5
_CORS: Final = {"Access-Control-Allow-Origin": "*"}
_JSON_HEADERS: Final = {
    **_CORS,
    "Cache-Control": "no-store",
    "Content-Type": "application/json; charset=utf-8",
}


class Client(Protocol):
    """The client of one request."""

    @property
    def is_gone(self) -> bool:
        """Whether the client has disconnected."""

    async def read_body(self, max_bytes: int) -> bytes | HttpResponse:
        """The whole body of the request, or the response that refuses it.

        Args:
            max_bytes: the limit; a longer body is refused with 400.
        """


class OtherProcesses(Protocol):
    """The other processes of this server, which may hold sessions too."""

    def session_name(self, name: str) -> str:
        """The name of a session in this process."""

    async def ask_owner(
        self, request: HttpRequest, client: Client, name: str | None, max_body_bytes: int
    ) -> HttpResponse | None:
        """The response of the process that holds the session; None if the session has ended."""


class LongPollHub:
    """All long-poll sessions of one mounted socket."""

    def __init__(
        self,
        endpoint: Endpoint,
        socket: MountedSocket,
        options: LongPollOptions,
        sessions: Sessions,
        others: OtherProcesses | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.options = options
        self.routes = socket.routes
        self._socket = socket
        self.polls: set[asyncio.Future[None]] = set()
        self._sessions = sessions
        self._others = others
        self._own: set[LongPollSession] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How many sessions there are."""
        return len(self._own)

    @property
    def clients(self) -> Iterator[SocketServer]:
        """See endpoint.Transport."""
        return (session.server for session in self._own)

    async def handle(
        self, request: HttpRequest, path_params: dict[str, str], client: Client
    ) -> HttpResponse:
        """Handle one request for the long-poll path."""
        try:
            params = read_params(request, path_params)
        except BadQueryError as error:
            return refusal(400, str(error))
        if not is_from_allowed_origin(
            request.headers.get("Origin"), request.origin, self.endpoint, self.options
        ):
            return _response({"status": 403})
        if request.method == "OPTIONS":
            return _preflight(request)
        if request.method not in {"GET", "POST"}:
            return with_cors(refusal(400))
        name = self._session_name(request, params)
        session = None if name is None else self._sessions.get(name)
        if session is None and self._others is not None:
            response = await self._others.ask_owner(
                request, client, name, self.options.max_body_bytes
            )
            if response is not None:
                return response
        if session is not None:
            content_type = request.headers.get("Content-Type", "")
            return await self.answer(session, client, request.method, content_type)
        if request.method == "POST":
            return await self._publish(None, client, "")
        return await self._open(request, params)

    def own_session(self, name: str) -> LongPollSession | None:
        """The session with this name, if it was opened here and has not ended."""
        session = self._sessions.get(name)
        return session if session in self._own else None

    async def answer(
        self, session: LongPollSession, client: Client, method: str, content_type: str
    ) -> HttpResponse:
        """Answer a GET or POST for a session of this hub."""
        if method == "POST":
            return await self._publish(session, client, content_type)
        return await self._poll(session, client)

    # Sessions.

    def _session_name(self, request: HttpRequest, params: Params) -> str | None:
        """The session of the request's token; the header takes precedence over the query."""
        token = request.headers.get(_TOKEN_HEADER) or params.get("token")
        if not isinstance(token, str) or len(token) > _MAX_TOKEN_CHARS:
            return None
        try:
            name = self.endpoint.session_tokens.verify(
                _SALT, token, max_age_s=self.options.token_max_age_s
            )
        except TokenError:
            return None
        return name if isinstance(name, str) else None

    async def _open(self, request: HttpRequest, params: Params) -> HttpResponse:
        auth_token = (
            {"auth_token": request.headers.get(_AUTH_TOKEN_HEADER)}
            if self._socket.auth_token
            else {}
        )
        info = await full_connect_info(request, params, self.options, auth_token=auth_token)
        admitted = await admit(params, info, self.endpoint, self._socket, self.options)
        if isinstance(admitted, Result) or not self.endpoint.is_open(self):
            return _response({"status": 403})
        name = secrets.token_urlsafe(_NAME_BYTES)
        if self._others is not None:
            name = self._others.session_name(name)
        token = self.endpoint.session_tokens.sign(
            _SALT, name, max_age_s=self.options.token_max_age_s
        )
        session = LongPollSession(self, admitted.serializer, admitted.socket, name, token)
        self._sessions[name] = session
        self._own.add(session)
        if self._timer is None:
            self._sweep_later()
        return _response({"messages": [], "status": 410, "token": token})

    async def _poll(self, session: LongPollSession, client: Client) -> HttpResponse:
        messages = await session.poll(self.options.window_s, lambda: client.is_gone)
        if NOT_TEXT in messages:
            log.error("cannot send a binary message that is not UTF-8 over long-polling")
            return with_cors(refusal(500))
        body = b'{"messages":[%b],"status":%d,"token":%b}' % (
            messages[:-1],
            200 if messages else 204,
            msgspec.json.encode(session.token),
        )
        return _json(body)

    def session_ended(self, session: LongPollSession) -> None:
        """See session.Hub."""
        self._own.discard(session)
        self._sessions.pop(session.name, None)
        self.endpoint.client_disconnected()

    async def drain(self) -> None:
        """End the sessions with channels, in batches; a join in progress counts."""
        in_use = [session for session in self._own if session.has_channels]
        await drain_in_batches(in_use, self._socket.drainer)

    def close_all(self) -> None:
        """End every session; waiting polls get their response at once."""
        for session in tuple(self._own):
            session.drain()
        for poll in self.polls:
            if not poll.done():
                poll.set_result(None)

    def abort_all(self) -> None:
        """Stop the timer; there is no connection to drop."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def abandon(self) -> None:
        """End every session; the event loop of their polls is closed."""
        self.polls.clear()
        for session in tuple(self._own):
            session.close(0, ("shutdown", "closed"))
        self._timer = None

    def _sweep_later(self) -> None:
        delay_s = self.options.window_s * _IDLE_WINDOWS
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._sweep)

    def _sweep(self) -> None:
        """End the sessions without a recent poll; POSTs do not count. One timer serves all."""
        self._timer = None
        oldest_s = asyncio.get_running_loop().time() - self.options.window_s * _IDLE_WINDOWS
        for session in tuple(self._own):
            if session.polled_at_s < oldest_s:
                self.endpoint.counters.idle_closed += 1
                try:
                    session.close(0, ("shutdown", "inactive"))
                except Exception:  # a bug affects one session, not the sweeps
                    log.exception("cannot end an inactive long-poll session")
        if self._own:
            self._sweep_later()

    # Posted messages.

    async def _publish(
        self, session: LongPollSession | None, client: Client, content_type: str
    ) -> HttpResponse:
        if session is None:
            return _response({"status": 410})
        body = await client.read_body(self.options.max_body_bytes)
        if isinstance(body, HttpResponse):
            return with_cors(body)
        if content_type != _NDJSON:
            return await self._publish_all(session, [(body, False)])
        lines = body.replace(b"\r\n", b"\n").split(b"\n")[: self.options.max_batch_messages]
        if any(len(line) > _MAX_BASE64_CHARS for line in lines if not line.startswith(b"[")):
            return with_cors(refusal(400))
        return await self._publish_all(session, _entries(lines))

    async def _publish_all(
        self, session: LongPollSession, entries: Iterable[tuple[bytes, bool]]
    ) -> HttpResponse:
        try:
            for data, is_binary in entries:
                if not await session.publish(
                    data, is_binary=is_binary, window_s=self.options.window_s
                ):
                    return _response({"status": 410 if session.is_drained else 408})
        except Base64Error as error:
            log.debug("a long-poll message is neither JSON nor base64: %s", error)
            return with_cors(refusal(500))
        return _response({"status": 200})


def _entries(lines: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """The messages of a batch with their `is_binary`; each is decoded when it is needed.

    Raises:
        Base64Error: a line is neither a JSON array nor base64.
    """
    for line in lines:
        if line.startswith(b"["):
            yield line, False
        else:
            yield decode_base64(line), True


def _response(body: dict[str, Any]) -> HttpResponse:
    return _json(msgspec.json.encode(body))


def _json(body: bytes) -> HttpResponse:
    return HttpResponse(200, dict(_JSON_HEADERS), body)


def _preflight(request: HttpRequest) -> HttpResponse:
    """The response to a CORS preflight request."""
    requested = request.headers.getall("Access-Control-Request-Headers", [])
    headers = {
        "Access-Control-Allow-Methods": "get, post, options",
        "Access-Control-Allow-Headers": ", ".join(requested),
        "Access-Control-Max-Age": "3600",
    }
    return HttpResponse(200, {**_CORS, **NO_STORE, **headers})


def with_cors(response: HttpResponse) -> HttpResponse:
    """The response, for pages of every origin too."""
    response.headers.update(_CORS)
    return response
