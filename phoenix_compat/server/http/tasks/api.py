"""The HTTP API for tasks.

    POST /api/tasks               {"input_data": {"type", "prompt", …}}    202 + Location
                                  one task per Idempotency-Key             402, 429: over a cap
    GET  /api/tasks               ?status=&type=&model=&text=&owner=       200, without inputs
                                  &limit=&cursor=, newest first
    GET  /api/tasks/{id}                                                   200
    GET  /api/tasks/{id}/events   ?after=&limit=, oldest first             200
    POST /api/tasks/{id}/cancel                                            202, or 200 (ended)
    POST /api/tasks/{id}/retry    run a failed task again                  202, or 409

Errors are problem documents (see `problem`). A 202 means that the task is on disk. A client sees
and changes the tasks of its owner; those of others are not found.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from aiohttp import hdrs, web

from phoenix_compat.server.auth.principal import Principal, Scope
from phoenix_compat.server.auth.visibility import Visibility, watched_owner
from phoenix_compat.server.http.authentication import (
    Authenticate,
    anyone,
    note_principal,
    principal_of,
)
from phoenix_compat.server.http.base_url import base_url_of
from phoenix_compat.server.http.body import body_fingerprint, parsed_json, require_json
from phoenix_compat.server.http.observability.request_id import request_id_of
from phoenix_compat.server.http.problem import answering_problems, refuse_encoded
from phoenix_compat.server.http.rate_limits import limit_owner
from phoenix_compat.server.http.schemas.task_requests import CreateTask, EventPage, TaskPage
from phoenix_compat.server.http.tasks.arguments import REPLAYED_HEADER, idempotency_key, validated
from phoenix_compat.server.http.tasks.task_page import MAX_PAGE_BYTES, page_body
from phoenix_compat.server.http.tasks.worker_client import WorkerClient
from phoenix_compat.server.http.uploads.file_api import API_FILES_PATH, require_file_type
from phoenix_compat.server.http.uploads.posted_bodies import PostedBodies, PostedBody
from phoenix_compat.server.http.uploads.task_files import TaskFiles
from phoenix_compat.server.rates.rate_limiter import RateLimiter
from phoenix_compat.tasks.model.clock import wire_time
from phoenix_compat.tasks.model.errors import TaskNotFoundError, UnreadableTaskError
from phoenix_compat.tasks.model.file_links import with_file_links
from phoenix_compat.tasks.model.task import (
    JSONObject,
    Task,
    TaskEvent,
    TaskStatus,
    task_document,
    task_summary,
)
from phoenix_compat.tasks.model.task_id import stored_spelling
from phoenix_compat.tasks.model.task_types import (
    TASK_TYPES,
    InputPolicy,
    TaskParams,
    TaskType,
    determine_task_params,
)
from phoenix_compat.tasks.model.trace_context import traceparent_or_none
from phoenix_compat.tasks.observability.tracing import Span
from phoenix_compat.tasks.store.task_store import IdempotencyKey, TaskStore

TASKS_PATH = "/api/tasks"
MAX_BODY_BYTES = 256 * 1024


class TaskApi:
    """The handlers with their dependencies."""

    def __init__(  # noqa: PLR0913 - its collaborators, given by `add_task_routes`
        self,
        *,
        store: TaskStore,
        worker: WorkerClient,
        task_types: Mapping[str, TaskType],
        bodies: PostedBodies,
        files: TaskFiles | None,
        announce: Callable[[Task], None] | None,
        visibility: Visibility,
        policy: InputPolicy | None,
    ) -> None:
        self._store = store
        self._worker = worker
        self._task_types = task_types
        self._bodies = bodies
        self._files = files
        self._announce = announce
        self._visibility: Visibility = visibility
        self._policy = policy

    async def create(self, request: web.Request) -> web.Response:
        """Store a task and wake the worker; the response says where to follow the task.

        With an Idempotency-Key that was used before, nothing is stored and the first response is
        repeated.
        """
        with self._traced(request, TASKS_PATH) as span:
            return await self._create(request, span)

    async def _create(self, request: web.Request, span: Span) -> web.Response:
        owner = _sender(request, Scope.CREATE).owner
        key = idempotency_key(request)
        async with self._bodies.receiving(request) as posted:
            body = await self._with_stored_files(posted, owner)
        params = self._params(body["input_data"])
        if self._files is not None:
            await self._files.protect(params.uploads)
        is_replayed = False
        if key is None:
            task = await self._store.add(params, owner=owner, traceparent=span.traceparent)
        else:
            once = IdempotencyKey(key, body_fingerprint(body))
            task, is_replayed = await self._store.add_once(
                params, once, owner=owner, traceparent=span.traceparent
            )
        if not is_replayed:
            self._worker.note_queued(task)
        span.note(task_id=task.id, task_type=task.type, task_model=task.model)
        summary = task_summary(task.as_posted())
        headers: dict[str, str] = {hdrs.LOCATION: summary["links"]["self"]}
        if is_replayed:
            headers[REPLAYED_HEADER] = "true"
        return _json(summary, status=202, headers=headers)

    async def show(self, request: web.Request) -> web.Response:
        """One task in full; while it waits, with its position in the queue."""
        sender = _sender(request, Scope.READ)
        owner = watched_owner(sender, self._visibility)
        task = await self._task(request, owner)
        return _json(await self._document(request, task, sender, owner))

    async def list(self, request: web.Request) -> web.Response:
        """A page of tasks without their inputs, with `next_cursor` if there may be more."""
        sender = _sender(request, Scope.READ)
        page = validated(TaskPage, dict(request.query))
        if page.owner is not None:
            sender.require(Scope.OPERATE)
        found = await self._store.page(
            statuses=page.statuses,
            limit=page.limit,
            before=page.cursor,
            owner=sender.visible_owner if page.owner is None else page.owner,
            max_bytes=MAX_PAGE_BYTES,
            only=page.filter,
        )
        make_body = partial(
            page_body, found, base_url=base_url_of(request), with_owner=_sees_owners(sender)
        )
        body = await asyncio.to_thread(make_body) if found.is_large else make_body()
        return web.Response(body=body, content_type="application/json", charset="utf-8")

    async def events(self, request: web.Request) -> web.Response:
        """The events of a task, oldest first."""
        owner = watched_owner(_sender(request, Scope.READ), self._visibility)
        page = validated(EventPage, dict(request.query))
        task = await self._task(request, owner)
        events = await self._store.events(task.id, after=page.after, limit=page.limit, owner=owner)
        base_url = base_url_of(request)
        return _json({"events": [_event_document(event, task, base_url) for event in events]})

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancel a task; 200 if it has ended, or 202 if the cancel is under way."""
        sender = _sender(request, Scope.CANCEL)
        task_id = stored_spelling(request.match_info["task_id"])
        task = await self._worker.cancel(task_id, owner=sender.visible_owner)
        document = task_document(
            task, base_url=base_url_of(request), with_owner=_sees_owners(sender)
        )
        return _json(document, status=200 if task.status.is_terminal else 202)

    async def retry(self, request: web.Request) -> web.Response:
        """Queue a failed task again, and announce it to its clients."""
        with self._traced(request, f"{TASKS_PATH}/{{task_id}}/retry") as span:
            return await self._retry(request, span)

    async def _retry(self, request: web.Request, span: Span) -> web.Response:
        sender = _sender(request, Scope.CREATE)
        owner = sender.visible_owner
        failed = await self._task(request, owner)
        if failed.unreadable:
            raise UnreadableTaskError(failed.id, failed.unreadable)
        # Keep its model: the operator's default may have changed since.
        input_data = failed.input_data | {"model": failed.model}
        params = self._params(input_data)
        if self._files is not None:
            await self._files.protect(params.uploads)
        task = await self._store.retry(failed.id, params, owner=owner, traceparent=span.traceparent)
        span.note(task_id=task.id, task_type=task.type, task_model=task.model)
        if self._announce is not None:
            self._announce(task)
        self._worker.note_queued(task)
        return _json(await self._document(request, task, sender, owner), status=202)

    @contextmanager
    def _traced(self, request: web.Request, route: str) -> Iterator[Span]:
        """A span for a request that makes a task run, below the client's."""
        traceparent = traceparent_or_none(request.headers.get("traceparent"))
        name = f"{request.method} {route}"
        with self._worker.tracer.request(name, traceparent) as span:
            span.note(http_route=route, request_id=request_id_of(request))
            yield span

    def _params(self, input_data: JSONObject) -> TaskParams:
        return determine_task_params(input_data, self._task_types, self._policy)

    async def _with_stored_files(self, posted: PostedBody, owner: str) -> JSONObject:
        """The posted body, with references to stored files in place of files that are inline."""
        body = parsed_json(posted.content)
        input_data = validated(CreateTask, body).input_data
        assert isinstance(body, dict)  # noqa: S101 - it is valid
        if self._files is not None:
            input_data = await self._files.store_inline(
                input_data, owner, self._params, posted.files
            )
        return {**body, "input_data": input_data}

    async def _task(self, request: web.Request, owner: str | None) -> Task:
        task_id = stored_spelling(request.match_info["task_id"])
        task = await self._store.get(task_id, owner=owner)
        if task is None:
            raise TaskNotFoundError(task_id)
        return task

    async def _document(
        self, request: web.Request, task: Task, sender: Principal, owner: str | None
    ) -> JSONObject:
        position = None
        if task.status is TaskStatus.QUEUED:
            position = await self._store.queue_position(task.id, owner=owner)
        return task_document(
            task, position, base_url=base_url_of(request), with_owner=_sees_owners(sender)
        )


