"""Values as SQLite has them: times are texts, and JSON is text anyway.

A time is read and written in the binary form of the protocol, so that no setting of the server or
of a connection pooler changes it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg

from phoenix_compat.tasks.model.clock import parse_time, stored_time

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


async def set_codecs(connection: asyncpg.Connection) -> None:
    """Make a connection read and write times as texts."""
    await connection.set_type_codec(
        "timestamptz",
        schema="pg_catalog",
        encoder=encode_time,
        decoder=decode_time,
        format="tuple",
    )


def encode_time(text: str) -> tuple[int]:
    """The microseconds since 2000 of "2026-01-05T10:00:00.000Z"."""
    return ((parse_time(text) - _EPOCH) // _MICROSECOND,)


def decode_time(value: tuple[int]) -> str:
    """The text of a time, cut to milliseconds."""
    return stored_time(_EPOCH + timedelta(microseconds=value[0]))
