"""Keeps a client connected: connect, read until the connection is lost, wait, connect again."""

from __future__ import annotations

import asyncio
from typing import Final

import aiohttp

from phoenix_compat.client.backoff import Backoff
from phoenix_compat.client.callbacks import Callbacks, log, place_of
from phoenix_compat.client.connector import Connector
from phoenix_compat.client.counters import ClientCounters
from phoenix_compat.client.errors import ConnectError
from phoenix_compat.client.heartbeat import Heartbeat
from phoenix_compat.client.link import Link
from phoenix_compat.client.options import ChannelOptions
from phoenix_compat.client.serializer import ClientSerializer
from phoenix_compat.client.transports.connection import Connection, ConnectionLostError
from phoenix_compat.client.transports.outbox import Outbox
from phoenix_compat.errors import RemoteProtocolError
from phoenix_compat.protocol.message import PHOENIX_TOPIC

STABLE_AFTER_S: Final = 5.0
"""After a connection that lasted so long, the waits begin anew."""
MESSAGES_PER_TURN: Final = 64
"""So many are received before the event loop's other work gets its turn."""
_CLOSE_NORMAL: Final = 1000
_ABNORMAL_CLOSURE: Final = 1006


class Runner:
    """The one long-lived task of a client.

    Attributes:
        link: the channels' way to the connection.
        opens, closes, errors: the app's callbacks.

    Source: phoenix.js 1.8.16, socket.js, onConnOpen, onConnClose and reconnectTimer.
    """

    def __init__(
        self,
        connector: Connector,
        serializer: ClientSerializer,
        options: ChannelOptions,
        backoff: Backoff,
        heartbeat_interval_s: float,
    ) -> None:
        counters = connector.counters
        self._outbox = Outbox(options.limits, counters, self.interrupt)
        self.link = Link(serializer, self._outbox, options, counters)
        self.opens, self.closes, self.errors = (Callbacks(counters) for _ in range(3))
        self._connector = connector
        self._backoff = backoff
        self._heartbeat = Heartbeat(
            self.link, heartbeat_interval_s, self.interrupt, connector.prove_transport
        )
        self._deadline: asyncio.Timeout | None = None
        self._interruption: ConnectionLostError | None = None
        self._first: asyncio.Future[Exception | None] | None = None

    @property
    def _counters(self) -> ClientCounters:
        return self._connector.counters

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Stay connected until the task is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            connection = await self._connect(session)
            if connection is not None:
                opened_s = loop.time()
                await self._serve(connection)
                if loop.time() - opened_s >= STABLE_AFTER_S:
                    self._backoff.reset()
            await asyncio.sleep(self._backoff.next_s())

    def first_attempt(self) -> asyncio.Future[Exception | None]:
        """What makes the first attempt to connect fail, or None; call it before `run`."""
        self._first = asyncio.get_running_loop().create_future()
        return self._first

    async def flush(self) -> None:
        """Wait until what was pushed is written, or cannot be."""
        await self._outbox.flush()

    def interrupt(self, lost: ConnectionLostError) -> None:
        """Give the connection up; `_serve` does the rest."""
        if self._deadline is None or self._interruption is not None:
            return
        self._interruption = lost
        self._deadline.reschedule(asyncio.get_running_loop().time())

    async def _connect(self, session: aiohttp.ClientSession) -> Connection | None:
        try:
            connection = await self._connector.open(session)
        except Exception as error:  # noqa: BLE001 - the app's params may raise anything
            self._counters.connect_failures += 1
            if isinstance(error, ConnectError):
                log.info("%s", error)
            else:  # its text may quote a credential
                place = place_of(error)
                name, address = type(error).__name__, self._connector.address
                log.error("%s: params or auth_token raised %s at %s", address, name, place)
            self._tell_first(error)
            self.errors.call(error)
            return None
        self._tell_first(None)
        return connection

    async def _serve(self, connection: Connection) -> None:
        """Use a connection until it ends."""
        self._counters.connects += 1
        self._open(connection)
        lost: ConnectionLostError | None = None
        try:
            lost = await self._read_until_lost(connection)
        finally:
            self._heartbeat.stop()
            sending = self._outbox.close()
            if lost is not None:  # else the client is being closed
                self._lose(lost)
            if sending is not None:
                await asyncio.wait([sending])
            await connection.close(_CLOSE_NORMAL, "" if lost is None else lost.reason)

    def _open(self, connection: Connection) -> None:
        self._interruption = None
        self._outbox.open(connection)
        if connection.has_heartbeats:
            self._heartbeat.start()
            if self._connector.may_fall_back:
                trial_s = self._connector.trial_s
                self._heartbeat.prove(trial_s, self._connector.fall_back)
        for channel in tuple(self.link.channels.values()):
            channel.connected()
        self.opens.call()

    async def _read_until_lost(self, connection: Connection) -> ConnectionLostError:
        try:
            async with asyncio.timeout(None) as deadline:
                self._deadline = deadline
                await self._read(connection)
        except ConnectionLostError as lost:
            return self._interruption or lost
        except TimeoutError:
            assert self._interruption is not None  # noqa: S101 - nothing else sets the deadline
            return self._interruption
        except Exception as error:  # noqa: BLE001 - a bug must not end the client
            log.error("a bug: %s at %s", type(error).__name__, place_of(error))
        finally:
            self._deadline = None
        return ConnectionLostError(_ABNORMAL_CLOSURE, "the client failed")

    async def _read(self, connection: Connection) -> None:
        counters = self._counters
        received = 0
        while True:
            data, is_binary = await connection.receive()
            received += 1
            if received % MESSAGES_PER_TURN == 0:
                await asyncio.sleep(0)
            try:
                message = self.link.decode(data, is_binary=is_binary)
            except RemoteProtocolError:
                counters.messages_unreadable += 1
                continue
            self._heartbeat.receive(message.ref)
            if message.topic != PHOENIX_TOPIC:
                self.link.receive(message, len(data))

    def _lose(self, lost: ConnectionLostError) -> None:
        self._counters.connections_lost += 1
        log.info("%s: connection lost: %s (%d)", self._connector.address, lost.reason, lost.code)
        for channel in tuple(self.link.channels.values()):
            channel.disconnected()
        self.closes.call(lost.code, lost.reason)

    def _tell_first(self, error: Exception | None) -> None:
        if self._first is not None and not self._first.done():
            self._first.set_result(error)
