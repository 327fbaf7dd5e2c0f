"""An order that is about to become a task: what can be known of it before it has a number."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime

from phoenix_compat.tasks.model.task import Task, TaskId
from phoenix_compat.tasks.model.task_types import TaskParams
from phoenix_compat.tasks.store.rows import added_task, added_values


@dataclass(frozen=True, slots=True)
class OnceOnly:
    """A client's word that an order, however often it arrives, is one.

    Attributes:
        key: the client's name for it.
        body_fingerprint: sha256 of the body, to tell a repetition from a mistake.
    """

    key: str
    body_fingerprint: str


class NewTask:
    """A task without its number.

    Attributes:
        values: the parameters of `queries.ADD_TASK`.
    """

    __slots__ = ("_id", "_now", "_params", "values")

    def __init__(self, params: TaskParams, now: datetime) -> None:
        self._params = params
        self._id = _new_id(now)
        self._now = now
        self.values = added_values(params, self._id, now)

    def task(self, number: int) -> Task:
        """The task with its number."""
        return added_task(self._params, self._id, number, self._now)


def _new_id(now: datetime) -> TaskId:
    """A UUID of version 7: who knows the time still has 74 random bits to guess.

    New tasks then stand side by side in every index, so that a commit of many writes few pages; ids
    without order touch a page each. uuid.uuid7 is there from Python 3.14 on.

    Source: RFC 9562, section 5.7.
    """
    text = int(now.timestamp() * 1_000).to_bytes(6, "big").hex() + os.urandom(10).hex()
    variant = "89ab"[int(text[16], 16) % 4]
    return TaskId(f"{text[:8]}-{text[8:12]}-7{text[13:16]}-{variant}{text[17:20]}-{text[20:]}")
