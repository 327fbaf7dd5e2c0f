"""Ends a task whose prediction has ended: with its result, with a failure, or with a repeat."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from phoenix_compat.tasks.archive.errors import ArchiveError
from phoenix_compat.tasks.archive.stored_file import StoredFile
from phoenix_compat.tasks.model.results.failure import Failure, failure
from phoenix_compat.tasks.model.task import JSONObject, Task, TaskStatus
from phoenix_compat.tasks.model.task_types import file_urls
from phoenix_compat.tasks.worker.context import WorkerContext

log = structlog.stdlib.get_logger(__name__)


async def complete(
    context: WorkerContext,
    task: Task,
    result: JSONObject,
    now: datetime,
    kept: Mapping[str, StoredFile],
) -> Task:
    """Store copies of the output files, then the result. running → completed.

    The row keeps the provider's addresses beside the names of the copies; see `file_links`.

    Args:
        kept: files that were stored while the prediction was running, by their addresses.
    """
    urls = file_urls(result)
    early = tuple(kept[url].document() for url in urls if url in kept)
    late = await _store_files(context, task, [url for url in urls if url not in kept])
    files = (*early, *late)
    return await context.recorder.move(
        task, TaskStatus.COMPLETED, result_data=result, completed_at=now, files=files
    )


async def fail_or_repeat(context: WorkerContext, task: Task, reason: Failure) -> Task:
    """Fail a task, or queue it again if the reason allows a repeat. running → failed | queued.

    A task with a column that cannot be read is not queued again.
    """
    allowed = min(reason.max_repeats, context.options.max_repeats)
    if task.is_cancel_requested or task.unreadable or task.retries >= allowed:
        return await context.recorder.fail(task, reason)
    retries = task.retries + 1
    log.warning("task.repeated", task_id=task.id, code=reason.code, retries=retries)
    context.counts["repeats"] += 1
    wait_s = context.options.repeat_wait_s(retries) * (0.5 + context.jitter())
    queued = await context.recorder.move(
        task,
        TaskStatus.QUEUED,
        retries=retries,
        prediction_id=None,
        submitted_at=None,
        started_at=None,
        not_before=context.clock.now() + timedelta(seconds=wait_s),
    )
    if queued.status is TaskStatus.QUEUED and queued.is_cancel_requested:
        return await context.recorder.fail(queued, failure("canceled"))
    return queued


async def _store_files(
    context: WorkerContext, task: Task, urls: Sequence[str]
) -> tuple[JSONObject, ...]:
    """Store copies of the files, as documents; a copy that fails does not fail the task."""
    if context.archive is None or not urls:
        return ()
    copies: Sequence[StoredFile | None] = ()
    with context.tracer.step("archive", task) as span:
        span.note(files=len(urls))
        try:
            async with asyncio.timeout(context.options.archive_patience_s):
                copies = await context.archive.keep(task, urls)
        except (ArchiveError, OSError) as error:
            # OSError covers TimeoutError.
            reason = error.reason if isinstance(error, ArchiveError) else type(error).__name__
            copies = error.kept if isinstance(error, ArchiveError) else ()
            context.counts["archive_failures"] += 1
            span.fail(reason)
            log.warning("task.not_archived", task_id=task.id, reason=reason)
    return tuple(file.document() for file in copies if file is not None)
