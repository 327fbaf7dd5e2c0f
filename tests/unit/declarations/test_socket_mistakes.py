"""Mistakes in sockets and endpoints: the error names the class and the line to write."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from aiohttp import web

from phoenix_compat import (
    Channel,
    ChannelDefinitionError,
    ConfigError,
    Endpoint,
    LongPollOptions,
    Result,
    Socket,
    SocketHandler,
    WebSocketOptions,
    mount,
    ok,
)
from phoenix_compat.token import Tokens
from tests.unit.declarations.messages import error_of


class RoomChannel(Channel):
    """A channel without a mistake."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        return ok()


class UserSocket(SocketHandler):
    """A socket without a mistake."""

    def connect(self, params: Any, socket: Socket, connect_info: Any) -> Result:
        return ok()


class AdminSocket(UserSocket):
    """Another one."""


def error_of_socket(handler: Any, path: Any = "/socket", **options: Any) -> str:
    """The text of the error of `endpoint.socket`."""
    kinds: Any = (ChannelDefinitionError, ConfigError)
    return error_of(kinds, lambda: Endpoint().socket(path, handler, **options))


def with_channels(channels: Any) -> type[SocketHandler]:
    """A UserSocket with these channels."""
    return type("UserSocket", (UserSocket,), {"channels": channels})


# Handlers.


def test_a_handler_without_connect() -> None:
    """It would refuse everybody."""
    message = error_of_socket(type("ShySocket", (SocketHandler,), {}))

    assert message == (
        "ShySocket has no connect, so it would refuse every client: write "
        "`def connect(self, params, socket, connect_info): return ok()`"
    )


def test_an_instance_of_a_handler() -> None:
    """Each client gets an instance of its own."""
    message = error_of_socket(UserSocket())

    assert message.startswith("endpoint.socket(path, UserSocket()): give the class")
    assert message.endswith("write endpoint.socket(path, UserSocket)")


@pytest.mark.parametrize("handler", [RoomChannel, dict, "UserSocket", None])
def test_a_handler_of_another_kind(handler: Any) -> None:
    """A channel or something else in the place of the socket handler."""
    message = error_of_socket(handler)

    assert "the second argument is not a SocketHandler class" in message
    assert "write `class UserSocket(SocketHandler)`" in message


@pytest.mark.parametrize(
    ("name", "method", "line"),
    [
        ("connect", lambda self, params, socket: ok(), "(self, params, socket, connect_info):"),
        ("connect", lambda params, socket, connect_info: ok(), "connect_info):"),
        ("id", lambda self: None, "def id(self, socket):"),
    ],
)
def test_the_parameters_of_a_handler(name: str, method: Any, line: str) -> None:
    """A callback that could not be called is an error when the class is made."""
    message = error_of(
        ChannelDefinitionError, lambda: type("UserSocket", (SocketHandler,), {name: method})
    )

    assert message.startswith(f"UserSocket.{name} has the wrong parameters (")
    assert line in message


# Channels of a handler.


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        (
            {"room:*": type("RoomChannel", (Channel,), {})},
            (
                "RoomChannel has no join, so nobody could join it: write "
                "`def join(self, topic, payload, socket): return ok()`"
            ),
        ),
        (
            {"room:*": RoomChannel()},
            (
                "UserSocket.channels['room:*'] is an instance: give the class, because each client "
                "gets an instance of its own: write 'room:*': RoomChannel"
            ),
        ),
        (
            {"room:*": (RoomChannel(), {})},
            (
                "UserSocket.channels['room:*'] is an instance: give the class, because each client "
                "gets an instance of its own: write 'room:*': RoomChannel"
            ),
        ),
        (
            {"room:*": dict},
            (
                "UserSocket.channels['room:*'] is <class 'dict'>, not a Channel class: write "
                "`class RoomChannel(Channel)` and 'room:*': RoomChannel"
            ),
        ),
        (
            {"room:*": "RoomChannel"},
            (
                "UserSocket.channels['room:*'] is 'RoomChannel', not a Channel class: write "
                "`class RoomChannel(Channel)` and 'room:*': RoomChannel"
            ),
        ),
        (
            {"room:*": (RoomChannel, "vip")},
            (
                "UserSocket.channels['room:*'] has 'vip' as assigns, not a dict: write 'room:*': "
                '(RoomChannel, {"name": value})'
            ),
        ),
        (
            {5: RoomChannel},
            'UserSocket.channels[5]: a topic pattern is a text, such as "room:*"',
        ),
        (
            {"room*x": RoomChannel},
            (
                "UserSocket.channels: topic pattern 'room*x': '*' is allowed only at the end, "
                "as in 'room:*'"
            ),
        ),
        (
            {"room:*:x": RoomChannel},
            (
                "UserSocket.channels: topic pattern 'room:*:x': '*' is allowed only at the end, "
                "as in 'room:*'"
            ),
        ),
    ],
)
def test_a_channel_of_a_handler(channels: Any, expected: str) -> None:
    """Every entry of `channels` is looked at when the socket is mounted."""
    assert error_of_socket(with_channels(channels)) == expected


