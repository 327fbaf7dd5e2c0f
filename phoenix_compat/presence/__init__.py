"""Who is on a topic, and the diffs that keep every client's list of them true.

    presence = Presence(endpoint)

    class RoomChannel(Channel):
        def join(self, topic, payload, socket):
            socket.send_self("after_join")
            return ok()

        def handle_info(self, message, socket):
            presence.track(socket, socket.assigns["user_id"], {"online_at": time.time()})
            socket.push("presence_state", presence.list(socket))

`presence_state` must be pushed after every join: clients hold all diffs back until it came.

The tracker knows who is where; the presence tells. Nothing else about channels is known here.
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
