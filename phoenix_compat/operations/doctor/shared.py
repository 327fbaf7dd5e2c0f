"""Checks the database and the bus that several servers share. Asks them, and changes nothing."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from phoenix_compat.cluster.brokers.listening import echo_s
from phoenix_compat.errors import ConfigError
from phoenix_compat.operations.doctor.finding import Finding, fail, ok, warn
from phoenix_compat.server.database import SHARED_SCHEMA, bus_url_of, schema_sql
from phoenix_compat.server.nodes.buses import make_broker
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.server.process.settings.nodes import shown_url

if TYPE_CHECKING:
    import asyncpg

CONNECT_S: Final = 5.0
SLOW_S: Final = 0.02
"""A server answers a POST after a few statements, so a slower database makes it slow."""
MAX_SKEW_S: Final = 2.0
BUS_S: Final = 5.0
PER_PROCESS: Final = 12
"""Connections that a process may open: those of the store, and two of a bus over PostgreSQL."""
_FIRST_VERSION: Final = 150_000
_SAMPLES: Final = 9
_DATABASE: Final = "database"

_Check = Callable[["asyncpg.Connection"], Coroutine[Any, Any, Finding]]


async def check_shared(settings: Settings) -> AsyncIterator[Finding]:
    """Check the database of `database_url`, and the bus."""
    async for finding in _check_database(settings):
        yield finding
    yield await check_bus(settings)


async def _check_database(settings: Settings) -> AsyncIterator[Finding]:
    import asyncpg  # noqa: PLC0415 - an extra

    assert settings.database_url is not None  # noqa: S101 - the caller has looked
    url = settings.database_url.get_secret_value()
    try:
        connection = await _connected(url)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        reason = "no answer in time" if isinstance(error, TimeoutError) else str(error)
        remedy = f"check database_url, and that {shown_url(url)} accepts connections from here"
        yield fail(_DATABASE, f"cannot connect: {reason}", remedy)
        return
    checks: tuple[_Check, ...] = (
        _check_version,
        _check_latency,
        _check_clock,
        _check_commit,
        _check_connections,
        lambda one: _check_pooler(one, url),
    )
    try:
        for check in checks:
            try:
                async with asyncio.timeout(CONNECT_S):
                    yield await check(connection)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                yield fail(_DATABASE, f"it failed a question: {error}", "look into its log")
                return
    finally:
        connection.terminate()


async def _connected(url: str) -> asyncpg.Connection:
    import asyncpg  # noqa: PLC0415 - an extra

    # PgBouncer's transaction mode cannot keep prepared statements.
    return await asyncpg.connect(url, timeout=CONNECT_S, statement_cache_size=0)


async def _check_version(connection: asyncpg.Connection) -> Finding:
    number = int(await connection.fetchval("SHOW server_version_num"))
    version = await connection.fetchval("SHOW server_version")
    if number < _FIRST_VERSION:
        return fail(_DATABASE, f"PostgreSQL {version} is too old", "use PostgreSQL 15 or later")
    if await connection.fetchval("SELECT to_regclass('schema_version') IS NULL"):
        return ok(_DATABASE, f"PostgreSQL {version}, without tables yet; serve creates them")
    from phoenix_compat.tasks.store.postgres.migrations import version_of  # noqa: PLC0415

    wanted = version_of(await asyncio.to_thread(schema_sql, SHARED_SCHEMA))
    found = await connection.fetchval("SELECT max(version) FROM schema_version")
    tasks = await connection.fetchval("SELECT count(*) FROM tasks")
    detail = f"PostgreSQL {version}, {tasks} tasks, schema version {found}"
    if found > wanted:
        remedy = "update this program: a newer one has upgraded the database"
        return fail(_DATABASE, f"{detail}, and this program knows {wanted}", remedy)
    if found < wanted:
        return warn(_DATABASE, detail, f"the next start upgrades it to version {wanted}")
    return ok(_DATABASE, detail)


async def _check_latency(connection: asyncpg.Connection) -> Finding:
    taken_s = []
    for _ in range(_SAMPLES):
        began_s = time.perf_counter()
        await connection.fetchval("SELECT 1")
        taken_s.append(time.perf_counter() - began_s)
    median_s = statistics.median(taken_s)
    detail = f"a statement takes {median_s * 1_000:.1f} ms (median of {_SAMPLES})"
    if median_s > SLOW_S:
        return warn("database latency", detail, "run the servers near their database")
    return ok("database latency", detail)


async def _check_clock(connection: asyncpg.Connection) -> Finding:
    asked_s = time.time()
    told_s = float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())"))
    skew_s = (asked_s + time.time()) / 2 - told_s
    name = "clock"
    if abs(skew_s) > MAX_SKEW_S:
        direction = "ahead of" if skew_s > 0 else "behind"
        return warn(
            name,
            f"this machine is {abs(skew_s):.0f} s {direction} the database",
            "run a time service; tasks go by the database's clock, and tokens by this one",
        )
    return ok(name, f"{abs(skew_s) * 1_000:.0f} ms from that of the database")


async def _check_commit(connection: asyncpg.Connection) -> Finding:
    name = "synchronous_commit"
    mode = str(await connection.fetchval("SHOW synchronous_commit"))
    if mode == "off":
        return warn(
            name,
            "off: a crash of PostgreSQL loses tasks that were accepted, and what is paid for",
            "ALTER DATABASE … SET synchronous_commit = on",
        )
    return ok(name, mode)


async def _check_connections(connection: asyncpg.Connection) -> Finding:
    row: Any = await connection.fetchrow(
        "SELECT current_setting('max_connections')::int"
        " - current_setting('superuser_reserved_connections')::int AS most,"
        " (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used"
    )
    most, used = int(row["most"]), int(row["used"])
    detail = f"{used} of {most} are used; each process of a server opens up to {PER_PROCESS}"
    if most - used < PER_PROCESS:
        remedy = "raise max_connections of PostgreSQL, or put PgBouncer before it"
        return warn("database connections", detail, remedy)
    return ok("database connections", detail)


async def _check_pooler(connection: asyncpg.Connection, url: str) -> Finding:
    """Is PgBouncer before the database, and in which mode?

    It has process ids of its own. In transaction mode, an idle client has no connection to the
    server, so the next one gets the same.
    """
    name = "PgBouncer"
    own = await connection.fetchval("SELECT pg_backend_pid()")
    if own == connection.get_server_pid():
        return ok(name, "not used")
    other = await _connected(url)
    try:
        async with other.transaction():
            is_shared = await other.fetchval("SELECT pg_backend_pid()") == own
    finally:
        other.terminate()
    if not is_shared:
        return ok(name, "in session mode")
    return warn(
        name,
        "in transaction mode, which passes no notifications on",
        "name a bus_url that goes to PostgreSQL directly, or to Redis or NATS",
    )


async def check_bus(settings: Settings) -> Finding:
    """Does a message come back from the bus, and how fast?"""
    name = "bus"
    where = shown_url(bus_url_of(settings))
    try:
        taken_s = await echo_s(make_broker(settings), settings.bus_prefix, BUS_S)
    except ConfigError as error:
        return fail(name, str(error), "correct bus_url")
    if taken_s is None:
        remedy = "check bus_url, and that the server behind it is reached from here"
        return fail(name, f"nothing came back through {where} in {BUS_S:.0f} s", remedy)
    return ok(name, f"{where} passes messages on, in {taken_s * 1_000:.1f} ms")
