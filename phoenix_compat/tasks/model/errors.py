"""The task engine's errors.

TaskError
├─ InvalidInputError            the posted input cannot become a task
│  └─ InputNotAllowedError      the operator does not allow the input
├─ TaskNotFoundError
├─ NotFailedError               a retry of a task that has not failed
├─ UnreadableTaskError          a retry of a task whose row cannot be read
├─ FilesUnavailableError        the server that keeps the files does not answer; safe to repeat
├─ IllegalMoveError             a bug in this program: LEGAL_MOVES does not have the move
├─ StoreError
│  ├─ StoreOpenError            the database cannot be used; the text says what to do
│  │  ├─ StoreCorruptError
│  │  ├─ StoreVersionError      another version of this program made the file
│  │  └─ StoreInUseError        another process is using the file
│  ├─ StoreUnavailableError     locked, full or failing at the moment; nothing was written
│  │  └─ StoreGoneError         the file was removed or replaced while the server was running
│  ├─ UniqueError               a row with these values is stored already
│  ├─ QueueFullError
│  ├─ BudgetError
│  │  ├─ CapReachedError        the money of a day or month is used up
│  │  └─ QuotaReachedError      so is its number of tasks
│  ├─ UploadsFullError          an owner has sent too many bytes of files within a day
│  ├─ KeyReusedError            an Idempotency-Key came with a different body
│  └─ PredictionTakenError      the prediction belongs to another task
└─ ProviderError
   ├─ ProviderUnreachableError  the request was never sent: safe to repeat
   │  └─ InputsUnavailableError it was not even begun: a file of the input cannot be read now
   ├─ ProviderUncertainError    the request was sent, but it is unknown whether it took effect
   ├─ ProviderThrottledError    too many requests: wait, then repeat
   │  └─ RateReducedError       the same, with the rate that the provider allows
   └─ ProviderRefusedError      the request was refused: nothing happened
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

from phoenix_compat.errors import TaskError
from phoenix_compat.tasks.model.caps import Cap, usd_text


class InvalidInputError(TaskError):
    """The posted input cannot become a task.

    Attributes:
        field: the invalid field, as a path into the posted body ("input_data.prompt").
        reason: what is wrong with it, as a text for people.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class InputNotAllowedError(InvalidInputError):
    """A model could take the input, but the operator of this server does not allow it."""


class TaskNotFoundError(TaskError):
    """No task has this id."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"there is no task {task_id!r}")
        self.task_id = task_id


class NotFailedError(TaskError):
    """A retry was requested for a task that has not failed."""

    def __init__(self, task_id: str, status: str) -> None:
        super().__init__(f"task {task_id} is {status}; only a failed task can be retried")
        self.task_id = task_id
        self.status = status


class UnreadableTaskError(TaskError):
    """A retry was requested for a task whose row cannot be read."""

    def __init__(self, task_id: str, columns: Sequence[str]) -> None:
        super().__init__(f"the row of task {task_id} cannot be read: {', '.join(columns)}")
        self.task_id = task_id
        self.columns = tuple(columns)


class IllegalMoveError(TaskError):
    """A task cannot move from its state to the requested one."""

    def __init__(self, task_id: str, from_: str, to: str) -> None:
        super().__init__(f"task {task_id} cannot go from {from_} to {to}")
        self.task_id = task_id
        self.from_ = from_
        self.to = to


class FilesUnavailableError(TaskError):
    """The server that keeps the files does not answer, or refuses; the text says which and why."""


class LeaseLostError(TaskError):
    """Another node has taken the task, so this one may change and announce nothing of it."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"another node has taken task {task_id}")
        self.task_id = task_id


class CreateHeldBackError(TaskError):
    """A create was not sent, because this node may not have the task any more."""

    def __init__(self) -> None:
        super().__init__("this node may not have the task any more")


class StoreError(TaskError):
    """Base class of the store's errors."""


class StoreOpenError(StoreError):
    """The database file cannot be used.

    Attributes:
        path: the file.
        reason: what is wrong and what to do, in one sentence.
    """

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"cannot use the database {path}: {reason}")
        self.path = path
        self.reason = reason


class StoreCorruptError(StoreOpenError):
    """The file is damaged or is not an SQLite database; it was not changed."""


class StoreVersionError(StoreOpenError):
    """The file has a schema version that this program does not know."""


class StoreInUseError(StoreOpenError):
    """Another process is using this file; two processes would run every task twice."""


class StoreUnavailableError(StoreError):
    """The store cannot read or write at the moment (locked, full, failing); try again later."""


