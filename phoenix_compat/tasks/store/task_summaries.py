"""Sums up tasks for operators: how many wait, what ended lately, what they are about and cost."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from phoenix_compat.tasks.model.clock import parse_time, stored_time
from phoenix_compat.tasks.model.task import TaskStatus
from phoenix_compat.tasks.store.spending import Spent, owner_of, read_spent
from phoenix_compat.tasks.store.statements import queries, summary_queries
from phoenix_compat.tasks.store.store import Store

MAX_RECENT: Final = 5_000
"""How many of the newest tasks `ended_since` looks at."""


class EndedTask(NamedTuple):
    """A task that has ended.

    Attributes:
        code: why it failed; None if it completed, or the reason cannot be read.
    """

    is_completed: bool
    created_at: datetime
    completed_at: datetime
    code: str | None


class TaskSummaries(Store):
    """The part of the store that sums up."""

    async def prompts(self, numbers: Sequence[int], *, chars: int) -> Mapping[int, str]:
        """The beginnings of the prompts of tasks, by their numbers; without those that have none.

        Args:
            chars: the longest beginning.
        """
        params = {"numbers": json.dumps(list(numbers)), "chars": chars}
        rows = await self._database.read(summary_queries.PROMPTS, params)
        return {int(row["number"]): str(row["prompt"]) for row in rows}

    async def newest_number(self) -> int:
        """The number of the newest task; 0 if there is none."""
        ((number,),) = await self._database.read(summary_queries.NEWEST_NUMBER)
        return int(number)

    async def oldest_queued_at(self) -> datetime | None:
        """When the task was created that waits for longest; None if none waits."""
        for row in await self._database.read(summary_queries.LONGEST_QUEUED):
            with contextlib.suppress(ValueError, TypeError):  # an unreadable row
                return parse_time(row["created_at"])
        return None

    async def ended_since(self, since: datetime) -> Sequence[EndedTask]:
        """Those of the newest `MAX_RECENT` tasks that ended after a time, in no order."""
        params = {"since": stored_time(since), "limit": MAX_RECENT}
        rows = await self._database.read(summary_queries.RECENTLY_ENDED, params)
        ended = []
        for row in rows:
            with contextlib.suppress(ValueError, TypeError):  # an unreadable row
                ended.append(
                    EndedTask(
                        row["status"] == TaskStatus.COMPLETED,
                        parse_time(row["created_at"]),
                        parse_time(row["completed_at"]),
                        _code_of(row["error_data"]),
                    )
                )
        return ended

    async def spending(self, period: str, subject: str) -> Spent | None:
        """What was ordered in a period ("2026-01-05", "2026-01"); None if that cannot be read.

        Args:
            subject: `spending.ALL`, or an owner as `spending.subject_of` writes it.
        """
        rows = await self._database.read(queries.GET_SPENT, (period, subject))
        return read_spent(rows[0]) if rows else Spent(0, 0)

    async def largest_spending(
        self, day: str, limit: int, text: str = ""
    ) -> Sequence[tuple[str, Spent | None, Spent | None]]:
        """The owners that ordered most in the month of a day: owner, that day, that month.

        Args:
            text: only owners that contain it.
        """
        params = {"day": day, "month": day[:7], "limit": limit, "text": text}
        rows = await self._database.read(queries.LARGEST_SPENT, params)
        return [
            (
                owner_of(row["subject"]),
                read_spent(row, "day_") if row["day_tasks"] is not None else Spent(0, 0),
                read_spent(row),
            )
            for row in rows
        ]


def _code_of(error_data: object) -> str | None:
    if not isinstance(error_data, str):
        return None
    found = json.loads(error_data)
    code = found.get("code") if isinstance(found, dict) else None
    return code if isinstance(code, str) else None
