"""Pages of other origins: what their browsers let them send and read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from phoenix_compat.conformance.suite.connections import exchange
from phoenix_compat.conformance.suite.wire_client import HttpResponse
from phoenix_compat.server.http.browsers.refused_pages import MAX_ORIGINS
from tests.integration.browsers.test_host_and_origin import JSON_TYPE, MONK, SOCKET, upgrade
from tests.integration.operations.commands import server
from tests.integration.task_server import product, settings_for

FRIEND = "https://friend.example"
ALLOWED = ("//friend.example", "https://*.family.example", "//localhost")
CORS = "access-control-"


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """A server that names some origins."""
    async with product(settings_for(tmp_path, check_origin=ALLOWED)) as client:
        yield client.url


def cors(answer: HttpResponse) -> dict[str, str]:
    """The headers of an answer that are for pages of other origins."""
    return {name: value for name, value in answer.headers if name.startswith(CORS)}


async def preflight(url: str, target: str, origin: str, method: str, headers: str) -> HttpResponse:
    """Ask as a browser does before it sends what a form cannot send."""
    asked = [
        ("Origin", origin),
        ("Access-Control-Request-Method", method),
        *([("Access-Control-Request-Headers", headers)] if headers else []),
    ]
    return await exchange(url, "OPTIONS", target, asked)


def names(value: str) -> set[str]:
    """The names in a header."""
    return {name.strip().lower() for name in value.split(",")}


@pytest.mark.parametrize(
    "origin", [FRIEND, "http://friend.example:81", "https://a.family.example", "own"]
)
async def test_a_page_may_order_and_read(url: str, origin: str) -> None:
    """The preflight allows method and headers, and the answers are readable: 202 and 422."""
    origin = url if origin == "own" else origin
    asked = "authorization,content-type,idempotency-key,x-api-key"

    allowed = await preflight(url, "/api/tasks", origin, "POST", asked)
    headers = [("Origin", origin), ("Sec-Fetch-Site", "cross-site"), JSON_TYPE]
    ordered = await exchange(url, "POST", "/api/tasks", headers, MONK)
    refused = await exchange(url, "POST", "/api/tasks", headers, b"{}")

    assert (allowed.status, ordered.status, refused.status) == (204, 202, 422)
    assert allowed.body == b""
    found = cors(allowed)
    assert names(found["access-control-allow-methods"]) >= {"get", "post"}
    assert names(found["access-control-allow-headers"]) >= names(asked) | {"x-owner"}
    assert int(found["access-control-max-age"]) > 0
    for answer in (allowed, ordered, refused):
        assert cors(answer)["access-control-allow-origin"] == origin
        assert "access-control-allow-credentials" not in cors(answer)
        assert "origin" in names(answer.header("vary") or "")
    for answer in (ordered, refused):
        exposed = names(cors(answer)["access-control-expose-headers"])
        assert exposed >= {"location", "retry-after", "idempotency-replayed", "www-authenticate"}


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/api/tasks", 200),
        ("GET", "/api/tasks/none", 404),
        ("GET", "/api/nothing", 404),
        ("DELETE", "/api/tasks", 405),
        ("POST", "/api/tasks/none/cancel", 404),
        ("POST", "/api/tasks", 415),
        ("GET", "/files/none.png", 404),
        ("POST", "/files/none.png", 405),
    ],
)
async def test_every_answer_is_readable(url: str, method: str, target: str, status: int) -> None:
    """Errors too: a page must be able to tell why it was refused."""
    body = b"x" if status == 415 else b""

    answer = await exchange(url, method, target, [("Origin", FRIEND)], body)

    assert answer.status == status
    assert cors(answer)["access-control-allow-origin"] == FRIEND


@pytest.mark.parametrize(
    "origin",
    [
        *("http://evil.example", "null", "", "file://", "https://friend.example.evil.example"),
        *("http://a.family.example", "https://friend.exampl\u00e9", "x" * 4_000, "*"),
    ],
)
async def test_other_pages_get_nothing(url: str, origin: str) -> None:
    """No header allows anything; a change is 403 as before, and so is the preflight, with the
    setting's name."""
    header = ("Origin", origin)

    asked = await preflight(url, "/api/tasks", origin, "POST", "content-type")
    read = await exchange(url, "GET", "/api/tasks", [header])
    ordered = await exchange(url, "POST", "/api/tasks", [header, JSON_TYPE], MONK)

    assert (asked.status, read.status, ordered.status) == (403, 200, 403)
    for answer in (asked, read, ordered):
        assert cors(answer) == {}
        assert "origin" in names(answer.header("vary") or "")
    assert "`check_origin`" in json.loads(asked.body)["detail"]


