"""The SQL statements that sum up tasks for operators."""

from __future__ import annotations

from typing import Final

_PROMPT: Final = "CASE WHEN json_valid(input) THEN json_extract(input, '$.prompt') END"

PROMPTS: Final = f"""
SELECT number, substr({_PROMPT}, 1, :chars) AS prompt FROM tasks
WHERE number IN (SELECT value FROM json_each(:numbers)) AND typeof({_PROMPT}) = 'text'
"""  # noqa: S608 - our own text
"""The beginnings of the prompts of some tasks."""

NEWEST_NUMBER: Final = "SELECT coalesce(max(number), 0) FROM tasks"
"""The number of the newest task; 0 if there is none."""

LONGEST_QUEUED: Final = """
SELECT created_at FROM tasks WHERE status = 'queued' ORDER BY number LIMIT 1
"""
"""When the oldest task that waits was created."""

RECENTLY_ENDED: Final = """
SELECT status, created_at, completed_at, error_data FROM (
  SELECT status, created_at, completed_at, error_data FROM tasks ORDER BY number DESC LIMIT :limit
) WHERE status IN ('completed', 'failed') AND completed_at > :since
"""
"""The tasks among the newest ones that ended after a time."""
