"""Log lines in Phoenix's format, and filtered values."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from phoenix_compat import ConfigError, Endpoint
from phoenix_compat.protocol.message import Message
from phoenix_compat.runtime.reporting.logs import (
    duration,
    filter_parameters,
    log_connect,
    log_handled,
    log_join,
)
from phoenix_compat.testing import ChannelTest
from tests.serving import accepting
from tests.unit.runtime.harness import OpenChannel


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[tuple[int, str]]]:
    """The logged lines, as level and text."""
    caplog.set_level(logging.DEBUG, "phoenix_compat.socket")
    return lambda: [(record.levelno, record.getMessage()) for record in caplog.records]


Lines = Callable[[], list[tuple[int, str]]]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"password": "x"}, {"password": "[FILTERED]"}),
        ({"token": {"a": 1}}, {"token": "[FILTERED]"}),
        ({"user_password_2": 1}, {"user_password_2": "[FILTERED]"}),
        ({"a": {"api_token": "x", "b": 1}}, {"a": {"api_token": "[FILTERED]", "b": 1}}),
        ([{"password": 1}, "password"], [{"password": "[FILTERED]"}, "password"]),
        ({"Password": "x", "TOKEN": 1}, {"Password": "[FILTERED]", "TOKEN": "[FILTERED]"}),
        (
            {"userToken": 1, "apikey": 2, "jwt": 3, "X-Auth": 4, "client_secret": 5},
            dict.fromkeys(("userToken", "apikey", "jwt", "X-Auth", "client_secret"), "[FILTERED]"),
        ),
        ({"sessionId": "x" * 500}, {"sessionId": "[FILTERED]"}),
        ({"pass": "x", 1: "y"}, {"pass": "x", 1: "y"}),
        (b"password", b"password"),
        (None, None),
    ],
)
def test_secrets_are_hidden(value: Any, expected: Any) -> None:
    """S11: values of keys that look like credentials, in any case, are not logged."""
    assert expected == filter_parameters(value)


@pytest.mark.parametrize(
    "name",
    [
        *("userToken", "USER_TOKEN", "apikey", "x-api-key", "jwt", "idToken", "clientSecret"),
        *("sessionid", "Authorization", "authData", "PASSWORD_1", "new_passwd", "cookie", "pwd"),
        *("credentials", "bearer", "\u017fecret", "to\u212aen"),
    ],
)
def test_names_of_credentials(name: str) -> None:
    """In any case, as a part of the name, and however deep."""
    hidden = {name: "[FILTERED]"}

    assert filter_parameters({name: "x"}) == hidden
    assert filter_parameters({"a": [{"b": {name: ["x"]}}]}) == {"a": [{"b": hidden}]}


def test_further_words_can_be_filtered(lines: Lines) -> None:
    """The words of `filter_parameters` are added to the usual ones, in any case."""
    words = Endpoint(filter_parameters=["ssn", "PIN"]).credential_words
    value = {"SSN": 1, "user_pin": 2, "token": 3, "name": 4}
    shown = "'SSN': '[FILTERED]', 'user_pin': '[FILTERED]', 'token': '[FILTERED]', 'name': 4"

    log_join(OpenChannel(), is_accepted=True, topic="t", payload=value, took_s=0.0, words=words)
    log_handled(OpenChannel(), Message("1", "2", "t", "e", value), words)

    assert [shown in text for _, text in lines()] == [True, True]


@pytest.mark.parametrize("words", [[""], "ssn"])
def test_words_that_cannot_be_meant(words: Any) -> None:
    """An empty word would hide everything, and a text is a list of letters."""
    with pytest.raises(ConfigError, match="filter_parameters"):
        Endpoint(filter_parameters=words)


async def test_an_endpoints_words_are_used_everywhere(lines: Lines) -> None:
    """A connect, a join and an event of one client."""
    handler = accepting({"room:*": OpenChannel})

    async with ChannelTest(Endpoint(filter_parameters=["ssn"])) as channels:
        socket = await channels.connect(handler, {"ssn": "canary"})
        client = await channels.subscribe_and_join(socket, "room:a", {"my_ssn": "canary"})
        await client.push("new_msg", {"ssn": "canary"})

    texts = [text for _, text in lines()]
    assert len([text for text in texts if "[FILTERED]" in text]) == 3
    assert not any("canary" in text for text in texts)


def test_filtering_changes_a_copy() -> None:
    """The channel still gets the password."""
    payload = {"a": {"password": "x"}}

    filter_parameters(payload)

    assert payload == {"a": {"password": "x"}}


@pytest.mark.parametrize(
    "value",
    [
        json.loads("[" * 900 + "]" * 900),
        json.loads('{"a":' * 900 + "1" + "}" * 900),
        {"a": "x" * 64_000},
        {"x" * 64_000: 1},
        [{"a": number} for number in range(10_000)],
        {str(number): number for number in range(10_000)},
        b"x" * 64_000,
        [[["x" * 150] * 50] * 50] * 50,
        10**4_000,
    ],
    ids=range(9),
)
def test_a_large_value_is_shown_in_part(value: Any) -> None:
    """The line for any value is short, and cheap to create."""
    shown = repr(filter_parameters(value))

    assert len(shown) < 1_500
    assert "…" in shown or "xe2" in shown


def test_clients_cannot_forge_log_lines(lines: Lines) -> None:
    """S10: newlines and escapes in a topic or event are escaped."""
    topic = "task:x\n2026-01-01 [info] forged \x1b[2J"

    log_join(OpenChannel(), is_accepted=True, topic=topic, payload={"\x1b": "\n"}, took_s=0.0)
    log_handled(OpenChannel(), Message("1", "2", topic, ["\n"], {}))

    for _, text in lines():
        assert text.count("\n") == 1
        assert "\x1b" not in text
        assert "task:x\\n2026-01-01 [info] forged \\x1b[2J" in text


@pytest.mark.parametrize(
    ("is_accepted", "first"), [(True, "CONNECTED TO"), (False, "REFUSED CONNECTION TO")]
)
def test_a_connect(lines: Lines, is_accepted: bool, first: str) -> None:
    """13: a connect is one entry with transport, serializer and filtered parameters."""
    log_connect(
        logging.INFO,
        is_accepted=is_accepted,
        handler="UserSocket",
        transport="websocket",
        serializer="V2JSONSerializer",
        params={"token": "secret", "vsn": "2.0.0"},
        took_s=0.00042,
    )

    assert lines() == [
        (
            logging.INFO,
            (
                f"{first} UserSocket in 420µs\n"
                "  Transport: :websocket\n"
                "  Serializer: V2JSONSerializer\n"
                "  Parameters: {'token': '[FILTERED]', 'vsn': '2.0.0'}"
            ),
        )
    ]


def test_a_connect_may_be_silent(lines: Lines) -> None:
    """14: with the level None nothing is logged."""
    log_connect(
        None, is_accepted=True, handler="", transport="", serializer="", params={}, took_s=0.0
    )

    assert lines() == []


@pytest.mark.parametrize(("is_accepted", "first"), [(True, "JOINED"), (False, "REFUSED JOIN")])
def test_a_join(lines: Lines, is_accepted: bool, first: str) -> None:
    """15: a join is logged with its topic and filtered parameters."""
    log_join(
        OpenChannel(),
        is_accepted=is_accepted,
        topic="room:a",
        payload={"password": "x"},
        took_s=0.012,
    )

    assert lines() == [
        (logging.INFO, f"{first} room:a in 12ms\n  Parameters: {{'password': '[FILTERED]'}}")
    ]


def test_an_event(lines: Lines) -> None:
    """15: an event is logged for debugging, with its topic, channel and filtered parameters."""
    log_handled(OpenChannel(), Message("1", "2", "room:a", "new_msg", {"password": "x"}))

    assert lines() == [
        (
            logging.DEBUG,
            (
                "HANDLED new_msg INCOMING ON room:a (OpenChannel)\n"
                "  Parameters: {'password': '[FILTERED]'}"
            ),
        )
    ]


def test_topics_of_phoenix_itself_are_not_logged(lines: Lines) -> None:
    """Nothing is logged for topics that begin with "phoenix"."""
    log_join(OpenChannel(), is_accepted=True, topic="phoenix:x", payload={}, took_s=0.0)
    log_handled(OpenChannel(), Message("1", "2", "phoenix", "e", {}))

    assert lines() == []


class SilentChannel(OpenChannel):
    """Logs nothing."""

    log_join: ClassVar[int | None] = None
    log_handle_in: ClassVar[int | None] = None


def test_a_channel_may_be_silent(lines: Lines) -> None:
    """A channel that sets its levels to None is not logged."""
    log_join(SilentChannel(), is_accepted=True, topic="t", payload={}, took_s=0.0)
    log_handled(SilentChannel(), Message("1", "2", "t", "e", {}))

    assert lines() == []


def test_levels_that_are_off_cost_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """If the logger does not log the level, the parameters are not filtered."""
    caplog.set_level(logging.ERROR, "phoenix_compat.socket")

    log_handled(OpenChannel(), Message("1", "2", "t", "e", {}))
    log_join(OpenChannel(), is_accepted=True, topic="t", payload={}, took_s=0.0)

    assert caplog.records == []


@pytest.mark.parametrize(
    ("took_s", "expected"),
    [
        (0.0, "0µs"),
        (0.000_42, "420µs"),
        (0.000_999, "999µs"),
        (0.001, "1ms"),
        (0.0129, "12ms"),
        (61.5, "61500ms"),
    ],
)
def test_a_duration(took_s: float, expected: str) -> None:
    """Durations under a millisecond are in microseconds."""
    assert expected == duration(took_s)
