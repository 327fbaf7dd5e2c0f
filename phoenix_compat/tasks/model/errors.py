"""The task engine's errors.

TaskError
├─ InvalidInputError            the client's input names no task we can run
├─ TaskNotFoundError
├─ NotFailedError               only a failed task can be made again
├─ UnreadableTaskError          nor one of whose row something cannot be read
├─ IllegalMoveError             we erred: a move that the table of states does not have
├─ StoreError
│  ├─ StoreOpenError            the database cannot be used; the text says what to do
│  │  ├─ StoreCorruptError
│  │  ├─ StoreVersionError      another version of this program made the file
│  │  └─ StoreInUseError        another process owns it
│  ├─ StoreUnavailableError     busy or full just now; nothing was written
│  │  └─ StoreGoneError         the file was removed or replaced under the running server
│  ├─ QueueFullError
│  ├─ KeyReusedError            an Idempotency-Key came back with another body
│  └─ PredictionTakenError      the prediction belongs to another task
└─ ProviderError
   ├─ ProviderUnreachableError  never sent: safe to repeat
   ├─ ProviderUncertainError    sent, and the answer says nothing: it may have happened
   ├─ ProviderThrottledError    refused for now: wait
   └─ ProviderRefusedError      refused for good: nothing happened
"""

from __future__ import annotations

from collections.abc import Sequence

from phoenix_compat.errors import TaskError


class InvalidInputError(TaskError):
    """The posted input cannot become a task.

    Attributes:
        field: where it went wrong, as a path into the posted body ("input_data.prompt").
        reason: what is wrong with it, for people.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class TaskNotFoundError(TaskError):
    """No task has this id."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"there is no task {task_id!r}")
        self.task_id = task_id


class NotFailedError(TaskError):
    """A task was asked for again that has not failed."""

    def __init__(self, task_id: str, status: str) -> None:
        super().__init__(f"task {task_id} is {status}; only a failed task can be made again")
        self.task_id = task_id
        self.status = status


class UnreadableTaskError(TaskError):
    """A task was asked for again whose row cannot be read."""

    def __init__(self, task_id: str, columns: Sequence[str]) -> None:
        super().__init__(f"what is stored of task {task_id} cannot be read: {', '.join(columns)}")
        self.task_id = task_id
        self.columns = tuple(columns)


class IllegalMoveError(TaskError):
    """A state was asked to become one that it cannot become."""

    def __init__(self, task_id: str, from_: str, to: str) -> None:
        super().__init__(f"task {task_id} cannot go from {from_} to {to}")
        self.task_id = task_id
        self.from_ = from_
        self.to = to


class StoreError(TaskError):
    """The root of what the store raises."""


class StoreOpenError(StoreError):
    """The database file cannot be used.

    Attributes:
        path: the file.
        reason: what is wrong and what to do, one sentence.
    """

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"cannot use the database {path}: {reason}")
        self.path = path
        self.reason = reason


class StoreCorruptError(StoreOpenError):
    """The file is no sound SQLite database; it is left as it is."""


class StoreVersionError(StoreOpenError):
    """The file has a schema this program does not know."""


class StoreInUseError(StoreOpenError):
    """Another process works on this file; two would run every task twice."""


class StoreUnavailableError(StoreError):
    """The store cannot read or write just now (locked, full, failing disk); try again later."""


class StoreGoneError(StoreUnavailableError):
    """The database file is no longer where it was opened; what is written now would be lost."""

    def __init__(self, path: object) -> None:
        super().__init__(
            f"the database {path} was removed or replaced while in use; "
            "put it back or restart the server"
        )
        self.path = path


class QueueFullError(StoreError):
    """As many tasks wait as this server accepts."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} tasks are waiting, which is as many as this server accepts")
        self.limit = limit


class KeyReusedError(StoreError):
    """An Idempotency-Key stands for another order."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the key {key!r} was used for another order")
        self.key = key


class PredictionTakenError(StoreError):
    """Another task already owns this prediction."""

    def __init__(self, prediction_id: str) -> None:
        super().__init__(f"prediction {prediction_id} belongs to another task")
        self.prediction_id = prediction_id


class ProviderError(TaskError):
    """The root of what a provider raises. The text is for logs, never for clients."""


class ProviderUnreachableError(ProviderError):
    """No connection was made, so nothing was sent."""


class ProviderUncertainError(ProviderError):
    """The request may have been carried out; its answer is lost or makes no sense.

    Attributes:
        status: the HTTP status of the answer, None when there was no readable answer.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ProviderThrottledError(ProviderError):
    """Too many requests; nothing was created.

    Attributes:
        retry_after_s: how long the provider asks us to wait, in seconds.
    """

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"throttled; may be repeated in {retry_after_s:g} s")
        self.retry_after_s = retry_after_s


class ProviderRefusedError(ProviderError):
    """The provider said no; repeating the same request is of no use.

    Attributes:
        status: the HTTP status of the refusal.
        code: the stable word for clients ("invalid_input").
        text: the sentence for clients; it never carries the provider's account matters.
    """

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(f"refused with {status}: {code}")
        self.status = status
        self.code = code
        self.text = text


class RateReducedError(ProviderThrottledError):
    """Too many requests, and the provider says how many there may be.

    Attributes:
        per_minute, burst: so many creates in a minute, so many at once.
    """

    def __init__(self, retry_after_s: float, *, per_minute: int, burst: int) -> None:
        super().__init__(retry_after_s)
        self.per_minute = per_minute
        self.burst = burst
