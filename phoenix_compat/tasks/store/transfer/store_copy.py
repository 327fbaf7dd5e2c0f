"""Copies all tables of an SQLite file to PostgreSQL, and compares the two.

Each table is gone through in the order of its keys, on both sides at once. Rows that are missing or
differ are written, rows that the file does not have are deleted. So a copy that was interrupted, or
that is out of date, is brought up to date by another run, which writes only what is left.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import msgspec

from phoenix_compat.tasks.model.errors import StoreError, StoreUnavailableError
from phoenix_compat.tasks.store.database import Database, Row, Transaction
from phoenix_compat.tasks.store.transfer.snapshot import Snapshot
from phoenix_compat.tasks.store.transfer.stored_values import CHECKS, Check
from phoenix_compat.tasks.store.transfer.tables import Table

Key: TypeAlias = tuple[Any, ...]
Values: TypeAlias = tuple[Any, ...]

MAX_LEFT_OUT: Final = 10_000
"""A copy ends with an error if more rows cannot be copied."""
_AT_ONCE: Final = 50
"""How many rows one statement writes."""
_PAGE: Final = 500

_TYPES: Final = """
SELECT column_name, data_type FROM information_schema.columns
WHERE table_schema = current_schema() AND table_name = ? ORDER BY column_name
"""
_SET_NUMBER: Final = """
SELECT setval(pg_get_serial_sequence(?::text, 'number'), ?::bigint, ?::boolean)
"""


class CopyError(StoreError):
    """The copy cannot go on; the text says why."""


@dataclass(slots=True)
class LeftOut:
    """The rows that cannot be copied, over all tables.

    Attributes:
        problems: a text about each of them, without values of users; rows that belong to a task
            that is left out have none.
    """

    problems: list[str] = field(default_factory=list)
    _rows: set[tuple[str, Key]] = field(default_factory=set)
    _task_ids: set[object] = field(default_factory=set)

    def add(self, table: Table, row: Mapping[str, Any], reason: str) -> None:
        """Leave a row out.

        Raises:
            CopyError: there are too many.
        """
        self._add(table, row)
        task = row.get(table.task_id) if table.task_id is not None else None
        of = f" of task {task}" if isinstance(task, str) and task.isprintable() else ""
        self.problems.append(f"a row of {table.name}{of}: {reason}")
        if table.name == "tasks":
            self._task_ids.add(row["id"])

    def _add(self, table: Table, row: Mapping[str, Any]) -> None:
        self._rows.add((table.name, _key(table, row)))
        if len(self._rows) > MAX_LEFT_OUT:
            raise CopyError(f"more than {MAX_LEFT_OUT} rows cannot be copied")

    def has(self, table: Table, row: Mapping[str, Any]) -> bool:
        """Whether a row is left out, possibly because its task is."""
        if (table.name, _key(table, row)) in self._rows:
            return True
        if table.task_id is None or row[table.task_id] not in self._task_ids:
            return False
        self._add(table, row)
        return True


@dataclass(slots=True)
class Copied:
    """What the copy of a table did.

    Attributes:
        written: rows that were missing or different.
        deleted: rows that the file does not have any more.
    """

    written: int = 0
    deleted: int = 0


@dataclass(frozen=True, slots=True)
class Contents:
    """What a table contains: how many rows, and a digest that does not depend on their order."""

    rows: int
    digest: str


class StoreCopy:
    """A copy to an open database of PostgreSQL, whose tables no server uses."""

    def __init__(self, source: Snapshot, target: Database) -> None:
        self._source = source
        self._target = target
        self.left_out = LeftOut()

    async def copy(self, table: Table) -> Copied:
        """Make a table of the target like that of the source.

        Raises:
            CopyError: too many rows cannot be copied.
            StoreUnavailableError: PostgreSQL cannot be used; another run goes on from here.
        """
        checks = await self._checks(table)
        copied = Copied()
        after: Key | None = None
        async for rows in self._source.batches(table):
            wanted = self._readable(table, checks, rows)
            if not wanted:
                continue
            last = next(reversed(wanted))
            await self._write(
                table, checks, wanted, await self._between(table, after, last), copied
            )
            after = last
        while rest := await self._between(table, after, None):
            await self._write(table, checks, {}, rest, copied)
        if table.has_numbers:
            await self._set_number(table)
        return copied

    async def contents(self, table: Table) -> tuple[Contents, Contents]:
        """What the table contains in the source, without the rows left out, and in the target."""
        checks = await self._checks(table)
        source, target = _Digest(), _Digest()
        async for rows in self._source.batches(table):
            for values in self._readable(table, checks, rows).values():
                source.add(values)
        after: Key | None = None
        while found := await self._between(table, after, None):
            for row in found:
                target.add(tuple(row[name] for name in checks))
            after = _key(table, found[-1])
        return source.contents(), target.contents()

    async def _checks(self, table: Table) -> Mapping[str, Check]:
        rows = await self._target.read(_TYPES, (table.name,))
        return {row["column_name"]: CHECKS[row["data_type"]] for row in rows}

    def _readable(
        self, table: Table, checks: Mapping[str, Check], rows: Sequence[Row]
    ) -> dict[Key, Values]:
        """The values of rows as PostgreSQL will have them, by key; others are left out."""
        found: dict[Key, Values] = {}
        for row in rows:
            named = dict(row)
            if self.left_out.has(table, named):
                continue
            values = []
            for name, check in checks.items():
                try:
                    values.append(None if named[name] is None else check(named[name]))
                except ValueError as error:
                    self.left_out.add(table, named, f"{name}: expected {error}")
                    break
            else:
                found[_key(table, named)] = tuple(values)
        return found

    async def _between(self, table: Table, after: Key | None, last: Key | None) -> Sequence[Row]:
        """The target's rows after one key, up to another one or `_PAGE` of them."""
        columns = ", ".join(table.key)
        marks = ", ".join("?" * len(table.key))
        conditions = ["true"]
        params: list[Any] = []
        if after is not None:
            conditions.append(f"({columns}) > ({marks})")
            params += after
        if last is not None:
            conditions.append(f"({columns}) <= ({marks})")
            params += last
        limit = "" if last is not None else f"LIMIT {_PAGE}"
        return await self._target.read(
            f"SELECT * FROM {table.name} WHERE {' AND '.join(conditions)} "  # noqa: S608 - our own names
            f"ORDER BY {columns} {limit}",
            params,
        )

    async def _write(
        self,
        table: Table,
        checks: Mapping[str, Check],
        wanted: dict[Key, Values],
        there: Sequence[Row],
        copied: Copied,
    ) -> None:
        """Write what differs between the rows that are wanted and those that are there."""
        found = {_key(table, row): tuple(row[name] for name in checks) for row in there}
        gone = [key for key in found if key not in wanted]
        new = {key: values for key, values in wanted.items() if found.get(key) != values}
        if not gone and not new:
            return
        names = tuple(checks)
        try:
            await self._target.write(
                lambda one: _change(one, table, names, gone, list(new.values()))
            )
            copied.written += len(new)
        except StoreUnavailableError:
            raise
        except StoreError:
            # PostgreSQL refuses some row. Find out which one.
            await self._target.write(lambda one: _change(one, table, names, gone, []))
            for values in new.values():
                copied.written += await self._write_one(table, names, values)
        copied.deleted += len(gone)

    async def _write_one(self, table: Table, names: Sequence[str], values: Values) -> bool:
        try:
            await self._target.write(lambda one: _change(one, table, names, [], [values]))
        except StoreUnavailableError:
            raise
        except StoreError as error:
            self.left_out.add(table, dict(zip(names, values, strict=True)), str(error))
            return False
        return True

    async def _set_number(self, table: Table) -> None:
        """Let the next row get the number after the last one that the source gave."""
        last = await self._source.last_number(table)
        params = (table.name, max(last, 1), last > 0)
        await self._target.write(lambda one: one.rows(_SET_NUMBER, params))


