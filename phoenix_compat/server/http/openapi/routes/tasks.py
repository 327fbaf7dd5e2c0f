"""The routes of tasks."""

from __future__ import annotations

from typing import Any, Final

from phoenix_compat.server.auth.principal import Scope
from phoenix_compat.server.http.openapi.described import Answer, Body, Example, Parameter, Route
from phoenix_compat.server.http.schemas.task_requests import CreateTask, EventPage, TaskPage
from phoenix_compat.server.http.schemas.task_types import TaskTypeList
from phoenix_compat.server.http.schemas.tasks import TaskDetail, TaskEvents, TaskList, TaskSummary

TASK_ID: Final = "019b8d2f-6c00-7a4e-9d3b-2f1c5e8a7b60"
PREDICTION_ID: Final = "pnz8hs4g3drma0cxb5m8c8t6w4"
PICTURE: Final = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae.png"

_BODY: Final[dict[str, Any]] = {"input_data": {"type": "image", "prompt": "Medieval monk"}}
_PATH: Final = f"/api/tasks/{TASK_ID}"
_AT: Final = "2026-01-05T10:00:00Z"
_SUMMARY: Final[dict[str, Any]] = {
    "task_id": TASK_ID,
    "status": "processing",
    "state": "queued",
    "progress": 0.0,
    "task_type": "image_gen",
    "model": "google/imagen-4-fast",
    "created_at": _AT,
    "topic": f"task:{TASK_ID}",
    "links": {"self": _PATH, "events": f"{_PATH}/events", "cancel": f"{_PATH}/cancel"},
}
_URL: Final = f"http://127.0.0.1:4000/files/{PICTURE}"
_RESULT: Final[dict[str, Any]] = {
    "image_url": _URL,
    "image_urls": [_URL],
    "model": "google/imagen-4-fast",
    "provider": "Replicate",
    "prediction_id": PREDICTION_ID,
    "created_at": _AT,
    "completed_at": "2026-01-05T10:00:09Z",
}
_IN_LIST: Final[dict[str, Any]] = {
    **_SUMMARY,
    "status": "completed",
    "state": "completed",
    "progress": 1.0,
    "updated_at": "2026-01-05T10:00:09Z",
    "estimated_cost_usd": 0.02,
    "completed_at": "2026-01-05T10:00:09Z",
    "prediction_id": PREDICTION_ID,
    "result_data": _RESULT,
}
_DETAIL: Final[dict[str, Any]] = {**_IN_LIST, "input_data": _BODY["input_data"]}
_QUEUED: Final[dict[str, Any]] = {
    **_SUMMARY,
    "updated_at": _AT,
    "estimated_cost_usd": 0.02,
    "input_data": _BODY["input_data"],
    "queue_position": 1,
}
_RUNNING: Final[dict[str, Any]] = {
    **_QUEUED,
    "state": "running",
    "progress": 0.1,
    "prediction_id": PREDICTION_ID,
}
del _RUNNING["queue_position"]


def _event(seq: int, state: str, progress: float, at: str, **data: Any) -> dict[str, Any]:
    status = state if state == "completed" else "processing"
    event = {"seq": seq, "event": state, "status": status, "state": state, "progress": progress}
    return {**event, "at": at, **data}


_EVENTS: Final = {
    "events": [
        _event(1, "queued", 0.0, _AT),
        _event(2, "submitting", 0.1, _AT),
        _event(3, "running", 0.1, _AT),
        _event(4, "completed", 1.0, "2026-01-05T10:00:09Z", data=_RESULT),
    ]
}

TASK_ID_IN_PATH: Final = Parameter(
    "task_id",
    "path",
    "The id of a task; upper case is accepted too.",
    {"type": "string", "minLength": 1, "examples": [TASK_ID]},
    is_required=True,
)
IDEMPOTENCY_KEY: Final = Parameter(
    "Idempotency-Key",
    "header",
    "Makes it safe to send the request again: the same key with the same body does nothing new. "
    "1 to 255 visible ASCII characters; it is kept for 24 hours.",
    {"type": "string", "pattern": r'^([!#-\[\]-~]{1,255}|"[!#-\[\]-~]{1,255}")$'},
)
_LINKS: Final = {
    name: {"task_id": "$response.body#/task_id"}
    for name in ("showTask", "listTaskEvents", "cancelTask", "retryTask")
}
_CREATE_PROBLEMS: Final = (
    "cap-reached",
    "not-allowed",
    "invalid-input",
    "quota-reached",
    "queue-full",
    "files-unavailable",
    "storage-full",
)

