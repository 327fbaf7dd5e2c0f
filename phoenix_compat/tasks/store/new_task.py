"""A task that is not stored yet, and a client's idempotency key."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from phoenix_compat.tasks.model.errors import InvalidInputError
from phoenix_compat.tasks.model.task import Task, TaskId
from phoenix_compat.tasks.model.task_types import TaskParams
from phoenix_compat.tasks.store.columns import OWNER_EXPECTED, read_owner
from phoenix_compat.tasks.store.rows import added_task, added_values


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The Idempotency-Key of a request: repeats with the same key make one task.

    Attributes:
        key: the header's value.
        body_fingerprint: sha256 of the request's body; a repeat must have the same one.
    """

    key: str
    body_fingerprint: str


class NewTask:
    """A task that has an id but no number, because it is not stored yet.

    Attributes:
        owner: see `Task.owner`.
        created_at: when it was created.
        cost_usd: its estimated cost; None if that is unknown.
        uploads: the uploaded files that it uses.
        values: the parameters of `queries.ADD_TASK`.

    Raises:
        InvalidInputError: the owner could not be read after it is stored.
    """

    __slots__ = (
        *("_id", "_params", "_traceparent", "cost_usd", "created_at", "owner", "uploads"),
        "values",
    )

    def __init__(
        self, params: TaskParams, now: datetime, owner: str = "", traceparent: str | None = None
    ) -> None:
        self._params = params
        self._id = _new_task_id(now)
        self._traceparent = traceparent
        self.owner = checked_owner(owner)
        self.created_at = now
        self.cost_usd = params.estimated_cost_usd
        self.uploads = params.uploads
        self.values = added_values(params, self._id, now, owner, traceparent)

    def task(self, number: int) -> Task:
        """The stored task, with the number that the database gave it."""
        return added_task(
            self._params,
            self._id,
            number,
            self.created_at,
            self.owner,
            traceparent=self._traceparent,
        )


def checked_owner(owner: str) -> str:
    """The owner, if it can be stored.

    Raises:
        InvalidInputError: it has several lines, or is too long.
    """
    try:
        return read_owner(owner)
    except ValueError:
        raise InvalidInputError("owner", f"must be {OWNER_EXPECTED}") from None


class _RandomBytes:
    """The system's random bytes, fetched for many ids at once, since each call takes long.

    Used in the event loop's thread only. Each is given out once, also where the process forks.
    """

    def __init__(self, size_bytes: int, at_once: int, fetch: Callable[[int], bytes]) -> None:
        self._size_bytes = size_bytes
        self._fetched_bytes = size_bytes * at_once
        self._fetch = fetch
        self._left = b""
        if hasattr(os, "register_at_fork"):  # not on Windows
            os.register_at_fork(after_in_child=self.forget)

    def take(self) -> bytes:
        """Bytes that nobody else has got."""
        if not self._left:
            self._left = self._fetch(self._fetched_bytes)
        taken, self._left = self._left[: self._size_bytes], self._left[self._size_bytes :]
        return taken

    def forget(self) -> None:
        """Fetch new ones next time."""
        self._left = b""


_random = _RandomBytes(10, at_once=32, fetch=os.urandom)


def _new_task_id(now: datetime) -> TaskId:
    """A UUID of version 7: 48 bits of time and 74 random bits.

    Ids that rise with time keep new tasks together in every index, so a commit of many tasks writes
    few pages. The standard library has uuid.uuid7 only from Python 3.14 on.

    Source: RFC 9562, section 5.7.
    """
    text = int(now.timestamp() * 1_000).to_bytes(6, "big").hex() + _random.take().hex()
    variant = "89ab"[int(text[16], 16) % 4]
    return TaskId(f"{text[:8]}-{text[8:12]}-7{text[13:16]}-{variant}{text[17:20]}-{text[20:]}")
