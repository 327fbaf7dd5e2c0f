"""Remembers the results of mutants, so that a run can be stopped and resumed."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

KILLED: Final = "killed"
SURVIVED: Final = "survived"
TIMEOUT: Final = "timeout"
NO_TEST: Final = "no test"

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS results (
    key TEXT PRIMARY KEY,
    verdict TEXT NOT NULL,
    by TEXT NOT NULL,
    seconds REAL NOT NULL,
    state TEXT NOT NULL
) STRICT
"""


@dataclass(frozen=True)
class Result:
    """What became of a mutant.

    Attributes:
        verdict: KILLED, SURVIVED, TIMEOUT or NO_TEST.
        by: the first test that failed.
        seconds: how long it took.
        state: the digest of code and tests; a mutant that survived is tried again when it changes.
    """

    verdict: str
    by: str
    seconds: float
    state: str

    def holds_in(self, state: str) -> bool:
        """Whether the result is still the right one: more tests kill no fewer mutants."""
        return self.verdict in (KILLED, TIMEOUT) or self.state == state


class Session:
    """The results of one folder and seed, in a SQLite file; each is on disk when `put` returns."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute(_SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._database.close()

    def get(self, key: str) -> Result | None:
        """The result of a mutant, if it was tried."""
        row = self._database.execute(
            "SELECT verdict, by, seconds, state FROM results WHERE key = ?", (key,)
        ).fetchone()
        return None if row is None else Result(*row)

    def put(self, key: str, result: Result) -> None:
        """Write a result in place of an earlier one."""
        self._database.execute(
            "INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?)",
            (key, result.verdict, result.by, result.seconds, result.state),
        )

    def clear(self) -> None:
        """Forget all results."""
        self._database.execute("DELETE FROM results")
