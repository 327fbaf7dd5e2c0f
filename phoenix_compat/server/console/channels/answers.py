"""What the channels with lists share: they answer, and errors for people are answers too."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import Any

from phoenix_compat.channel import Channel
from phoenix_compat.errors import PhoenixCompatError
from phoenix_compat.protocol.message import JSON
from phoenix_compat.result import Result, error, ok
from phoenix_compat.server.console.context import context_of
from phoenix_compat.server.inspection.inspection import INSPECTION, Inspection
from phoenix_compat.socket import Socket


class AnsweringChannel(Channel):
    """A topic whose clients ask: nothing is sent by itself, so who is away costs nothing."""

    log_join = logging.DEBUG
    log_handle_in = logging.DEBUG

    async def join(self, topic: str, payload: JSON, socket: Socket) -> Result:
        """Accept: every client of the console may operate the server."""
        del topic, payload, socket
        return ok()


def inspection_of(socket: Socket) -> Inspection:
    """What there is to see, inside a channel of the console."""
    return context_of(socket).app[INSPECTION]


async def answered(asked: Awaitable[Any]) -> Result:
    """The answer as a reply, or the error for people as `detail`."""
    try:
        return ok(await asked)
    except PhoenixCompatError as refused:
        return error(reason="refused", detail=str(refused))
