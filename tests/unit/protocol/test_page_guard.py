"""Requests that a web page can make a browser send: hosts, bodies, origins."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from phoenix_compat.protocol.origin import SAME_HOST
from phoenix_compat.protocol.page_guard import (
    ANY_HOST,
    PageGuard,
    Refusal,
    host_pattern,
    machine_names,
    refuse_body,
)

HOST = "127.0.0.1:4000"


def guard(*hosts: str, origins: tuple[str, ...] = ()) -> PageGuard:
    """A guard that accepts these hosts, and changes by pages of these origins."""
    return PageGuard(
        map(host_pattern, hosts),
        (SAME_HOST, *origins),
        hosts_remedy="name it in `hosts`",
        origins_remedy="name it in `origins`",
    )


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.0.0.1:4000", "192.168.1.20:80", "0.0.0.0:4000", "8.8.8.8"),
        *("[::1]", "[::1]:4000", "[FE80::1%25en0]:4000", "[::ffff:10.0.0.1]"),
        *("localhost", "LOCALHOST:4000", "localhost.", "app.localhost", "a.b.localhost:1"),
        None,
    ],
)
def test_addresses_and_localhost_are_always_answered(host: str | None) -> None:
    """No page can have an address as its host; a request without Host is not from a browser."""
    assert guard().refuse_host(host) is None


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:4000", "EVIL.example.", "localhost.evil.example"),
        *("127.0.0.1.evil.example", "127.0.0.1.nip.io:4000", "evillocalhost", "localhost.local"),
        *("127.0.0.1@evil.example", "evil.example@127.0.0.1", "evil.example#127.0.0.1"),
        *("[::1].evil.example", "[evil.example]", "[::1", "::1", "127.0.0.1:4000:evil.example"),
        *("127.0.0.1/evil.example", "127.0.0.1, evil.example", "127.0.0.1 evil.example"),
        *("999.0.0.1", "1.2.3", "127.0.0.1:x", ":4000", "", ".", "\udcff", "١٢٧.0.0.1"),
    ],
)
def test_all_other_hosts_are_refused(host: str) -> None:
    """The 421 says what to do, and shows the host in ASCII."""
    refused = guard().refuse_host(host)

    assert refused is not None
    assert refused[:2] == (421, "misdirected-request")
    assert "`hosts`" in refused.detail
    assert ascii(host) in refused.detail


@pytest.mark.parametrize(
    ("entry", "answered", "refused"),
    [
        (
            "nas.lan",
            ["nas.lan", "NAS.LAN:4000", "nas.lan."],
            ["my.nas.lan", "nas.lan.evil.example"],
        ),
        ("Nas.Lan.", ["nas.lan"], ["lan"]),
        (
            "*.example.com",
            ["example.com", "a.example.com", "a.b.example.com:81"],
            ["evilexample.com", "example.com.evil.example", "*.example.org"],
        ),
        ("*", ["evil.example", "x"], []),
    ],
)
def test_named_hosts(entry: str, answered: list[str], refused: list[str]) -> None:
    """A name matches only that host, `*.` also its subdomains, and `*` every host."""
    one = guard(entry)

    assert [host for host in [*answered, *refused] if one.refuse_host(host) is None] == answered


@pytest.mark.parametrize(
    ("entry", "advice"),
    [
        ("http://nas.lan", "write 'nas.lan'"),
        ("//nas.lan", "write 'nas.lan'"),
        ("nas.lan:4000", "write 'nas.lan'"),
        ("nas.lan/console", "write 'nas.lan'"),
        ("https://me@nas.lan:81/x", "write 'nas.lan'"),
        ("", "'example.com'"),
        ("*.", "'example.com'"),
        ("**", "'example.com'"),
        ("a.*.com", "'example.com'"),
        ("*nas.lan", "'example.com'"),
        ("nas lan", "'example.com'"),
        ("nas.lan,nas", "'example.com'"),
        ("büro.example", "xn--"),
    ],
)
def test_an_entry_that_can_never_match_is_a_mistake(entry: str, advice: str) -> None:
    """The error says what to write instead."""
    with pytest.raises(ValueError, match=r"host|ASCII") as refused:
        host_pattern(entry)

    assert advice in str(refused.value)


@pytest.mark.parametrize("entry", ["::1", "[::1]", "10.0.0.5", "xn--bro-hoa.example", "my_nas"])
def test_other_entries_are_taken(entry: str) -> None:
    """Addresses need no entry, but an entry is not an error."""
    assert host_pattern(entry) == entry


@pytest.mark.parametrize(
    ("hostname", "names"),
    [
        ("Studio", {"studio", "studio.local"}),
        ("Studio.local", {"studio", "studio.local"}),
        ("box.corp.example", {"box.corp.example", "box", "box.local"}),
        ("", set()),
    ],
)
def test_the_names_of_a_machine(hostname: str, names: set[str]) -> None:
    """Its name, the first part of it, and that with .local."""
    assert machine_names(hostname) == names


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "kind",
    [
        *(None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"),
        *("text/plain; x=application/json", "application/jsonp", "application/json+x", "+json"),
        *("text/plain,application/json", "text/plain, x/y+json", "json", "application/"),
    ],
)
def test_a_body_of_another_type_is_refused(method: str, kind: str | None) -> None:
    """415 for all types that a page can send without a preflight, and for a missing type."""
    headers = {} if kind is None else {"Content-Type": kind}

    refused = refuse_body(method, headers, has_body=True)

    assert refused is not None
    assert refused[:2] == (415, "unsupported-media-type")
    assert "application/json" in refused.detail


@pytest.mark.parametrize(
    ("method", "kind", "has_body"),
    [
        ("POST", "application/json", True),
        ("PUT", "application/json; charset=utf-8", True),
        ("PATCH", "Application/Merge-Patch+JSON ;x=1", True),
        ("POST", "application/vnd.api+json", True),
        ("POST", None, False),
        ("DELETE", "text/plain", False),
        ("GET", "text/plain", True),
        ("OPTIONS", None, True),
    ],
)
def test_other_bodies_are_taken(method: str, kind: str | None, has_body: bool) -> None:
    """All JSON types, requests without a body, and methods that change nothing."""
    headers = {} if kind is None else {"Content-Type": kind}

    assert refuse_body(method, headers, has_body=has_body) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "file://"},
        {"Origin": "http://127.0.0.1@evil.example"},
        {"Origin": "http://127.0.0.1.evil.example"},
        {"Origin": "http://evil.example#127.0.0.1"},
        {"Origin": "http://evil.example:4000", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "BREW"])
def test_other_pages_cannot_change_anything(method: str, headers: dict[str, str]) -> None:
    """The 403 says what to do; a page of the same site is checked like any other."""
    refused = guard(origins=("//friend.example",)).refuse_origin(method, {"Host": HOST, **headers})

    assert refused is not None
    assert refused[:2] == (403, "origin-not-allowed")
    assert "`origins`" in refused.detail


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", {}),
        ("POST", {"Sec-Fetch-Site": "same-origin"}),
        ("POST", {"Sec-Fetch-Site": "none"}),
        ("POST", {"Origin": f"http://{HOST}"}),
        ("POST", {"Origin": "ws://127.0.0.1:1"}),
        ("DELETE", {"Origin": "https://friend.example", "Sec-Fetch-Site": "cross-site"}),
        ("GET", {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}),
        ("OPTIONS", {"Origin": "http://evil.example"}),
    ],
)
def test_other_requests_are_allowed(method: str, headers: dict[str, str]) -> None:
    """Programs, pages of the server's own host, listed pages, and requests that only read."""
    one = guard(origins=("//friend.example",))

    assert one.refuse_origin(method, {"Host": HOST, **headers}) is None


def test_a_request_without_a_host_shares_none_with_a_page() -> None:
    """An origin without a host is not the same host."""
    assert guard().refuse_origin("POST", {"Origin": "file://"}) is not None


@pytest.mark.parametrize(
    "ask",
    [
        lambda one, text: one.refuse_host(text),
        lambda one, text: one.refuse_origin("POST", {"Host": HOST, "Origin": text}),
    ],
)
def test_little_of_a_foreign_text_is_repeated(
    ask: Callable[[PageGuard, str], Refusal | None],
) -> None:
    """Text from a page is shortened to 200 bytes and converted to ASCII."""
    refused = ask(guard(), "http://" + "é" * 5_000)

    assert refused is not None
    assert refused.detail.isascii()
    assert len(refused.detail) < 350


def test_any_host_is_a_pattern() -> None:
    """`*` stands for every host."""
    assert host_pattern("*") == ANY_HOST
