"""Closes the sockets of a revoked key; their id is `user:` and the owner."""

from __future__ import annotations

from typing import Final

from phoenix_compat.endpoint import Endpoint
from phoenix_compat.server.auth.keys.api_keys import OWNER_PREFIX

_SOCKETS_OF_KEYS: Final = f"user:{OWNER_PREFIX}"
_DISCONNECT: Final = "disconnect"


def close_sockets(endpoint: Endpoint, name: str) -> None:
    """Close the sockets of a key in this process, with 1001."""
    endpoint.local_broadcast(_SOCKETS_OF_KEYS + name, _DISCONNECT, {})


def keys_with_sockets(endpoint: Endpoint) -> list[str]:
    """The names of the keys that have sockets in this process."""
    return [
        topic.removeprefix(_SOCKETS_OF_KEYS)
        for topic in endpoint.pubsub.topics
        if topic.startswith(_SOCKETS_OF_KEYS)
    ]
