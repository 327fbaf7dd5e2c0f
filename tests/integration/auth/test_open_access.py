"""A server without authentication: who may use it, and what `insecure_no_auth` lifts."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from phoenix_compat.conformance.suite.connections import exchange
from phoenix_compat.conformance.suite.wire_client import HttpResponse, build_request
from phoenix_compat.server.main import open_app
from phoenix_compat.server.process.listening import listening
from tests.integration.auth.auth_harness import (
    BACKEND,
    bearer,
    create,
    handshake,
    long_poll,
    phoenix_token,
    server,
    target,
)
from tests.integration.operations.commands import run
from tests.integration.operations.commands import server as started
from tests.integration.task_server import product, settings_for
from tests.wire import PatientClient

FORWARDED = [
    ("Forwarded", "for=203.0.113.5"),
    ("X-Forwarded-For", "203.0.113.5"),
    ("x-forwarded-proto", "https"),
    ("X-Forwarded-Host", "tasks.example.com"),
    ("X-Real-IP", "203.0.113.5"),
]
PATHS = ["/", "/api/tasks", "/api/tasks/x", "/files/a.png", "/socket/longpoll?vsn=2.0.0", "/none"]


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """The default install, in this process."""
    async with product(settings_for(tmp_path)) as client:
        yield client.url


async def ask(url: str, host: str, path: str) -> HttpResponse:
    """A request that names this host."""
    client = await PatientClient.connect(url)
    try:
        await client.send_bytes(
            build_request("GET", path, [("Host", host), ("Connection", "close")])
        )
        return await client.read_response()
    finally:
        await client.close()


@pytest.mark.parametrize("header", FORWARDED, ids=" ".join)
async def test_what_a_proxy_sends_is_refused(url: str, header: tuple[str, str]) -> None:
    """Otherwise a proxy would open the server to everyone; the answer names the ways out."""
    answers = [await exchange(url, "GET", path, [header]) for path in PATHS]
    answers.append(await create(url, header))

    assert {answer.status for answer in answers} == {403}
    detail = json.loads(answers[0].body)["detail"]
    assert 'auth = ["keys"]' in detail
    assert "--insecure-no-auth" in detail
    assert await handshake(url, target(), header) == 403
    for path in ("/healthz", "/readyz"):
        assert (await exchange(url, "GET", path, [header])).status == 200


@pytest.mark.parametrize("host", ["192.168.1.5:4000", "10.0.0.1", socket.gethostname(), "8.8.8.8"])
async def test_other_hosts_are_refused(url: str, host: str) -> None:
    """Requests for other addresses, and for names that others resolve, came from elsewhere."""
    assert {(await ask(url, host, path)).status for path in PATHS} == {403}
    assert {(await ask(url, host, path)).status for path in ("/healthz", "/readyz")} == {200}


@pytest.mark.parametrize(
    "host", ["127.0.0.1:1", "localhost", "LOCALHOST:80", "a.localhost", "[::1]", "127.1.2.3"]
)
async def test_this_machine_is_answered(url: str, host: str) -> None:
    """By every name and address of the loopback."""
    assert (await ask(url, host, "/api/tasks")).status == 200


async def test_credentials_are_ignored(url: str) -> None:
    """Apps send them, whether or not the server asks for them."""
    assert (await create(url, bearer("x"))).status == 202
    assert await handshake(url, target(token="pck_unknown")) == 101
    several = (bearer("x"), ("X-Phoenix-AuthToken", "y"))
    assert (await create(url, *several)).status == 202
    assert await handshake(url, f"{target(token='a b')}&token[x]=y", *several) == 101


async def test_a_unix_socket_behind_a_proxy(tmp_path: Path) -> None:
    """It is refused by its headers, and by the host that the proxy passes on."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        async with (
            open_app(settings_for(tmp_path / "data")) as app,
            listening(app, "", 0, sockets=[listener]),
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as http,
        ):
            statuses = []
            for host, headers in (
                ("localhost", {}),
                ("localhost", {"X-Forwarded-For": "203.0.113.5"}),
                ("tasks.example.com", {}),
            ):
                async with http.get(f"http://{host}/api/tasks", headers=headers) as answer:
                    statuses.append(answer.status)

    assert statuses == [200, 403, 403]


