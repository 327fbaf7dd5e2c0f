"""Credentials that are accepted, and the secrets behind them, are found in no log and output."""

from __future__ import annotations

import asyncio
import json
import stat
import tarfile
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import pytest

from phoenix_compat.server.auth.keys.key_store import KeyStore
from phoenix_compat.server.auth.principal import TASK_SCOPES, Scope
from phoenix_compat.server.engine import schema_sql
from phoenix_compat.tasks.store.opening import open_task_store
from phoenix_compat.token import Tokens
from tests.integration.canaries import canaries
from tests.integration.canaries.canaries import canary, found
from tests.integration.hardening.besieged import besieged
from tests.integration.operations.commands import run
from tests.polling import LP_V2, Poller
from tests.unit.server.auth.jwt_builder import token
from tests.wire import V2, PhoenixWire

SCHEMA: Final = schema_sql()
BODY: Final = {"input_data": {"type": "image", "prompt": canary("prompt")}}
USER: Final = "c4naryuserz"
"""The owner of tokens, whom X-Owner names too; logs do not tell who uses the server."""


def credentials() -> dict[str, str]:
    """An accepted credential of each kind, and one of each that is refused."""
    made = {
        "key": canaries.API_KEY,
        "jwt": token(canaries.JWT_SECRET.encode(), sub=USER),
        "phoenix_token": Tokens(canaries.SECRET_KEY_BASE).sign("user socket", USER),
    }
    return made | {
        "unknown key": "pck_" + "c4naryunknownkeyz".ljust(43, "B"),
        "expired jwt": token(canaries.JWT_SECRET.encode(), sub=USER, exp=1),
        "other phoenix_token": Tokens(canaries.SECRET_KEY_BASE).sign("other", USER),
        "something": "c4narysomethingz",
    }


def secrets_in(text: str, folder: Path) -> set[str]:
    """The canaries and credentials in a text, and the key that a fresh package has made."""
    made = credentials_of(folder)
    parts = {name: one.rpartition(".")[2] for name, one in made.items()}
    return found(text) | {name for name, part in parts.items() if part in text}


def credentials_of(folder: Path) -> dict[str, str]:
    """Those that `write` has written; blocking."""
    return dict(json.loads((folder / "credentials.json").read_text()))


def write(folder: Path) -> dict[str, str]:
    """Write the files of the secrets; returns the environment of a server that uses them."""
    files = {
        "jwt": canaries.JWT_SECRET,
        "base": canaries.SECRET_KEY_BASE,
        "credentials.json": json.dumps(credentials()),
    }
    for name, content in files.items():
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(content)
    return {
        "PHOENIX_COMPAT_AUTH": '["keys", "jwt", "phoenix_token"]',
        "PHOENIX_COMPAT_AUTH_AT_JOIN": "true",
        "PHOENIX_COMPAT_DATA_DIR": str(folder / "data"),
        "PHOENIX_COMPAT_JWT_ALGORITHMS": '["HS256"]',
        "PHOENIX_COMPAT_JWT_SECRET_FILE": str(folder / "jwt"),
        "PHOENIX_COMPAT_PHOENIX_TOKEN_SECRET_KEY_BASE_FILE": str(folder / "base"),
        "PHOENIX_COMPAT_TOKEN_HEADERS": '["X-Door"]',
        "PHOENIX_COMPAT_TOKEN_PARAMS": '["door"]',
    }


async def create_key(folder: Path) -> None:
    """Create the key that acts for users, in the database of a server that is not started."""
    await asyncio.to_thread((folder / "data").mkdir, 0o700)
    async with await open_task_store(folder / "data" / "tasks.sqlite3", SCHEMA) as store:
        keys = KeyStore(store)
        await keys.start()
        await keys.create("app", TASK_SCOPES | {Scope.IMPERSONATE}, canaries.API_KEY)
        await keys.stop()


