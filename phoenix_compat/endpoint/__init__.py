"""The endpoint: which sockets are mounted, with which options, and what their connections share.

Nothing here knows a web framework: `transports/` connects an endpoint to one. Start with
`endpoint`.
"""

from phoenix_compat.endpoint.draining import Transport, drain_in_batches
from phoenix_compat.endpoint.endpoint import Endpoint
from phoenix_compat.endpoint.mounted_socket import MountedSocket
from phoenix_compat.endpoint.options import (
    Drainer,
    LongPollOptions,
    TransportOptions,
    WebSocketOptions,
)

__all__ = [
    "Drainer",
    "Endpoint",
    "LongPollOptions",
    "MountedSocket",
    "Transport",
    "TransportOptions",
    "WebSocketOptions",
    "drain_in_batches",
]
