"""Makes the body of GET /api/tasks: a page of tasks that is never longer than `MAX_PAGE_BYTES`."""

from __future__ import annotations

import json
from typing import Final

from phoenix_compat.tasks.model.task import JSONObject, Task, task_list_entry
from phoenix_compat.tasks.store.task_store import PageOfTasks

MAX_PAGE_BYTES: Final = 1024 * 1024

_LARGE_KEYS: Final = ("result_data", "error_data")
_FRAME_BYTES: Final = len('{"tasks":[],"next_cursor":"18446744073709551616"}')


def page_body(page: PageOfTasks, *, base_url: str, with_owner: bool) -> bytes:
    """Encode a page as JSON, with `next_cursor` if there may be more tasks.

    The page ends before the task with which it would be too long. A task that is too long for a
    page of its own is listed without its result, and `omitted` names the keys that are missing.

    Args:
        base_url: for the links to files.
        with_owner: whether to name the owner of each task.
    """
    entries: list[bytes] = []
    last: Task | None = None
    has_more, searched_to = page.has_more, page.searched_to
    bytes_left = MAX_PAGE_BYTES - _FRAME_BYTES
    for task in page.tasks:
        entry = _entry(task, base_url=base_url, with_owner=with_owner)
        bytes_left -= len(entry) + 1
        if bytes_left < 0:
            has_more, searched_to = True, None
            break
        entries.append(entry)
        last = task
    before = searched_to if searched_to is not None or last is None else last.number
    cursor = f',"next_cursor":"{before}"' if has_more and before is not None else ""
    return b'{"tasks":[' + b",".join(entries) + b"]" + cursor.encode() + b"}"


def _entry(task: Task, *, base_url: str, with_owner: bool) -> bytes:
    document = task_list_entry(task, base_url=base_url, with_owner=with_owner)
    encoded = _encoded(document)
    if len(encoded) <= MAX_PAGE_BYTES - _FRAME_BYTES - 1:
        return encoded
    omitted = [key for key in _LARGE_KEYS if document.pop(key, None) is not None]
    return _encoded(document | {"omitted": omitted})


def _encoded(document: JSONObject) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
