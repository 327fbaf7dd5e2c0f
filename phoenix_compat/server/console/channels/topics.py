"""`admin:channels`: the topics that clients have joined, and who is present, on request."""

from __future__ import annotations

import msgspec

from phoenix_compat.channel import on
from phoenix_compat.result import Result, ok
from phoenix_compat.server.console.channels.answers import (
    AnsweringChannel,
    answered,
    inspection_of,
)
from phoenix_compat.server.inspection.topics import TopicQuery
from phoenix_compat.socket import Socket


class OneTopic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A topic by its name."""

    topic: str


class TopicsChannel(AnsweringChannel):
    """`list` and `presence`."""

    @on("list", TopicQuery)
    async def list(self, query: TopicQuery, socket: Socket) -> Result:
        """Answer with a TopicPage."""
        return await answered(inspection_of(socket).topics.list(query))

    @on("presence", OneTopic)
    def presence(self, which: OneTopic, socket: Socket) -> Result:
        """Answer with a PresenceList."""
        return ok(inspection_of(socket).topics.presence(which.topic))
