"""Secrets are found in no log, answer, output or manifest, wherever they are and whatever fails."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tarfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import pytest
from click.testing import CliRunner, Result

from phoenix_compat.cli import cli
from phoenix_compat.conformance.suite.connections import exchange
from phoenix_compat.emulator import Emulator, EmulatorSettings
from phoenix_compat.tasks.provider.webhook_tags import WebhookTags
from tests.integration.canaries import canaries
from tests.integration.canaries.canaries import HEADERS, PARAMETERS, PAYLOAD, canary, found
from tests.integration.hardening.besieged import Besieged, besieged
from tests.integration.operations.commands import run
from tests.integration.task_server import product, settings_for
from tests.patience import patient
from tests.wire import PhoenixWire

QUERY = urlencode(PARAMETERS)
ORDER = {"input_data": {"type": "image", "prompt": canary("prompt")}}


class Traffic:
    """Sends all kinds of requests, and collects what is answered.

    Attributes:
        answers: the texts that may contain no canary.
        own: the answers about the client's own tasks, which may contain its prompts.
    """

    def __init__(self, server: Besieged, http: aiohttp.ClientSession) -> None:
        self.answers: list[str] = []
        self.own: list[str] = []
        self._server = server
        self._http = http

    async def ask(self, method: str, target: str, body: object = None, **headers: str) -> str:
        """Send a request with all headers and parameters."""
        separator = "&" if "?" in target else "?"
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body else None
        given = {**HEADERS, "Content-Type": "application/json", **headers}
        url = f"{self._server.url}{target}{separator}{QUERY}"
        async with self._http.request(method, url, data=data, headers=given) as answer:
            text = f"{answer.headers} {await answer.text(errors='replace')}"
        is_own = target.startswith("/api/tasks") and answer.status < 300
        (self.own if is_own else self.answers).append(text)
        return str(answer.headers.get("Location", ""))

    async def orders(self) -> None:
        """Tasks that succeed and fail, and requests about them that are refused."""
        tasks = [await self.order(fault) for fault in ("", " #fault:E005", " #fault:400")]
        await self.ask("POST", "/api/tasks", {"input_data": {"type": "image"}})
        await self.ask("POST", "/api/tasks", {**ORDER, "x": 1})  # the key again, another body
        await self.ask("POST", "/api/tasks", b'{"a": "' + canary("body").encode())
        await self.ask("POST", "/api/tasks", b"[" * 100_000)
        await self.ask("POST", "/api/tasks", ORDER, Origin="https://evil.example")
        await self.ask("POST", "/api/tasks", ORDER, **{"Content-Type": canary("contenttype")})
        await self._wait(tasks)
        await self.order(" #fault:401")
        await self._wait_for_line("create.refused")
        for task in tasks:
            for method, rest in (("GET", ""), ("GET", "/events"), ("POST", "/cancel")):
                await self.ask(method, task + rest)
        await self.ask("POST", f"{tasks[0]}/retry")
        for target in ("/api/tasks?limit=x", "/api/tasks/none", "/files/none.png", "/nothing"):
            await self.ask("GET", target)
        for target in ("/healthz", "/readyz", "/"):
            await self.ask("GET", target)
        await self.ask("POST", "/webhooks/replicate?task=t&tag=" + canary("tag"), b"{}")
        tag = WebhookTags(canaries.TOKEN).tag("t")
        for now in ("1", str(int(time.time()))):  # the second one is compared with the secret
            timestamp = {"webhook-timestamp": now, "webhook-id": "m"}
            await self.ask("POST", f"/webhooks/replicate?task=t&tag={tag}", b"{}", **timestamp)

    async def order(self, fault: str) -> str:
        """Order a picture from the emulator, which may fail; returns the path of the task."""
        body = {"input_data": {"type": "image", "prompt": canary("prompt") + fault}}
        key = canary("idempotencykey") + fault.partition(":")[2]
        return await self.ask("POST", "/api/tasks", body, **{"Idempotency-Key": key})

    async def _wait(self, tasks: list[str]) -> None:
        """Wait until these tasks have ended."""
        for task in tasks:
            async with asyncio.timeout(patient(15)):
                async for _ in _polls():
                    async with self._http.get(self._server.url + task) as answer:
                        if (await answer.json())["status"] != "processing":
                            break

    async def _wait_for_line(self, event: str) -> None:
        """Wait until the server has logged an event."""
        async with asyncio.timeout(patient(15)):
            async for _ in _polls():
                if event in self._server.log_text():
                    break

    async def sockets(self) -> None:
        """Joins and events that are accepted and refused, over websocket and long-polling."""
        task = await self.ask("POST", "/api/tasks", ORDER, **{"Idempotency-Key": "one-more"})
        target = f"/socket/websocket?vsn=2.0.0&{QUERY}"
        extra = [*HEADERS.items(), ("Sec-WebSocket-Protocol", canaries.SUBPROTOCOL)]
        wire = await PhoenixWire.open(self._server.url, target, extra)
        topic = f"task:{task.rpartition('/')[2]}"
        for message in (
            ["1", "1", topic, "phx_join", PAYLOAD],
            ["1", "2", topic, "status", PAYLOAD],
            ["1", "3", topic, "unknown_event", PAYLOAD],
            ["2", "4", "task:none", "phx_join", PAYLOAD],
            ["3", "5", "nothing:x", "phx_join", PAYLOAD],
            [None, "6", "nothing:x", "event", PAYLOAD],
            ["1", "7", topic, "phx_leave", PAYLOAD],
            [None, "end", "phoenix", "heartbeat", PAYLOAD],
        ):
            await wire.send(message)
        while '"end"' not in (text := await wire.recv_text()):
            self.own.append(text)
        await wire.send_text(f'["{canary("garbage")}')
        await wire.close()
        for query in ("vsn=9.0.0", "vsn=%FF"):
            await self.ask("GET", f"/socket/websocket?{query}")
        evil = {"Origin": f"https://evil.example/?token={canary('originquery')}"}
        await self.ask("GET", "/socket/websocket?vsn=2.0.0", **evil)
        await self.ask("GET", "/socket/longpoll?vsn=2.0.0")
        await self.ask("POST", "/socket/longpoll?vsn=2.0.0", [PAYLOAD])

    def broken(self) -> None:
        """Requests that are no HTTP, or end too early; blocking."""
        secret = canary("broken").encode()
        head = b"POST /api/tasks?token=" + secret + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        for request in (
            secret + b"\r\n\r\n",
            b"GET /" + secret + b" HTTP/9\r\nAuthorization: Bearer " + secret + b"\r\n\r\n",
            head + b"Authorization: Bearer " + secret + b"\x00\r\n\r\n",
            head + b"Content-Length: 99\r\nContent-Type: application/json\r\n\r\n{" + secret,
            head + b"Transfer-Encoding: chunked\r\n\r\n" + secret + b"\r\n",
            head + b"Expect: " + secret + b"\xff\r\nConnection: close\r\n\r\n",
        ):
            with contextlib.suppress(OSError):
                self.answers.append(self._server.say(request, is_broken_off=True).decode("latin-1"))


async def _polls() -> AsyncIterator[None]:
    """Endless turns with a pause between them; the caller has a time limit."""
    while True:
        yield
        await asyncio.sleep(0.05)


def by_variable(folder: Path) -> dict[str, str]:
    """The token as a variable."""
    return {"REPLICATE_API_TOKEN": canaries.TOKEN}


def by_file(folder: Path) -> dict[str, str]:
    """The token in a file of its own."""
    path = folder / "token"
    path.write_text(canaries.TOKEN)
    return {"REPLICATE_API_TOKEN_FILE": str(path)}


def by_config(folder: Path) -> dict[str, str]:
    """The token in the configuration file."""
    path = folder / "c.toml"
    path.write_text(f'replicate_api_token = "{canaries.TOKEN}"\n')
    return {"PHOENIX_COMPAT_CONFIG": str(path)}


Given = Callable[[Path], dict[str, str]]


@pytest.mark.parametrize(
    ("style", "workers", "given"),
    [("console", 1, by_variable), ("json", 1, by_file), ("json", 2, by_config)],
)
async def test_a_server_tells_no_secret(
    tmp_path: Path, style: str, workers: int, given: Given
) -> None:
    """At the level debug, while everything is asked of it that can be right or wrong."""
    emulator_settings = EmulatorSettings(speed=100, webhook_secret=canaries.WEBHOOK_SECRET)
    async with Emulator(emulator_settings) as emulator, aiohttp.ClientSession() as http:
        environment = {
            **given(tmp_path),
            "REPLICATE_BASE_URL": emulator.base_url,
            "PHOENIX_COMPAT_FILE_HOSTS": json.dumps([emulator.origin]),
            "PHOENIX_COMPAT_FILTER_PARAMETERS": '["ssn"]',
            "PHOENIX_COMPAT_TOKEN_PARAMS": '["door"]',
            "PHOENIX_COMPAT_TOKEN_HEADERS": '["X-Door"]',
            "PHOENIX_COMPAT_DATA_DIR": str(tmp_path / "data"),
            "PUBLIC_URL": "https://127.0.0.1:9",
        }
        logs = ("--log-level", "debug", "--log-format", style)
        arguments = ("serve", "--port", "0", "--workers", str(workers), *logs)
        async with besieged(tmp_path, *arguments, **environment) as server:
            traffic = Traffic(server, http)
            await traffic.orders()
            await traffic.sockets()
            await asyncio.to_thread(traffic.broken)
            await server.health_s(1)
        log = server.log_text()

    for part in (
        "CONNECTED TO",
        "JOINED task:",
        "HANDLED status",
        "http.refused",
        "create.refused",
    ):
        assert part in log
    assert log.count("[FILTERED]") > 20
    assert found(log) == set()
    assert found("".join(traffic.answers)) == set()
    assert found("".join(traffic.own)) <= {canaries.PROMPT}


COMMANDS = ("config show --origin", "config show --json", "check-config", "backup {}/b.tar")


def command(arguments: Sequence[str], environment: Mapping[str, str]) -> Result:
    """Run a command in this process."""
    clean = dict.fromkeys(("REPLICATE_API_TOKEN", "REPLICATE_API_TOKEN_FILE", "PUBLIC_URL"))
    return CliRunner().invoke(cli, list(arguments), env={**clean, **environment})


@pytest.mark.parametrize("given", [by_variable, by_file, by_config])
def test_commands_tell_no_secret(tmp_path: Path, given: Given) -> None:
    """Not the settings, not the checks, not the manifest of a backup."""
    data = tmp_path / "data"
    environment = {**given(tmp_path), "PHOENIX_COMPAT_DATA_DIR": str(data)}
    environment["REPLICATE_BASE_URL"] = "http://127.0.0.1:9/v1"
    asyncio.run(_create(data))

    results = [command(name.format(tmp_path).split(), environment) for name in COMMANDS]

    with tarfile.open(tmp_path / "b.tar") as tar:
        manifest = tar.extractfile("manifest.json")
        assert manifest is not None
        assert found(manifest.read().decode()) == set()
    assert [result.exit_code for result in results] == [0, 0, 0, 0]
    assert found("".join(result.output for result in results)) == set()
    doctor = asyncio.run(run("-m", "phoenix_compat", "doctor", **environment))  # it reads files
    assert "api.replicate" in doctor.out or "127.0.0.1:9" in doctor.out
    assert found(doctor.out + doctor.err) == set()


async def _create(data: Path) -> None:
    """Create a database with a task."""
    headers = [("Content-Type", "application/json")]
    async with product(settings_for(data)) as client:
        answer = await exchange(
            client.url, "POST", "/api/tasks", headers, json.dumps(ORDER).encode()
        )
    assert answer.status == 202


@pytest.mark.parametrize(
    "arguments",
    [
        ("serve", "--port", f"r8_{canary('flag')}"),
        ("serve", "--pck_c4naryoptionz"),
        ("serve", "--data-dir", f"/dev/null/{canary('token')}"),
        ("serve", "--config", f"/none/{canary('token')}"),
        ("config", "show", f"r8_{canary('argument')}"),
        ("healthcheck", f"http://me:{canary('userinfo').replace('/', '')}@127.0.0.1:9/"),
        ("backup", f"/dev/null/{canary('token')}"),
        (f"r8_{canary('command')}",),
    ],
)
def test_an_error_of_a_command_tells_no_secret(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """What was typed, or stands in a variable, is not repeated if it is a secret."""
    environment = {"REPLICATE_API_TOKEN": canary("token"), "PHOENIX_COMPAT_DATA_DIR": str(tmp_path)}

    result = command(arguments, environment)

    assert result.exit_code != 0
    assert result.output != ""
    assert found(result.output) == set()


@pytest.mark.parametrize(
    "text",
    [
        f'replicate_api_token = "{canary("token")}"\nport = "x"',
        f'replicate_api_token = "{canary("token")}"\nport = ',
        f'replicate_api_token = "r8_{canary("token")}',
        f'replicate_api_token = "{canary("token")}"\nreplicate_api_tokn = "{canary("token")}"',
        f'replicate_api_token = ["{canary("token")}"]',
        f'replicate_api_token = "{canary("token")} é"',
        f'replicate_api_token = "{canary("token")}"\npublic_url = "https://a:{canary("token")}@b"',
        f'replicate_api_token_file = "{canary("token")}"',
    ],
)
def test_a_wrong_file_tells_no_secret(tmp_path: Path, text: str) -> None:
    """Whatever is wrong with it, and even if the token stands where its file should be named."""
    path = tmp_path / "c.toml"
    path.write_text(text)

    for name in ("check-config", "doctor", "serve"):
        result = command((name, "--config", str(path)), {})

        assert result.exit_code != 0
        assert result.output != ""
        assert found(result.output) == set()


@pytest.mark.parametrize(
    "text",
    [
        f'[a]\ntask_type = "r8_{canary("types")}"',
        f'[a]\n"r8_{canary("types")}" = 1',
        '[a]\ndefault_model = "https://me:c4narytypesz@host/"\ntask_type = "a"\nresult = "file"',
        f'[a]\nresult = "Bearer {canary("types")}"',
        f"r8_{canary('types')}",
    ],
)
def test_wrong_task_types_tell_no_secret(tmp_path: Path, text: str) -> None:
    """A secret that was written into the wrong file."""
    path = tmp_path / "types.toml"
    path.write_text(text)

    result = command(("check-config",), {"PHOENIX_COMPAT_TASK_TYPES_FILE": str(path)})

    assert result.exit_code == 2
    assert found(result.output) == set()


async def test_a_bug_tells_no_secret(tmp_path: Path) -> None:
    """The traceback of a command that crashes, and of a thread."""
    program = f"""
import sys, threading
from phoenix_compat.cli import main
from phoenix_compat.redaction import live_secrets
import phoenix_compat.server.engine as server

def crash(*_args, **_options):
    thread = threading.Thread(target=lambda: 1 / 0 if False else (_ for _ in ()).throw(
        ValueError("thread " + {canary("token")!r})))
    thread.start()
    thread.join()
    raise RuntimeError("command " + {canary("token")!r})

server.check_settings = crash
sys.argv = ["phoenix-compat", "check-config"]
main()
"""
    path = tmp_path / "program.py"
    path.write_text(program)

    finished = await run(str(path), REPLICATE_API_TOKEN=canary("token"))

    lines = [line for line in finished.err.splitlines() if not line.startswith("    ")]
    assert finished.code == 1
    assert "ValueError: thread [FILTERED]" in lines
    assert "RuntimeError: command [FILTERED]" in lines
    assert found(finished.err) == set()


def test_a_canary_is_found_in_every_form() -> None:
    """The search itself works: plain, in a query, in JSON, in upper case."""
    for text in (canary("x"), urlencode({"a": canary("x")}), json.dumps(canary("x")).upper()):
        assert found(f"... {text} ...") == {"x"}
    assert found("nothing") == set()
