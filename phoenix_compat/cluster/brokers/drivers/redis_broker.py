"""Passes messages through Redis or Valkey, by pub/sub: nothing is stored.

One connection subscribes and one publishes. redis-py would reconnect and subscribe again by itself,
unnoticed; here a lost connection ends `run`, and BrokerBus calls it again, so that every node knows
that it may have missed something. Errors of the driver have no passwords.

A Redis cluster passes a message of PUBLISH to all its servers. There the sharded pub/sub is used,
with one hash tag, so one server and its replicas have all subjects of a prefix.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from phoenix_compat.cluster.brokers.broker import BrokerError, OnMessage
from phoenix_compat.cluster.brokers.broker_bus import BrokerBus
from phoenix_compat.cluster.brokers.drivers.send_queue import SendQueue
from phoenix_compat.cluster.brokers.drivers.working import reason_of, until_one_ends
from phoenix_compat.cluster.brokers.options import BusOptions
from phoenix_compat.cluster.bus import MAX_QUEUE_BYTES
from phoenix_compat.errors import ConfigError
from phoenix_compat.extras import require

if TYPE_CHECKING:
    from typing import Unpack

    from redis.asyncio import ConnectionPool

CONNECT_S: Final = 5.0
MAX_PAYLOAD_BYTES: Final = 2**20
"""Redis takes 512 MiB, but services that offer it take less, and handling one blocks the loop."""
MAX_REDIRECTS: Final = 3
PAUSE_S: Final = 0.002
"""The shortest time from one write to the next: each write, and what comes back, costs as much as
several messages in one."""
_SCHEMES: Final = ("redis", "rediss", "unix")
_DEFAULT_PORT: Final = 6379
_MESSAGES_PER_TURN: Final = 32
_MOVED: Final = re.compile(r"(MOVED )?\d+ (?P<host>\S*):(?P<port>\d+)")
"""redis-py 5 leaves the first word in the text of the error."""
_OPTIONS: Final[dict[str, Any]] = {
    "protocol": 2,
    "decode_responses": False,
    "socket_timeout": None,
    "socket_connect_timeout": CONNECT_S,
    "health_check_interval": 0,
}
_DECIDED: Final = {*_OPTIONS, "db"}


class RedisBus(BrokerBus):
    """A Bus through Redis or Valkey, for nodes on any machines.

    Args:
        url: `redis://HOST:6379`, with TLS `rediss://HOST:6379`, with a login
            `redis://USER:PASSWORD@HOST:6379`, or `unix:///PATH`. The parameters are redis-py's,
            such as `?ssl_ca_certs=/etc/ssl/own.pem`. Any server of a Redis cluster will do.
        options: see BrokerBus.

    Raises:
        MissingExtraError: the extra `redis` is not installed.
        ConfigError: an argument is invalid; the text does not contain the URL.
    """

    def __init__(self, url: str, **options: Unpack[BusOptions]) -> None:
        super().__init__(RedisBroker(url), **options)


class RedisBroker:
    """Two connections to a Redis server; see broker.Broker.

    Args:
        url: see RedisBus.

    Attributes:
        name: the scheme, host and port, for logs.
        max_payload_bytes: see MAX_PAYLOAD_BYTES.
    """

    def __init__(self, url: str, *, max_queue_bytes: int = MAX_QUEUE_BYTES) -> None:
        require("redis")
        self.name = _safe_name(url)
        self.max_payload_bytes = MAX_PAYLOAD_BYTES
        self._url = _without_options(url)
        self._queue = SendQueue(max_queue_bytes)

    def load(self) -> None:
        """See broker.Broker."""
        import_module("redis.asyncio")
        try:
            _make_connection(self._pool())
        except (OSError, TypeError, ValueError) as error:  # of a file, a name, a value
            raise ConfigError(
                f"a parameter in the URL of {self.name} cannot be used: {reason_of(error)}"
            ) from None

    def publish(self, subject: str, data: bytes) -> bool:
        """See broker.Broker."""
        return len(data) <= self.max_payload_bytes and self._queue.put(subject, data)

    async def run(
        self, subjects: Sequence[str], on_message: OnMessage, on_connected: Callable[[], None]
    ) -> None:
        """See broker.Broker."""
        from redis.exceptions import RedisError  # noqa: PLC0415 - an extra

        session = _Session(self._pool(), subjects, on_message)
        try:
            async with asyncio.timeout(CONNECT_S):
                await session.open()
            self._queue.open()
            on_connected()
            await until_one_ends(session.receive(), session.send(self._queue), session.watch())
        except TimeoutError:
            raise BrokerError(f"it did not answer in {CONNECT_S} s") from None
        except (OSError, RedisError) as error:
            cause = error.__context__  # redis-py puts a technical text around it
            raise BrokerError(reason_of(cause if isinstance(cause, OSError) else error)) from error
        finally:
            self._queue.close()
            await session.close()

    def _pool(self) -> ConnectionPool:
        """Where connections are made; it holds none. Raises ValueError."""
        from redis.asyncio import ConnectionPool  # noqa: PLC0415 - an extra
        from redis.asyncio.retry import Retry  # noqa: PLC0415 - an extra
        from redis.backoff import NoBackoff  # noqa: PLC0415 - an extra

        options = {**_OPTIONS, "retry": Retry(NoBackoff(), 0)}
        if self._url.startswith("rediss:"):
            options["ssl_check_hostname"] = True  # redis-py 5 does not by default
        return ConnectionPool.from_url(self._url, **options)


class _Session:
    """The two connections from one connect to the next."""

    def __init__(
        self, pool: ConnectionPool, subjects: Sequence[str], on_message: OnMessage
    ) -> None:
        self._pool = pool
        self._subjects = subjects
        self._on_message = on_message
        self._connections: list[Any] = []  # some functions of the driver have no types
        self._publish = "PUBLISH"

    async def open(self) -> None:
        """Connect and subscribe."""
        from redis.exceptions import ResponseError  # noqa: PLC0415 - an extra

        for _ in range(MAX_REDIRECTS):
            publisher = await self._connect()
            if await self._is_cluster(publisher):
                self._publish = "SPUBLISH"
            try:
                # Nobody subscribes to this one; it shows the rights, and the place of the slot.
                unused = self._channel(f"{self._subjects[0]}.unused")
                await _execute(publisher, self._publish, unused, b"")
            except ResponseError as error:
                moved = _MOVED.fullmatch(str(error))
                if moved is None:
                    raise
                await self.close()
                self._pool.connection_kwargs["port"] = int(moved["port"])
                if moved["host"]:
                    self._pool.connection_kwargs["host"] = moved["host"]
            else:
                # Without replies the driver has less to do for each message.
                await publisher.send_command("CLIENT", "REPLY", "OFF", check_health=False)
                await self._subscribe(await self._connect())
                return
        raise BrokerError("its servers do not agree on who has the subjects")

    async def close(self) -> None:
        """Drop the connections."""
        for connection in self._connections:
            writer = connection._writer  # noqa: SLF001 - it has no public way to drop what is unsent
            if writer is not None:
                writer.transport.abort()
            await connection.disconnect(nowait=True)
        self._connections.clear()

    async def _connect(self) -> Any:
        connection = await asyncio.to_thread(_make_connection, self._pool)
        self._connections.append(connection)
        await connection.connect()
        return connection

    async def _is_cluster(self, connection: Any) -> bool:
        from redis.exceptions import ResponseError  # noqa: PLC0415 - an extra

        try:
            info = await _execute(connection, "INFO", "cluster")
        except ResponseError:  # not allowed, or a proxy that does not know it
            return False
        return isinstance(info, bytes) and b"cluster_enabled:1" in info

    async def _subscribe(self, connection: Any) -> None:
        command = "SUBSCRIBE" if self._publish == "PUBLISH" else "SSUBSCRIBE"
        channels = [self._channel(subject) for subject in self._subjects]
        await _execute(connection, command, *channels)
        for _ in channels[1:]:
            await connection.read_response(disable_decoding=True)

    def _channel(self, subject: str) -> str:
        if self._publish == "PUBLISH":
            return subject
        prefix, _, rest = subject.partition(".")
        return f"{{{prefix}}}.{rest}"

    async def receive(self) -> None:
        """Deliver messages until the connection is lost."""
        subscriber = self._connections[1]
        subjects = {self._channel(subject).encode(): subject for subject in self._subjects}
        while True:
            for _ in range(_MESSAGES_PER_TURN):
                response: Any = await subscriber.read_response(disable_decoding=True)
                kind, channel, data = response
                if kind not in {b"message", b"smessage"}:
                    raise BrokerError(f"it has ended the subscription ({kind.decode()})")
                self._on_message(subjects[channel], data)
            await asyncio.sleep(0)  # the driver does not wait while there is something to read

    async def send(self, queue: SendQueue) -> None:
        """Publish what is in the queue: everything of a tick in one write."""
        publisher = self._connections[0]
        while True:
            batch = await queue.take()
            packed = b"".join(self._packed(subject, data) for subject, data in batch)
            await publisher.send_packed_command(packed, check_health=False)
            await asyncio.sleep(PAUSE_S)

    def _packed(self, subject: str, data: bytes) -> bytes:
        """A command to publish, as it is sent; the driver's own way takes several times as long."""
        words = (self._publish.encode(), self._channel(subject).encode(), data)
        return b"*3\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)

    async def watch(self) -> None:
        """Notice the end of the connection that publishes."""
        from redis.exceptions import ResponseError  # noqa: PLC0415 - an extra

        publisher = self._connections[0]
        may_refuse_silence = True
        while True:
            try:
                await publisher.read_response(disable_decoding=True)
            except ResponseError:
                if not may_refuse_silence:
                    raise
            may_refuse_silence = False


def _make_connection(pool: Any) -> Any:
    """A connection that is not connected. Blocks: it reads certificates, and its own version."""
    connection = pool.make_connection()
    tls = getattr(connection, "ssl_context", None)
    if tls is not None:
        tls.get()  # which keeps it
    return connection


async def _execute(connection: Any, *words: str | bytes) -> Any:
    await connection.send_command(*words, check_health=False)
    return await connection.read_response(disable_decoding=True)


def _without_options(url: str) -> str:
    """The URL without what is decided here, and without a database, which pub/sub does not have."""
    parts = urlsplit(url)
    path = parts.path if parts.scheme == "unix" else ""
    options = [(name, value) for name, value in parse_qsl(parts.query) if name not in _DECIDED]
    return f"{parts.scheme}://{parts.netloc}{path}?{urlencode(options)}"


def _safe_name(url: str) -> str:
    """The URL without login and parameters. Raises ConfigError."""
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORT
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme == "unix" and parts.path:
        return f"unix://{parts.path}"
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise ConfigError(
            "the URL of Redis must be redis://HOST:PORT, rediss://HOST:PORT with TLS, or "
            "unix:///PATH; a login stands before the host: redis://USER:PASSWORD@HOST:PORT"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port}"
