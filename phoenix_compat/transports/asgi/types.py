"""The types of ASGI 3: https://asgi.readthedocs.io/en/latest/specs/main.html."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
"""What a server knows of a connection."""
Event: TypeAlias = MutableMapping[str, Any]
"""What a server and an application tell each other."""
Receive: TypeAlias = Callable[[], Awaitable[Event]]
"""Waits for the next event of the server."""
Send: TypeAlias = Callable[[Event], Awaitable[None]]
"""Gives an event to the server; waits while the client does not take what it was sent."""
ASGIApplication: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
"""An ASGI application."""
