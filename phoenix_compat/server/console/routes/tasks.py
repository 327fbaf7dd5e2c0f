"""`GET /api/console/tasks`: the list of tasks, as the console shows it.

It takes the query of `GET /api/tasks`. Rows have the beginning of the prompt and the paths of the
picture, and leave out what the list does not show. Everything else about a task is at `/api/tasks`.
"""

from __future__ import annotations

import json
from typing import Final

from aiohttp import web

from phoenix_compat.server.console.context import ConsoleContext, operator_of
from phoenix_compat.server.console.task_rows import MAX_PROMPT_CHARS, row_of
from phoenix_compat.server.http.schemas.task_requests import TaskPage
from phoenix_compat.server.http.tasks.arguments import validated
from phoenix_compat.tasks.model.task import JSONObject

_MAX_BYTES: Final = 1024 * 1024


def add_routes(router: web.UrlDispatcher, context: ConsoleContext) -> None:
    """Add the route."""
    store = context.engine.store

    async def show(request: web.Request) -> web.Response:
        operator_of(request)
        query = validated(TaskPage, dict(request.query))
        page = await store.page(
            statuses=query.statuses,
            limit=query.limit,
            before=query.cursor,
            owner=query.owner,
            max_bytes=_MAX_BYTES,
            only=query.filter,
        )
        numbers = [task.number for task in page.tasks]
        prompts = await store.prompts(numbers, chars=MAX_PROMPT_CHARS)
        body: JSONObject = {
            "tasks": [row_of(task, prompts.get(task.number)) for task in page.tasks],
            "newest": await store.newest_number(),
        }
        last = page.tasks[-1].number if page.tasks else None
        before = last if page.searched_to is None else page.searched_to
        if page.has_more and before is not None:
            body["next_cursor"] = str(before)
        return web.json_response(body, dumps=_compact)

    router.add_get("/api/console/tasks", show)


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
