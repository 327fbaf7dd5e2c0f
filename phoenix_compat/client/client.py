"""The client: one connection that is kept, and its channels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

import aiohttp

from phoenix_compat.client import options as defaults
from phoenix_compat.client.backoff import Backoff
from phoenix_compat.client.callbacks import Remove
from phoenix_compat.client.channels.channel import ClientChannel
from phoenix_compat.client.connector import ConnectOptions, Connector
from phoenix_compat.client.counters import ClientCounters
from phoenix_compat.client.errors import MisuseError
from phoenix_compat.client.options import (
    AuthToken,
    ChannelOptions,
    ClientLimits,
    ConnectParams,
    Params,
    Transport,
    Vsn,
    check_choice,
    check_jitter,
    check_seconds,
    check_waits,
)
from phoenix_compat.client.runner import Runner
from phoenix_compat.client.serializer import SERIALIZERS
from phoenix_compat.client.session import new_session
from phoenix_compat.client.transports.connection import SocketAddress

_FLUSH_TIMEOUT_S: Final = 1.0
"""How long closing waits until what was pushed is written."""


class Client:
    """A client for a Phoenix server.

        async with Client("ws://localhost:4000/socket", params={"token": "…"}) as client:
            channel = client.channel("room:lobby")
            await channel.join()

    `async with` waits for the first connection and raises if it fails; `start` does not wait. Once
    started, the client reconnects whenever the connection is lost, with longer and longer waits,
    until it is closed. It belongs to one event loop.

    Args:
        url: the URL of the socket; `/websocket` or `/longpoll` is appended.
        params: sent with each connect; a function, or a coroutine function, is called each time.
        auth_token: the same, for `connect_info`'s `auth_token` of Phoenix 1.8.
        vsn: the version of the messages; only `2.0.0` has binary payloads.
        transport: `websocket` or `longpoll`.
        long_poll_fallback_s: use long-poll, for the life of the client, if the websocket has not
            opened and answered a heartbeat within this time; by default never.
        heartbeat_interval_s: the pause between heartbeats, and how long to wait for the answer.
        timeout_s: how long to wait for a connection, a join and a reply.
        poll_timeout_s: how long a long-poll request may take.
        reconnect_after_s: the waits before attempts to connect; the last one is repeated.
        rejoin_after_s: the waits before rejoins on the same connection.
        jitter: how much each of these waits varies; 0.25 is up to a quarter.
        limits: the bounds of its buffers.
        session: an aiohttp session for its requests, see `new_session`; it stays open. By default
            each client has one of its own.

    Attributes:
        counters: what it counts.

    Raises:
        ConfigError: an option is wrong; the text names it.

    Source: phoenix.js 1.8.16, socket.js. Differs from phoenix.js: the waits have jitter, and they
    begin anew only after a connection that lasted a while, because a server that accepts and then
    crashes must not be hammered.
    """

    def __init__(  # noqa: PLR0913 - one keyword for each option
        self,
        url: str,
        *,
        params: ConnectParams | None = None,
        auth_token: AuthToken | None = None,
        vsn: Vsn = "2.0.0",
        transport: Transport = "websocket",
        long_poll_fallback_s: float | None = None,
        heartbeat_interval_s: float = defaults.HEARTBEAT_INTERVAL_S,
        timeout_s: float = defaults.TIMEOUT_S,
        poll_timeout_s: float = defaults.POLL_TIMEOUT_S,
        reconnect_after_s: Sequence[float] = defaults.RECONNECT_AFTER_S,
        rejoin_after_s: Sequence[float] = defaults.REJOIN_AFTER_S,
        jitter: float = defaults.JITTER,
        limits: ClientLimits | None = None,
        session: aiohttp.ClientSession | None = None,
    ) -> None:
        check_choice("vsn", vsn, Vsn)
        check_choice("transport", transport, Transport)
        for name, seconds in (
            ("heartbeat_interval_s", heartbeat_interval_s),
            ("timeout_s", timeout_s),
            ("poll_timeout_s", poll_timeout_s),
            ("long_poll_fallback_s", 1.0 if long_poll_fallback_s is None else long_poll_fallback_s),
        ):
            check_seconds(name, seconds)
        check_waits("reconnect_after_s", reconnect_after_s)
        check_waits("rejoin_after_s", rejoin_after_s)
        check_jitter(jitter)
        limits = limits or ClientLimits()
        self.counters = ClientCounters()
        connector = Connector(
            ConnectOptions(
                address=SocketAddress.parse(url),
                params={} if params is None else params,
                auth_token=auth_token,
                vsn=vsn,
                transport=transport,
                long_poll_fallback_s=long_poll_fallback_s,
                timeout_s=timeout_s,
                poll_timeout_s=poll_timeout_s,
                max_message_bytes=limits.max_message_bytes,
            ),
            self.counters,
        )
        options = ChannelOptions(timeout_s, rejoin_after_s, jitter, limits)
        self._runner = Runner(
            connector,
            SERIALIZERS[vsn],
            options,
            Backoff(reconnect_after_s, jitter),
            heartbeat_interval_s,
        )
        self._connector = connector
        self._given_session = session
        self._own_session: aiohttp.ClientSession | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now."""
        return self._runner.link.is_connected

    @property
    def transport(self) -> Transport:
        """The transport in use; it changes with a fallback."""
        return self._connector.transport

    async def __aenter__(self) -> Self:
        first_attempt = self._runner.first_attempt()
        self.start()
        try:
            error = await first_attempt
        except BaseException:
            await self.close()
            raise
        if error is not None:
            await self.close()
            raise error
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def start(self) -> None:
        """Connect in the background, and try again if that fails; end it with `close`.

        Raises:
            MisuseError: the client was started before.
        """
        if self._task is not None or self._is_closed:
            raise MisuseError("a client can be started once; create another Client")
        session = self._given_session
        if session is None:
            self._own_session = session = new_session()
        self._task = asyncio.get_running_loop().create_task(self._runner.run(session))

    async def close(self) -> None:
        """Disconnect, and close all channels; what was pushed before is still sent."""
        self._is_closed = True
        task = self._task
        try:
            if task is not None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_FLUSH_TIMEOUT_S):
                        await self._runner.flush()
        finally:
            for channel in tuple(self._runner.link.channels.values()):
                channel.close()
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
            if self._own_session is not None:
                await self._own_session.close()

    def channel(
        self, topic: str, params: Params | Callable[[], Params] | None = None
    ) -> ClientChannel:
        """A channel for a topic; call its `join`.

        Args:
            params: the payload of each join; a function is called for each.
        """
        return ClientChannel(topic, {} if params is None else params, self._runner.link)

    def on_open(self, callback: Callable[[], object]) -> Remove:
        """Call `callback()` for each connection that is opened; returns what removes it.

        Callbacks are plain functions that must not block. Raises MisuseError for others.
        """
        return self._runner.opens.add(callback)

    def on_close(self, callback: Callable[[int, str], object]) -> Remove:
        """Call `callback(code, reason)` when a connection is lost; returns what removes it."""
        return self._runner.closes.add(callback)

    def on_error(self, callback: Callable[[Exception], object]) -> Remove:
        """Call `callback(error)` when an attempt to connect fails; returns what removes it."""
        return self._runner.errors.add(callback)
