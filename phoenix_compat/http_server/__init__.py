"""aiohttp's HTTP server, adapted for untrusted clients.

Unreadable requests and clients that disconnect are normal. Each costs one debug line and a short
response that does not name the server's software; aiohttp itself logs a traceback for each.
Bodies are passed on as received: nothing is decompressed. Heads, bodies, the taking of answers and
idle time have deadlines; see `accept.request_deadlines`.

    runner      runs an application
    handler     the protocol of each connection
    errors      what is answered to requests that cannot be served
    requests    what handlers ask of a request
"""

from phoenix_compat.http_server.errors import (
    SAFE_HEADERS,
    SERVER_NAME,
    BodyTooSlowError,
    is_client_error,
)
from phoenix_compat.http_server.handler import ClientHandler, Decision, HttpServer
from phoenix_compat.http_server.requests import (
    close_after,
    is_body_raw,
    is_encoded,
    take_decision,
    when_gone,
)
from phoenix_compat.http_server.runner import AppRunner

__all__ = [
    "SAFE_HEADERS",
    "SERVER_NAME",
    "AppRunner",
    "BodyTooSlowError",
    "ClientHandler",
    "Decision",
    "HttpServer",
    "close_after",
    "is_body_raw",
    "is_client_error",
    "is_encoded",
    "take_decision",
    "when_gone",
]
