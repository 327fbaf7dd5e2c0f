"""Wrong options are told when the client is made, with the name of the option."""

from __future__ import annotations

from typing import Any

import pytest

from phoenix_compat import ConfigError
from phoenix_compat.client import Client, ClientLimits, MisuseError
from tests.unit.client.conftest import URL


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"vsn": "2"}, "Client: vsn must be one of '1.0.0', '2.0.0'"),
        ({"transport": "ws"}, "Client: transport must be one of 'websocket', 'longpoll'"),
        ({"timeout_s": 0}, "Client: timeout_s must be a positive number of seconds"),
        ({"timeout_s": "10"}, "Client: timeout_s must be a positive number of seconds"),
        ({"heartbeat_interval_s": float("nan")}, "Client: heartbeat_interval_s must be"),
        ({"heartbeat_interval_s": float("inf")}, "Client: heartbeat_interval_s must be"),
        ({"poll_timeout_s": -1}, "Client: poll_timeout_s must be"),
        ({"long_poll_fallback_s": 0}, "Client: long_poll_fallback_s must be"),
        ({"reconnect_after_s": ()}, "Client: reconnect_after_s must be a sequence of seconds"),
        ({"rejoin_after_s": 1.0}, "Client: rejoin_after_s must be a sequence of seconds"),
        ({"rejoin_after_s": ("1",)}, "Client: rejoin_after_s must be a positive number"),
        ({"jitter": 2}, "Client: jitter must be a number from 0 to 1"),
        ({"jitter": True}, "Client: jitter must be a number from 0 to 1"),
    ],
)
def test_a_wrong_option(options: dict[str, Any], text: str) -> None:
    """The error names the option and what it must be."""
    with pytest.raises(ConfigError) as raised:
        Client(URL, **options)

    assert str(raised.value).startswith(text)


@pytest.mark.parametrize(
    "url", ["", "localhost:4000/socket", "ftp://a/socket", "ws://", "ws://a:x/", "ws://a:99999", 4]
)
def test_a_wrong_url(url: Any) -> None:
    """The error has an example."""
    with pytest.raises(ConfigError, match="ws://localhost:4000/socket"):
        Client(url)


def test_a_wrong_url_is_shown_without_secrets() -> None:
    """Neither its query nor its password is in the error."""
    with pytest.raises(ConfigError) as raised:
        Client("tcp://user:password@host/socket?token=secret")

    assert "password" not in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "1"])
def test_a_wrong_limit(value: Any) -> None:
    """Limits are positive integers."""
    with pytest.raises(ConfigError, match="max_queued_messages must be an integer of 1 or more"):
        ClientLimits(max_queued_messages=value)


async def test_a_client_is_started_once() -> None:
    """The error says what to write instead."""
    client = Client(URL)
    client.start()
    with pytest.raises(MisuseError, match="create another Client"):
        client.start()

    await client.close()

    with pytest.raises(MisuseError):
        client.start()
