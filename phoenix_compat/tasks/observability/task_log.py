"""The two lines that every task has in the log: when it is queued, and when it has ended.

They have nothing that the client wrote. Their `owner` is for the console, where operators filter by
it; the log of the process leaves it out.
"""

from __future__ import annotations

import structlog

from phoenix_compat.tasks.model.task import UNREADABLE_OWNER, Task, TaskStatus

log = structlog.stdlib.get_logger(__name__)


def log_queued(task: Task) -> None:
    """Log a task that was added, or that a client had retried."""
    cycle = {} if task.cycle == 1 else {"cycle": task.cycle}
    log.info("task.queued", **_of(task), type=task.type, **cycle)


def log_end(task: Task, took_s: float, provider_text: str | None) -> None:
    """Log a task that has ended.

    Args:
        took_s: how long it took, in seconds.
        provider_text: what the provider said about the failure.
    """
    fields = {**_of(task), "took_s": round(took_s, 3)}
    if task.status is TaskStatus.COMPLETED:
        log.info("task.completed", **fields, cost_usd=task.estimated_cost_usd)
        return
    if provider_text:
        fields["provider_text"] = provider_text
    log.info("task.failed", **fields, code=(task.error_data or {}).get("code"))


def _of(task: Task) -> dict[str, object]:
    fields: dict[str, object] = {"task_id": task.id, "model": task.running_model}
    if task.owner not in {"", UNREADABLE_OWNER}:
        fields["owner"] = task.owner
    return fields
