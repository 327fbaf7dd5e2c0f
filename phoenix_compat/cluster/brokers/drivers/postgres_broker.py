"""Passes messages through PostgreSQL with LISTEN and NOTIFY.

There are two connections. One only listens, and reads what was too long for a notification. The
other one notifies: it sends all that has come since its last statement, so the more there is to
send, the fewer notifications each message costs. It never notifies in a transaction that writes,
because PostgreSQL lets only one transaction with a notification commit at a time.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from phoenix_compat.cluster.brokers.broker import BrokerError, OnMessage
from phoenix_compat.cluster.brokers.broker_bus import BrokerBus
from phoenix_compat.cluster.brokers.drivers.large_payloads import LargePayloads
from phoenix_compat.cluster.brokers.drivers.notifications import (
    InvalidNotificationError,
    batch_text,
    channel_of,
    is_inline,
    read_text,
    reference_text,
    split_into_batches,
)
from phoenix_compat.cluster.brokers.drivers.send_queue import SendQueue
from phoenix_compat.cluster.brokers.drivers.working import reason_of, until_one_ends
from phoenix_compat.cluster.brokers.options import BusOptions
from phoenix_compat.cluster.bus import MAX_QUEUE_BYTES
from phoenix_compat.errors import ConfigError
from phoenix_compat.extras import require

if TYPE_CHECKING:
    from typing import Unpack

    from asyncpg import Connection

CONNECT_S: Final = 5.0
HEARD_S: Final = 5.0
"""How long a new connection waits for its own notification."""
CLOSE_S: Final = 0.8
"""How long the end may take; then the connections are dropped."""
PAUSE_S: Final = 0.004
"""The shortest time from one statement that notifies to the next: each costs the node as much as
twenty messages in one."""
MAX_UNREAD: Final = 2_000
"""The limit of notifications that wait while a long message is read; more are dropped."""
MAX_PAYLOAD_BYTES: Final = 2**20
_SCHEMES: Final = ("postgresql", "postgres")
_NOTIFY: Final = (
    "SELECT pg_notify(channel, payload) FROM unnest($1::text[], $2::text[]) AS m(channel, payload)"
)


class PostgresBus(BrokerBus):
    """A Bus through PostgreSQL, for nodes on any machines.

    It needs no right but to connect, to LISTEN, and to create one small table.

    Args:
        url: `postgresql://USER:PASSWORD@HOST:5432/DATABASE`, with the parameters of libpq. All
            nodes use the same database. PgBouncer between needs the mode `session`.
        options: see BrokerBus.

    Raises:
        MissingExtraError: the extra `postgres` is not installed.
        ConfigError: an argument is invalid; the text does not contain the URL.
    """

    def __init__(self, url: str, **options: Unpack[BusOptions]) -> None:
        super().__init__(PostgresBroker(url), **options)


class PostgresBroker:
    """Two connections to a PostgreSQL server; see broker.Broker.

    Args:
        url: see PostgresBus.
        max_queue_bytes: the limit of unsent bytes.

    Attributes:
        name: the server and the database, for logs.
        max_payload_bytes: the limit of one message.
        dropped: received messages that were not passed on: too many waited, or they were not there
            any more.
    """

    max_payload_bytes = MAX_PAYLOAD_BYTES

    def __init__(self, url: str, *, max_queue_bytes: int = MAX_QUEUE_BYTES) -> None:
        require("postgres")
        self.name = _name(url)
        self.dropped = 0
        self._url = url
        self._queue = SendQueue(max_queue_bytes)
        self._counter = 0
        self._is_connected = False
        self._unread: deque[tuple[str, list[bytes] | int]] = deque()
        self._has_unread = asyncio.Event()
        self._large = LargePayloads()

    def load(self) -> None:
        """See broker.Broker."""
        import_module("asyncpg")

    def publish(self, subject: str, data: bytes) -> bool:
        """See broker.Broker."""
        return len(data) <= self.max_payload_bytes and self._queue.put(subject, data)

    async def run(
        self, subjects: Sequence[str], on_message: OnMessage, on_connected: Callable[[], None]
    ) -> None:
        """See broker.Broker."""
        from asyncpg import InterfaceError, PostgresError  # noqa: PLC0415 - an extra

        connections: list[Connection] = []
        self._unread.clear()
        try:
            async with asyncio.timeout(CONNECT_S + HEARD_S):
                for purpose in ("listens", "notifies"):
                    connections.append(await self._connect(purpose))  # noqa: PERF401 - closed below
                listener, sender = connections
                await self._large.prepare(sender)
                await self._listen(listener, sender, subjects, on_message)
            self._queue.open()
            self._is_connected = True
            on_connected()
            await until_one_ends(
                self._send_forever(sender),
                self._read_forever(listener, on_message),
                _wait_until_lost(connections),
            )
        except TimeoutError:
            raise BrokerError("it did not answer in time") from None
        except (PostgresError, InterfaceError, OSError) as error:
            raise BrokerError(reason_of(error)) from error
        finally:
            self._is_connected = False
            await self._close(connections)
        raise BrokerError("it has closed the connection")

    async def _connect(self, purpose: str) -> Connection:
        connection: Connection = await import_module("asyncpg").connect(
            self._url,
            timeout=CONNECT_S,
            server_settings={"application_name": f"phoenix_compat bus {purpose}"},
        )
        return connection

    async def _listen(
        self,
        listener: Connection,
        sender: Connection,
        subjects: Sequence[str],
        on_message: OnMessage,
    ) -> None:
        await listener.execute(
            "SET idle_session_timeout = 0"
        )  # it may have nothing to say for days
        heard = asyncio.Event()
        probe = f"phx_probe_{secrets.token_hex(8)}"
        await listener.add_listener(probe, lambda *_: heard.set())
        for subject in subjects:
            await listener.add_listener(
                channel_of(subject),
                lambda _connection, _pid, _channel, text, subject=subject: self._receive(
                    subject, text, on_message
                ),
            )
        await sender.execute("SELECT pg_notify($1, '')", probe)
        try:
            async with asyncio.timeout(HEARD_S):
                await heard.wait()
        except TimeoutError:
            raise BrokerError(
                "a connection does not hear what it listens to. If this is "
                "PgBouncer, name the server itself, or a pool with pool_mode=session"
            ) from None
        await listener.execute(f'UNLISTEN "{probe}"')

    async def _send_forever(self, sender: Connection) -> None:
        while True:
            await self._send(sender, await self._queue.take())
            await self._large.prune(sender)
            await asyncio.sleep(PAUSE_S)

    async def _send(self, sender: Connection, messages: Iterable[tuple[str, bytes]]) -> None:
        channels, texts = [], []
        # Only neighbours share a notification, so that the order is kept.
        for subject, neighbours in groupby(messages, itemgetter(0)):
            for batch in split_into_batches(data for _, data in neighbours):
                channels.append(channel_of(subject))
                texts.append(await self._text(sender, batch))
        if texts:
            await sender.execute(_NOTIFY, channels, texts)

    async def _text(self, sender: Connection, batch: list[bytes]) -> str:
        self._counter += 1
        if is_inline(batch[0]):
            return batch_text(self._counter, batch)
        return reference_text(self._counter, await self._large.keep(sender, batch[0]))

    def _receive(self, subject: str, text: str, on_message: OnMessage) -> None:
        if not self._is_connected:
            return  # to the bus, nothing was subscribed yet
        try:
            content = read_text(text)
        except InvalidNotificationError:
            self.dropped += 1
            return
        if isinstance(content, int) or self._unread:
            if len(self._unread) >= MAX_UNREAD:
                self.dropped += 1
                return
            self._unread.append((subject, content))
            self._has_unread.set()
            return
        for data in content:
            on_message(subject, data)

    async def _read_forever(self, listener: Connection, on_message: OnMessage) -> None:
        while True:
            await self._has_unread.wait()
            self._has_unread.clear()
            while self._unread:
                subject, content = self._unread[0]
                if isinstance(content, int):
                    content = await self._large.read(listener, content)
                    self.dropped += not content
                for data in content:
                    on_message(subject, data)
                self._unread.popleft()

    async def _close(self, connections: Sequence[Connection]) -> None:
        from asyncpg import InterfaceError, PostgresError  # noqa: PLC0415 - an extra

        self._queue.close()
        self._unread.clear()
        try:
            async with asyncio.timeout(CLOSE_S):
                for connection in connections:
                    await connection.close()
        except (PostgresError, InterfaceError, OSError):  # a TimeoutError is an OSError
            pass
        finally:
            for connection in connections:
                connection.terminate()


async def _wait_until_lost(connections: Sequence[Connection]) -> None:
    lost = asyncio.Event()
    for connection in connections:
        connection.add_termination_listener(lambda _connection: lost.set())
    if not any(connection.is_closed() for connection in connections):
        await lost.wait()


def _name(url: str) -> str:
    """The URL without login and parameters. Raises ConfigError."""
    try:
        parts = urlsplit(url)
        hosts = parts.netloc.rpartition("@")[2]
        for host in hosts.split(","):
            _ = urlsplit(f"//{host}").port
    except ValueError:
        parts, hosts = urlsplit(""), ""
    # A / of a password ends the host, for urlsplit and for asyncpg.
    if parts.scheme not in _SCHEMES or "@" in parts.path:
        raise ConfigError(
            "the URL of PostgreSQL must be postgresql://USER:PASSWORD@HOST:PORT/DATABASE; in the "
            "password write / as %2F, @ as %40 and : as %3A"
        )
    return f"postgresql://{hosts}{parts.path}"
