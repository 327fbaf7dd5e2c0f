"""The base class of channels that show a state which changes by itself."""

from __future__ import annotations

import logging
from typing import ClassVar

from phoenix_compat.channel import Channel
from phoenix_compat.protocol.message import JSON
from phoenix_compat.result import Result, ok
from phoenix_compat.server.console.context import ConsoleContext, context_of
from phoenix_compat.socket import Socket
from phoenix_compat.tasks.model.task import JSONObject


class LiveChannel(Channel):
    """A topic with one state: the answer to the join has it, and `snapshot` has each later one.

    Subclasses have `read`, which all watchers of the topic share: it is called once for each
    interval, and only while somebody watches.

    Attributes:
        interval_s: the pause between two states, in seconds.
    """

    interval_s: ClassVar[float] = 1.0
    log_join = logging.DEBUG

    async def read(self, context: ConsoleContext) -> JSONObject:
        """The state to show."""
        raise NotImplementedError

    async def join(self, topic: str, payload: JSON, socket: Socket) -> Result:
        """Answer with the present state."""
        del payload
        context = context_of(socket)
        state = await self.read(context)
        leave = context.live.watch(topic, lambda: self.read(context), self.interval_s)
        socket.monitor(leave)
        return ok(state)
