"""Puts the id of a request into every line that is logged while it is being answered.

aiohttp answers each request in a task of its own, so a context variable has the request's mark.
What a request has started may go on after it, with a copy of the context; so the mark loses its id
when the request has been answered.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

from structlog.types import EventDict, WrappedLogger


class RequestMark:
    """The id of a request that is being answered; None once it has been."""

    __slots__ = ("id",)

    def __init__(self, request_id: str) -> None:
        self.id: str | None = request_id


_current: Final[ContextVar[RequestMark | None]] = ContextVar("request", default=None)


def mark_request(request_id: str) -> RequestMark:
    """Mark the running task as one that answers this request."""
    mark = RequestMark(request_id)
    _current.set(mark)
    return mark


def add_request_id(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Add `request_id` to a line; a processor of structlog."""
    mark = _current.get()
    if mark is not None and mark.id is not None:
        event.setdefault("request_id", mark.id)
    return event
