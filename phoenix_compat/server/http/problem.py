"""Answers refused requests with RFC 9457 problem documents.

    {"type", "title", "status", "detail"} + "field" and "errors": [{"field", "detail"}]

`type` is a URN whose last word is stable. It never includes stack traces
or paths of this machine.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import TypeAlias, get_args

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from phoenix_compat.http_server import is_client_error, is_encoded
from phoenix_compat.server.auth.principal import ScopeError
from phoenix_compat.tasks.archive.errors import (
    ArchiveError,
    ArchiveFolderError,
    ArchiveFullError,
    FileStoreError,
)
from phoenix_compat.tasks.model.caps import usd_text
from phoenix_compat.tasks.model.clock import wire_time
from phoenix_compat.tasks.model.errors import (
    BudgetError,
    CapReachedError,
    InputNotAllowedError,
    InvalidInputError,
    KeyReusedError,
    NotFailedError,
    OutcomeUnknownError,
    QueueFullError,
    QuotaReachedError,
    StoreUnavailableError,
    TaskNotFoundError,
    UnreadableTaskError,
    UploadsFullError,
)

Prepare: TypeAlias = Callable[[web.Request], Awaitable[None]]
"""Runs before the handler of a request; raises ProblemError to refuse it."""
TaskRefusal: TypeAlias = (
    InvalidInputError
    | TaskNotFoundError
    | NotFailedError
    | UnreadableTaskError
    | KeyReusedError
    | QueueFullError
    | CapReachedError
    | QuotaReachedError
    | StoreUnavailableError
    | UploadsFullError
    | ArchiveFullError
    | ArchiveFolderError
    | FileStoreError
)
_TASK_ERRORS: tuple[type[TaskRefusal], ...] = get_args(TaskRefusal)

API_PREFIX = "/api/"
CONTENT_TYPE = "application/problem+json"
BUSY_RETRY_AFTER_S = 2
FULL_RETRY_AFTER_S = 30

log = structlog.stdlib.get_logger(__name__)


class ProblemError(Exception):
    """A refused request; raised by handlers, and turned into a response by the middleware.

    Attributes:
        status: the HTTP status.
        word: the last word of `type` ("invalid-input").
        detail: one sentence for people.
        errors: the invalid fields, as pairs of field and detail.
        headers: further headers of the response, such as Retry-After.
    """

    def __init__(
        self,
        status: int,
        word: str,
        detail: str,
        *,
        errors: tuple[tuple[str, str], ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.word = word
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}

    def response(self) -> web.Response:
        """The problem document as a response."""
        document: dict[str, object] = {
            "type": f"urn:phoenix-compat:problem:{self.word}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            document["field"] = self.errors[0][0]
            document["errors"] = [
                {"field": field, "detail": detail} for field, detail in self.errors
            ]
        return web.json_response(
            document, status=self.status, headers=self.headers, content_type=CONTENT_TYPE
        )


def answering_problems(prepare: Prepare) -> Middleware:
    """Build the middleware that turns refusals and errors under /api into problem documents.

    Args:
        prepare: runs before the handler of each request under /api.
    """

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(API_PREFIX):
            return await handler(request)
        try:
            await prepare(request)
            return await handler(request)
        except ProblemError as problem:
            return problem.response()
        except web.HTTPException as refusal:
            if refusal.status < 400:
                raise
            return _of_http(refusal).response()
        except ScopeError as error:
            detail = f'Not allowed: {error}. Use a credential that has "{error.scope}".'
            return ProblemError(403, "forbidden", detail).response()
        except _TASK_ERRORS as error:
            return _of_task_error(error).response()
        except Exception as error:  # noqa: BLE001 - a bug: a document, and a traceback in the log
            return _of_error(request, error).response()

    return answer


def _of_error(request: web.Request, error: Exception) -> ProblemError:
    if is_client_error(request, error):
        return ProblemError(400, "bad-request", "The request was cut off.")
    log.error("api.crashed", method=request.method, path=request.path, exc_info=error)
    return ProblemError(500, "internal-error", "Something went wrong on this server.")


def refuse_encoded(request: web.Request) -> None:
    """Refuse compressed bodies: one could unpack to a thousand times its size.

    Raises:
        ProblemError: 415, for a request with a Content-Encoding.
    """
    if is_encoded(request):
        detail = "A body with a Content-Encoding is not accepted; send it without."
        raise ProblemError(
            415, "unsupported-media-type", detail, headers={hdrs.ACCEPT_ENCODING: "identity"}
        )


def _of_task_error(error: TaskRefusal) -> ProblemError:
    match error:
        case InputNotAllowedError():
            errors = ((error.field, error.reason),)
            return ProblemError(403, "not-allowed", str(error), errors=errors)
        case InvalidInputError():
            errors = ((error.field, error.reason),)
            return ProblemError(422, "invalid-input", str(error), errors=errors)
        case TaskNotFoundError():
            return ProblemError(404, "task-not-found", "There is no task with this id.")
        case NotFailedError():
            detail = f"The task is {error.status}; only a failed task can be retried."
            return ProblemError(409, "not-failed", detail)
        case UnreadableTaskError():
            detail = "The stored data of this task cannot be read; create a new task."
            return ProblemError(409, "unreadable-task", detail)
        case KeyReusedError():
            detail = "This Idempotency-Key was used with another body before; use a new key."
            errors = (("Idempotency-Key", "was used with another body"),)
            return ProblemError(422, "idempotency-key-reused", detail, errors=errors)
        case QueueFullError():
            return _busy("queue-full", "Too many tasks are waiting.", FULL_RETRY_AFTER_S)
        case CapReachedError():
            limit = f"{usd_text(error.limit)} US dollars"
            detail = (
                f"This task would exceed {_cap(error, limit)} Its estimated cost is "
                f"{usd_text(error.cost_microdollars)} US dollars."
            )
            return ProblemError(402, "cap-reached", detail)
        case QuotaReachedError():
            limit = "1 task" if error.limit == 1 else f"{error.limit} tasks"
            detail = f"This task would exceed {_cap(error, limit)}"
            headers = {"Retry-After": str(error.wait_s)}
            return ProblemError(429, "quota-reached", detail, headers=headers)
        case StoreUnavailableError():
            return _of_store_error(error)
        case UploadsFullError() | ArchiveFullError() | ArchiveFolderError() | FileStoreError():
            return _of_file_error(error)


def _of_store_error(error: StoreUnavailableError) -> ProblemError:
    if isinstance(error, OutcomeUnknownError):
        log.warning("api.outcome_unknown", reason=str(error))
        detail = (
            "The database did not say whether this was carried out. Requests with the header "
            "Idempotency-Key can safely be sent again."
        )
        return _busy("unknown-outcome", detail, BUSY_RETRY_AFTER_S)
    log.warning("api.store_unavailable", reason=str(error))
    detail = "Tasks cannot be stored or read at the moment; nothing was changed."
    return _busy("store-unavailable", detail, BUSY_RETRY_AFTER_S)


def _of_file_error(error: UploadsFullError | ArchiveError) -> ProblemError:
    if isinstance(error, UploadsFullError):
        detail = (
            f"The files that you send within 24 hours may have at most {error.limit_bytes} "
            "bytes together."
        )
        headers = {"Retry-After": str(error.wait_s)}
        return ProblemError(429, "quota-reached", detail, headers=headers)
    log.warning("api.archive_unavailable", reason=str(error))
    detail = "Files cannot be stored at the moment; nothing was changed."
    word = "files-unavailable" if isinstance(error, FileStoreError) else "storage-full"
    return _busy(word, detail, FULL_RETRY_AFTER_S)


def _cap(error: BudgetError, limit: str) -> str:
    whose = "the limit for everyone together" if error.cap.is_total else "your limit"
    resets_at = wire_time(error.resets_at)
    return f"{whose}, {limit} a {error.cap.period}, which resets at {resets_at}."


def _busy(word: str, detail: str, retry_after_s: int) -> ProblemError:
    return ProblemError(503, word, detail, headers={"Retry-After": str(retry_after_s)})


_WORDS: Mapping[int, tuple[str, str]] = {
    400: ("bad-request", "The request is malformed."),
    404: ("not-found", "There is nothing at this path."),
    405: ("method-not-allowed", "This path does not support this method."),
    413: ("too-large", "The request body is too large."),
}


def _of_http(refusal: web.HTTPException) -> ProblemError:
    word, detail = _WORDS.get(refusal.status, ("refused", refusal.reason))
    allow = refusal.headers.get("Allow")
    return ProblemError(refusal.status, word, detail, headers={"Allow": allow} if allow else None)