def add_task_routes(  # noqa: PLR0913 - the app, its parts, and limits with defaults
    app: web.Application,
    store: TaskStore,
    worker: WorkerClient,
    *,
    task_types: Mapping[str, TaskType] = TASK_TYPES,
    max_body_bytes: int = MAX_BODY_BYTES,
    bodies: PostedBodies | None = None,
    files: TaskFiles | None = None,
    announce: Callable[[Task], None] | None = None,
    authenticate: Authenticate = anyone,
    limiter: RateLimiter | None = None,
    visibility: Visibility = "owner",
    policy: InputPolicy | None = None,
) -> None:
    """Mount the API and its middleware on an app that has not started.

    Args:
        max_body_bytes: the limit for a body, if there are no `bodies`.
        bodies: receives bodies that may have files inline.
        files: stores the files of tasks; None leaves them where they are.
        announce: called with each task that is queued again; the worker announces its own changes.
        authenticate: finds out who sent a request.
        limiter: limits how fast owners create tasks; None does not limit it.
        visibility: who may see a task and its events by its id.
        policy: what the operator allows; None allows everything.
    """
    api = TaskApi(
        store=store,
        worker=worker,
        task_types=task_types,
        bodies=bodies or PostedBodies(max_body_bytes),
        files=files,
        announce=announce,
        visibility=visibility,
        policy=policy,
    )

    async def prepare(request: web.Request) -> None:
        refuse_encoded(request)
        if request.path == API_FILES_PATH:
            require_file_type(request)
        else:
            require_json(request)
        await note_principal(authenticate, request)
        if limiter is not None:
            limit_owner(limiter, request)

    app.middlewares.append(answering_problems(prepare))
    app.router.add_post(TASKS_PATH, api.create)
    app.router.add_get(TASKS_PATH, api.list)
    app.router.add_get("/api/tasks/{task_id}", api.show)
    app.router.add_get("/api/tasks/{task_id}/events", api.events)
    app.router.add_post("/api/tasks/{task_id}/cancel", api.cancel)
    app.router.add_post("/api/tasks/{task_id}/retry", api.retry)


def _sender(request: web.Request, scope: Scope) -> Principal:
    """The sender of a request, who needs this scope.

    Raises:
        ScopeError: the sender does not have it.
    """
    principal = principal_of(request)
    principal.require(scope)
    return principal


def _sees_owners(principal: Principal) -> bool:
    return Scope.OPERATE in principal.scopes


def _event_document(event: TaskEvent, task: Task, base_url: str) -> JSONObject:
    document: JSONObject = {
        "seq": event.seq,
        "event": event.event,
        "status": event.status.wire,
        "state": event.status.value,
        "progress": event.progress,
        "at": wire_time(event.at),
    }
    if event.data is not None:
        document["data"] = with_file_links(event.data, task.files, base_url)
    return document


def _json(
    document: JSONObject, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    headers = {**headers, **_IS_JSON} if headers else _IS_JSON
    return web.Response(body=_dumps(document).encode(), status=status, headers=headers)


_IS_JSON: Mapping[str, str] = {hdrs.CONTENT_TYPE: "application/json; charset=utf-8"}
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
