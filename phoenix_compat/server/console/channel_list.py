"""All channels of the console, by their topics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from phoenix_compat.channel import Channel
from phoenix_compat.server.console.channels.logs import LogsChannel
from phoenix_compat.server.console.channels.overview import OverviewChannel
from phoenix_compat.server.console.channels.provider import ProviderChannel
from phoenix_compat.server.console.channels.sockets import SocketsChannel
from phoenix_compat.server.console.channels.tasks import TasksChannel
from phoenix_compat.server.console.channels.topics import TopicsChannel

CHANNELS: Final[Mapping[str, type[Channel]]] = {
    "admin:overview": OverviewChannel,
    "admin:tasks": TasksChannel,
    "admin:sockets": SocketsChannel,
    "admin:channels": TopicsChannel,
    "admin:provider": ProviderChannel,
    "admin:logs": LogsChannel,
}
"""A new screen adds its topic here."""
