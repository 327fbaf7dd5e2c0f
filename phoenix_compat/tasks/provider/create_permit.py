"""Asks once more before a create is written to the connection, because making one takes time.

A process may be stopped, and go on a minute later, when another node has the task already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from phoenix_compat.tasks.model.errors import CreateHeldBackError

_may_send: ContextVar[Callable[[], bool] | None] = ContextVar("may_send", default=None)


@contextmanager
def create_permit(may_send: Callable[[], bool]) -> Iterator[None]:
    """Let requests of this block be sent only as long as this function says so."""
    token = _may_send.set(may_send)
    try:
        yield
    finally:
        _may_send.reset(token)


def check_permit() -> None:
    """Called right before a request is written.

    Raises:
        CreateHeldBackError: it may not be sent any more.
    """
    may_send = _may_send.get()
    if may_send is not None and not may_send():
        raise CreateHeldBackError