async def test_several_processes_answer_this_machine_alone(tmp_path: Path) -> None:
    """Whichever process is asked, and whichever has the tasks."""
    data = ("--workers", "2", "--data-dir", str(tmp_path / "data"))
    async with started("server.py", "--port", "0", *data) as (_, url):
        for _attempt in range(6):
            assert (await exchange(url, "GET", "/api/tasks")).status == 200
            assert (await exchange(url, "GET", "/api/tasks", [FORWARDED[1]])).status == 403
            assert (await ask(url, "10.0.0.1", "/api/tasks")).status == 403


# The operator's consent.


async def test_with_consent_everyone_may_use_tasks(tmp_path: Path) -> None:
    """What an upgraded install did before works again, whatever credentials its apps send."""
    async with server(tmp_path, auth=("none",), insecure_no_auth=True) as url:
        assert (await create(url, FORWARDED[1])).status == 202
        assert (await create(url, bearer(phoenix_token()))).status == 202
        assert (await ask(url, "192.168.1.5:4000", "/api/tasks")).status == 200
        assert await handshake(url, target(token="whatever"), FORWARDED[1]) == 101
        assert (await long_poll(url, target("longpoll", token="whatever")))["status"] == 410
        several = (bearer(phoenix_token()), ("X-Phoenix-AuthToken", "y"))
        assert (await create(url, *several)).status == 202
        assert await handshake(url, f"{target()}&token[x]=y", *several) == 101


async def test_with_consent_more_than_tasks_needs_a_key(tmp_path: Path) -> None:
    """Acting for others does; a wrong key is refused and does not count as none."""
    owner = ("X-Owner", "user-17")
    async with server(tmp_path, auth=("none",), insecure_no_auth=True) as url:
        assert (await create(url, owner)).status == 403
        assert (await create(url, owner, bearer(BACKEND))).status == 202
        assert (await create(url, bearer("pck_unknown"))).status == 401


# The start.


@pytest.mark.parametrize(
    ("arguments", "variables", "reason"),
    [
        (("--host", "0.0.0.0"), {}, "host is 0.0.0.0"),  # noqa: S104 - it must refuse this
        (("--workers", "2", "--host", "::"), {}, "host is ::"),
        ((), {"PUBLIC_URL": "https://a.example"}, "public_url is https://a.example"),
    ],
)
async def test_an_upgraded_install_names_both_ways_out(
    tmp_path: Path, arguments: tuple[str, ...], variables: dict[str, str], reason: str
) -> None:
    """Exit code 2, and nothing is created."""
    data = tmp_path / "data"
    command = ("server.py", "serve", "--port", "0", "--data-dir", str(data), *arguments)

    refused = await run(*command, **variables)

    assert refused.code == 2, refused.err
    assert reason in refused.err
    assert "phoenix-compat keys create" in refused.err
    assert "--insecure-no-auth" in refused.err
    assert not data.exists()


async def test_check_config_and_doctor_say_it_beforehand(tmp_path: Path) -> None:
    """With the same ways out; with consent doctor warns."""
    config = tmp_path / "c.toml"
    config.write_text('host = "0.0.0.0"\nport = 1\n')
    data = ("--data-dir", str(tmp_path / "data"))
    module = ("-m", "phoenix_compat")

    checked = await run(*module, "check-config", "--config", str(config))
    examined = await run(*module, "doctor", "--json", "--config", str(config), *data)
    consented = await run(
        *(*module, "doctor", "--json", "--config", str(config), *data),
        PHOENIX_COMPAT_INSECURE_NO_AUTH="true",
    )

    findings = [
        next(one for one in json.loads(done.out) if one["name"] == "authentication")
        for done in (examined, consented)
    ]
    assert (checked.code, examined.code) == (2, 1)
    assert "--insecure-no-auth" in checked.err
    assert "--insecure-no-auth" in findings[0]["remedy"]
    assert [one["status"] for one in findings] == ["fail", "warn"]


async def test_with_consent_it_starts_and_says_so(tmp_path: Path) -> None:
    """In a line of the log."""
    data = ("--data-dir", str(tmp_path / "data"))
    async with started(
        *("server.py", "serve", "--port", "0", "--insecure-no-auth", *data),
        PUBLIC_URL="https://a.example",
    ) as (process, url):
        assert (await create(url, FORWARDED[1])).status == 202
        process.terminate()
        _, errors = await process.communicate()

    assert "auth.insecure" in errors.decode()
