"""A client for Phoenix servers: connects, joins topics, pushes, receives, and stays connected.

It imports nothing of the server except `protocol`. Start with client, then runner and
channels/channel.
"""

from __future__ import annotations

from phoenix_compat.client.channels.channel import ClientChannel
from phoenix_compat.client.channels.presence import Presence
from phoenix_compat.client.client import Client
from phoenix_compat.client.counters import ClientCounters
from phoenix_compat.client.errors import (
    BufferFullError,
    ChannelClosedError,
    ClientError,
    ConnectError,
    JoinError,
    JoinTimeoutError,
    MisuseError,
    PushError,
    PushLostError,
    PushTimeoutError,
)
from phoenix_compat.client.options import ClientLimits
from phoenix_compat.client.session import new_session
from phoenix_compat.protocol.message import Message

__all__ = [
    "BufferFullError",
    "ChannelClosedError",
    "Client",
    "ClientChannel",
    "ClientCounters",
    "ClientError",
    "ClientLimits",
    "ConnectError",
    "JoinError",
    "JoinTimeoutError",
    "Message",
    "MisuseError",
    "Presence",
    "PushError",
    "PushLostError",
    "PushTimeoutError",
    "new_session",
]
