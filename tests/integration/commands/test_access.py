"""Which server commands talk to, and with which credential."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from phoenix_compat.operations.remote import access
from phoenix_compat.server.auth.principal import Scope
from phoenix_compat.server.control.access_commands import LEND
from phoenix_compat.server.control.client import send_command
from phoenix_compat.server.control.messages import SOCKET_NAME, ControlError
from phoenix_compat.server.main import open_app
from phoenix_compat.server.process.inherited_sockets import unix_listener
from phoenix_compat.server.process.listening import listening
from tests.integration.commands.invoke import invoke, succeed, succeed_json
from tests.integration.keys.key_harness import open_keys
from tests.integration.operations import commands
from tests.integration.task_server import Client, product, settings_for
from tests.interop.job_server import job_server
from tests.patience import patient

JWT: dict[str, Any] = {"auth": ("jwt",), "jwt_algorithms": ("HS256",), "jwt_secret": "x" * 32}


async def new_key(folder: Path, *scopes: Scope) -> str:
    """Create a key."""
    async with open_keys(folder) as keys:
        return await keys.create("phone", set(scopes))


@pytest.mark.parametrize("auth", [{"auth": ("keys",)}, JWT], ids=["keys", "jwt"])
async def test_whoever_runs_the_server_needs_no_key(tmp_path: Path, auth: dict[str, Any]) -> None:
    """The server lends a key: its tasks are everybody's, and it may watch and act for others."""
    await new_key(tmp_path, Scope.READ)
    async with product(settings_for(tmp_path, **auth)) as client:
        here = ("--data-dir", tmp_path)
        watched = await succeed("task", "create", "A cat", "--watch", *here)
        await succeed("task", "create", "A dog", "--owner", "user-17", *here)
        listed = await succeed_json("task", "list", *here)
        without = await invoke("task", "list", "--url", client.url)

    assert "  completed   100%" in watched
    assert [task.get("owner") for task in listed] == ["user-17", None]
    assert without.exit_code == 2
    assert without.stderr == (
        f"Error: {client.url} asks for a credential; name a file that contains a key: "
        "--key-file FILE\n"
    )


async def test_a_key_by_file_variable_and_setting(tmp_path: Path) -> None:
    """Each is used, the option before the variable; one that is refused is not shown."""
    key = await new_key(tmp_path / "data", Scope.READ)
    file, bad = tmp_path / "key", tmp_path / "bad"
    file.write_text(f"{key}\n")
    bad.write_text("pck_" + "A" * 43)
    config = tmp_path / "c.toml"
    async with product(settings_for(tmp_path / "data", auth=("keys",))) as client:
        port = client.url.rpartition(":")[2]
        config.write_text(f'client_key_file = "key"\nport = {port}\ndata_dir = "elsewhere"\n')
        url = ("--url", client.url)
        await succeed("task", "list", *url, "--key-file", file, PHOENIX_COMPAT_KEY="pck_x")
        await succeed("task", "list", PHOENIX_COMPAT_KEY=key, PHOENIX_COMPAT_URL=client.url)
        await succeed("task", "list", "--config", config)
        refused = await invoke("task", "list", *url, "--key-file", bad)
        forbidden = await invoke("task", "create", "A cat", *url, "--key-file", file)

    assert refused.stderr == f"Error: {client.url} refuses this credential; check the key\n"
    assert 'does not have the scope "create"' in forbidden.stderr
    assert bad.read_text() not in refused.output


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    """A Unix socket to listen on."""
    with unix_listener(tmp_path / "s.sock", 0o600) as bound:
        yield bound


async def test_a_server_at_a_unix_socket(tmp_path: Path, listener: socket.socket) -> None:
    """The control socket says where it is; the channel works over it too."""
    async with (
        open_app(settings_for(tmp_path)) as app,
        listening(app, "127.0.0.1", 0, sockets=(listener,)),
    ):
        here = ("--data-dir", tmp_path)
        watched = await succeed("task", "create", "A cat", "--watch", *here)
        listed = await succeed_json("task", "list", *here)

    assert "  completed   100%  http://localhost/files/" in watched
    assert len(listed) == 1


async def test_worker_processes_know_a_lent_key(tmp_path: Path) -> None:
    """Whichever process the channel is opened in."""
    await new_key(tmp_path, Scope.READ)
    arguments = ("-m", "phoenix_compat", "serve", "--port", "0", "--workers", "2")
    variables = {"PHOENIX_COMPAT_AUTH": '["keys"]', "PHOENIX_COMPAT_EMULATOR_SPEED": "20"}
    async with commands.server(*arguments, "--data-dir", str(tmp_path), **variables) as (_, url):
        lent = await send_command(tmp_path / SOCKET_NAME, LEND, {})
        async with Client.of(url) as client:
            headers = {"Authorization": f"Bearer {lent['key']}"}
            answers = [await client.request("GET", "/api/tasks", headers=headers) for _ in "1234"]
        watched = [
            await succeed("task", "create", "A cat", "--watch", "--data-dir", tmp_path)
            for _ in range(3)
        ]

    assert lent["url"] == url
    assert [status for status, _ in answers] == [200] * 4
    assert all("  completed   100%" in text for text in watched)


async def test_a_config_file_that_is_wrong(tmp_path: Path) -> None:
    """The error names the file and the setting."""
    config = tmp_path / "c.toml"
    config.write_text('client_key_file = "missing"\n')

    finished = await invoke("task", "list", "--config", config, "--data-dir", tmp_path)

    assert finished.exit_code == 2
    assert "client_key_file" in finished.stderr
    assert "No such file" in finished.stderr
    assert json.dumps("missing") not in finished.stderr


async def test_a_restarted_server_lends_another_key(tmp_path: Path) -> None:
    """Keys that were lent are gone with the server; whoever watches gets one for the next."""
    async with job_server(tmp_path, PHOENIX_COMPAT_AUTH='["keys"]') as server:
        key = await server.create_key()
        await server.start()
        task_id = await server.create_task("A cat", {"Authorization": f"Bearer {key}"})
        arguments = ("task", "watch", task_id, "--data-dir", str(server.process.folder))
        process = await commands.start("-m", "phoenix_compat", *arguments)
        assert process.stdout is not None
        async with asyncio.timeout(patient(30.0)):
            first = (await process.stdout.readline()).decode()

        await server.kill()
        await server.start()
        server.let_models_run()
        finished = await commands.finish(process)

    assert "  processing  " in first
    assert (finished.code, finished.err) == (0, "")
    assert "  completed   100%  http" in finished.out.splitlines()[-1]


async def test_another_user_needs_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may not use the control socket is told both ways in."""
    await new_key(tmp_path, Scope.READ)

    async def refuse(*_arguments: object, **_options: object) -> None:
        raise ControlError("cannot connect") from PermissionError(13, "Permission denied")

    monkeypatch.setattr(access, "send_command", refuse)
    async with product(settings_for(tmp_path, auth=("keys",))) as client:
        port = client.url.rpartition(":")[2]
        result = await invoke("task", "list", "--data-dir", tmp_path, PHOENIX_COMPAT_PORT=port)

    assert result.exit_code == 2
    assert "asks for a credential; name a file that contains a key: --key-file FILE" in (
        result.stderr
    )
    assert "or run this command as the user who runs the server, or as root" in result.stderr