_TYPES: Final = {
    "task_types": [
        {
            "type": "upscale",
            "task_type": "image_upscale",
            "default_model": "topazlabs/image-upscale",
            "models": [{"model": "topazlabs/image-upscale", "inputs": ["image"]}],
            "inputs": [
                {
                    "name": "image",
                    "kind": "image",
                    "required": True,
                    "description": "The picture to enlarge.",
                    "many": False,
                }
            ],
            "result": "image",
            "streams": False,
            "takes_files": True,
            "deadline_s": 600.0,
        }
    ],
    "allowed_models": ["*"],
}

TASK_ROUTES: Final = (
    Route(
        method="POST",
        path="/api/tasks",
        name="createTask",
        tag="tasks",
        summary="Create a task",
        text="The answer is sent when the task is on disk. Join its `topic` on `/socket` to watch "
        "it, or ask for it until it has ended.\n\n`input_data` has the `type` of the task, "
        "`image` or another one that the server knows; the `prompt`; and the inputs of the model, "
        "such as `model`, `aspect_ratio` and `seed`. An input that is a file can be an `https:` "
        "address, the `id` of an uploaded file, or a `data:` URL.",
        scope=Scope.CREATE,
        parameters=(IDEMPOTENCY_KEY,),
        body=Body("What to make. Further keys are ignored.", (CreateTask,)),
        answers=(
            Answer(
                202,
                "The task is stored.",
                TaskSummary,
                headers=("Location",),
                optional_headers=("Idempotency-Replayed",),
                links=_LINKS,
            ),
        ),
        problems=(
            *_CREATE_PROBLEMS,
            "bad-idempotency-key",
            "malformed-json",
            "too-deep",
            "idempotency-key-reused",
            "too-many-large-bodies",
        ),
        example=Example(path="/api/tasks", body=_BODY, status=202, answer=_SUMMARY),
    ),
    Route(
        method="GET",
        path="/api/tasks",
        name="listTasks",
        tag="tasks",
        summary="List tasks",
        text="The owner's tasks, newest first, without their inputs; with the scope `operate`, "
        "those of all owners. A page has at most `limit` tasks and at most 1 MiB.",
        scope=Scope.READ,
        query=TaskPage,
        answers=(Answer(200, "A page of tasks.", TaskList),),
        problems=("invalid-input",),
        example=Example(
            path="/api/tasks?status=completed&limit=1",
            answer={"tasks": [_IN_LIST], "next_cursor": "42"},
        ),
    ),
    Route(
        method="GET",
        path="/api/task_types",
        name="listTaskTypes",
        tag="tasks",
        summary="List the types of tasks",
        text="What clients may ask for, with all that a form needs. Needs a credential, but no "
        "scope.",
        needs_credential=True,
        answers=(Answer(200, "The types.", TaskTypeList),),
        example=Example(path="/api/task_types", answer=_TYPES),
    ),
    Route(
        method="GET",
        path="/api/tasks/{task_id}",
        name="showTask",
        tag="tasks",
        summary="Show a task",
        scope=Scope.READ,
        parameters=(TASK_ID_IN_PATH,),
        answers=(Answer(200, "The task.", TaskDetail),),
        problems=("task-not-found",),
        example=Example(path=_PATH, answer=_DETAIL),
    ),
    Route(
        method="GET",
        path="/api/tasks/{task_id}/events",
        name="listTaskEvents",
        tag="tasks",
        summary="Show the history of a task",
        scope=Scope.READ,
        parameters=(TASK_ID_IN_PATH,),
        query=EventPage,
        answers=(Answer(200, "The events, oldest first.", TaskEvents),),
        problems=("task-not-found", "invalid-input"),
        example=Example(path=f"{_PATH}/events", answer=_EVENTS),
    ),
    Route(
        method="POST",
        path="/api/tasks/{task_id}/cancel",
        name="cancelTask",
        tag="tasks",
        summary="Cancel a task",
        text="If the result arrives before the cancel, it is kept: it is already paid for.",
        scope=Scope.CANCEL,
        parameters=(TASK_ID_IN_PATH,),
        answers=(
            Answer(200, "The task has ended, now or before.", TaskDetail),
            Answer(202, "The provider has been asked to stop the prediction.", TaskDetail),
        ),
        problems=("task-not-found",),
        example=Example(path=f"{_PATH}/cancel", status=202, answer=_RUNNING),
    ),
    Route(
        method="POST",
        path="/api/tasks/{task_id}/retry",
        name="retryTask",
        tag="tasks",
        summary="Run a failed task again",
        text="It keeps its id, its topic and its model, and counts as a new task in all limits.",
        scope=Scope.CREATE,
        parameters=(TASK_ID_IN_PATH,),
        answers=(Answer(202, "The task is queued again.", TaskDetail),),
        problems=(*_CREATE_PROBLEMS, "task-not-found", "not-failed", "unreadable-task"),
        example=Example(path=f"{_PATH}/retry", status=202, answer=_QUEUED),
    ),
)
