"""Topics of `/socket` on which clients only listen: those of the setting `listen_topics`.

What other backends publish there reaches every client that has joined. A topic with `{owner}` can
be joined by that owner alone. What a client sends is answered with an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from phoenix_compat.channel import Channel
from phoenix_compat.protocol.message import DISCONNECT, JSON, UNMATCHED_TOPIC, Broadcast
from phoenix_compat.result import HandleResult, Result, Stop, error, ok, stop
from phoenix_compat.server.auth.principal import Principal
from phoenix_compat.server.channel.socket_authentication import SocketAuthentication
from phoenix_compat.server.process.settings.backends import OWNER, is_own_topic
from phoenix_compat.server.rates.rate_limiter import RateLimitedError, RateLimiter
from phoenix_compat.socket import Socket

_PREFIX: Final = "listen_prefix"


class ListenerChannel(Channel):
    """One such topic, watched by one client."""

    async def join(self, topic: str, payload: JSON, socket: Socket) -> Result:
        """Accept every client that may read; on a topic with `{owner}` only this owner."""
        if is_own_topic(topic):  # a pattern such as "*" has these too
            return error(**UNMATCHED_TOPIC)
        authentication: SocketAuthentication = socket.assigns["authentication"]
        refusal = await authentication.join(payload, socket)
        if refusal is not None:
            return refusal
        principal: Principal = socket.assigns["principal"]
        limiter: RateLimiter = socket.assigns["limiter"]
        try:
            limiter.take_join(principal.owner, socket.assigns["address"])
        except RateLimitedError as too_fast:
            return error(reason="unavailable", detail=str(too_fast))
        prefix: str | None = socket.assigns[_PREFIX]
        if prefix is not None and (not principal.owner or topic != prefix + principal.owner):
            return error(reason="forbidden")
        return ok()

    def handle_in(self, event: str, payload: JSON, socket: Socket) -> HandleResult:
        """Refuse what a client sends."""
        del event, payload, socket
        return error(reason="this topic is for listening only")

    def handle_info(self, message: Any, socket: Socket) -> Stop | None:
        """End with the credential that was sent with the join, as the channels of tasks do."""
        del socket
        is_disconnect = isinstance(message, Broadcast) and message.event == DISCONNECT
        return stop(("shutdown", "disconnected")) if is_disconnect else None


def listener_channels(
    patterns: Iterable[str], assigns: Mapping[str, Any]
) -> dict[str, tuple[type[Channel], dict[str, Any]]]:
    """The routes of these patterns for a socket's `channels`.

    Args:
        assigns: those of the socket's other channels.
    """
    # Those with an owner first: a wider pattern must not let others in.
    in_order = sorted(patterns, key=lambda pattern: not pattern.endswith(OWNER))
    routes: dict[str, tuple[type[Channel], dict[str, Any]]] = {}
    for pattern in in_order:
        prefix = pattern.removesuffix(OWNER)
        is_own = prefix != pattern
        more = {**assigns, _PREFIX: prefix if is_own else None}
        routes.setdefault(f"{prefix}*" if is_own else pattern, (ListenerChannel, more))
    return routes
