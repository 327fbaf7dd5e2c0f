"""One attempt to open a socket: passes its address to `connect`, and its refusal to the response.

A socket's `connect` sees no request, and its refusal is 403 on a websocket and `{"status": 403}` on
long-polling, as in Phoenix. The transports call it in the task that handles the request, so a
context variable leads from the middleware around the transports to `connect` and back.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from types import TracebackType
from typing import Final, Self

from phoenix_compat.server.rates.rate_limiter import RateLimitedError


class ConnectAttempt:
    """A request that may open a socket; `with` it the request is handled.

    Args:
        address: see `client_address`.

    Attributes:
        base_url: the address by which the client reaches this server; see `base_url`.
        refused: why `connect` refused it, if it was too fast.
    """

    __slots__ = ("_token", "address", "base_url", "refused")

    def __init__(self, address: str | None = None, base_url: str = "") -> None:
        self.address = address
        self.base_url = base_url
        self.refused: RateLimitedError | None = None
        self._token: Token[ConnectAttempt] | None = None

    def __enter__(self) -> Self:
        self._token = _ATTEMPT.set(self)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._token is not None:
            _ATTEMPT.reset(self._token)


_ATTEMPT: Final[ContextVar[ConnectAttempt]] = ContextVar("connect_attempt")


def current_attempt() -> ConnectAttempt:
    """The attempt that is being handled; without the middleware, one that is not counted."""
    return _ATTEMPT.get(None) or ConnectAttempt()
