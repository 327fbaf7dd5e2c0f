"""One attempt to open a socket: passes its address to `connect`, and its refusal to the response.

A socket's `connect` sees no request, and its refusal is 403 on a websocket and `{"status": 403}` on
long-polling, as in Phoenix. The transports call it in the task that handles the request, so a
context variable leads from the middleware around the transports to `connect` and back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from phoenix_compat.server.rates.rate_limiter import RateLimitedError


@dataclass(slots=True)
class ConnectAttempt:
    """A request that may open a socket.

    Attributes:
        address: see `client_address`.
        base_url: the address by which the client reaches this server; see `base_url`.
        refused: why `connect` refused it, if it was too fast.
    """

    address: str | None = None
    base_url: str = ""
    refused: RateLimitedError | None = None


_ATTEMPT: Final[ContextVar[ConnectAttempt]] = ContextVar("connect_attempt")


@contextmanager
def attempting(address: str | None) -> Iterator[ConnectAttempt]:
    """Handle a request inside of this block; afterwards `refused` says whether it was too fast."""
    attempt = ConnectAttempt(address)
    token = _ATTEMPT.set(attempt)
    try:
        yield attempt
    finally:
        _ATTEMPT.reset(token)


def current_attempt() -> ConnectAttempt:
    """The attempt that is being handled; without the middleware, one that is not counted."""
    return _ATTEMPT.get(None) or ConnectAttempt()
