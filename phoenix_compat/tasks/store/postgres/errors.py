"""The store's errors for those of PostgreSQL and of the network.

The texts name the kind of an error and a constraint, and nothing else: PostgreSQL's own texts may
quote the values of users, and those of a connection its password.
"""

from __future__ import annotations

from typing import Final

import asyncpg

from phoenix_compat.tasks.model.errors import (
    OutcomeUnknownError,
    StoreError,
    StoreUnavailableError,
    UniqueError,
)
from phoenix_compat.tasks.store.postgres.connections import Connection

_REFUSED: Final = ("22", "23")
"""The classes of errors that the same values cause again: data exceptions and constraints."""
_LOST: Final = (OSError, TimeoutError, asyncpg.PostgresConnectionError)
_BUSY: Final = (
    asyncpg.DeadlockDetectedError,
    asyncpg.InvalidCachedStatementError,
    asyncpg.LockNotAvailableError,
    asyncpg.OutdatedSchemaCacheError,
    asyncpg.SerializationError,
)
_ENDING: Final = (
    asyncpg.AdminShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)
_UNPREPARED: Final = (
    asyncpg.DuplicatePreparedStatementError,
    asyncpg.InvalidSQLStatementNameError,
)
DRIVER_ERRORS: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresError,
)
"""Everything that the driver raises."""


class NotCommittedError(Exception):
    """A transaction was rolled back for a reason that is not its own: it can be run again."""


class UnpreparedError(NotCommittedError):
    """A pooler between us and the server has mixed up prepared statements."""


def is_lost(connection: Connection, error: BaseException) -> bool:
    """Whether the connection on which an error came is of no use any more."""
    return connection.is_closed() or isinstance(error, _LOST + _ENDING)


def store_error(error: BaseException) -> StoreError | NotCommittedError:
    """The error of a statement for those who use the store."""
    if isinstance(error, asyncpg.UniqueViolationError):
        return UniqueError(f"there is a row already ({error.constraint_name})")
    if isinstance(error, _UNPREPARED):
        return UnpreparedError()
    if isinstance(error, _BUSY):
        return NotCommittedError()
    if isinstance(error, asyncpg.PostgresError) and (error.sqlstate or "")[:2] in _REFUSED:
        where = getattr(error, "constraint_name", None) or getattr(error, "column_name", None)
        return StoreError(f"the database refused a value: {_kind(error)}, {where or 'no column'}")
    if isinstance(error, asyncpg.InterfaceError):  # a mistake in this program
        return StoreError("the database was used wrongly; the cause says how")
    return unavailable(error)


def unavailable(error: BaseException) -> StoreUnavailableError:
    """The error for callers who may try again later."""
    return StoreUnavailableError(f"PostgreSQL cannot be used at the moment: {reason(error)}")


def outcome_unknown(error: BaseException) -> OutcomeUnknownError:
    """The error for callers whose commit was not answered."""
    return OutcomeUnknownError(f"PostgreSQL did not answer a commit: {reason(error)}")


def reason(error: BaseException) -> str:
    """What went wrong, without values of users."""
    if isinstance(error, TimeoutError):
        return "it does not respond"
    if isinstance(error, OSError):
        return error.strerror or _kind(error)
    if isinstance(error, asyncpg.InterfaceError):
        return "the connection is lost"
    return _kind(error)


def _kind(error: BaseException) -> str:
    name = type(error).__name__.removesuffix("Error")
    words = "".join(f" {char.lower()}" if char.isupper() else char for char in name).strip()
    state = getattr(error, "sqlstate", None)
    return f"{words} ({state})" if state else words