async def _change(
    transaction: Transaction,
    table: Table,
    names: Sequence[str],
    gone: Sequence[Key],
    new: Sequence[Values],
) -> None:
    condition = " AND ".join(f"{name} = ?" for name in table.key)
    for key in gone:
        await transaction.execute(f"DELETE FROM {table.name} WHERE {condition}", key)  # noqa: S608 - our own names
    whole = len(new) - len(new) % _AT_ONCE
    for start in range(0, whole, _AT_ONCE):
        rows = new[start : start + _AT_ONCE]
        params = [value for values in rows for value in values]
        await transaction.execute(_upsert(table, names, _AT_ONCE), params)
    for values in new[whole:]:
        await transaction.execute(_upsert(table, names, 1), values)


def _upsert(table: Table, names: Sequence[str], rows: int) -> str:
    row = f"({', '.join('?' * len(names))})"
    changes = ", ".join(f"{name} = excluded.{name}" for name in names if name not in table.key)
    action = f"UPDATE SET {changes}" if changes else "NOTHING"
    return (
        f"INSERT INTO {table.name} ({', '.join(names)}) VALUES {', '.join([row] * rows)} "  # noqa: S608 - our own names
        f"ON CONFLICT ({', '.join(table.key)}) DO {action}"
    )


def _key(table: Table, row: Any) -> Key:
    return tuple(row[name] for name in table.key)


class _Digest:
    """Adds up the hashes of rows, so that their order does not matter."""

    def __init__(self) -> None:
        self._rows = 0
        self._sum = 0

    def add(self, values: Values) -> None:
        self._rows += 1
        hashed = hashlib.sha256(msgspec.msgpack.encode(values)).digest()
        self._sum = (self._sum + int.from_bytes(hashed, "big")) % 2**256

    def contents(self) -> Contents:
        return Contents(self._rows, f"{self._sum:064x}")