@pytest.mark.parametrize("channels", [RoomChannel, [("room:*", RoomChannel)], None])
def test_channels_that_are_not_a_dict(channels: Any) -> None:
    """A list, or a channel itself."""
    message = error_of_socket(with_channels(channels))

    assert message.startswith("UserSocket.channels is ")
    assert message.endswith('not a dict: write channels = {"room:*": RoomChannel}')


# Paths.


@pytest.mark.parametrize("path", ["socket", "", "socket/", None, 5, UserSocket])
def test_a_path_begins_with_a_slash(path: Any) -> None:
    """A path without a leading slash, or the arguments in the wrong order."""
    message = error_of_socket(UserSocket, path)

    assert message.startswith("the path of a socket is ")
    assert message.endswith(
        "but must begin with '/': write endpoint.socket(\"/socket\", UserSocket)"
    )


@pytest.mark.parametrize(
    ("path", "options", "taken"),
    [
        ("/socket", {}, "/socket/websocket"),
        ("//socket/", {}, "/socket/websocket"),
        ("/", {"websocket": WebSocketOptions(path="/socket/websocket")}, "/socket/websocket"),
        ("/", {"longpoll": LongPollOptions(path="socket/longpoll")}, "/socket/longpoll"),
    ],
)
def test_one_path_twice(path: str, options: Any, taken: str) -> None:
    """The second socket would never get a client."""
    endpoint = Endpoint()
    endpoint.socket("/socket", UserSocket, longpoll=True)

    message = error_of(ConfigError, lambda: endpoint.socket(path, AdminSocket, **options))

    assert message == (
        f"the path '{taken}' of AdminSocket is taken by UserSocket, which would get all its "
        'clients: write another one, such as endpoint.socket("/other", AdminSocket)'
    )
    assert len(endpoint.sockets) == 1


def test_one_path_with_other_variables() -> None:
    """`/:user` and `/:name` match the same paths."""
    endpoint = Endpoint()
    endpoint.socket("/:user", UserSocket)

    message = error_of(ConfigError, lambda: endpoint.socket("/:name", AdminSocket))

    assert "'/:name/websocket' of AdminSocket is taken by UserSocket" in message


def test_paths_that_differ() -> None:
    """Two paths, and one path for each transport."""
    endpoint = Endpoint()
    endpoint.socket("/socket", UserSocket)
    endpoint.socket("/socket", AdminSocket, websocket=False, longpoll=True)
    endpoint.socket("/admin", AdminSocket)

    assert len(endpoint.sockets) == 3


# Mounting.


def test_mount_before_a_socket() -> None:
    """Nothing would be served."""
    message = error_of(ConfigError, lambda: mount(web.Application(), Endpoint()))

    assert message == (
        'the endpoint has no socket: write endpoint.socket("/socket", UserSocket) before '
        "mount(app, endpoint)"
    )


async def test_a_socket_after_mount() -> None:
    """It would not be served, so the application does not start."""
    endpoint, app = Endpoint(), web.Application()
    endpoint.socket("/socket", UserSocket)
    mount(app, endpoint)
    endpoint.socket("/admin", AdminSocket)
    app.freeze()

    with pytest.raises(ConfigError) as raised:
        await app.startup()

    assert str(raised.value) == (
        "the socket at '/admin' was added after mount(app, endpoint) and would not be served: "
        "write endpoint.socket('/admin', AdminSocket) before mount"
    )


def test_mount_twice() -> None:
    """Only the first would get clients."""
    endpoint, app = Endpoint(), web.Application()
    endpoint.socket("/socket", UserSocket)
    mount(app, endpoint)

    message = error_of(ConfigError, lambda: mount(app, endpoint))

    assert message.startswith("the path '/socket/websocket' is mounted in this application already")
    assert "call mount(app, endpoint) once" in message


def test_mount_the_wrong_way_round() -> None:
    """The application comes first."""
    turned: Any = (Endpoint(), web.Application())

    assert "write mount(app, endpoint)" in error_of(ConfigError, lambda: mount(*turned))


# Tokens.


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The messages of the warnings."""
    return [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]


def test_tokens_without_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    """The first use is logged, with the line to write; the tokens work in this process."""
    endpoint = Endpoint()

    token = endpoint.tokens.sign("user", 7)

    assert endpoint.tokens.verify("user", token) == 7
    (warning,) = warnings_of(caplog)
    assert "endpoint.tokens is used without a secret" in warning
    assert "Write Endpoint(secret_key_base=...)" in warning


def test_tokens_with_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    """With a secret, or with Tokens of one's own, nothing is logged."""
    endpoint = Endpoint(secret_key_base="x" * 64)
    other = Endpoint()
    other.tokens = Tokens("y" * 64)

    endpoint.tokens.sign("user", 7)
    other.tokens.sign("user", 7)

    assert warnings_of(caplog) == []


def test_an_endpoint_without_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    """Who does not use tokens needs no secret."""
    Endpoint().socket("/socket", UserSocket, longpoll=True)

    assert warnings_of(caplog) == []