async def test_a_refused_page_is_in_the_log_once(url: str) -> None:
    """A4: the first refusal of an origin is a warning with the origin and the setting."""
    with capture_logs() as lines:
        for origin in ("http://evil.example", "http://evil.example", "http://other.example"):
            await preflight(url, "/api/tasks", origin, "POST", "content-type")
        for number in range(MAX_ORIGINS):
            await preflight(url, "/api/tasks", f"http://{number}.example", "POST", "content-type")

    warnings = [line for line in lines if line["log_level"] == "warning"]
    assert [line["origin"] for line in warnings[:2]] == [
        "'http://evil.example'",
        "'http://other.example'",
    ]
    assert len(warnings) == MAX_ORIGINS
    assert all("`check_origin`" in line["reason"] for line in warnings)


async def test_no_setting_allows_every_page(tmp_path: Path) -> None:
    """The default is the server's own host, with any scheme and port; as for sockets."""
    async with product(settings_for(tmp_path, public_url="https://pictures.example")) as client:
        own = f"ws://{urlsplit(client.url).hostname}:1"
        for origin in (own, "https://pictures.example", "https://pictures.example:8443"):
            answer = await exchange(client.url, "GET", "/api/tasks", [("Origin", origin)])
            assert cors(answer)["access-control-allow-origin"] == origin
            assert await upgrade(client.url, origin) == 101
        answer = await exchange(client.url, "GET", "/api/tasks", [("Origin", FRIEND)])
        assert cors(answer) == {}
        assert await upgrade(client.url, FRIEND) == 403


async def test_the_methods_are_those_of_the_path(url: str) -> None:
    """What the router would answer with 405 is not offered."""
    expected = {
        "/api/tasks": {"get", "head", "post"},
        "/api/tasks/x": {"get", "head"},
        "/api/tasks/x/cancel": {"post"},
        "/files/x.png": {"get", "head"},
    }
    for target, methods in expected.items():
        answer = await preflight(url, target, FRIEND, "GET", "")

        assert names(cors(answer)["access-control-allow-methods"]) == methods, target


@pytest.mark.parametrize(
    "asked", ["x/a", "a b", "x" * 65, "*, é", ",,,", "a;b", "q" * 8_000, "a," * 3_000]
)
async def test_only_names_of_headers_are_repeated(url: str, asked: str) -> None:
    """The answer to a preflight is short and well-formed, whatever was asked."""
    answer = await preflight(url, "/api/tasks", FRIEND, "POST", asked)

    allowed = cors(answer)["access-control-allow-headers"]
    assert answer.status == 204
    assert len(allowed) < 3_000
    assert names(allowed) <= {
        *("authorization", "content-type", "idempotency-key", "x-owner", "a", "*")
    }


async def test_options_without_a_preflight_is_no_method(url: str) -> None:
    """Without Origin or without a method asked for, OPTIONS is as unknown as before."""
    for headers in ([], [("Origin", FRIEND)], [("Access-Control-Request-Method", "POST")]):
        assert (await exchange(url, "OPTIONS", "/api/tasks", headers)).status == 405


async def test_sockets_answer_as_phoenix(url: str) -> None:
    """Long-polling has Phoenix's own header for every page, and none of ours."""
    answer = await exchange(
        url, "GET", "/socket/longpoll?vsn=2.0.0", [("Origin", "https://friend.example")]
    )

    assert cors(answer) == {"access-control-allow-origin": "*"}
    assert answer.header("vary") is None
    for name in ("content-security-policy", "x-content-type-options", "referrer-policy"):
        assert answer.header(name) is None


async def test_several_processes_answer_pages(tmp_path: Path) -> None:
    """Whichever process is asked: one set of headers, also when it has forwarded the request."""
    data = ("--workers", "2", "--data-dir", str(tmp_path / "data"))
    environment = {"PHOENIX_COMPAT_CHECK_ORIGIN": json.dumps(ALLOWED)}
    async with server("server.py", "--port", "0", *data, **environment) as (_, url):
        for _attempt in range(8):
            allowed = await preflight(url, "/api/tasks", FRIEND, "POST", "content-type")
            ordered = await exchange(
                url, "POST", "/api/tasks", [("Origin", FRIEND), JSON_TYPE], MONK
            )
            missing = await exchange(url, "GET", "/api/tasks/none", [("Origin", FRIEND)])

            assert (allowed.status, ordered.status, missing.status) == (204, 202, 404)
            for answer in (allowed, ordered, missing):
                found = [name for name, _ in answer.headers]
                for name in ("access-control-allow-origin", "vary", "x-content-type-options"):
                    assert found.count(name) == 1, name
                assert answer.header("access-control-allow-origin") == FRIEND


async def test_a_websocket_gets_no_header_of_ours(url: str) -> None:
    """The handshake is Phoenix's."""
    assert await upgrade(url, FRIEND, target=SOCKET) == 101
