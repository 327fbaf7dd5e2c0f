"""An HTTP response as a value; each framework's folder sends it in its own way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

NO_STORE: Final = {"Cache-Control": "max-age=0, private, must-revalidate"}
"""The headers of every response of Plug."""


@dataclass(slots=True)
class HttpResponse:
    """A complete HTTP response.

    Attributes:
        status: the HTTP status.
        headers: the headers without Content-Length.
        body: the body.
        closes: whether the connection must be closed after it, because the body of the request is
            broken or unread.
        native: a response of the framework, which is sent instead; the headers are added to it.
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    closes: bool = False
    native: Any = None


def refusal(status: int, text: str = "", *, closes: bool = False) -> HttpResponse:
    """A response that refuses a request, with a short text or no body."""
    headers = dict(NO_STORE)
    if text:
        headers["Content-Type"] = "text/plain; charset=utf-8"
    # The text may quote a header, in which bytes that are not UTF-8 are surrogates.
    return HttpResponse(status, headers, text.encode("utf-8", "replace"), closes)
