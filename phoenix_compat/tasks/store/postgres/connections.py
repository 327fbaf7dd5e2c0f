"""The connections to PostgreSQL: a limited number, opened when they are needed.

asyncpg's own pool resets a connection each time that it gets it back, which costs a round trip for
each statement here, and waits for a server that does not respond longer than a caller may wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg
import structlog

from phoenix_compat.errors import ConfigError
from phoenix_compat.tasks.store.postgres.values import set_codecs

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

MAX_CONNECTIONS: Final = 10
CACHED_STATEMENTS: Final = 300
"""More than there are, so that each is prepared once for each connection."""

# A node that is stopped or cut off in the middle of a transaction must not keep others from its
# rows for longer than they wait for a write, nor keep its connections. For short statements
# just-in-time compilation takes longer than the statement.
_SETTINGS: Final = {
    "application_name": "phoenix-compat",
    "client_connection_check_interval": "2s",
    "idle_in_transaction_session_timeout": "3s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "jit": "off",
}
_SETTINGS_REFUSED: Final = (
    asyncpg.CantChangeRuntimeParamError,
    asyncpg.InvalidParameterValueError,
    asyncpg.ProtocolViolationError,
    asyncpg.UndefinedObjectError,
)
_CLOSE_TIMEOUT_S: Final = 1.0
_SCHEMES: Final = ("postgresql", "postgres")
_CACHE_OPTION: Final = "statement_cache_size"

log = structlog.stdlib.get_logger(__name__)


class Connections:
    """At most `limit` connections to a database.

    Args:
        url: "postgresql://user:password@host:port/database?…", with libpq's parameters, and
            `statement_cache_size=0` for a pooler that gives each transaction another session.
        limit: the most that are open at a time.

    Raises:
        ConfigError: this is not such an address.

    Attributes:
        is_pooled: whether a pooler such as PgBouncer is between us and the server, so that no
            statement stays prepared.
    """

    def __init__(self, url: str, limit: int = MAX_CONNECTIONS) -> None:
        self._url, self.is_pooled = _without_cache_option(url)
        self._settings = dict(_SETTINGS)
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._stale: set[Connection] = set()
        self._abandoned: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(limit)

    async def acquire(self, deadline: float) -> Connection:
        """A connection of one's own until `release`.

        Args:
            deadline: in the loop's time.

        Raises:
            TimeoutError: none is free, or the server does not respond.
            OSError, asyncpg.PostgresError, asyncpg.InterfaceError: it cannot be reached, or
                refuses.
        """
        if self._places.locked():
            async with asyncio.timeout_at(deadline):
                await self._places.acquire()
        else:
            await self._places.acquire()
        try:
            connection = self._take_idle() or await self._connect(deadline)
        except BaseException:
            self._places.release()
            raise
        self._busy.add(connection)
        return connection

    def release(self, connection: Connection, *, is_usable: bool) -> None:
        """Give a connection back; one that is not usable is closed at once."""
        self._busy.discard(connection)
        is_stale = connection in self._stale
        self._stale.discard(connection)
        if is_usable and not is_stale and not connection.is_closed():
            self._idle.append(connection)
        else:
            connection.terminate()
        self._places.release()

    def abandon(self, connection: Connection) -> None:
        """Give a connection back whose caller does not wait for the answer any more.

        The driver asks the server to stop; the connection is closed after that.
        """
        task = asyncio.create_task(_close(connection), name="store-abandoned")
        self._abandoned.add(task)
        task.add_done_callback(self._abandoned.discard)
        task.add_done_callback(lambda _: self.release(connection, is_usable=False))

    def forget_idle(self) -> None:
        """Close the connections that nobody uses, because the server may be gone for them too."""
        for connection in self._idle:
            connection.terminate()
        self._idle.clear()

    def use_no_prepared(self) -> None:
        """Prepare no statement that stays, because a pooler mixes them up."""
        if not self.is_pooled:
            self.is_pooled = True
            log.warning("store.pooler", advice=f"add {_CACHE_OPTION}=0 to database_url")
            self._stale |= self._busy
        self.forget_idle()

    async def close(self) -> None:
        """Close all connections: the idle ones as the server likes it, the busy ones at once."""
        if self._abandoned:
            await asyncio.wait(self._abandoned)
        for connection in self._busy:
            connection.terminate()
        idle, self._idle = self._idle, []
        await asyncio.gather(*(_close(connection) for connection in idle))

    def _take_idle(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return None

    async def _connect(self, deadline: float) -> Connection:
        async with asyncio.timeout_at(deadline):
            try:
                return await self._open()
            except _SETTINGS_REFUSED as error:
                # PgBouncer knows none of these parameters, and keeps no settings of a session. Some
                # systems do not have all of them.
                if not self._settings:
                    raise
                self._settings = {}
                if isinstance(error, asyncpg.ProtocolViolationError):
                    self.use_no_prepared()
                return await self._open()

    async def _open(self) -> Connection:
        connection = await asyncpg.connect(
            self._url,
            timeout=60.0,  # the deadline is earlier
            statement_cache_size=0 if self.is_pooled else CACHED_STATEMENTS,
            max_cached_statement_lifetime=0,
            max_cacheable_statement_size=0,
            server_settings=self._settings,
        )
        try:
            await set_codecs(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection


async def _close(connection: Connection) -> None:
    """Close a connection as the server likes it, or at once if it does not answer."""
    try:
        await connection.close(timeout=_CLOSE_TIMEOUT_S)
    except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresError):
        connection.terminate()


@contextmanager
def ended_at(connection: Connection, deadline: float) -> Iterator[None]:
    """End a connection at a time, so that whoever waits for its answer gets an error.

    Cancelling the wait would make the driver open another connection to cancel the statement.
    """
    timer = asyncio.get_running_loop().call_at(deadline, connection.terminate)
    try:
        yield
    finally:
        timer.cancel()


def checked_url(url: str) -> str:
    """The address of a database, if it is one.

    Raises:
        ConfigError: the text has what is wrong with it, without the address, which may have a
            password.
    """
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in _SCHEMES and len(parts.path) > 1
        _ = parts.port
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ConfigError(
            "database_url: must be like postgresql://user:password@host:5432/database"
        )
    return url


def name_of(url: str) -> str:
    """The address for people: without the password and without parameters."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2] or dict(parse_qsl(parts.query)).get("host", "")
    return f"postgresql://{host}{parts.path}"


def _without_cache_option(url: str) -> tuple[str, bool]:
    parts = urlsplit(checked_url(url))
    options: list[tuple[str, Any]] = parse_qsl(parts.query, keep_blank_values=True)
    kept = [(name, value) for name, value in options if name != _CACHE_OPTION]
    is_off = (_CACHE_OPTION, "0") in options
    return urlunsplit(parts._replace(query=urlencode(kept))), is_off
