"""Opens connections: the params and the token of each attempt, and the choice of the transport."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from phoenix_compat.client.callbacks import log
from phoenix_compat.client.counters import ClientCounters
from phoenix_compat.client.errors import ConnectError
from phoenix_compat.client.options import AuthToken, ConnectParams, Transport, Vsn
from phoenix_compat.client.transports.connection import Connection, SocketAddress
from phoenix_compat.client.transports.long_poll import open_long_poll
from phoenix_compat.client.transports.websocket import open_websocket
from phoenix_compat.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ConnectOptions:
    """How to connect; the fields are those of `Client`."""

    address: SocketAddress
    params: ConnectParams
    auth_token: AuthToken | None
    vsn: Vsn
    transport: Transport
    long_poll_fallback_s: float | None
    timeout_s: float
    poll_timeout_s: float
    max_message_bytes: int


class Connector:
    """Opens one connection after the other.

    Attributes:
        transport: the one in use. After a fallback it stays long-poll.
        counters: those of the client.

    Differs from phoenix.js: there, a client whose websocket has worked before may fall back, too,
    although then it is the server that is down.
    """

    __slots__ = ("_is_proven", "_options", "counters", "transport")

    def __init__(self, options: ConnectOptions, counters: ClientCounters) -> None:
        self._options = options
        self.counters = counters
        self.transport: Transport = options.transport
        self._is_proven = False

    @property
    def address(self) -> str:
        """The URL of the socket, without its query."""
        return self._options.address.text

    @property
    def may_fall_back(self) -> bool:
        """Whether the websocket is still on trial, and long-poll comes next."""
        return (
            self._options.long_poll_fallback_s is not None
            and self.transport == "websocket"
            and not self._is_proven
        )

    @property
    def trial_s(self) -> float:
        """How long a websocket may take to open, and then to answer a heartbeat."""
        return self._options.long_poll_fallback_s or self._options.timeout_s

    def prove_transport(self) -> None:
        """A heartbeat was answered: the transport works, so there is no fallback any more."""
        self._is_proven = True

    def fall_back(self) -> None:
        """Use long-poll from now on."""
        log.info("%s: falling back to long-poll", self.address)
        self.counters.fallbacks += 1
        self.transport = "longpoll"

    async def open(self, session: aiohttp.ClientSession) -> Connection:
        """Open a connection, after a fallback if need be.

        Raises:
            ConnectError: it could not be opened.
            Exception: whatever the app's functions raise.
        """
        if not self.may_fall_back:
            return await self._open(session, self._options.timeout_s)
        try:
            return await self._open(session, self.trial_s)
        except ConnectError:
            self.fall_back()
            return await self._open(session, self._options.timeout_s)

    async def _open(self, session: aiohttp.ClientSession, timeout_s: float) -> Connection:
        options = self._options
        try:
            async with asyncio.timeout(timeout_s):
                params = await _value(options.params)
                token = await _value(options.auth_token)
                if token is not None and not isinstance(token, str):
                    raise ConfigError("Client: auth_token must be a string, or return one")
                if self.transport == "websocket":
                    url = options.address.url("websocket", params, options.vsn)
                    return await open_websocket(
                        session, options.address, url, token, options.max_message_bytes
                    )
                return await open_long_poll(
                    session,
                    options.address,
                    params=_copied(params),
                    vsn=options.vsn,
                    auth_token=token,
                    timeout_s=options.poll_timeout_s,
                    max_message_bytes=options.max_message_bytes,
                )
        except TimeoutError:
            reason = f"no answer within {timeout_s:g} s"
            raise ConnectError(self.address, reason) from None


async def _value(given: Any) -> Any:
    """A value, or what the app's function returns now."""
    value = given() if callable(given) else given
    return await value if inspect.isawaitable(value) else value


def _copied(params: Any) -> Any:
    """Params of a session are those of its beginning, whatever the app changes later."""
    return dict(params) if isinstance(params, Mapping) else params
