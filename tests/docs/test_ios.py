"""docs/ios.md agrees with what the server answers and with the names in SwiftPhoenixClient.

These tests do not run Swift. The code of the page was compiled with SwiftPhoenixClient 5.3.4 and
run against this server; the tests compare its names with those of that version.
"""

from __future__ import annotations

import io
import json
import plistlib
import re
import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from phoenix_compat import Channel, Result, Socket
from tests.conftest import Dial, Open, Serve
from tests.docs.pages import ROOT, blocks, page, prose, rows
from tests.integration.operations.commands import server
from tests.integration.process.proxies import free_port
from tests.integration.rates.rates_harness import ALICE, limited, via_proxy
from tests.integration.task_server import product, settings_for
from tests.integration.uploads.photo import photo
from tests.serving import accepting, socket_app
from tests.wire import V1, V2, PhoenixWire, replied

IOS = page("ios.md")
SWIFT = "\n".join(blocks(IOS, "swift"))
TASK_BODY = {"input_data": {"type": "image", "prompt": "Medieval monk"}}
JSON_TYPE = {"Content-Type": "application/json"}

SWIFT_NAMES: Mapping[str, frozenset[str]] = {
    "socket": frozenset(
        {
            *("channel", "connect", "disconnect", "onError", "onClose", "logger"),
            *("skipHeartbeat", "heartbeatInterval", "encode", "decode", "vsn"),
        }
    ),
    "channel": frozenset({"join", "leave", "off", "on", "push", "receive"}),
    "message": frozenset({"payload"}),
}
"""Public names in the sources of SwiftPhoenixClient 5.3.4: Socket.swift, Channel.swift, Push.swift
(`receive`, on the result of `join` and `push`) and Message.swift."""

SWIFT_ARGUMENTS = frozenset({"paramsClosure", "vsn", "payload"})
"""Argument labels: `Socket(_:paramsClosure:vsn:)`, `push(_:payload:timeout:)`."""


@pytest.mark.parametrize("owner", SWIFT_NAMES)
def test_swift_names_are_those_of_the_client(owner: str) -> None:
    """The members of socket, channel and message on the page exist in SwiftPhoenixClient 5.3.4."""
    used = set(re.findall(rf"(?<![.\w]){owner}[?!]?\.(\w+)", IOS))

    assert used
    assert used <= SWIFT_NAMES[owner]


def test_every_listed_swift_name_is_used() -> None:
    """The page uses each name of the lists above."""
    everything = set().union(*SWIFT_NAMES.values()) | SWIFT_ARGUMENTS

    assert {name for name in everything if not re.search(rf"\b{name}\b", IOS)} == set()


def test_swift_arguments_are_those_of_the_client() -> None:
    """The argument labels in calls of `Socket` and `push` exist."""
    calls = re.findall(r"\bSocket\([^)]*|\.push\([^)]*", IOS)

    assert len(calls) >= 3
    assert set(re.findall(r"\b(\w+): ", " ".join(calls))) <= SWIFT_ARGUMENTS


