"""The doctor: each check has a status, a detail and a remedy."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from phoenix_compat.emulator import Emulator, EmulatorSettings
from phoenix_compat.operations.doctor.doctor import check_database, check_wal, examine
from phoenix_compat.operations.doctor.finding import Finding
from phoenix_compat.operations.doctor.net import check_port, check_public_url, clock_finding
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.server.process.settings.configuration import Configuration
from phoenix_compat.tasks.provider.replicate.replicate import Account
from tests.conftest import Serve
from tests.integration.operations.commands import run
from tests.integration.store.stored_tasks import make_data_dir
from tests.integration.task_server import product, settings_for

REAL = Account(username="ann", date="Mon, 05 Jan 2026 10:00:00 GMT", requests_left="2999")
NOW = datetime(2026, 1, 5, 10, tzinfo=UTC)


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator of Replicate."""
    async with Emulator(EmulatorSettings()) as running:
        yield running


async def findings_of(settings: Settings) -> Mapping[str, Finding]:
    """All findings, by name."""
    origins = dict.fromkeys(Settings.model_fields, "default")
    configuration = Configuration(settings=settings, origins=origins, file=None)
    return {finding.name: finding async for finding in examine(configuration)}


async def test_a_server_without_problems(tmp_path: Path, emulator: Emulator) -> None:
    """With a running server, a token and a public URL every finding is ok."""
    own = settings_for(tmp_path)
    async with product(own) as client:
        port = int(client.url.rpartition(":")[2])
        findings = await findings_of(
            settings_for(
                tmp_path,
                port=port,
                public_url=client.url,
                replicate_api_token="r8_mine",
                replicate_base_url=emulator.base_url,
                total_usd_per_day=5.0,
            )
        )

    assert {name: one.detail for name, one in findings.items() if one.status != "ok"} == {}
    assert set(findings) == {
        *(
            "config",
            "authentication",
            "secrets",
            "TLS",
            "client addresses",
            "spending limits",
            "data directory",
            "disk",
            "database",
            "operator keys",
            "WAL",
            "files",
            "open files",
            "port",
        ),
        *("token", "rate limit", "clock", "public URL"),
    }
    assert f"this server runs on {client.url}" in findings["port"].detail
    assert findings["token"].detail.startswith("valid; account: emulated")


async def test_a_token_that_is_refused(serve: Serve, tmp_path: Path) -> None:
    """A 401 is a failure; the remedy names the page for new tokens."""

    async def refuse(_request: web.Request) -> web.Response:
        return web.json_response({"detail": "You did not pass a token", "status": 401}, status=401)

    app = web.Application()
    app.router.add_get("/v1/account", refuse)
    url = f"{await serve(app)}/v1"

    findings = await findings_of(
        settings_for(tmp_path, port=0, replicate_api_token="r8_no", replicate_base_url=url)
    )

    assert findings["token"].detail == f"{url} refuses it with status 401"
    assert "replicate.com/account/api-tokens" in findings["token"].remedy


@pytest.mark.parametrize(
    ("seconds", "status", "detail"),
    [
        (3.0, "ok", "3 s ahead of the provider's"),
        (-3_600.0, "fail", "3600 s behind the provider's"),
    ],
)
def test_a_clock_that_is_wrong(seconds: float, status: str, detail: str) -> None:
    """A difference of more than half a minute is a failure."""
    finding = clock_finding(REAL, NOW + timedelta(seconds=seconds))

    assert (finding.status, finding.detail) == (status, detail)
    assert clock_finding(replace(REAL, date=None), NOW).status == "warn"


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (403, "public_url must be exactly"),
        (404, "does not forward /socket"),
        (421, "pass on Host"),
        (502, "is it running"),
    ],
)
async def test_a_proxy_that_refuses_websockets(serve: Serve, status: int, remedy: str) -> None:
    """The status of the refused upgrade leads to the remedy."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status)

    app = web.Application()
    app.router.add_get("/socket/websocket", answer)

    finding = await check_public_url(Settings(public_url=await serve(app)))

    assert (finding.status, f"with status {status}" in finding.detail) == ("fail", True)
    assert remedy in finding.remedy


def test_a_port_that_another_program_uses() -> None:
    """The remedy names the command that finds the program."""
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        other.close()
        free = check_port(Settings(port=0))
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        taken = check_port(Settings(port=other.getsockname()[1]))

    assert (free.status, taken.status) == ("ok", "fail")
    assert "ss -ltnp" in taken.remedy


def test_a_database_that_is_damaged_or_old(tmp_path: Path) -> None:
    """A damaged page is a failure, a large WAL is a warning."""
    settings = Settings(data_dir=make_data_dir(tmp_path))
    path = settings.database_path
    assert check_database(settings).detail.startswith("6 tasks, integrity_check ok")

    wal = path.with_name(f"{path.name}-wal")
    with wal.open("wb") as file:
        file.truncate(200 * 2**20)
    assert check_wal(settings).status == "warn"
    wal.unlink()

    content = bytearray(path.read_bytes())
    content[4_096 * 2 : 4_096 * 4] = b"\xff" * 4_096 * 2
    path.write_bytes(content)
    broken = check_database(settings)
    assert (broken.status, "phoenix-compat restore" in broken.remedy) == ("fail", True)


async def test_the_command(tmp_path: Path) -> None:
    """Lines for people or JSON; the exit code is 1 if a check fails, also for wrong settings."""
    command = ("-m", "phoenix_compat", "doctor", "--data-dir", str(tmp_path))

    lines = await run(*command, PHOENIX_COMPAT_PORT="0")
    table = await run(*command, "--json", PHOENIX_COMPAT_PORT="0", PUBLIC_URL="http://127.0.0.1:1")
    wrong = await run(*command, "--json", PHOENIX_COMPAT_PORT="x")

    assert (lines.code, table.code, wrong.code) == (0, 1, 1), lines.err + table.err
    assert "ok    config: configuration OK" in lines.out
    findings: list[dict[str, Any]] = json.loads(table.out)
    assert [one["name"] for one in findings if one["status"] == "fail"] == ["public URL"]
    assert [one["name"] for one in json.loads(wrong.out)] == ["config"]
