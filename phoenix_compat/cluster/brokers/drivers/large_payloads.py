"""The table for messages that are too long for a notification.

It is unlogged: a crash of the server empties it, which the nodes find as gaps. Rows are deleted
after `KEPT_S` by the database's clock.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from typing import TYPE_CHECKING, Final

from phoenix_compat.cluster.brokers.broker import BrokerError

if TYPE_CHECKING:
    from asyncpg import Connection

TABLE: Final = "phoenix_bus_payloads"
KEPT_S: Final = 60
PRUNE_EVERY_S: Final = 30.0

_LOCK: Final = 4_961_202_611
"""The number of the advisory lock of those who create the table; it means nothing."""
_CREATE: Final = f"""
CREATE UNLOGGED TABLE IF NOT EXISTS {TABLE} (
    number bigint PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    payload bytea NOT NULL
);
CREATE INDEX IF NOT EXISTS {TABLE}_created_at ON {TABLE} (created_at);
"""
_KEEP: Final = f"INSERT INTO {TABLE} (number, payload) VALUES ($1, $2)"  # noqa: S608 - constants
_READ: Final = f"SELECT payload FROM {TABLE} WHERE number = $1"  # noqa: S608 - the same
_PRUNE: Final = f"DELETE FROM {TABLE} WHERE created_at < now() - interval '{KEPT_S} s'"  # noqa: S608


class LargePayloads:
    """Keeps long messages in a table that all nodes share."""

    def __init__(self) -> None:
        self._next_prune_s = 0.0

    async def prepare(self, connection: Connection) -> None:
        """Create the table unless it is there.

        Raises:
            BrokerError: this user may not.
        """
        from asyncpg import InsufficientPrivilegeError  # noqa: PLC0415 - an extra

        if await connection.fetchval("SELECT to_regclass($1)::text", TABLE) is not None:
            return
        try:
            async with connection.transaction():
                await connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
                await connection.execute(_CREATE)
        except InsufficientPrivilegeError:
            raise BrokerError(
                f"this user of PostgreSQL may not create the table {TABLE} of the bus. Let the "
                f"owner of the database execute: {' '.join(_CREATE.split())}"
            ) from None

    async def keep(self, connection: Connection, data: bytes) -> int:
        """Store a message, and return its number."""
        number = secrets.randbits(63)
        await connection.execute(_KEEP, number, data)
        return number

    async def read(self, connection: Connection, number: int) -> list[bytes]:
        """The message with a number; nothing if it is not there any more."""
        payload: bytes | None = await connection.fetchval(_READ, number)
        return [] if payload is None else [payload]

    async def prune(self, connection: Connection) -> None:
        """Delete what everybody has read, if it is time."""
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._next_prune_s:
            self._next_prune_s = now_s + PRUNE_EVERY_S * random.uniform(0.5, 1.0)  # noqa: S311
            await connection.execute(_PRUNE)
