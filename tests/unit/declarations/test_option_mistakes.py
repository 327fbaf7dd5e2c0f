"""Mistakes in options: the error names the class, the option, and what to write."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import pytest

from phoenix_compat import (
    ConfigError,
    Drainer,
    Endpoint,
    Limits,
    LongPollOptions,
    SocketHandler,
    WebSocketOptions,
)
from phoenix_compat.bounded import brief
from tests.serving import accepting
from tests.unit.declarations.messages import error_of

TEXT, BELOW, NOTHING = "60", -1, None
NOT_SECONDS: list[Any] = [TEXT, BELOW, 0, NOTHING, True, math.nan, [1]]
NOT_SECONDS_OR_0: list[Any] = [TEXT, BELOW, NOTHING, True]
NOT_COUNTS: list[Any] = [TEXT, BELOW, 0, NOTHING, True, 1.5]
NOT_COUNTS_OR_0: list[Any] = [TEXT, BELOW, NOTHING, True, 1.5]
NOT_FLAGS: list[Any] = ["yes", 1, NOTHING]
NOT_LISTS: list[Any] = ["authorization", b"x", 5, {"a": "b"}, [1], [""]]

WRONG: list[tuple[Any, str, list[Any], str]] = [
    *(
        (kind, option, values, expected)
        for kind in (WebSocketOptions, LongPollOptions)
        for option, values, expected in (
            ("path", [5, None], 'path="/'),
            ("serializers", ["V2", [], ["V2"], [("V2",)], 5], "serializers=[(V2, "),
            ("connect_info", ["region", 5, None, ["a"]], 'connect_info={"region": "eu"}'),
            ("headers", [*NOT_LISTS, None], 'headers=["authorization"]'),
            ("cookies", NOT_FLAGS, "cookies=True or cookies=False"),
            ("session", [*NOT_FLAGS, {"a": 1}], "session=True or session=False"),
            ("check_csrf", NOT_FLAGS, "check_csrf=True or check_csrf=False"),
            ("csrf_token_key", ["", 5, None], 'csrf_token_key="_csrf_token"'),
        )
    ),
    (WebSocketOptions, "timeout_s", NOT_SECONDS, "timeout_s=60.0"),
    (WebSocketOptions, "max_frame_bytes", NOT_COUNTS, "max_frame_bytes=65_536"),
    (WebSocketOptions, "max_message_bytes", NOT_COUNTS, "max_message_bytes=65_536"),
    (WebSocketOptions, "frame_timeout_s", [TEXT, 0, True], "frame_timeout_s=30.0, or None"),
    (WebSocketOptions, "subprotocols", NOT_LISTS, 'subprotocols=["phoenix"], or None'),
    (WebSocketOptions, "error_handler", ["no", 5], "error_handler="),
    (LongPollOptions, "window_s", NOT_SECONDS, "window_s=10.0"),
    (LongPollOptions, "token_max_age_s", NOT_SECONDS, "token_max_age_s=86_400.0"),
    (LongPollOptions, "max_body_bytes", NOT_COUNTS, "max_body_bytes=262_144"),
    (LongPollOptions, "max_batch_messages", NOT_COUNTS, "max_batch_messages=100"),
    (Drainer, "batch_size", NOT_COUNTS, "batch_size=1_000"),
    (Drainer, "batch_interval_s", NOT_SECONDS_OR_0, "batch_interval_s=2.0"),
    (Drainer, "shutdown_s", NOT_SECONDS_OR_0, "shutdown_s=30.0"),
    (Limits, "max_channels_per_transport", NOT_COUNTS_OR_0, "max_channels_per_transport=100"),
    (Limits, "max_mailbox_messages", NOT_COUNTS_OR_0, "max_mailbox_messages=1_000"),
    (Limits, "max_outbox_bytes", NOT_COUNTS_OR_0, "max_outbox_bytes=1_048_576"),
    (Limits, "send_timeout_s", NOT_SECONDS, "send_timeout_s=30.0"),
    (Limits, "join_timeout_s", NOT_SECONDS, "join_timeout_s=60.0"),
    (Limits, "close_timeout_s", NOT_SECONDS_OR_0, "close_timeout_s=5.0"),
    (Limits, "shutdown_timeout_s", NOT_SECONDS_OR_0, "shutdown_timeout_s=10.0"),
    (
        Endpoint,
        "url_host",
        [5, "", "https://chat.example.com", "chat.example.com:443", "chat.example.com/", "[::1]"],
        'a host without scheme and port, such as url_host="chat.example.com", or None',
    ),
    (Endpoint, "host_setting", [5, "", None], 'host_setting="url_host"'),
    (Endpoint, "secret_key_base", [5, ["x"]], "secret_key_base="),
    (Endpoint, "limits", [{"join_timeout_s": 1}, Limits], "limits=Limits(...)"),
    (Endpoint, "filter_parameters", NOT_LISTS, 'filter_parameters=["ssn"]'),
]


@pytest.mark.parametrize(
    ("kind", "option", "value", "expected"),
    [
        (kind, option, value, expected)
        for kind, option, values, expected in WRONG
        for value in values
    ],
)
def test_a_wrong_value(kind: Any, option: str, value: Any, expected: str) -> None:
    """The text names the class, the option, what it is, and a value that would work."""
    message = error_of(ConfigError, lambda: kind(**{option: value}))

    assert message.startswith(f"{kind.__name__}: {option} is {brief(value)}, but must be ")
    assert expected in message


def test_every_option_is_checked() -> None:
    """A new option needs a rule."""
    checked = {(kind, option) for kind, option, _values, _expected in WRONG}

    kinds: tuple[Any, ...] = (WebSocketOptions, LongPollOptions, Drainer, Limits)
    for kind in kinds:
        options = {field.name for field in fields(kind)}
        assert {option for its_kind, option in checked if its_kind is kind} == options - {
            "check_origin"
        }


def test_all_mistakes_at_once() -> None:
    """One error names every option that is wrong."""
    wrong: Any = {"timeout_s": "60", "max_frame_bytes": 0}

    message = error_of(ConfigError, lambda: WebSocketOptions(**wrong))

    assert message == (
        "WebSocketOptions: timeout_s is '60', but must be a number of seconds above 0, such as "
        "timeout_s=60.0; max_frame_bytes is 0, but must be a whole number of at least 1, such as "
        "max_frame_bytes=65_536"
    )


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        ("https://example.com", "or a list: check_origin=['https://example.com']"),
        (5, "check_origin is 5, but must be a list of origins"),
        ([5], "check_origin is [5], but must be a list of origins"),
        ({"a": 1}, "must be a list of origins, such as check_origin=['//example.com']"),
    ],
)
def test_a_wrong_check_origin(check: Any, expected: str) -> None:
    """For the endpoint, and for a transport when its socket is mounted."""
    options = WebSocketOptions(check_origin=check)

    of_endpoint = error_of(ConfigError, lambda: Endpoint(check_origin=check))
    of_socket = error_of(
        ConfigError, lambda: Endpoint().socket("/socket", AnySocket, websocket=options)
    )

    assert expected in of_endpoint
    assert expected in of_socket


AnySocket: type[SocketHandler] = accepting({})


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("websocket", LongPollOptions(), "websocket=WebSocketOptions(...)"),
        ("websocket", {"timeout_s": 5}, "websocket=WebSocketOptions(...)"),
        ("websocket", WebSocketOptions, "websocket=WebSocketOptions(...)"),
        ("longpoll", WebSocketOptions(), "longpoll=LongPollOptions(...)"),
        ("longpoll", None, "longpoll=LongPollOptions(...)"),
        ("longpoll", 5, "longpoll=LongPollOptions(...)"),
        ("auth_token", "secret", "auth_token=True or auth_token=False"),
        ("drainer", None, "drainer=Drainer(...)"),
        ("drainer", 5, "drainer=Drainer(...)"),
    ],
)
def test_a_wrong_option_of_a_socket(option: str, value: Any, expected: str) -> None:
    """The text names the path, the handler and the option."""
    options: Any = {option: value}

    message = error_of(ConfigError, lambda: Endpoint().socket("/socket", AnySocket, **options))

    assert message.startswith(f"endpoint.socket('/socket', AcceptingSocket): {option} is ")
    assert expected in message
