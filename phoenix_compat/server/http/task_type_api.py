"""GET /api/task_types: what clients may ask for, as the operator allows it."""

from __future__ import annotations

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

    async def list(self, _request: web.Request) -> web.Response:
        """All task types; the sender needs a credential, but no scope."""
        return web.json_response(task_types_document(self._task_types, self._policy))
