"""Which web pages and apps the task server answers: hosts, origins, content types, on the wire."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from phoenix_compat.conformance.suite.connections import exchange
from phoenix_compat.conformance.suite.wire_client import HttpResponse, build_request
from phoenix_compat.errors import ConfigError
from phoenix_compat.server.engine import check_settings
from phoenix_compat.server.main import open_app
from phoenix_compat.server.process.listening import listening
from phoenix_compat.server.process.settings import Settings
from tests.integration.operations.commands import server
from tests.integration.task_server import product, settings_for
from tests.wire import PatientClient

MONK = json.dumps({"input_data": {"type": "image", "prompt": "Medieval monk"}}).encode()
EVIL = ("Origin", "http://evil.example")
JSON_TYPE = ("Content-Type", "application/json")
SOCKET = "/socket/websocket?vsn=2.0.0"


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """A server for everyone, in this process; test_open_access has those for this machine only."""
    async with product(settings_for(tmp_path, insecure_no_auth=True)) as client:
        yield client.url


async def upgrade(
    url: str, origin: str | None = None, host: str | None = None, target: str = SOCKET
) -> int:
    """The status of a websocket's handshake, as Starscream makes it."""
    client = await PatientClient.connect(url)
    changed = {
        "Origin": origin,
        "Host": host or client.host,
        "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
    }
    try:
        return (await client.handshake(target, changed)).status
    finally:
        await client.close()


async def ask(url: str, host: str, method: str, target: str) -> HttpResponse:
    """A request that names this host."""
    client = await PatientClient.connect(url)
    headers = [("Host", host), ("Connection", "close")]
    try:
        await client.send_bytes(build_request(method, target, headers))
        return await client.read_response(method=method)
    finally:
        await client.close()


def problem(answer: HttpResponse) -> dict[str, Any]:
    """The document of a refusal."""
    assert (answer.header("content-type") or "").startswith("application/problem+json")
    return dict(json.loads(answer.body))


async def task_count(url: str) -> int:
    """How many tasks are stored."""
    return len(json.loads((await exchange(url, "GET", "/api/tasks")).body)["tasks"])


# Sockets.


async def test_starscream_is_let_in_by_the_default_install(tmp_path: Path) -> None:
    """A1: SwiftPhoenixClient 0.x to 1.3 sends `Origin: ws://host:port`; others send wss or no port.

    A page from elsewhere, or one that only looks like the server's, is refused.
    """
    data = ("--data-dir", str(tmp_path / "data"))
    async with server("server.py", "--port", "0", *data) as (_, url):
        place = urlsplit(url).netloc
        host = place.partition(":")[0]
        apps = [f"ws://{place}", f"wss://{host}", f"http://{place}", f"http://{host}:abc", None]
        others = ["http://evil.example", "null", "file://", "", f"http://{host}.evil.example"]
        others += [f"http://{host}@evil.example", f"http://evil.example#{host}", "ws://localhost"]

        statuses = [await upgrade(url, origin) for origin in [*apps, *others]]

    assert statuses == [101] * len(apps) + [403] * len(others)


@pytest.mark.parametrize("host", ["localhost:4000", "[::1]:4000", "10.0.0.5", "Mac.localhost:1"])
async def test_the_host_of_the_request_is_the_own_one(url: str, host: str) -> None:
    """Whatever allowed name or address an app uses, an origin of that host passes."""
    assert await upgrade(url, f"ws://{host}", host) == 101
    assert await upgrade(url, "ws://evil.example:4000", host) == 403


async def test_named_origins_pass_beside_the_own_ones(tmp_path: Path) -> None:
    """The host of public_url, whatever its case and port, the entries of check_origin, and the
    server's own host: each is let in."""
    settings = settings_for(
        tmp_path,
        insecure_no_auth=True,
        public_url="https://Pictures.example:8443",
        check_origin=("//friend.example", "https://*.family.example"),
    )
    async with product(settings) as client:
        place = urlsplit(client.url).netloc
        fine = ["https://pictures.example", "wss://pictures.example:1", "http://friend.example"]
        fine += ["https://a.family.example", f"ws://{place}"]
        others = ["http://a.family.example", "https://a.pictures.example", "http://evil.example"]

        statuses = [await upgrade(client.url, origin) for origin in [*fine, *others]]

    assert statuses == [101] * len(fine) + [403] * len(others)


