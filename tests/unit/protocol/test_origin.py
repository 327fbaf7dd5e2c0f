"""Which pages may connect: docs/protocol.md §1.5; numbers are those of §9.7."""

from __future__ import annotations

from typing import Any

import pytest

from phoenix_compat.errors import ConfigError
from phoenix_compat.protocol.origin import (
    CONN,
    SAME_HOST,
    CheckOrigin,
    Origin,
    is_origin_allowed,
    parse_check_origin,
    parse_origin,
)

HERE = Origin("http", "example.com", 80)

# No host, or an empty one; no URL; no origin at all. In some of them Elixir reads a host.
ODD_ORIGINS = [
    "file://",
    "null",
    "",
    "http://",
    "http://[::1",
    "http://h:port",
    "//",
    "example.com",
]


def allows(
    check: CheckOrigin,
    origin: str | None,
    url_host: str | None = "example.com",
    conn: Origin = HERE,
) -> bool:
    """Whether a page of that origin may connect."""
    return is_origin_allowed(origin, parse_check_origin(check), url_host=url_host, conn=conn)


def sort_out(check: CheckOrigin, origins: list[str], **more: Any) -> list[str]:
    """The origins that may connect."""
    return [origin for origin in origins if allows(check, origin, **more)]


@pytest.mark.parametrize("check", [True, False, CONN, ["//a.com"], lambda _: False])
def test_a_missing_origin_is_allowed(check: CheckOrigin) -> None:
    """A request without an Origin header is not from a web page and passes every check."""
    assert allows(check, None)


def test_false_never_refuses() -> None:
    """84, 94: without a check every origin is allowed, even one that is not a URL."""
    origins = ["https://evil.com", *ODD_ORIGINS]

    assert origins == sort_out(False, origins)


def test_true_compares_the_host_only() -> None:
    """85: the host must be the endpoint's; scheme and port do not matter, case does."""
    fine = ["https://example.com", "http://example.com:8080", "ws://example.com", "//example.com"]
    others = ["https://www.example.com", "https://evil.com", "http://EXAMPLE.com"]

    assert fine == sort_out(True, [*fine, *others])


def test_true_passes_any_host_when_the_endpoint_has_none() -> None:
    """If the endpoint has no host, every host is allowed, even the empty one of files."""
    origins = ["https://a.com", "http://b.com:81", "file://"]

    assert origins == sort_out(True, [*origins, "null", ""], url_host=None)


def test_true_reads_origins_as_elixir_does() -> None:
    """B9: A port that is not a number is ignored; the host is what follows the last @."""
    fine = [
        "http://example.com:abc",
        "http://example.com:80abc",
        "http://evil.com@example.com",
        "http://example.com/evil.com",
        "http://example.com?evil.com",
        "ws://example.com:4000",
        "wss://example.com",
    ]
    others = [
        "http://example.com@evil.com",
        "http://a@example.com@evil.com",
        "http://example.com.evil.com",
        "http://evil.com#example.com",
        "http://evil.com/example.com",
        "http://example.com.",
        "http://EXAMPLE.COM",
        "http:example.com",
        "[example.com]",
    ]

    assert fine == sort_out(True, [*fine, *others])


@pytest.mark.parametrize(
    ("request_url", "fine", "others"),
    [
        (
            "http://192.168.1.5:4000",
            ["ws://192.168.1.5:4000", "wss://192.168.1.5", "http://192.168.1.5:abc"],
            ["http://192.168.1.6", "http://192.168.1.5.evil.com", "http://192.168.1.5@evil.com"],
        ),
        ("http://[::1]:4000", ["ws://[::1]:4000", "https://[::1]"], ["http://[::2]:4000"]),
        ("http://Mac.local:4000", ["ws://Mac.local:4000"], ["ws://mac.local:4000"]),
        ("http://", [], ["http://", "//", "http://a.com"]),
    ],
)
def test_same_host_is_the_requests_own(
    request_url: str, fine: list[str], others: list[str]
) -> None:
    """Only the exact host counts; a request without a host matches no page."""
    conn = parse_origin(request_url)

    for check in (SAME_HOST, [SAME_HOST, "//friend.com"]):
        assert fine == sort_out(check, [*fine, *others, *ODD_ORIGINS], conn=conn)


def test_same_host_may_be_an_entry_of_a_list() -> None:
    """The server's own pages and those of the other entries are allowed."""
    check = [SAME_HOST, "//friend.com"]

    assert sort_out(check, ["http://example.com:1", "https://friend.com", "http://evil.com"]) == [
        "http://example.com:1",
        "https://friend.com",
    ]


