"""PostgreSQL's texts of the statements that list and sum up tasks.

As in SQLite, the cost of a page depends on its own length only: an index gives the numbers of at
most `limit` tasks, in each state, and only these rows are read. The sizes of long columns are known
without reading them.
"""

from __future__ import annotations

from typing import Final

from phoenix_compat.tasks.store.columns import TASK_COLUMNS
from phoenix_compat.tasks.store.statements import list_queries, summary_queries
from phoenix_compat.tasks.store.statements.filtered_queries import SEARCH_TASKS
from phoenix_compat.tasks.store.statements.scoped import Scoped

_COLUMNS: Final = ", ".join(["tasks.number", *(f"tasks.{name}" for name in TASK_COLUMNS)])
_RESULT_BYTES: Final = " + ".join(
    f"coalesce(octet_length(tasks.{name}::text), 0)"
    for name in ("result_data", "error_data", "files")
)

# The order names the index, and `= ANY` of one value keeps PostgreSQL from leaving its column out
# of the order. Otherwise it may walk through all tasks by number, in the belief that those with
# this state or owner are everywhere.
_ALL: Final = "SELECT number FROM tasks WHERE number < :before ORDER BY number DESC LIMIT {limit}"
_OWN: Final = """
SELECT number FROM tasks WHERE owner = ANY (ARRAY[:owner]) AND number < :before
ORDER BY owner DESC, number DESC LIMIT {limit}
"""
_ALL_WITH_STATUS: Final = """
SELECT number FROM tasks WHERE status = ANY (ARRAY[wanted.status]) AND number < :before
ORDER BY status DESC, number DESC LIMIT :limit
"""
_OWN_WITH_STATUS: Final = """
SELECT number FROM tasks
WHERE status = ANY (ARRAY[wanted.status]) AND owner = :owner AND number < :before
ORDER BY status DESC, number DESC LIMIT :limit
"""


def row_of(numbers: str) -> str:
    """SQL: joins the tasks with the numbers of a short table, each found by the index.

    PostgreSQL does not know how short it is, and may read all tasks for a usual join.
    """
    return f"""JOIN LATERAL (
    SELECT * FROM tasks AS found WHERE found.number = {numbers}.number LIMIT 1
  ) AS tasks ON true"""  # noqa: S608 - our own text


def _with_status(numbers: str) -> str:
    return f"""
SELECT newest.number FROM unnest(:statuses::text[]) AS wanted (status)
CROSS JOIN LATERAL ({numbers}) AS newest
ORDER BY newest.number DESC LIMIT :limit
"""  # noqa: S608 - our own text


def _page(columns: str, numbers: str) -> str:
    return f"""
WITH newest AS MATERIALIZED ({numbers}), sized AS MATERIALIZED (
  SELECT tasks.number, {_RESULT_BYTES} AS result_bytes
  FROM newest {row_of("newest")}
), summed AS (
  SELECT number, result_bytes,
    (sum(result_bytes) OVER (ORDER BY number DESC))::bigint AS bytes_so_far,
    row_number() OVER (ORDER BY number DESC) AS tasks_so_far
  FROM sized
)
SELECT summed.tasks_so_far, summed.bytes_so_far, {columns}
FROM summed {row_of("summed")}
WHERE summed.tasks_so_far = 1 OR summed.bytes_so_far - summed.result_bytes < :max_bytes
ORDER BY summed.number DESC
"""  # noqa: S608 - our own text


def _pages(statement: Scoped, columns: str) -> dict[str, str]:
    return {
        statement.all: _page(columns, _ALL.format(limit=":limit")),
        statement.own: _page(columns, _OWN.format(limit=":limit")),
    }


def _pages_with_status(statement: Scoped, columns: str) -> dict[str, str]:
    return {
        statement.all: _page(columns, _with_status(_ALL_WITH_STATUS)),
        statement.own: _page(columns, _with_status(_OWN_WITH_STATUS)),
    }


# -> and ->> refuse documents with \u0000, and with half of a pair of surrogates.
_REFUSED: Final = r"\\u(0000|[dD][89a-fA-F][0-9a-fA-F]{2})"
_INPUT: Final = rf"""(CASE WHEN strpos(tasks.input::text, '\u') > 0
  THEN regexp_replace(tasks.input::text, '{_REFUSED}', '\\ufffd', 'g')::json
  ELSE tasks.input END)"""
_PROMPT: Final = f"(CASE json_typeof(tasks.input) WHEN 'object' THEN {_INPUT} ->> 'prompt' END)"
_IS_TEXT: Final = f"""json_typeof(
  CASE json_typeof(tasks.input) WHEN 'object' THEN {_INPUT} -> 'prompt' END) = 'string'"""
"""SQL: the prompt of a task, and whether it is a text. Other documents have none."""


def _search(numbers: str) -> str:
    # With the collation only ASCII letters match in either case, as in SQLite.
    return f"""
WITH searched AS MATERIALIZED ({numbers.format(limit=":max_searched")}), found AS MATERIALIZED (
  SELECT tasks.number, {_RESULT_BYTES} AS result_bytes
  FROM searched {row_of("searched")}
  WHERE (:statuses::text[] IS NULL OR tasks.status = ANY (:statuses::text[]))
    AND (:type::text IS NULL OR tasks.type = :type::text OR tasks.task_type = :type::text)
    AND (:model::text IS NULL OR tasks.model = :model::text)
    AND (:pattern::text IS NULL OR {_PROMPT} COLLATE "C" ILIKE :pattern::text ESCAPE '\\')
  ORDER BY searched.number DESC LIMIT :limit
), sized AS MATERIALIZED (
  SELECT number, result_bytes,
    (sum(result_bytes) OVER (ORDER BY number DESC))::bigint AS bytes_so_far
  FROM found
)
SELECT (SELECT count(*) FROM searched) AS searched, (SELECT min(number) FROM searched) AS last,
  sized.bytes_so_far AS bytes_so_far, {list_queries.COLUMNS_WITHOUT_INPUTS}
FROM (SELECT 1) AS one LEFT JOIN sized ON sized.bytes_so_far - sized.result_bytes < :max_bytes
  LEFT {row_of("sized")}
ORDER BY sized.number DESC
"""  # noqa: S608 - our own text


TEXTS: Final[dict[str, str]] = {
    **_pages(list_queries.LIST_TASKS, _COLUMNS),
    **_pages(list_queries.PAGE_OF_TASKS, list_queries.COLUMNS_WITHOUT_INPUTS),
    **_pages_with_status(list_queries.LIST_TASKS_WITH_STATUS, _COLUMNS),
    **_pages_with_status(list_queries.PAGE_WITH_STATUS, list_queries.COLUMNS_WITHOUT_INPUTS),
    SEARCH_TASKS.all: _search(_ALL),
    SEARCH_TASKS.own: _search(_OWN),
    summary_queries.PROMPTS: f"""
SELECT number, substr({_PROMPT}, 1, :chars) AS prompt FROM tasks
WHERE number = ANY (:numbers::bigint[]) AND {_IS_TEXT}
""",  # noqa: S608 - our own text
    summary_queries.RECENTLY_ENDED: """
SELECT status, created_at, completed_at, error_data FROM (
  SELECT status, created_at, completed_at, error_data FROM tasks ORDER BY number DESC LIMIT :limit
) AS newest WHERE status IN ('completed', 'failed') AND completed_at > :since
""",
}
