"""Adds to `connect_info` what the options ask for: cookies, the session, and the user's entries.

This is for every transport and every web framework: the transport gives simple values, and a
function that finds the framework's session.

Source: phoenix 1.8.12, lib/phoenix/socket/transport.ex, connect_info/4 and connect_session/4.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeAlias

from phoenix_compat.endpoint import TransportOptions
from phoenix_compat.errors import CallbackError
from phoenix_compat.protocol import csrf
from phoenix_compat.protocol.cookies import decode_cookies
from phoenix_compat.protocol.query import Params
from phoenix_compat.socket import ConnectInfo

SessionOf: TypeAlias = Callable[
    [Any], Awaitable[Mapping[str, Any] | None] | Mapping[str, Any] | None
]
"""Finds the session of a framework's request; None if it has none."""


async def add_to_connect_info(  # noqa: PLR0913 - keyword-only after three
    info: ConnectInfo,
    request: Any,
    options: TransportOptions,
    *,
    params: Params,
    cookie_headers: Iterable[str],
    session_of: SessionOf,
) -> None:
    """Add the entries of the options `cookies`, `session` and `connect_info`, in this order.

    Args:
        info: what the transport knows already.
        request: the framework's request, for functions in the options: aiohttp's `web.Request`, or
            the scope of ASGI.
        params: the query parameters and the path variables; one may be the CSRF token.
        cookie_headers: the values of the request's Cookie headers.
        session_of: finds the framework's session, for `session=True`.

    Raises:
        CallbackError: a function in the options returned something else than a mapping.
        Exception: whatever such a function or the framework raised; that is HTTP 500.
    """
    if options.cookies:
        info["cookies"] = decode_cookies(cookie_headers)
    if options.session is not False:
        find = session_of if options.session is True else options.session
        session = await _mapping("session", find, request, "a mapping, or None")
        info["session"] = _checked(session, params, options)
    extra = options.connect_info
    if callable(extra):
        extra = await _mapping("connect_info", extra, request, "a mapping") or {}
    info.update(extra)


async def _mapping(
    name: str, function: Callable[[Any], Any], request: Any, expected: str
) -> Mapping[str, Any] | None:
    found = function(request)
    if inspect.isawaitable(found):
        found = await found
    if found is None or isinstance(found, Mapping):
        return found
    raise CallbackError(f"{name}=function", found, expected)


def _checked(
    session: Mapping[str, Any] | None, params: Params, options: TransportOptions
) -> dict[str, Any] | None:
    """A copy of the session; None without one, or if the client does not prove that it may use it.

    Frameworks give an empty session to a client that has none.
    """
    if not session:
        return None
    if options.check_csrf and not csrf.is_valid(
        session.get(options.csrf_token_key), params.get(csrf.PARAM)
    ):
        return None
    return dict(session)
