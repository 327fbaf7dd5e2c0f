"""All channels of the console, by their topics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from phoenix_compat.channel import Channel
from phoenix_compat.server.console.channels.overview import OverviewChannel
from phoenix_compat.server.console.channels.tasks import TasksChannel

CHANNELS: Final[Mapping[str, type[Channel]]] = {
    "admin:overview": OverviewChannel,
    "admin:tasks": TasksChannel,
}
"""A new screen adds its topic here."""
