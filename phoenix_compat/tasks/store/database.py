"""The seam between the stores and a database: what the stores need, and what each engine provides.

The stores are written once, as works: coroutines that run inside a transaction. An engine runs them
and returns after the commit. The texts of the statements are in `statements/`, in SQLite's dialect;
an engine may replace the text of a statement, but not its parameters and columns. Values are those
that SQLite stores, whatever the engine: texts ("2026-01-05T10:00:00.000Z", JSON), numbers, and 0
and 1 for flags.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from phoenix_compat.measures import Histogram
from phoenix_compat.tasks.model.errors import StoreUnavailableError

T = TypeVar("T")

Params: TypeAlias = Mapping[str, object] | Sequence[object]
"""The parameters of a statement: a mapping for `:name`, a sequence for `?`."""

COMMIT_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class Row(Protocol):
    """A row of a result: `row["name"]`, `row[0]`, or unpacked as its values in order."""

    def __getitem__(self, key: Any, /) -> Any:
        """The value of a column, by its name or its place."""

    def __iter__(self) -> Iterator[Any]:
        """The values."""

    def __len__(self) -> int:
        """The number of columns."""

    def keys(self) -> Iterable[str]:
        """The names of the columns."""


class Transaction(Protocol):
    """The statements of one write. It can be used only while its work runs."""

    @property
    def is_shared(self) -> bool:
        """See `Database.is_shared`."""

    async def rows(self, sql: str, params: Params = ()) -> Sequence[Row]:
        """Run a statement that returns rows, such as `UPDATE … RETURNING`.

        Raises:
            UniqueError: there is a row with these values already.
            StoreError: the database refused a value.
            StoreUnavailableError: locked, full or failing.
        """

    async def execute(self, sql: str, params: Params = ()) -> int:
        """Run a statement that changes rows; returns how many. Raises as `rows`."""

    async def insert(self, sql: str, params: Params = ()) -> int:
        """Add a row, and return the `number` that it got. Raises as `rows`.

        The text has no RETURNING, which takes SQLite half as long again; other engines add it.
        """

    async def later(
        self, sql: str, params: Mapping[str, object], summed: Sequence[str] = ()
    ) -> None:
        """Change rows before the commit, where the rest of the work needs nothing of it.

        An engine far from its database sends such statements of many works at once.

        Args:
            summed: parameters that are added up where all others are the same.
        """


Work: TypeAlias = Callable[[Transaction], Coroutine[Any, Any, T]]
"""The statements of one write.

A work awaits nothing but its transaction. It runs again if the transaction was rolled back for a
reason that is not its own, so it must not keep state of a run that was not committed. Where it
raises, nothing of it is written, and `write` raises the same.
"""


@dataclass(slots=True)
class WriteCounts:
    """What a database has written since it was opened.

    Attributes:
        batches: transactions that were begun; each that committed took one fsync.
        writes: writes in these batches.
        largest: the number of writes in the largest batch.
        refused: writes that were refused because the queue was full.
        crashes: batches that a bug ended; nothing of them was written.
        commit: how long batches took, with the wait for the thread and for the disk.
    """

    batches: int = 0
    writes: int = 0
    largest: int = 0
    refused: int = 0
    crashes: int = 0
    commit: Histogram = field(default_factory=lambda: Histogram(COMMIT_BOUNDS_S))


class Database(Protocol):
    """An open database."""

    @property
    def is_shared(self) -> bool:
        """Whether other nodes write it too, so that nothing read from it may be remembered."""

    @property
    def write_counts(self) -> WriteCounts:
        """Counts of writes and commits."""

    @property
    def waiting_writes(self) -> int:
        """How many writes wait for their commit."""

    async def read(self, sql: str, params: Params = ()) -> Sequence[Row]:
        """All rows of a query, which sees what was committed before.

        Raises:
            StoreUnavailableError: locked, not connected or failing.
        """

    async def write(self, work: Work[T]) -> T:
        """Run a work in a transaction; returns its result after the commit.

        If the caller is cancelled, its write may be carried out nevertheless.

        Raises:
            StoreUnavailableError: locked, full, failing, not connected or closing. Nothing was
                written, unless a shared database lost the connection during the commit.
            StoreError: a constraint was violated; nothing was written.
            Exception: whatever the work raised; nothing was written.
        """

    async def health_error(self) -> StoreUnavailableError | None:
        """Why the database cannot be used at the moment; None when it seems to work."""

    async def close(self) -> None:
        """Finish the accepted writes, and close the database. May be called twice."""