@pytest.mark.parametrize("check", [True, ["//example.com"], ["*://x", "//*.com"], CONN])
def test_odd_origins_are_refused(check: Any) -> None:
    """91: `file://`, `null`, the empty origin and other texts have no host to compare."""
    check = ["//x", "//*.com"] if check == ["*://x", "//*.com"] else check

    assert sort_out(check, ODD_ORIGINS) == []


def test_wildcards() -> None:
    """88: `*.ex.com` is ex.com and its subdomains, but no other name with the same ending."""
    check = ["https://*.ex.com", "http://*.ex.com"]
    fine = [
        "https://org1.ex.com",
        "http://org1.ex.com",
        "https://a.b.ex.com",
        "http://ex.com",
        "https://ex.com",
    ]
    others = ["http://org1.prefix-ex.com", "http://prefix-ex.com", "http://ex.com.evil.com"]

    assert fine == sort_out(check, [*fine, *others, "https://ex.com:8443"])


def test_wildcards_below_a_subdomain() -> None:
    """89: a wildcard for a subdomain does not match its siblings."""
    fine = ["http://org1.foo.example.com", "http://foo.example.com"]
    others = [
        "http://bad.example.com",
        "http://org1.prefix-foo.example.com",
        "http://org1.bar.example.com",
        "http://example.com",
    ]

    assert fine == sort_out(["http://*.foo.example.com"], [*fine, *others])


def test_a_host_does_not_match_its_subdomains() -> None:
    """90: `//ex.com` is that host alone."""
    assert sort_out(["//ex.com"], ["http://ex.com", "http://org1.ex.com"]) == ["http://ex.com"]


@pytest.mark.parametrize(
    ("entry", "fine", "others"),
    [
        (
            "//example.com",
            ["http://example.com", "https://example.com:81", "ws://example.com"],
            ["http://notallowed.com", "http://Example.com"],
        ),
        (
            "http://scheme.com",
            ["http://scheme.com", "http://scheme.com:80"],
            ["https://scheme.com", "http://scheme.com:8080", "//scheme.com"],
        ),
        ("https://s.com", ["https://s.com", "https://s.com:443"], ["http://s.com:443"]),
        (
            "//port.com:81",
            ["http://port.com:81", "https://port.com:81"],
            ["http://port.com:82", "http://port.com"],
        ),
        ("https://[::1]:8080", ["https://[::1]:8080"], ["https://[::2]:8080", "https://[::1]"]),
        ("file://", ["file://", "file:///page.html"], ["http://localhost", "null", ""]),
        ("http://h:x", ["http://h", "http://h:80"], ["http://h:8080"]),
        ("app://localhost", ["app://localhost", "app://localhost:1"], ["http://localhost"]),
    ],
)
def test_entries_of_a_list(entry: str, fine: list[str], others: list[str]) -> None:
    """95: an entry compares its own parts, and the port that its scheme implies."""
    assert fine == sort_out([entry], [*fine, *others])


def test_any_entry_of_a_list_will_do() -> None:
    """A page is allowed if one entry matches."""
    check = ["//a.com", "//b.com"]

    assert sort_out(check, ["http://a.com", "http://b.com", "http://c.com"]) == [
        "http://a.com",
        "http://b.com",
    ]


@pytest.mark.parametrize(
    ("conn", "fine"),
    [
        (Origin("http", "h.com", 80), ["http://h.com", "http://h.com:80"]),
        (Origin("https", "h.com", 443), ["https://h.com", "https://h.com:443"]),
        (Origin("https", "h.com", 8443), ["https://h.com:8443"]),
    ],
)
def test_conn_is_the_request_itself(conn: Origin, fine: list[str]) -> None:
    """93: scheme, host and port must all be those of the request; ws and wss never are."""
    others = ["ws://h.com", "wss://h.com", "http://h.com:81", "https://other.com", "//h.com"]

    assert fine == sort_out(CONN, [*fine, *others], conn=conn)


