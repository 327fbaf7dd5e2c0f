"""Every problem document that this server sends, by the last word of its `type`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class ProblemKind(NamedTuple):
    """A kind of problem.

    Attributes:
        status: the status of the answer.
        text: why it is sent, and what to do.
        header: a header that the answer has, if it has one; a name in `headers.HEADERS`.
    """

    status: int
    text: str
    header: str | None = None


_RETRY: Final = "Retry-After"

PROBLEMS: Final[Mapping[str, ProblemKind]] = {
    "bad-form": ProblemKind(400, "The body is not a valid form with one file."),
    "bad-idempotency-key": ProblemKind(
        400, "The header `Idempotency-Key` is not one key of 1 to 255 visible ASCII characters."
    ),
    "bad-owner": ProblemKind(400, "The header `X-Owner` is not accepted; the text says why."),
    "bad-request": ProblemKind(400, "The request is malformed, or its body was cut off."),
    "malformed-json": ProblemKind(400, "The body is not valid JSON."),
    "too-deep": ProblemKind(400, "The body is nested too deeply."),
    "unauthorized": ProblemKind(
        401, "A valid credential is missing; the text says what is wrong.", "WWW-Authenticate"
    ),
    "cap-reached": ProblemKind(
        402, "The estimated cost of the task would exceed a limit, which the text names."
    ),
    "forbidden": ProblemKind(
        403,
        "The credential does not have the scope, or a server without authentication is not "
        "reached from its own machine.",
    ),
    "not-allowed": ProblemKind(
        403, "The operator does not allow the model, the input or the topic that `field` names."
    ),
    "origin-not-allowed": ProblemKind(
        403, "Pages of this origin may not use the server; see the setting `check_origin`."
    ),
    "file-not-found": ProblemKind(404, "There is no file with this name."),
    "not-found": ProblemKind(404, "There is nothing at this path."),
    "task-not-found": ProblemKind(404, "There is no task with this id, or it is another owner's."),
    "method-not-allowed": ProblemKind(405, "The path does not have this method.", "Allow"),
    "request-timeout": ProblemKind(408, "The body did not arrive in time."),
    "not-failed": ProblemKind(409, "Only a failed task can be retried."),
    "unreadable-task": ProblemKind(409, "The stored data of the task cannot be read."),
    "precondition-failed": ProblemKind(412, "The file does not have the ETag of `If-Match`."),
    "too-large": ProblemKind(413, "The body is too long; the text names the limit."),
    "unsupported-file": ProblemKind(415, "The file is not of an accepted type."),
    "unsupported-media-type": ProblemKind(
        415, "The body needs another `Content-Type`, or has a `Content-Encoding`."
    ),
    "misdirected-request": ProblemKind(
        421, "The server does not answer to this `Host`; see the setting `allowed_hosts`."
    ),
    "idempotency-key-reused": ProblemKind(
        422, "The `Idempotency-Key` was used with another body; use a new one."
    ),
    "invalid-file": ProblemKind(422, "The file is empty, cut off or broken, or too large."),
    "invalid-input": ProblemKind(422, "A field is missing or not accepted; `errors` names it."),
    "quota-reached": ProblemKind(
        429, "A limit for a day or a month is reached; the text says which.", _RETRY
    ),
    "too-many-requests": ProblemKind(429, "The client sends too fast.", _RETRY),
    "too-many-own-streams": ProblemKind(
        429, "The owner has half of the streams that may be open; close some.", _RETRY
    ),
    "internal-error": ProblemKind(500, "A bug of this server; its log has the traceback."),
    "auth-unavailable": ProblemKind(503, "Credentials cannot be checked at the moment.", _RETRY),
    "files-unavailable": ProblemKind(
        503, "The server that keeps the files does not answer at the moment.", _RETRY
    ),
    "metrics-unavailable": ProblemKind(
        503, "prometheus-client is not installed on the server; the text says how to."
    ),
    "queue-full": ProblemKind(503, "Too many tasks are waiting.", _RETRY),
    "storage-full": ProblemKind(503, "Files cannot be stored at the moment.", _RETRY),
    "store-unavailable": ProblemKind(503, "The database cannot be used at the moment.", _RETRY),
    "too-many-files": ProblemKind(503, "Too many files are sent at the same time.", _RETRY),
    "too-many-large-bodies": ProblemKind(503, "Too many large bodies are being read.", _RETRY),
    "too-many-streams": ProblemKind(503, "Too many streams are open.", _RETRY),
    "unavailable": ProblemKind(
        503, "The process that runs the tasks is being replaced; nothing was done.", _RETRY
    ),
    "unknown-outcome": ProblemKind(
        503,
        "The request may have been carried out. With an `Idempotency-Key` it can be repeated.",
        _RETRY,
    ),
}

GUARDED: Final = ("forbidden", "misdirected-request")
"""Those of every route whose Host is checked."""
API: Final = (
    "bad-owner",
    "bad-request",
    "unauthorized",
    "request-timeout",
    "too-large",
    "unsupported-media-type",
    "too-many-requests",
    "internal-error",
    "auth-unavailable",
    "store-unavailable",
    "unavailable",
)
"""Those of every route under /api."""
CHANGES: Final = ("origin-not-allowed", "unknown-outcome")
"""Those of every route under /api that changes something."""
