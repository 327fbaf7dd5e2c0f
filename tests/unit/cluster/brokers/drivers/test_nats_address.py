"""The URLs of NATS."""

from __future__ import annotations

import pytest

from phoenix_compat.cluster.brokers.drivers.nats_address import NatsAddress
from phoenix_compat.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "servers", "login"),
    [
        ("nats://one", ("nats://one:4222",), (None, None)),
        ("nats://ann:se%40cret@one:1", ("nats://one:1",), ("ann", "se@cret")),
        ("nats://tok@one", ("nats://one:4222",), ("tok", None)),
        ("nats://[::1]:5", ("nats://[::1]:5",), (None, None)),
        (
            "tls://a:b@one.example,tls://two.example:2",
            ("tls://one.example:4222", "tls://two.example:2"),
            ("a", "b"),
        ),
    ],
)
def test_a_url_says_where_and_who(
    url: str, servers: tuple[str, ...], login: tuple[str | None, str | None]
) -> None:
    """Logins are kept apart from the addresses, which are logged."""
    address = NatsAddress.parse(url)

    assert address.servers == servers
    assert (address.user, address.password) == login
    assert address.is_encrypted == url.startswith("tls")
    assert not any(secret in f"{address!r} {address.name}" for secret in ("cret", "tok", "a:b"))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "one:4222",
        "redis://one",
        "nats://",
        "nats://ann:secret@one:port",
        "nats://one,http://b",
        "nats://a:1/secret@b",
    ],
)
def test_what_is_not_a_url_of_nats_is_refused(url: str) -> None:
    """The error says what to write, and nothing of what was written."""
    with pytest.raises(ConfigError, match="must be nats://HOST:PORT") as refused:
        NatsAddress.parse(url)
    assert "secret" not in str(refused.value)


def test_parameters_name_files() -> None:
    """A parameter that is not known is named."""
    address = NatsAddress.parse("tls://one?tls_ca=/etc/own.pem&credentials=/run/nats.creds")
    assert address.files == {"tls_ca": "/etc/own.pem", "credentials": "/run/nats.creds"}

    with pytest.raises(ConfigError, match="'ca'; the parameters are credentials"):
        NatsAddress.parse("tls://one?ca=/etc/own.pem")
