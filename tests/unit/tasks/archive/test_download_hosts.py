"""Which URLs and addresses files may be downloaded from."""

from __future__ import annotations

import pytest

from phoenix_compat.errors import ConfigError
from phoenix_compat.tasks.archive.download_hosts import REPLICATE_HOSTS, DownloadHosts, is_public
from phoenix_compat.tasks.archive.errors import HostRefusedError

HOSTS = DownloadHosts([*REPLICATE_HOSTS, "http://127.0.0.1:4567", "https://Files.Example:8443/"])


@pytest.mark.parametrize(
    "url",
    [
        "https://replicate.delivery/xezq/a.png",
        "https://REPLICATE.delivery:443/a.png?b=c#d",
        "https://pbxt.replicate.delivery/a.png",
        "https://a.b.replicate.delivery/a.png",
        "http://127.0.0.1:4567/files/a.png",
        "https://files.example:8443/a.png",
    ],
)
def test_a_listed_host_is_allowed(url: str) -> None:
    """A host may be listed by name, by wildcard, or as an origin."""
    assert HOSTS.validate(url).path


@pytest.mark.parametrize(
    "url",
    [
        "http://replicate.delivery/a.png",
        "https://replicate.delivery:8443/a.png",
        "https://evilreplicate.delivery/a.png",
        "https://replicate.delivery.evil.example/a.png",
        "https://replicate.delivery@evil.example/a.png",
        "https://user@replicate.delivery/a.png",
        "https://user:secret@replicate.delivery/a.png",
        "https://replicate.delivery./a.png",
        "https://.replicate.delivery/a.png",
        "https://evil.example\\.replicate.delivery/a.png",
        "https://evil.example#.replicate.delivery/a.png",
        "https://evil.example?.replicate.delivery/a.png",
        "https://127.0.0.1:4567/a.png",
        "http://127.0.0.1/a.png",
        "http://127.0.0.1:4568/a.png",
        "http://localhost:4567/a.png",
        "http://2130706433:4567/a.png",
        "http://127.1:4567/a.png",
        "http://0x7f000001:4567/a.png",
        "http://[::ffff:127.0.0.1]:4567/a.png",
        "https://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
        "ftp://replicate.delivery/a.png",
        "data:image/png,x",
        "//replicate.delivery/a.png",
        "replicate.delivery/a.png",
        "https://",
        "https://[",
        "https://replicate.delivery:99999/a.png",
        "",
    ],
)
def test_every_other_host_is_refused(url: str) -> None:
    """A URL with another scheme, port, spelling or host is refused."""
    with pytest.raises(HostRefusedError):
        HOSTS.validate(url)


def test_a_listed_private_address_is_refused() -> None:
    """Private addresses are allowed only if they are listed as an origin."""
    hosts = DownloadHosts(["10.0.0.8", "8.8.8.8"])

    assert hosts.validate("https://8.8.8.8/a.png").host == "8.8.8.8"
    with pytest.raises(HostRefusedError, match="private"):
        hosts.validate("https://10.0.0.8/a.png")


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "*.",
        "*",
        "a.*.example",
        "example.com:8443",
        "example.com/files",
        "ftp://example.com",
        "https://",
        "https://example.com/files",
        "https://u@example.com",
        "http://example.com:x",
        "a b",
    ],
)
def test_an_invalid_entry_is_refused(entry: str) -> None:
    """An entry that is not a host or origin is a ConfigError."""
    with pytest.raises(ConfigError):
        DownloadHosts([entry])


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::808:808", True),
        ("0.0.0.0", False),  # noqa: S104 - an address to refuse
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("172.16.0.1", False),
        ("192.168.0.1", False),
        ("192.0.2.1", False),
        ("198.18.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("fc00::1", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("2001:db8::1", False),
    ],
)
def test_public_addresses(address: str, expected: bool) -> None:
    """Loopback, private, link-local, shared, multicast and reserved addresses are not public."""
    assert is_public(address) is expected