@pytest.mark.parametrize("code", blocks(IOS, "swift"))
def test_swift_blocks_are_whole(code: str) -> None:
    """Brackets are balanced."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"|//.*', "", code)

    for left, right in ("()", "[]", "{}"):
        assert bare.count(left) == bare.count(right)


def test_the_property_list_says_what_the_text_says() -> None:
    """The keys for Info.plist can be parsed as a property list."""
    keys = plistlib.loads(f"<plist><dict>{blocks(IOS, 'xml')[0]}</dict></plist>".encode())

    assert keys["NSAppTransportSecurity"] == {"NSAllowsLocalNetworking": True}
    assert keys["NSLocalNetworkUsageDescription"]


def test_the_setting_for_names_is_toml() -> None:
    """The line for the configuration file can be parsed."""
    assert list(tomllib.loads(blocks(IOS, "toml")[0])) == ["allowed_hosts"]


async def test_the_swift_request_and_its_repetition(tmp_path: Path) -> None:
    """The request of the Swift code creates a task, and repeating it creates no second one."""
    literal = re.findall(r"encode\(\s*(\[.*\])\)", SWIFT)[0]
    body = json.loads(literal.replace("[", "{").replace("]", "}").replace(": prompt", ': "a monk"'))
    create = next(code for code in blocks(IOS, "swift") if "func createImage" in code)
    headers = dict(re.findall(r'setValue\("?([\w/]+)"?, forHTTPHeaderField: "([\w-]+)"', create))
    sent = {name: value for value, name in headers.items()}
    answers = []
    async with product(settings_for(tmp_path)) as client, aiohttp.ClientSession() as http:
        for _attempt in range(2):
            url = f"{client.url}/api/tasks"
            async with http.post(url, data=json.dumps(body), headers=sent) as answer:
                answers.append((answer.status, answer.headers, await answer.json()))

    assert set(sent) == {"Content-Type", "Idempotency-Key"}
    assert [status for status, _, _ in answers] == [202, 202]
    assert {"task_id", "status"} <= set(answers[0][2])
    assert answers[0][2]["task_id"] == answers[1][2]["task_id"]
    assert "`Idempotency-Replayed: true`" in IOS
    assert answers[1][1]["Idempotency-Replayed"] == "true"


async def test_refusals_are_those_of_the_table(tmp_path: Path) -> None:
    """The table lists the status and the last word of `type` of each problem, and the problems have
    the fields that the Swift code reads. The words for 503 occur in the code."""
    table = rows(IOS, "| `status` | last word of `type` | what to do |")
    listed = {int(status): set(re.findall(r"`([\w-]+)`", words)) for status, words, _ in table}
    found: dict[int, set[str]] = {}
    documents = []
    async with product(limited(tmp_path, address_creates_per_minute=1)) as client:
        await client.request("POST", "/api/tasks", headers=via_proxy(ALICE))
        for method, path, arguments in (
            ("POST", "", {"headers": via_proxy(ALICE)}),
            ("POST", "", {"data": b"{", "headers": JSON_TYPE}),
            ("GET", "/nope", {}),
            ("POST", "", {"data": b" " * 300 * 1024, "headers": JSON_TYPE}),
            ("POST", "", {"data": b"{}", "headers": {"Content-Type": "text/plain"}}),
            ("POST", "", {"json": {"input_data": {"type": "image"}}}),
        ):
            status, document = await client.request(method, f"/api/tasks{path}", **arguments)
            found.setdefault(status, set()).add(document["type"].rpartition(":")[2])
            documents.append(document)
    sources = "".join(path.read_text() for path in (ROOT / "phoenix_compat").rglob("*.py"))

    assert {status: words for status, words in listed.items() if status != 503} == found
    assert all(f'"{word}"' in sources for word in listed[503])
    assert all({"type", "status", "detail"} <= set(document) for document in documents)
    assert documents[-1]["field"] == "input_data.prompt"
    assert "`input_data.prompt`" in IOS


class CrashingChannel(Channel):
    """A channel with a bug."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        raise RuntimeError("asked to crash")


async def test_join_reasons_are_those_of_the_table(
    tmp_path: Path, serve: Serve, open_wire: Open
) -> None:
    """The server refuses joins with the reasons of the table."""
    table = rows(IOS, "| `reason` | meaning | what to do |")
    found = set()
    async with product(settings_for(tmp_path)) as client:
        wire = await open_wire(client.url)
        for topic in ("task:nope", "tasks:nope"):
            found.add((await wire.ask(["1", "1", topic, "phx_join", {}]))[4]["response"]["reason"])
        await wire.close()
    wire = await open_wire(await serve(socket_app(accepting({"task:*": CrashingChannel}))))
    answer = await wire.ask(["1", "1", "task:1", "phx_join", {}])
    found.add(answer[4]["response"]["reason"])
    sources = "".join(path.read_text() for path in (ROOT / "phoenix_compat").rglob("*.py"))

    listed = {reason.strip("`") for reason, _, _ in table}
    assert listed == found | {"unavailable", "too many channels joined"}
    assert 'reason="unavailable"' in sources
    assert "too many channels joined" in sources


