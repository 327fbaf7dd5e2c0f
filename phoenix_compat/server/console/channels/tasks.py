"""`admin:tasks`: which tasks have changed. The lists are at `/api/console/tasks`.

changed     {"tasks": [...], "left_out": 0}     from `TaskChanges`, in every process
snapshot    {"newest": 17}                      the number of the newest task: new tasks wait in
                                                the queue without a change that could be shown
"""

from __future__ import annotations

from typing import Final

import msgspec

from phoenix_compat.errors import PhoenixCompatError
from phoenix_compat.server.console.context import ConsoleContext
from phoenix_compat.server.console.live_channel import LiveChannel
from phoenix_compat.tasks.model.task import JSONObject

_NEWEST: Final = "console.newest_task"


def answer_newest(context: ConsoleContext) -> None:
    """Let this process say what the newest task is, when it has the database."""

    async def answer(_body: bytes) -> bytes:
        return msgspec.json.encode({"newest": await context.engine.store.newest_number()})

    context.processes.answer(_NEWEST, answer)


class TasksChannel(LiveChannel):
    """See the module."""

    async def read(self, context: ConsoleContext) -> JSONObject:
        """The newest number; none while the database cannot be read."""
        try:
            found: JSONObject = msgspec.json.decode(await context.processes.ask_leader(_NEWEST))
        except PhoenixCompatError:
            return {}
        return found
