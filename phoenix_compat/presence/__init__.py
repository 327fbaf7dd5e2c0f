"""Tracks who is present on a topic, and sends the diffs that keep the clients' lists up to date.

    presence = Presence(endpoint)

    class RoomChannel(Channel):
        def join(self, topic, payload, socket):
            socket.send_self("after_join")
            return ok()

        def handle_info(self, message, socket):
            presence.track(socket, socket.assigns["user_id"], {"online_at": time.time()})
            socket.push("presence_state", presence.list(socket))

Push `presence_state` after every join: clients hold back all diffs until they have received it.

`tracker` has the state, `presence` publishes the changes. Start with `presence`.
"""

from phoenix_compat.presence.presence import Diff, LocalBroadcaster, Presence, Presences
from phoenix_compat.presence.tracker import (
    AlreadyTrackedError,
    Guest,
    InvalidPresenceError,
    Key,
    Meta,
    NotTrackedError,
    Owner,
)

__all__ = [
    "AlreadyTrackedError",
    "Diff",
    "Guest",
    "InvalidPresenceError",
    "Key",
    "LocalBroadcaster",
    "Meta",
    "NotTrackedError",
    "Owner",
    "Presence",
    "Presences",
]
