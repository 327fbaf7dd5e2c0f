"""The HTTP API of the tasks.

    POST /api/tasks               {"input_data": {"type", "prompt", …}}    202 + Location
                                  with Idempotency-Key, however often: one task
    GET  /api/tasks               ?status=&limit=&cursor=, newest first    200
    GET  /api/tasks/{id}                                                   200
    GET  /api/tasks/{id}/events   ?after=&limit=, oldest first             200
    POST /api/tasks/{id}/cancel                                            202, or 200 (ended)
    POST /api/tasks/{id}/retry    a failed task once more                  202, or 409

Refusals are problem documents (see `problem`). A 202 means that the task is on disk.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

import msgspec
import pydantic
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ConfigDict, Field

from phoenix_compat.bounded import TOO_DEEP, is_too_deep
from phoenix_compat.protocol.browser import refuse_body
from phoenix_compat.server.http.problem import API_PREFIX, ProblemError, problem_middleware
from phoenix_compat.tasks.model.clock import wire_time
from phoenix_compat.tasks.model.errors import TaskNotFoundError, UnreadableTaskError
from phoenix_compat.tasks.model.task import (
    UNFINISHED,
    JSONObject,
    Task,
    TaskEvent,
    TaskStatus,
    task_document,
    task_summary,
)
from phoenix_compat.tasks.model.task_types import TASK_TYPES, TaskType, determine_task_params
from phoenix_compat.tasks.store.task_store import NEWEST, IdempotencyKey, TaskStore
from phoenix_compat.tasks.worker.worker import Worker

MAX_BODY_BYTES = 256 * 1024
MAX_PAGE = 200
KEY_HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotency-Replayed"

# Visible ASCII. The draft's keys are quoted (RFC 8941 strings); most clients send them bare.
_KEY = re.compile(r'[!#-\[\]-~]{1,255}|"[!#-\[\]-~]{1,255}"')

_STATUSES: Mapping[str, frozenset[TaskStatus]] = {
    "processing": UNFINISHED,
    **{status.value: frozenset({status}) for status in TaskStatus},
}

Model = TypeVar("Model", bound=BaseModel)


class CreateTask(BaseModel):
    """The body of POST /api/tasks; other keys are passed over."""

    model_config = ConfigDict(extra="ignore", strict=True)

    input_data: dict[str, Any]


class TaskPage(BaseModel):
    """The query of GET /api/tasks. `cursor` is the `next_cursor` of the page before."""

    model_config = ConfigDict(extra="ignore")

    status: str | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 50
    cursor: Annotated[int, Field(ge=1, le=NEWEST)] = NEWEST

    @pydantic.field_validator("status")
    @classmethod
    def _is_known(cls, status: str | None) -> str | None:
        if status is not None and status not in _STATUSES:
            raise ValueError(f"must be one of: {', '.join(_STATUSES)}")
        return status


class EventPage(BaseModel):
    """The query of GET /api/tasks/{id}/events. `after` is the last `seq` the client has."""

    model_config = ConfigDict(extra="ignore")

    after: Annotated[int, Field(ge=0, le=NEWEST)] = 0
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 100


class TaskApi:
    """The handlers, with what they need."""

    def __init__(
        self,
        store: TaskStore,
        worker: Worker,
        task_types: Mapping[str, TaskType],
        max_body_bytes: int,
        announce: Callable[[Task], None] | None,
    ) -> None:
        self._store = store
        self._worker = worker
        self._task_types = task_types
        self._max_body_bytes = max_body_bytes
        self._announce = announce

    async def create(self, request: web.Request) -> web.Response:
        """Store a task and wake the worker; the answer says where to follow it.

        With an Idempotency-Key that was seen before, nothing happens and the answer is the first.
        """
        key = _idempotency_key(request)
        body = _parsed_json(await self._body(request))
        order = _validated(CreateTask, body)
        params = determine_task_params(order.input_data, self._task_types)
        is_replayed = False
        if key is None:
            task = await self._store.add(params)
        else:
            once = IdempotencyKey(key, _body_fingerprint(body))
            task, is_replayed = await self._store.add_once(params, once)
        self._worker.wake()
        summary = task_summary(task.as_posted())
        headers: dict[str, str] = {hdrs.LOCATION: summary["links"]["self"]}
        if is_replayed:
            headers[REPLAYED_HEADER] = "true"
        return _json(summary, status=202, headers=headers)

    async def show(self, request: web.Request) -> web.Response:
        """One task in full, with its place in the queue while it waits."""
        return _json(await self._document(await self._task(request)))

    async def list(self, request: web.Request) -> web.Response:
        """A page of tasks; `next_cursor` is there when there may be more."""
        page = _validated(TaskPage, dict(request.query))
        statuses = _STATUSES[page.status] if page.status else frozenset(TaskStatus)
        tasks = await self._store.list(statuses=statuses, limit=page.limit, before=page.cursor)
        answer: JSONObject = {"tasks": [task_document(task) for task in tasks]}
        if len(tasks) == page.limit:
            answer["next_cursor"] = str(tasks[-1].number)
        return _json(answer)

    async def events(self, request: web.Request) -> web.Response:
        """A task's history."""
        page = _validated(EventPage, dict(request.query))
        task = await self._task(request)
        events = await self._store.events(task.id, after=page.after, limit=page.limit)
        return _json({"events": [_event_document(event) for event in events]})

    async def cancel(self, request: web.Request) -> web.Response:
        """Ask that a task end; 200 with the ended task, or 202 while it is ending."""
        task = await self._worker.cancel(request.match_info["task_id"])
        return _json(task_document(task), status=200 if task.status.is_terminal else 202)

    async def retry(self, request: web.Request) -> web.Response:
        """Queue a failed task again; its clients hear that it is under way."""
        failed = await self._task(request)
        if failed.unreadable:
            raise UnreadableTaskError(failed.id, failed.unreadable)
        # Its model is kept: the operator's default may be another one by now.
        order = failed.input_data | {"model": failed.model}
        task = await self._store.retry(failed.id, determine_task_params(order, self._task_types))
        if self._announce is not None:
            self._announce(task)
        self._worker.wake()
        return _json(await self._document(task), status=202)

    async def _task(self, request: web.Request) -> Task:
        task = await self._store.get(request.match_info["task_id"])
        if task is None:
            raise TaskNotFoundError(request.match_info["task_id"])
        return task

    async def _document(self, task: Task) -> JSONObject:
        is_queued = task.status is TaskStatus.QUEUED
        position = await self._store.queue_position(task.id) if is_queued else None
        return task_document(task, position)

    async def _body(self, request: web.Request) -> bytes:
        body = bytearray()
        try:
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > self._max_body_bytes:
                    detail = f"The body may have at most {self._max_body_bytes} bytes."
                    raise ProblemError(413, "too-large", detail)
        except web.RequestPayloadError as error:
            raise ProblemError(400, "bad-request", "The body is broken.") from error
        return bytes(body)


