"""What the options add to `connect_info`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest

from phoenix_compat import CallbackError, ConnectInfo, WebSocketOptions, csrf_token
from phoenix_compat.transports.connect_info import add_to_connect_info

REQUEST = object()
NONE: Mapping[str, Any] = MappingProxyType({})


async def added(
    options: WebSocketOptions,
    framework_session: Any = None,
    params: Mapping[str, Any] = NONE,
    cookie: str = "",
) -> ConnectInfo:
    """What these options add to a connect_info that has a `uri`."""
    info = ConnectInfo(uri="/")
    await add_to_connect_info(
        info,
        REQUEST,
        options,
        params=dict(params),
        cookie_headers=[cookie],
        session_of=lambda request: framework_session if request is REQUEST else None,
    )
    return info


async def test_nothing_is_added_by_default() -> None:
    """Without options there are neither cookies nor a session."""
    assert await added(WebSocketOptions(), {"a": 1}, cookie="a=1") == {"uri": "/"}


async def test_cookies() -> None:
    """The option `cookies` adds the request's cookies."""
    found = await added(WebSocketOptions(cookies=True), cookie="a=1; b=2")

    assert found["cookies"] == {"a": "1", "b": "2"}


async def test_a_session_with_a_valid_token() -> None:
    """The session is given, as a dict of its own, if the token was made from it."""
    session: dict[str, Any] = {"user_id": 7}
    params = {"_csrf_token": csrf_token(session)}

    found = await added(WebSocketOptions(session=True), session, params)

    assert found["session"] == session
    assert found["session"] is not session


@pytest.mark.parametrize("params", [{}, {"_csrf_token": "x" * 56}, {"_csrf_token": {"a": "b"}}])
async def test_a_session_without_a_valid_token(params: Any) -> None:
    """Then the session is None, as in Phoenix."""
    session: dict[str, Any] = {"user_id": 7}
    csrf_token(session)

    found = await added(WebSocketOptions(session=True), session, params)

    assert found["session"] is None


async def test_the_token_of_another_session() -> None:
    """A token of one visitor does not open the session of another."""
    mine: dict[str, Any] = {"user_id": 7}
    other: dict[str, Any] = {"user_id": 8}
    csrf_token(mine)

    found = await added(WebSocketOptions(session=True), mine, {"_csrf_token": csrf_token(other)})

    assert found["session"] is None


async def test_a_session_that_never_made_a_token() -> None:
    """Without a secret in the session no token is valid."""
    found = await added(WebSocketOptions(session=True), {"user_id": 7}, {"_csrf_token": "x" * 56})

    assert found["session"] is None


@pytest.mark.parametrize("session", [None, {}])
async def test_no_session(session: Any) -> None:
    """Without a session the value is None; frameworks give an empty one."""
    options = WebSocketOptions(session=True, check_csrf=False)

    assert (await added(options, session))["session"] is None


async def test_without_the_check() -> None:
    """`check_csrf=False` gives the session to everyone who sends its cookie."""
    options = WebSocketOptions(session=True, check_csrf=False)

    assert (await added(options, {"user_id": 7}))["session"] == {"user_id": 7}


async def test_another_key_for_the_secret() -> None:
    """`csrf_token_key` says where the session has the secret."""
    session: dict[str, Any] = {"user_id": 7}
    params = {"_csrf_token": csrf_token(session, "csrf")}
    options = WebSocketOptions(session=True, csrf_token_key="csrf")

    assert (await added(options, session, params))["session"] == session


async def test_a_function_for_the_session() -> None:
    """A function gets the framework's request, and its session is checked like any other."""
    stored: dict[str, Any] = {"user_id": 7}
    token = csrf_token(stored)

    async def session_of(request: object) -> dict[str, Any]:
        assert request is REQUEST
        return stored

    options = WebSocketOptions(session=session_of)

    assert (await added(options, params={"_csrf_token": token}))["session"] == stored
    assert (await added(options))["session"] is None


async def test_a_mapping_as_connect_info() -> None:
    """12: entries of the mount are copied, over those of the transport."""
    options = WebSocketOptions(connect_info={"signing_salt": "x", "uri": "mine"})

    assert await added(options) == {"signing_salt": "x", "uri": "mine"}


async def test_a_function_as_connect_info() -> None:
    """It is called for each connection with the framework's request, and its dict is merged."""
    calls = []

    def entries(request: object) -> dict[str, Any]:
        calls.append(request)
        return {"number": len(calls)}

    options = WebSocketOptions(connect_info=entries)

    assert await added(options) == {"uri": "/", "number": 1}
    assert await added(options) == {"uri": "/", "number": 2}
    assert calls == [REQUEST, REQUEST]


async def test_an_async_function_as_connect_info() -> None:
    """It may be `async def`, and return None for no entries."""

    async def entries(request: object) -> dict[str, Any] | None:
        return None if request is None else {"is_async": True}

    assert (await added(WebSocketOptions(connect_info=entries)))["is_async"]
    assert await added(WebSocketOptions(connect_info=lambda _: None)) == {"uri": "/"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            WebSocketOptions(connect_info=lambda _: ["a"]),
            r"connect_info=function returned \['a'\]; expected a mapping",
        ),
        (
            WebSocketOptions(session=lambda _: "abc"),
            "session=function returned 'abc'; expected a mapping, or None",
        ),
    ],
)
async def test_a_function_that_returns_something_else(
    options: WebSocketOptions, message: str
) -> None:
    """The error names the option and what was returned."""
    with pytest.raises(CallbackError, match=message):
        await added(options)