async def test_the_swift_upload_and_the_task_with_it(tmp_path: Path) -> None:
    """A photo is stored with the headers of the Swift code, and its id is an input of a task."""
    code = next(code for code in blocks(IOS, "swift") if "func edit" in code)
    [(path, value), (tasks_path, tasks_value)] = re.findall(r'post\("([\w/]+)", "([\w/]+)"', code)
    [inputs] = re.findall(r"let input = \[(.*)\]$", code, re.MULTILINE)
    async with product(settings_for(tmp_path)) as client:
        status, file = await client.request(
            *("POST", f"/{path}"), data=io.BytesIO(photo()), headers={"Content-Type": value}
        )
        text = inputs.replace('file["id"] as? String ?? ""', json.dumps(file["id"]))
        text = text.replace(": prompt", ': "a"')
        body = f'{{"input_data": {{{text}}}}}'
        created, task = await client.request(
            *("POST", f"/{tasks_path}"), data=body, headers={"Content-Type": tasks_value}
        )

        assert (status, created) == (201, 202), (file, task)
        assert json.loads(body)["input_data"]["image"] == file["id"]
        ended = await client.ended(task["task_id"])
        assert ended["status"] == "completed"
        assert ended["result_data"]["image_url"]


async def test_progress_is_what_the_swift_code_reads(tmp_path: Path) -> None:
    """The payloads have the keys and types that the Swift code reads; a client that joins after the
    end gets the final state again."""
    async with product(settings_for(tmp_path)) as client:
        done = await client.post()
        completed = await client.ended(done)
        again = await client.follow(done)
        failed = await client.ended(await client.post("#fault:E005"))

    assert isinstance(completed["progress"], float)
    assert isinstance(completed["result_data"]["image_url"], str)
    assert again == [completed]
    assert isinstance(failed["error_data"]["error"], str)
    assert isinstance(failed["error_data"]["code"], str)
    for key in ("status", "progress", "result_data", "image_url", "error_data", "error", "code"):
        assert f'["{key}"]' in SWIFT


async def test_cancel_and_status(tmp_path: Path, open_wire: Open) -> None:
    """`status` is answered with the payload of `progress`; after `cancel` the task fails as
    `canceled`."""
    async with product(settings_for(tmp_path)) as client:
        task_id = await client.post("#fault:stuck_processing")
        topic = f"task:{task_id}"
        wire = await open_wire(client.url)
        await wire.join(topic)
        first = await wire.recv()
        await wire.send(["1", "2", topic, "status", {}])
        status = await reply_to(wire, "2")
        await wire.send(["1", "3", topic, "cancel", {}])
        cancel = await reply_to(wire, "3")
        last = await client.ended(task_id)
        await wire.close()

    assert set(status["response"]) == set(first[4])
    assert cancel == replied({})
    assert (last["status"], last["error_data"]["code"]) == ("failed", "canceled")
    assert "`failed` with the code `canceled`" in prose(IOS)


async def reply_to(wire: PhoenixWire, ref: str) -> Any:
    """Return the payload of the reply, skipping other messages."""
    while True:
        message = await wire.recv()
        if message[1] == ref:
            return message[4]


async def test_handshakes_are_refused_as_the_table_says(tmp_path: Path, dial: Dial) -> None:
    """An incomplete `vsn` is answered with 403, a wrong path with 404."""
    table = rows(IOS, "| status | meaning | what to do |")
    async with product(settings_for(tmp_path)) as client:
        found = [
            (await (await dial(client.url)).handshake(target)).status
            for target in (
                *("/socket/websocket?vsn=2", "/socket/websocket?vsn=2.0"),
                *("/wrong/websocket?vsn=2.0.0", V2, "/socket/websocket"),
            )
        ]

    assert found == [403, 403, 404, 101, 101]
    assert {"403", "404"} <= {status for status, _, _ in table}


async def test_v2_messages_under_a_v1_address_are_closed_with_1011(
    tmp_path: Path, open_wire: Open
) -> None:
    """This is what a newer client does with `vsn: "1.0.0"`: the server closes with 1011."""
    async with product(settings_for(tmp_path)) as client:
        wire = await open_wire(client.url, V1)
        await wire.send(["1", "1", "task:nope", "phx_join", {}])
        code = await wire.recv_close()

    assert code == 1011
    assert "closes the connection with code 1011" in IOS


