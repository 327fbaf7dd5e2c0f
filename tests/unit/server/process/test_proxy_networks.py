"""The setting `trusted_proxies`: what an entry may be, and what is said about others."""

from __future__ import annotations

from pathlib import Path

import pytest

from phoenix_compat.errors import ConfigError
from phoenix_compat.server.process.proxy_networks import parse_network
from phoenix_compat.server.process.settings.configuration import load_settings

NO_FILE = Path("/dev/null")
VARIABLE = "PHOENIX_COMPAT_TRUSTED_PROXIES"


@pytest.mark.parametrize(
    ("entry", "network"),
    [
        ("10.0.0.5", "10.0.0.5/32"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.0.0.5/8", "10.0.0.0/8"),
        ("2001:db8::1", "2001:db8::1/128"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("::ffff:10.0.0.5", "10.0.0.5/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
    ],
)
def test_an_entry_is_an_address_or_a_network(entry: str, network: str) -> None:
    """IPv4 in the form of IPv6 is the IPv4 network, as peers are seen."""
    assert str(parse_network(entry)) == network


def test_the_setting_takes_a_list() -> None:
    """Networks and the word for the Unix socket, as JSON in the variable."""
    settings = load_settings({}, NO_FILE, {VARIABLE: '["127.0.0.1", "unix", "fd00::/8"]'})

    assert settings.trusted_proxies == ("127.0.0.1", "unix", "fd00::/8")


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("proxy.example", "'proxy.example' is not an address or a network, such as"),
        ("10.0.0.0/33", "is not an address or a network"),
        ("Unix", "is not an address or a network"),
        ("", "is not an address or a network"),
        ("0.0.0.0/0", "'0.0.0.0/0' would trust every client; name the addresses of your proxies"),
        ("::/0", "would trust every client"),
        ("::ffff:0:0/96", "would trust every client"),
        ("1" * 65, "an entry has more than 64 characters"),
    ],
)
def test_other_entries_are_refused(entry: str, reason: str) -> None:
    """The error names the setting, the entry and what it may be."""
    with pytest.raises(ConfigError) as refused:
        load_settings({}, NO_FILE, {VARIABLE: f'["{entry}"]'})

    [line] = str(refused.value).splitlines()
    assert line.startswith(f"{VARIABLE}: ")
    assert reason in line
