"""GET /api/task_types: what clients may ask for, as the operator allows it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from phoenix_compat.tasks.model.model_policy import ModelPolicy
from phoenix_compat.tasks.model.task_type_document import task_types_document
from phoenix_compat.tasks.model.task_types import TaskType

TASK_TYPES_PATH: Final = "/api/task_types"


class TaskTypeApi:
    """The handler with its dependencies.

    Args:
        task_types: the table of the server; it may change.
        policy: what the operator allows; it may change.
    """

    def __init__(self, task_types: Mapping[str, TaskType], policy: ModelPolicy) -> None:
        self._task_types = task_types
        self._policy = policy
        self._described: object = None
        self._text = ""

    async def list(self, _request: web.Request) -> web.Response:
        """All task types; the sender needs a credential, but no scope."""
        described = (self._policy.rules, tuple(self._task_types.items()))
        if described != self._described:  # the first request, or one after a reload
            self._text = json.dumps(task_types_document(self._task_types, self._policy))
            self._described = described
        return web.Response(text=self._text, content_type="application/json")