async def test_v1_in_binary_frames_is_understood(tmp_path: Path, open_wire: Open) -> None:
    """SwiftPhoenixClient 0.7 to 2.1 sends V1 in binary frames and no `vsn`; the server reads it."""
    async with product(settings_for(tmp_path)) as client:
        topic = f"task:{await client.post()}"
        wire = await open_wire(client.url, "/socket/websocket")
        await wire.send_binary(json.dumps(v1(topic, "phx_join", "1")).encode())
        reply, progress = await wire.recv_many(2)
        await wire.close()

    assert (reply["event"], reply["payload"]["status"]) == ("phx_reply", "ok")
    assert progress["event"] == "progress"


@pytest.mark.parametrize("is_left_first", [False, True])
async def test_one_topic_twice_in_v1_ends_with_a_close_that_names_no_join(
    tmp_path: Path, open_wire: Open, is_left_first: bool
) -> None:
    """The `phx_close` of the first channel comes after the second join, without a `join_ref`."""
    async with product(settings_for(tmp_path)) as client:
        topic = f"task:{await client.post('#fault:stuck_processing')}"
        wire = await open_wire(client.url, V1)
        await wire.send(v1(topic, "phx_join", "1"))
        if is_left_first:
            await wire.send(v1(topic, "phx_leave", "2"))
        await wire.send(v1(topic, "phx_join", "3"))
        received: list[Any] = []
        while not received or received[-1]["event"] != "phx_close":
            received.append(await wire.recv())
        await wire.close()

    assert "join_ref" not in received[-1]
    assert received[-1]["topic"] == topic
    if not is_left_first:
        assert "3" in [message["ref"] for message in received if message["event"] == "phx_reply"]


def v1(topic: str, event: str, ref: str) -> dict[str, Any]:
    """Return a V1 message with the `join_ref` that SwiftPhoenixClient adds."""
    return {"topic": topic, "event": event, "payload": {}, "ref": ref, "join_ref": "1"}


async def test_the_command_for_a_device(tmp_path: Path) -> None:
    """The command of the page starts a server, and the picture's address begins with PUBLIC_URL and
    works. The test replaces only the address, the port and the folder."""
    port = free_port()
    line = blocks(IOS, "sh")[1].replace("192.168.1.20:4000", f"127.0.0.1:{port}")
    line = line.replace("0.0.0.0", f"127.0.0.1 --port {port} --data-dir {tmp_path}")  # noqa: S104 - replaced by a loopback address
    words = shlex.split(line)
    variables = dict(word.split("=", 1) for word in words if "=" in word)
    words = [word for word in words if "=" not in word]
    assert words.pop(0) == "phoenix-compat"
    variables["PHOENIX_COMPAT_EMULATOR_SPEED"] = "20"
    async with (
        server("-m", "phoenix_compat", *words, **variables) as (_, url),
        aiohttp.ClientSession() as http,
    ):
        async with http.post(f"{url}/api/tasks", json=TASK_BODY) as answer:
            task_id = (await answer.json())["task_id"]
        wire = await PhoenixWire.open(url)
        await wire.join(f"task:{task_id}")
        last = (await wire.recv())[4]
        while last["status"] == "processing":
            last = (await wire.recv())[4]
        await wire.close()
        async with http.get(last["result_data"]["image_url"]) as picture:
            status, content_type = picture.status, picture.content_type

    assert last["result_data"]["image_url"].startswith(f"{variables['PUBLIC_URL']}/files/")
    assert (status, content_type) == (200, "image/jpeg")


def test_the_commands_from_a_checkout_are_a_target() -> None:
    """`make run` exists, and passes on ARGS."""
    targets = (ROOT / "Makefile").read_text()

    assert blocks(IOS, "sh")[0] == "make run\n"
    assert re.search(r"^run:.*\n\t.*serve \$\(ARGS\)", targets, re.MULTILINE)
