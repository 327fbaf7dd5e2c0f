"""The SQL statements that search the list of tasks by what no index has: type, model and prompt.

A search reads a part of the tasks, newest first, and returns those that match. So its cost is
bounded however many tasks there are, and a page may have few tasks or none although there are more.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from phoenix_compat.tasks.store.statements.list_queries import COLUMNS_WITHOUT_INPUTS, RESULT_BYTES
from phoenix_compat.tasks.store.statements.scoped import Scoped

MAX_SEARCHED: Final = 5_000
"""How many tasks one search reads."""
MAX_PROMPTS_SEARCHED: Final = 500
"""The same of a search for a text, which also reads their inputs, of up to 256 kB each."""

_PROMPT: Final = "CASE WHEN json_valid(tasks.input) THEN json_extract(tasks.input, '$.prompt') END"


class TaskFilter(NamedTuple):
    """Which tasks to list; None for all.

    Attributes:
        type: what the client asked for ("image"), or the type of the task ("image_gen").
        model: the model that the task names.
        text: a part of the prompt; ASCII letters match in either case.
    """

    type: str | None = None
    model: str | None = None
    text: str | None = None

    @property
    def params(self) -> dict[str, object]:
        """The parameters of SEARCH_TASKS that this filter decides."""
        return {
            "type": self.type,
            "model": self.model,
            "pattern": None if self.text is None else _like(self.text),
            "max_searched": MAX_SEARCHED if self.text is None else MAX_PROMPTS_SEARCHED,
        }


NO_FILTER: Final = TaskFilter()


def _like(text: str) -> str:
    escaped = text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return f"%{escaped}%"


def _search(condition: str, index: str) -> str:
    return f"""
WITH searched AS MATERIALIZED (
  SELECT number FROM tasks {index} WHERE {condition} number < :before
  ORDER BY number DESC LIMIT :max_searched
), found AS MATERIALIZED (
  SELECT tasks.number AS number, {RESULT_BYTES} AS result_bytes
  FROM searched CROSS JOIN tasks ON tasks.number = searched.number
  WHERE (:statuses IS NULL OR tasks.status IN (SELECT value FROM json_each(:statuses)))
    AND (:type IS NULL OR tasks.type = :type OR tasks.task_type = :type)
    AND (:model IS NULL OR tasks.model = :model)
    AND (:pattern IS NULL OR {_PROMPT} LIKE :pattern ESCAPE '\\')
  ORDER BY searched.number DESC LIMIT :limit
), sized AS MATERIALIZED (
  SELECT number, result_bytes, sum(result_bytes) OVER (ORDER BY number DESC) AS bytes_so_far
  FROM found
)
SELECT (SELECT count(*) FROM searched) AS searched, (SELECT min(number) FROM searched) AS last,
  sized.bytes_so_far AS bytes_so_far, {COLUMNS_WITHOUT_INPUTS}
FROM (SELECT 1) LEFT JOIN sized ON sized.bytes_so_far - sized.result_bytes < :max_bytes
  LEFT JOIN tasks ON tasks.number = sized.number
ORDER BY sized.number DESC
"""  # noqa: S608 - our own text


SEARCH_TASKS: Final = Scoped(
    _search("", ""), _search("owner = :owner AND", "INDEXED BY tasks_by_owner")
)
"""The newest tasks with a smaller number than `before` that match, without their inputs.

At least one row: without a match its `number` is NULL. `searched` and `last` say how many tasks
were read, and the number of the oldest of them. The page ends with the task with which results,
errors and files reach `max_bytes`; `bytes_so_far` has their bytes.
"""