async def use(url: str, credential: str, *, is_key: bool) -> list[str]:
    """Send a credential in every place, alone and with others; returns what was answered."""
    answers, task_id = [], "none"
    owner = {"X-Owner": USER} if is_key else {}
    async with aiohttp.ClientSession() as http:
        for headers in (
            {"Authorization": f"Bearer {credential}"},
            {"X-Door": credential},
            {"X-Phoenix-AuthToken": credential},
            {"X-Door": credential, "Authorization": f"Bearer {canary('other')}"},
        ):
            given = {**headers, **owner}
            async with http.post(f"{url}/api/tasks", json=BODY, headers=given) as answer:
                posted = await answer.text()
                answers.append(f"{answer.headers} {posted if answer.status >= 300 else ''}")
            task_id = json.loads(posted).get("task_id", "none")
            for path in ("/api/tasks?limit=x", "/healthz", "/readyz", "/none"):
                async with http.get(f"{url}{path}", headers=given) as answer:
                    answers.append(f"{answer.headers} {await answer.text()}")
        for param in ("token", "door"):
            query = f"&{param}={quote(credential)}"
            async with http.get(f"{url}{LP_V2}{query}", headers=owner) as answer:
                answers.append(await answer.text())
            async with http.get(f"{url}{V2}{query}", headers=owner) as answer:
                answers.append(await answer.text())
        wire = await PhoenixWire.open(url)
        poller = await Poller.open(url)
        for client in (wire, poller):
            for number, param in enumerate(("token", "door")):
                message: list[Any] = [
                    *(f"{number}", f"{number}", f"task:{task_id}", "phx_join"),
                    {param: credential},
                ]
                await client.send(message)
        await wire.close()
    return answers


@pytest.mark.parametrize(("style", "workers"), [("console", 1), ("json", 2)])
async def test_a_server_tells_no_credential(tmp_path: Path, style: str, workers: int) -> None:
    """At the level debug, whether it accepts or refuses them, and wherever they stand; nor do the
    commands beside it."""
    environment = await asyncio.to_thread(write, tmp_path)
    await create_key(tmp_path)
    given = await asyncio.to_thread(credentials_of, tmp_path)
    assert set(given) <= secrets_in(" ".join(given.values()), tmp_path)
    logs = ("--log-level", "debug", "--log-format", style)
    arguments = ("serve", "--port", "0", "--workers", str(workers), *logs)
    async with besieged(tmp_path, *arguments, **environment) as server:
        answers = []
        for name, credential in given.items():
            answers += await use(server.url, credential, is_key=name == "key")
        commands = (
            *("keys list", "keys list --json", f"keys adopt {USER}x", "keys revoke app"),
            *("config show --origin", "config show --json", "check-config", "doctor"),
            f"backup {tmp_path}/b.tar",
        )
        outputs = [
            await run("-m", "phoenix_compat", *command.split(), **environment)
            for command in commands
        ]
        await server.health_s(1)
    log = server.log_text()

    with tarfile.open(tmp_path / "b.tar") as tar:
        manifest = tar.extractfile("manifest.json")
        assert manifest is not None
        texts = [manifest.read().decode()]
    texts += [*answers, *(one.out + one.err.replace(f"{USER}x", "") for one in outputs)]
    assert [one.code for one in outputs[:7]] == [0] * 7, outputs
    assert "key.revoked" in log
    assert "CONNECTED TO" in log
    assert secrets_in(log.replace(f"{USER}x", ""), tmp_path) == set()
    assert secrets_in("".join(texts).replace(f"{USER}x", ""), tmp_path) == set()


async def test_a_first_key_is_told_to_its_file_alone(tmp_path: Path) -> None:
    """Not to the log, nor to the commands that list and show."""
    data = tmp_path / "data"
    environment = {
        "PHOENIX_COMPAT_AUTH": '["keys"]',
        "PHOENIX_COMPAT_AUTH_AT_JOIN": "true",
        "PHOENIX_COMPAT_DATA_DIR": str(data),
    }
    arguments = ("serve", "--port", "0", "--log-level", "debug", "--create-first-key")
    async with besieged(tmp_path, *arguments, **environment) as server:
        key = (await asyncio.to_thread((data / "first-key").read_text)).strip()
        mode = (await asyncio.to_thread((data / "first-key").stat)).st_mode
        await use(server.url, key, is_key=False)
        listed = await run("-m", "phoenix_compat", "keys", "list", "--json", **environment)

    assert stat.S_IMODE(mode) == 0o600
    assert "first-key" in server.log_text()
    assert key[4:] not in server.log_text() + listed.out + listed.err
