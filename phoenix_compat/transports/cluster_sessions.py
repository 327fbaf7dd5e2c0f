"""Long-poll sessions of the other nodes, reached over a bus.

A session's name begins with the number of its node. A request for a session of another node is a
call of that node, which answers it as if the client had come to it. If the client disconnects
meanwhile, the other node hears of it within GONE_S, so that the next poll gets what this one would
have got. Whatever is sent in that time is lost, as is everything that is on its way to a client
that disconnects.

If the call fails, the client begins anew: its session has ended, or its answer is lost and nobody
knows what was in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Collection
from typing import Final

import msgspec

from phoenix_compat.cluster.bus import Bus, CallError
from phoenix_compat.transports.long_poll import Client, LongPollHub, with_cors
from phoenix_compat.transports.request import HttpRequest
from phoenix_compat.transports.response import HttpResponse

log = logging.getLogger(__name__)

GONE_S: Final = 0.5
_CALL: Final = "longpoll"
_GONE: Final = "longpoll-gone"
_MARGIN_S: Final = 5.0
"""How much longer than its window a poll may take before its node counts as dead."""
_MAX_NUMBER_CHARS: Final = 20
"""The numbers of nodes have up to 64 bits."""


class _Asked(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A request for a session of the node that is called."""

    number: int
    session: str
    method: str
    content_type: str
    body: bytes


class _Answered(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The response of the other node; its status is 0 if it does not have the session."""

    status: int
    headers: dict[str, str]
    body: bytes


_encoder: Final = msgspec.msgpack.Encoder()
_asked_decoder: Final = msgspec.msgpack.Decoder(_Asked)
_answered_decoder: Final = msgspec.msgpack.Decoder(_Answered)


class _RemoteClient:
    """The client of a request that came to another node; see long_poll.Client."""

    def __init__(self, body: bytes) -> None:
        self.is_gone = False
        self._body = body

    async def read_body(self, max_bytes: int) -> bytes | HttpResponse:
        """The body, which the other node has read within the limit."""
        del max_bytes
        return self._body


class ClusterSessions:
    """See long_poll.OtherProcesses. Without a bus it knows the sessions of this process only."""

    def __init__(self) -> None:
        self._hubs: list[LongPollHub] = []
        self._bus: Bus | None = None
        self._numbers = itertools.count(1)
        self._clients: dict[tuple[int, int], _RemoteClient] = {}

    def add(self, hub: LongPollHub) -> None:
        """Answer for the sessions of this hub too."""
        if hub not in self._hubs:
            self._hubs.append(hub)

    def remove(self, hubs: Collection[LongPollHub]) -> None:
        """Do not answer for the sessions of these hubs any more."""
        self._hubs = [hub for hub in self._hubs if hub not in hubs]

    def attach(self, bus: Bus) -> None:
        """Ask and answer over this bus from now on."""
        self._bus = bus
        bus.on_call(_CALL, self._answer)
        bus.on_cast(_GONE, self._client_gone)

    def detach(self) -> None:
        """Know the sessions of this process only."""
        self._bus = None

    def session_name(self, name: str) -> str:
        """See long_poll.OtherProcesses."""
        return name if self._bus is None else f"{self._bus.node}.{name}"

    async def ask_owner(
        self, request: HttpRequest, client: Client, name: str | None, max_body_bytes: int
    ) -> HttpResponse | None:
        """See long_poll.OtherProcesses."""
        bus = self._bus
        owner = None if bus is None or name is None else _owner_of(name)
        if bus is None or name is None or owner is None or owner not in bus.up:
            return None
        body = await client.read_body(max_body_bytes) if request.method == "POST" else b""
        if isinstance(body, HttpResponse):
            return with_cors(body)
        content_type = request.headers.get("Content-Type", "")
        number = next(self._numbers)
        asked = _encoder.encode(_Asked(number, name, request.method, content_type, body))
        call = asyncio.create_task(
            bus.call(
                owner,
                _CALL,
                asked,
                on_reply=_answered_decoder.decode,
                timeout_s=self._longest_window_s + _MARGIN_S,
            )
        )
        try:
            answered = await _unless_gone(call, client)
        except CallError as error:
            log.info("a long-poll session has ended: %s", error)
            return None
        finally:
            call.cancel()
            with contextlib.suppress(asyncio.CancelledError, CallError):
                await call
        if answered is None:
            bus.cast(_GONE, _encoder.encode((owner, number)))
            return HttpResponse(499)  # nobody gets it; the number is nginx's
        if not answered.status:
            return None
        return HttpResponse(answered.status, answered.headers, answered.body)

    @property
    def _longest_window_s(self) -> float:
        return max((hub.options.window_s for hub in self._hubs), default=0.0)

    async def _answer(self, node: int, body: bytes) -> bytes:
        """Answer a request that came to another node."""
        asked = _asked_decoder.decode(body)
        found = ((hub, hub.own_session(asked.session)) for hub in self._hubs)
        hub, session = next((each for each in found if each[1] is not None), (None, None))
        if hub is None or session is None:
            return _encoder.encode(_Answered(0, {}, b""))
        client = self._clients[node, asked.number] = _RemoteClient(asked.body)
        try:
            response = await hub.answer(session, client, asked.method, asked.content_type)
        finally:
            del self._clients[node, asked.number]
        return _encoder.encode(_Answered(response.status, response.headers, response.body))

    def _client_gone(self, node: int, body: bytes) -> None:
        owner, number = msgspec.msgpack.decode(body, type=tuple[int, int])
        if self._bus is not None and owner == self._bus.node:
            client = self._clients.get((node, number))
            if client is not None:
                client.is_gone = True


async def _unless_gone(call: asyncio.Task[_Answered], client: Client) -> _Answered | None:
    """The result of the call; None if the client disconnects before."""
    while not call.done():
        if client.is_gone:
            return None
        await asyncio.wait({call}, timeout=GONE_S)
    return call.result()


def _owner_of(session_name: str) -> int | None:
    """The number of the node that holds a session; None if the name has none."""
    number, dot, _ = session_name.partition(".")
    if not dot or not (number.isascii() and number.isdigit()) or len(number) > _MAX_NUMBER_CHARS:
        return None
    return int(number)
