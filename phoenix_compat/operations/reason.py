"""Says in a few words why a connection failed, without class names and error numbers."""

from __future__ import annotations

import http.client
import os
import socket
import ssl


def reason_of(error: BaseException) -> str:
    """Why a request failed, as words that follow a colon.

    It knows the errors of the standard library and of aiohttp, which it does not import, so that
    commands which do without it start quickly.
    """
    inner = getattr(error, "os_error", None)  # aiohttp's ClientConnectorError
    if isinstance(inner, OSError):
        error = inner
    status = getattr(error, "status", None)  # aiohttp's ClientResponseError
    if isinstance(status, int) and status:
        return f"it answers with status {status}"
    names = {one.__name__ for one in type(error).__mro__}  # aiohttp's classes
    if "InvalidURL" in names:
        return "this is not a valid URL"
    if "ServerDisconnectedError" in names:
        return "it closed the connection"
    match error:
        case TimeoutError():
            return "it does not answer in time"
        case ssl.SSLError():
            return "the TLS handshake failed; check its certificate"
        case socket.gaierror():
            return error.strerror or "the host name is not known"
        case http.client.RemoteDisconnected() | EOFError() | ConnectionResetError():
            return "it closed the connection"
        case OSError() if error.errno and error.errno > 0:
            return os.strerror(error.errno)
        case OSError():
            return "no connection can be made"
        case UnicodeError():
            return "this is not a host name"
        case _:
            return "its answer cannot be understood"