def add_task_routes(  # noqa: PLR0913 - the app, its parts, and limits with defaults
    app: web.Application,
    store: TaskStore,
    worker: Worker,
    *,
    task_types: Mapping[str, TaskType] = TASK_TYPES,
    max_body_bytes: int = MAX_BODY_BYTES,
    announce: Callable[[Task], None] | None = None,
) -> None:
    """Mount the API on an app that has not started, with its middlewares.

    Args:
        announce: told of a task that is queued again; what a worker changes it announces itself.
    """
    api = TaskApi(store, worker, task_types, max_body_bytes, announce)
    app.middlewares.extend((problem_middleware, _json_bodies))
    app.router.add_post("/api/tasks", api.create)
    app.router.add_get("/api/tasks", api.list)
    app.router.add_get("/api/tasks/{task_id}", api.show)
    app.router.add_get("/api/tasks/{task_id}/events", api.events)
    app.router.add_post("/api/tasks/{task_id}/cancel", api.cancel)
    app.router.add_post("/api/tasks/{task_id}/retry", api.retry)


@web.middleware
async def _json_bodies(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Under /api every body must be sent as JSON: other types any page can send, see `browser`."""
    if request.path.startswith(API_PREFIX):
        refused = refuse_body(request.method, request.headers, has_body=request.body_exists)
        if refused is not None:
            raise ProblemError(*refused, headers={"Accept-Post": "application/json"})
    return await handler(request)


def _idempotency_key(request: web.Request) -> str | None:
    """The client's name for its order, if it has one.

    Source: draft-ietf-httpapi-idempotency-key-header-07, section 2.1.
    """
    keys = request.headers.getall(KEY_HEADER, [])
    if not keys:
        return None
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        reason = "must be one key of 1 to 255 visible ASCII characters"
        detail = f"The header {KEY_HEADER} {reason}."
        raise ProblemError(400, "bad-idempotency-key", detail, errors=((KEY_HEADER, reason),))
    return keys[0].strip('"')


def _body_fingerprint(body: object) -> str:
    """A name for what was posted, however its keys are ordered and spaced: 64 hex digits."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _parsed_json(body: bytes) -> object:
    try:
        parsed = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProblemError(400, "malformed-json", f"The body is no JSON: {error}.") from error
    except RecursionError as error:
        raise _too_deep() from error
    if is_too_deep(parsed):
        raise _too_deep()
    return parsed


def _too_deep() -> ProblemError:
    return ProblemError(400, "too-deep", f"The body {TOO_DEEP}.", errors=(("body", TOO_DEEP),))


def _validated(model: type[Model], value: object) -> Model:
    try:
        return model.model_validate(value)
    except pydantic.ValidationError as error:
        errors = tuple(
            (".".join(map(str, problem["loc"])) or "body", problem["msg"])
            for problem in error.errors(include_url=False, include_context=False)
        )
        field, reason = errors[0]
        raise ProblemError(422, "invalid-input", f"{field}: {reason}", errors=errors) from error


def _event_document(event: TaskEvent) -> JSONObject:
    document: JSONObject = {
        "seq": event.seq,
        "event": event.event,
        "status": event.status.wire,
        "state": event.status.value,
        "progress": event.progress,
        "at": wire_time(event.at),
    }
    if event.data is not None:
        document["data"] = event.data
    return document


def _json(
    document: JSONObject, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    return web.json_response(document, status=status, headers=headers, dumps=_dumps)


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
