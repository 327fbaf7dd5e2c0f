"""A client's connection that tells when its descriptor is closed, whichever object owns it then."""

from __future__ import annotations

import socket
import warnings
from collections.abc import Callable
from typing import Any, Final, Self
from weakref import WeakValueDictionary

_STREAM: Final = int(socket.SOCK_STREAM)
_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)


class AcceptedSocket(socket.socket):
    """A socket that was accepted.

    asyncio's transports and PolledStream close it; uvloop's transports detach it when they close
    the descriptor. Either way `on_close` is called once.

    Attributes:
        on_close: called when the descriptor is closed; None when it was called.
        peer_address: the client's IP address, until the connection is admitted; None for a Unix
            socket.
    """

    __slots__ = ("family", "on_close", "peer_address")

    # The properties of socket.socket make an enum's member each time they are asked for, which
    # asyncio does five times for a connection.
    family: socket.AddressFamily
    type = socket.SOCK_STREAM

    def __init__(
        self,
        family: socket.AddressFamily,
        proto: int,
        fileno: int,
        on_close: Callable[[], None],
        peer_address: str | None = None,
    ) -> None:
        super().__init__(int(family), _STREAM, proto, fileno)
        self.family = family
        self.peer_address = peer_address
        self.on_close: Callable[[], None] | None = on_close

    def remember(self) -> Self:
        """Let `duplicate` find it by its descriptor."""
        _REMEMBERED[self.fileno()] = self
        return self

    def close(self) -> None:
        """Close the descriptor."""
        super().close()
        self._tell()

    def detach(self) -> int:
        """Give the descriptor away, to be closed."""
        fileno = super().detach()
        self._tell()
        return fileno

    def __del__(self) -> None:
        if self.fileno() != -1:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
            self.close()

    def _tell(self) -> None:
        on_close, self.on_close = self.on_close, None
        if on_close is not None:
            on_close()


_REMEMBERED: WeakValueDictionary[int, AcceptedSocket] = WeakValueDictionary()
"""By descriptor, for loops whose transports do not give their socket object back, as uvloop's."""


def accept_from(
    listener: socket.socket, on_close: Callable[[], None]
) -> Callable[[], AcceptedSocket]:
    """What `listener.accept` does, in half the time: it makes one object.

    The function that is returned raises OSError; see accept(2).
    """
    family, proto = listener.family, listener.proto
    has_address = family in _INTERNET

    def accept() -> AcceptedSocket:
        fileno, peer = listener._accept()  # type: ignore[attr-defined] # noqa: SLF001 - see above
        return AcceptedSocket(family, proto, fileno, on_close, peer[0] if has_address else None)

    return accept


def duplicate(shared: Any) -> socket.socket:
    """A second descriptor for a connection; if the first was counted, this one is, in its place.

    Args:
        shared: what a transport shows of its socket.
    """
    first = _REMEMBERED.get(shared.fileno())
    copy = socket.fromfd(shared.fileno(), shared.family, shared.type, shared.proto)
    copy.setblocking(False)  # noqa: FBT003 - its only form
    if first is None or first.on_close is None:
        return copy
    on_close, first.on_close = first.on_close, None
    return AcceptedSocket(shared.family, shared.proto, copy.detach(), on_close)