class OutcomeUnknownError(StoreUnavailableError):
    """The store did not say whether it has written something; see Idempotency-Key."""


class StoreGoneError(StoreUnavailableError):
    """The database file is no longer where it was opened; further writes would be lost."""

    def __init__(self, path: object) -> None:
        super().__init__(
            f"the database {path} was removed or replaced while in use; "
            "put it back or restart the server"
        )
        self.path = path


class UniqueError(StoreError):
    """There is a row already with values that only one row may have; nothing was written."""


class QueueFullError(StoreError):
    """The queue has as many tasks as this server accepts."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the queue is full: {limit} tasks are waiting")
        self.limit = limit


class BudgetError(StoreError):
    """An order would pass a cap; nothing was stored.

    Attributes:
        cap: the cap, which knows its period and whether it is for all owners together.
        limit: the cap's limit, in micro-dollars or in tasks.
        resets_at: when the period of the cap ends.
        wait_s: how long that is from now, in seconds, rounded up.
    """

    def __init__(self, cap: Cap, limit: int, at: datetime, text: str) -> None:
        self.cap = cap
        self.limit = limit
        self.resets_at = cap.period.end_after(at)
        self.wait_s = max(math.ceil((self.resets_at - at).total_seconds()), 1)
        whose = "for everyone" if cap.is_total else "of the owner"
        super().__init__(f"the cap {whose} is reached: {text} a {cap.period}")


class CapReachedError(BudgetError):
    """The estimated cost of a create would pass a cap.

    Attributes:
        cost_microdollars: the estimated cost.
    """

    def __init__(self, cap: Cap, limit: int, cost_microdollars: int, at: datetime) -> None:
        super().__init__(cap, limit, at, f"{usd_text(limit)} USD")
        self.cost_microdollars = cost_microdollars


class QuotaReachedError(BudgetError):
    """One more task would pass a cap."""

    def __init__(self, cap: Cap, limit: int, at: datetime) -> None:
        super().__init__(cap, limit, at, f"{limit} tasks")


class UploadsFullError(StoreError):
    """One more file would pass the limit for the files that an owner sends within a day.

    Attributes:
        limit_bytes: the limit.
        wait_s: in how many whole seconds the oldest of them no longer counts.
    """

    def __init__(self, limit_bytes: int, wait_s: int) -> None:
        super().__init__(f"the files of a day may have at most {limit_bytes} bytes")
        self.limit_bytes = limit_bytes
        self.wait_s = wait_s


class KeyReusedError(StoreError):
    """An Idempotency-Key was used before, with a different body."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the key {key!r} was used for a different request")
        self.key = key


class PredictionTakenError(StoreError):
    """Another task already owns this prediction."""

    def __init__(self, prediction_id: str) -> None:
        super().__init__(f"prediction {prediction_id} belongs to another task")
        self.prediction_id = prediction_id


class ProviderError(TaskError):
    """Base class of a provider's errors. The texts are for logs, never for clients."""


class ProviderUnreachableError(ProviderError):
    """No connection was made, so nothing was sent."""


class InputsUnavailableError(ProviderUnreachableError):
    """A file of the input cannot be read at the moment; the provider has no part in it."""


class ProviderUncertainError(ProviderError):
    """The request may have taken effect: its answer is lost or cannot be understood.

    Attributes:
        status: the HTTP status of the answer; None when there was no readable answer.
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
        super().__init__(f"throttled; repeat after {retry_after_s:g} s")
        self.retry_after_s = retry_after_s


class ProviderRefusedError(ProviderError):
    """The provider refused the request; sending it again will not help.

    Attributes:
        status: the HTTP status of the refusal.
        code: a stable code for clients ("invalid_input").
        text: a sentence for clients; it says nothing about the account at the provider.
    """

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(f"refused with {status}: {code}")
        self.status = status
        self.code = code
        self.text = text


class StreamBrokenError(ProviderError):
    """The stream of a prediction broke off, or did not begin; connecting again may help."""


class StreamRefusedError(ProviderError):
    """The stream of a prediction cannot be used; connecting again will not help."""


class RateReducedError(ProviderThrottledError):
    """Too many requests, and the provider says which rate it allows.

    Attributes:
        per_minute: creates that are allowed in a minute.
        burst: creates that are allowed at once.
    """

    def __init__(self, retry_after_s: float, *, per_minute: int, burst: int) -> None:
        super().__init__(retry_after_s)
        self.per_minute = per_minute
        self.burst = burst