def test_a_function_decides() -> None:
    """92, 96: a function is called with the parsed origin, even if it is not a URL."""
    asked = []

    def check(origin: Origin) -> bool:
        asked.append(origin)
        return origin.host != "evil.com"

    assert sort_out(check, ["http://a.com:81", "null", "http://evil.com"]) == [
        "http://a.com:81",
        "null",
    ]
    assert asked == [
        Origin("http", "a.com", 81),
        Origin(None, None, None),
        Origin("http", "evil.com", 80),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://Example.COM", Origin("https", "Example.COM", 443)),
        ("HTTP://a.com", Origin("http", "a.com", 80)),
        ("http://user:secret@a.com:81/path?q#f", Origin("http", "a.com", 81)),
        ("http://[::1]:8080", Origin("http", "::1", 8080)),
        ("//a.com", Origin(None, "a.com", None)),
        ("ws://a.com", Origin("ws", "a.com", 80)),
        ("wss://a.com", Origin("wss", "a.com", 443)),
        ("app://a.com", Origin("app", "a.com", None)),
        ("http://a.com:", Origin("http", "a.com", 80)),
        ("http://a.com:99999", Origin("http", "a.com", 99999)),
        ("http://a.com:abc", Origin("http", "a.com", 80)),
        ("http://a.com:81abc", Origin("http", "a.com", 81)),
        ("http://a.com:0081", Origin("http", "a.com", 81)),
        ("app://a.com:abc", Origin("app", "a.com", None)),
        ("file://", Origin("file", "", None)),
        ("http://", Origin("http", "", 80)),
        ("//", Origin(None, "", None)),
        ("http:", Origin("http", None, 80)),
        ("http://:80", Origin("http", None, 80)),
        ("http://user@", Origin("http", None, 80)),
        ("null", Origin(None, None, None)),
        ("", Origin(None, None, None)),
        ("a.com:81", Origin("a.com", None, None)),
        ("http://a.com@b.com@c.com:81", Origin("http", "c.com", 81)),
        ("http://a.com#b.com", Origin("http", "a.com", 80)),
        ("http://a.com.", Origin("http", "a.com.", 80)),
        ("http://[::1", Origin("http", "", 80)),
        ("http://[bad", Origin("http", "bad", 80)),
        ("http://[::1]evil:81", Origin("http", "::1", 80)),
        ("http://\u212a.com", Origin("http", "\u212a.com", 80)),
        ("\u212a://a.com", Origin(None, None, None)),
        ("ldap://a.com", Origin("ldap", "a.com", 389)),
    ],
)
def test_an_origin_is_taken_apart(text: str, expected: Origin) -> None:
    """Scheme, unchanged host, and the port, which the scheme may imply."""
    assert expected == parse_origin(text)


def test_a_very_long_port_is_none_that_a_server_has() -> None:
    """It is parsed quickly, and equals no port of an entry."""
    origin = "http://a.com:" + "9" * 8_000

    assert sort_out(["//a.com", "//b.com"], [origin]) == [origin]
    assert sort_out(["//a.com:9", "//a.com:65535"], [origin]) == []


@pytest.mark.parametrize("entry", ["example.com", "null", "//", "", "http://", "wss://", "http:"])
def test_an_entry_without_a_host_is_a_mistake(entry: str) -> None:
    """An entry that can never match is an error when the socket is mounted."""
    with pytest.raises(ConfigError, match="has no host"):
        parse_check_origin(["//fine.com", entry])


def test_a_single_string_is_a_mistake() -> None:
    """A string other than "conn" and "same-host" is an error, because a list was meant."""
    with pytest.raises(ConfigError, match="a list"):
        parse_check_origin("//example.com")


def test_a_list_is_kept_as_it_was() -> None:
    """Changing the list after mounting has no effect."""
    entries = ["//a.com"]
    check = parse_check_origin(entries)

    entries.append("//evil.com")

    assert check == ("//a.com",)


def test_two_mounts_keep_their_own_policy() -> None:
    """98: the settings of two sockets are independent."""
    first, second = parse_check_origin(["//a.com"]), parse_check_origin(["//b.com"])

    answers = [
        [is_origin_allowed(f"http://{host}", check, url_host=None, conn=HERE) for check in order]
        for host in ("a.com", "b.com")
        for order in ((first, second), (second, first))
    ]

    assert answers == [[True, False], [False, True], [False, True], [True, False]]


@pytest.mark.parametrize(
    ("scheme", "port"),
    [
        ("ftp", 21),
        ("http", 80),
        ("https", 443),
        ("ldap", 389),
        ("sftp", 22),
        ("tftp", 69),
        ("ws", 80),
        ("wss", 443),
        ("capacitor", None),
    ],
)
def test_the_ports_of_schemes(scheme: str, port: int | None) -> None:
    """They are those of Elixir's `URI.default_port/1`; a port in the text replaces them."""
    assert parse_origin(f"{scheme.upper()}://host") == (scheme, "host", port)
    assert parse_origin(f"{scheme}://host:000") == (scheme, "host", 0)
    assert parse_origin(f"{scheme}://host:0081") == (scheme, "host", 81)