@pytest.mark.parametrize(
    ("public_url", "host"),
    [
        ("https://xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("http://[FD00::5]:4000", "[fd00::5]:4000"),
    ],
)
async def test_the_public_host_is_read_as_browsers_write_it(
    tmp_path: Path, public_url: str, host: str
) -> None:
    """Names in Punycode and IPv6 addresses: the Host is answered, and pages of it let in."""
    settings = settings_for(tmp_path, public_url=public_url, insecure_no_auth=True)
    async with product(settings) as client:
        assert await upgrade(client.url, f"https://{host}", host) == 101
        assert await upgrade(client.url, f"https://{host}") == 101


async def test_the_log_names_the_servers_settings(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The operator of the task server reads of settings that exist, and little of the origin."""
    await upgrade(url, "http://evil.example/" + "x" * 5_000)

    assert "`check_origin`" in caplog.text
    assert "`public_url`" in caplog.text
    assert "url_host" not in caplog.text
    assert len(caplog.text) < 1_000


async def test_long_polling_asks_the_same(url: str) -> None:
    """The origins of the websocket are those of long-polling, in Phoenix's form."""
    target, host = "/socket/longpoll?vsn=2.0.0", urlsplit(url).hostname

    answers = [
        await exchange(url, "GET", target, [("Origin", origin)])
        for origin in (f"ws://{host}:1", "http://evil.example")
    ]

    assert [json.loads(answer.body)["status"] for answer in answers] == [410, 403]


# Hosts.


@pytest.mark.parametrize(
    "target",
    [
        *("/", "/api/tasks", "/api/tasks/x", "/files/a.png", "/nothing", "/webhooks/replicate"),
        *("/socket/longpoll?vsn=2.0.0", SOCKET, "//socket//websocket?vsn=2.0.0"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_a_foreign_host_is_misdirected_everywhere(url: str, method: str, target: str) -> None:
    """421 as a problem document that names the setting, whatever the path and the method."""
    answer = await ask(url, "evil.example:4000", method, target)

    document = problem(answer)
    assert answer.status == 421
    assert document["type"].endswith(":misdirected-request")
    assert "`allowed_hosts`" in document["detail"]
    assert "`public_url`" in document["detail"]


async def test_a_foreign_host_opens_no_socket(url: str) -> None:
    """Neither with an origin that matches it nor without one (DNS rebinding)."""
    host = "evil.example:4000"

    statuses = [await upgrade(url, origin, host) for origin in (f"http://{host}", None)]

    assert statuses == [421, 421]


@pytest.mark.parametrize("target", ["/healthz", "/readyz"])
async def test_health_is_told_under_any_host(url: str, target: str) -> None:
    """Load balancers ask under names of their own."""
    assert (await ask(url, "evil.example:4000", "GET", target)).status == 200


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "192.168.1.5:4000", "[::1]:4000", "localhost", "x.localhost:1"),
        *(socket.gethostname(), f"{socket.gethostname().partition('.')[0]}.local:4000"),
    ],
)
async def test_the_own_hosts_are_answered(url: str, host: str) -> None:
    """Addresses, localhost, this machine's name, and the same with .local."""
    assert (await ask(url, host, "GET", "/api/tasks")).status == 200


async def test_named_hosts_are_answered(tmp_path: Path) -> None:
    """The host of public_url, a name to listen on, and allowed_hosts; each with any port."""
    settings = settings_for(
        tmp_path,
        host="Studio.home",
        insecure_no_auth=True,
        public_url="https://pictures.example",
        allowed_hosts=("*.lan",),
    )
    async with product(settings) as client:
        hosts = ["pictures.example", "Pictures.example:81", "studio.home:1", "nas.lan:4000"]

        statuses = [
            (await ask(client.url, host, "GET", "/api/tasks")).status
            for host in [*hosts, "evil.example"]
        ]

    assert statuses == [200] * len(hosts) + [421]


async def test_http_1_0_needs_no_host(url: str) -> None:
    """No browser speaks it, and old tools send no Host; HTTP/1.1 without one is a bad request."""
    statuses = []
    for version in (b"1.0", b"1.1"):
        client = await PatientClient.connect(url)
        await client.send_bytes(b"GET /api/tasks HTTP/" + version + b"\r\n\r\n")
        statuses.append((await client.read_response()).status)
        await client.close()

    assert statuses == [200, 400]


async def test_a_unix_socket_is_for_programs_and_proxies(tmp_path: Path) -> None:
    """Any host may be named there; what a page sends through a proxy is judged all the same."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        async with (
            open_app(settings_for(tmp_path / "data", insecure_no_auth=True)) as app,
            listening(app, "", 0, sockets=[listener]),
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as http,
        ):
            async with http.get("http://some.name/api/tasks") as listed:
                pass
            order = {"input_data": {"type": "image", "prompt": "x"}}
            origin = {"Origin": "http://evil.example"}
            async with http.post("http://some.name/api/tasks", json=order, headers=origin) as sent:
                pass

    assert (listed.status, sent.status) == (200, 403)


@pytest.mark.parametrize("entry", ["http://nas.lan", "nas.lan:4000", "nas.lan/x", "", "a.*"])
def test_an_allowed_host_that_can_never_match_is_a_config_error(entry: str) -> None:
    """Scheme, port and path belong to no entry."""
    with pytest.raises(ValueError, match=r"allowed_hosts.*\n.*host"):
        Settings(allowed_hosts=("fine.lan", entry))


def test_an_origin_that_can_never_match_is_a_config_error() -> None:
    """`check-config` tells, before a client is refused for it."""
    with pytest.raises(ConfigError, match=r"'friend\.example' has no host"):
        check_settings(Settings(check_origin=("friend.example",)))


# Requests that spend money.


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([EVIL], 403),
        ([EVIL, ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors")], 403),
        ([EVIL, JSON_TYPE], 403),
        ([("Origin", "null"), JSON_TYPE], 403),
        ([("Sec-Fetch-Site", "cross-site"), JSON_TYPE], 403),
        ([("Sec-Fetch-Site", "same-site"), JSON_TYPE], 403),
        ([], 415),
        ([("Content-Type", "text/plain")], 415),
        ([("Content-Type", "application/x-www-form-urlencoded")], 415),
    ],
)
async def test_what_any_page_can_send_orders_nothing(
    url: str, headers: list[tuple[str, str]], status: int
) -> None:
    """`fetch(url, {method: "POST", mode: "no-cors", body: new Blob([json])})` and its kin: refused
    as a problem document, and no task is stored."""
    answer = await exchange(url, "POST", "/api/tasks", headers, MONK)

    assert answer.status == problem(answer)["status"] == status
    assert status == 415 or "`check_origin`" in problem(answer)["detail"]
    assert await task_count(url) == 0


@pytest.mark.parametrize(
    ("method", "rest"),
    [("POST", "/x/cancel"), ("POST", "/x/retry"), ("DELETE", "/x"), ("PUT", "/x"), ("PATCH", "/x")],
)
async def test_pages_from_elsewhere_change_nothing_without_a_body(
    url: str, method: str, rest: str
) -> None:
    """403 comes before all else, also where the task or the method does not exist."""
    foreign = await exchange(url, method, f"/api/tasks{rest}", [EVIL])
    own = await exchange(url, method, f"/api/tasks{rest}", [("Origin", url)])

    assert foreign.status == 403
    assert own.status in {404, 405}


@pytest.mark.parametrize("headers", [[], [("Sec-Fetch-Site", "same-origin")], "own", "listed"])
async def test_who_may_order(tmp_path: Path, headers: Any) -> None:
    """Programs, the server's own pages, and pages of listed origins."""
    settings = settings_for(tmp_path, check_origin=("//friend.example",))
    async with product(settings) as client:
        if headers == "own":
            headers = [("Origin", client.url), ("Sec-Fetch-Site", "same-origin")]
        elif headers == "listed":
            headers = [("Origin", "https://friend.example"), ("Sec-Fetch-Site", "cross-site")]

        answer = await exchange(client.url, "POST", "/api/tasks", [*headers, JSON_TYPE], MONK)

        assert answer.status == 202
        assert await task_count(client.url) == 1


async def test_a_page_from_elsewhere_may_look(url: str) -> None:
    """A GET changes nothing, and without CORS its browser hides the answer from the page."""
    answer = await exchange(url, "GET", "/api/tasks", [EVIL, ("Sec-Fetch-Site", "cross-site")])

    assert answer.status == 200
    assert answer.header("access-control-allow-origin") is None


async def test_webhooks_are_asked_for_no_origin(tmp_path: Path) -> None:
    """They are signed; what comes to their address is judged by that alone."""
    settings = settings_for(
        tmp_path,
        public_url="https://pictures.example",
        replicate_api_token="r8_mine",
        replicate_base_url="http://127.0.0.1:9/v1",
    )
    async with product(settings) as client:
        answer = await exchange(client.url, "POST", "/webhooks/replicate?task=t", [EVIL], b"x")

    assert answer.status == 401


async def test_several_processes_keep_the_same_rules(tmp_path: Path) -> None:
    """Whichever process is asked, and whoever keeps the tasks: 202 for a program, 403 and 421 for
    pages."""
    data = ("--workers", "2", "--data-dir", str(tmp_path / "data"))
    order, target = [JSON_TYPE], "/api/tasks"
    async with server("server.py", "--port", "0", *data) as (_, url):
        good, foreign, elsewhere = [], [], []
        for _attempt in range(8):
            good.append((await exchange(url, "POST", target, order, MONK)).status)
            foreign.append((await exchange(url, "POST", target, [*order, EVIL], MONK)).status)
            elsewhere.append((await ask(url, "evil.example", "GET", target)).status)
            await asyncio.sleep(0)

    assert (set(good), set(foreign), set(elsewhere)) == ({202}, {403}, {421})
