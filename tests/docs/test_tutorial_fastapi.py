"""Every program of docs/tutorial-fastapi.md works, with the others, as the page says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import secrets
import sys
import tempfile
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.docs.pages import blocks, page
from tests.docs.test_tutorial import NODE_MODULES, node
from tests.integration.process.proxies import free_port
from tests.patience import patient

ROOT = Path(__file__).parents[2]
PAGE = page("tutorial-fastapi.md")
FIRST_CHAT, TALK, CHAT, TEST_CHAT, CLIENT = blocks(PAGE, "python")
INDEX = blocks(PAGE, "html")[0]
STOP_S = 30.0

BROWSER = """
import WebSocket from "ws"
const base = process.argv[2]
const elements = {}
const element = id => ({ append: text => console.log(text.trim()), set textContent(text) {
  console.log(`${id}: ${text}`) } })
const answers = ["ann", "let-ann-in"]
const fetchOfNode = fetch
Object.assign(globalThis, {
  WebSocket,
  location: new URL(base),
  prompt: () => answers.shift(),
  document: { getElementById: id => elements[id] ??= element(id) },
  fetch: (path, options) => fetchOfNode(new URL(path, base), options),
})
process.stdin.on("data", text => {
  elements.body = { value: String(text).trim() }
  elements.form.onsubmit({ preventDefault() {} })
})
"""
"""As much of a browser as the page uses: it prints what it is shown, and sends what it reads."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with the files of the page, and with a short path for the sockets of a Cluster."""
    with tempfile.TemporaryDirectory(prefix="phx") as name:
        for file, text in {
            "chat.py": CHAT,
            "first_chat.py": FIRST_CHAT,
            "talk.py": TALK,
            "test_chat.py": TEST_CHAT,
            "pytest.ini": blocks(PAGE, "ini")[0],
            "index.html": INDEX,
            "client.py": CLIENT,
        }.items():
            (Path(name) / file).write_text(text)
        yield Path(name)


async def start(folder: Path, *arguments: object, **environment: str) -> Process:
    """Run `python arguments` in the folder."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, *map(str, arguments)),
        cwd=folder,
        stdin=PIPE,
        stdout=PIPE,
        stderr=STDOUT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder), **environment},
    )


async def finished(process: Process, text: str = "") -> str:
    """Give a program its input, and return what it has printed when it ends."""
    async with asyncio.timeout(patient(STOP_S)):
        output, _ = await process.communicate(text.encode())
    return output.decode()


async def lines_until(process: Process, wanted: str) -> list[str]:
    """Read what a program prints, up to a line."""
    assert process.stdout is not None
    lines: list[str] = []
    async with asyncio.timeout(patient(STOP_S)):
        while wanted not in lines:
            line = await process.stdout.readline()
            assert line, f"the program has ended: {lines}"
            lines.append(line.decode().strip())
    return lines


def enter(process: Process, text: str) -> None:
    """Type a line."""
    assert process.stdin is not None
    process.stdin.write(f"{text}\n".encode())


@asynccontextmanager
async def serving(folder: Path, app: str, workers: int = 1) -> AsyncIterator[str]:
    """Run the command of the page on a free port, and yield the server's URL."""
    port = free_port()
    server = await start(
        *(folder, "-m", "uvicorn", app, "--port", port, "--workers", workers),
        *("--log-level", "warning"),
        SECRET_KEY_BASE=secrets.token_urlsafe(48),
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(patient(STOP_S)), aiohttp.ClientSession() as http:
            while True:
                assert server.returncode is None, (await server.communicate())[0].decode()
                with contextlib.suppress(aiohttp.ClientConnectionError):
                    async with http.get(f"{url}/docs"):
                        break
                await asyncio.sleep(0.05)
        yield url
    finally:
        if server.returncode is None:
            server.terminate()
        output = await finished(server)
    assert "Error" not in output, output


async def who(url: str) -> tuple[int, list[str]]:
    """The process that answers, and who is here, over a connection of its own."""
    async with aiohttp.ClientSession() as http, http.get(f"{url}/who") as response:
        answer = json.loads(await response.text())
    return answer["process"], answer["here"]


def test_the_commands_name_the_programs() -> None:
    """The page says how to save each program that the tests below run."""
    for name in ("chat.py", "talk.py", "test_chat.py", "pytest.ini", "index.html", "client.py"):
        assert f"`{name}`" in PAGE, name
    assert set(re.findall(r"^```(\w+)$", PAGE, re.MULTILINE)) == {"python", "ini", "html", "text"}


async def test_the_room(folder: Path) -> None:
    """The client prints what the page says."""
    async with serving(folder, "first_chat:app") as url:
        (folder / "talk.py").write_text(TALK.replace("ws://127.0.0.1:4000", url))
        printed = await finished(await start(folder, "talk.py"))

    assert printed == blocks(PAGE, "text")[0]


async def test_the_tests(folder: Path) -> None:
    """`pytest` runs the tests of the page without a secret of ours, and they pass."""
    options = ("-q", "-p", "no:cacheprovider", "--rootdir", folder)
    warnings = ("-W", "error", "-W", "ignore:The configuration option:pytest.PytestWarning")

    process = await start(folder, "-m", "pytest", *options, *warnings)
    printed = await finished(process)

    assert process.returncode == 0, printed
    assert "7 passed" in printed


async def test_two_processes(folder: Path) -> None:
    """Clients of both processes hear and see each other; a wrong password is refused."""
    async with serving(folder, "chat:app", workers=2) as url:
        wrong = await finished(await start(folder, "client.py", url, "ann", "guessed"))
        ann = await start(folder, "client.py", url, "ann", "let-ann-in")
        await lines_until(ann, "here: ['ann']")
        bob = await start(folder, "client.py", url, "bob", "let-bob-in")
        await lines_until(ann, "here: ['ann', 'bob']")
        enter(ann, "hello")
        await lines_until(bob, "ann: hello")
        answers: dict[int, list[str]] = {}
        async with asyncio.timeout(patient(STOP_S)):
            while len(answers) < 2 or any(here != ["ann", "bob"] for here in answers.values()):
                process, here = await who(url)
                answers[process] = here
        await finished(bob)
        await lines_until(ann, "here: ['ann']")
        await finished(ann)

    assert "no connection" in wrong
    assert "401" in wrong


@pytest.mark.node
async def test_the_web_page(folder: Path) -> None:
    """The script of the page logs in, shows who is here, and says what is typed."""
    (folder / "node_modules").symlink_to(NODE_MODULES)
    script = re.findall(r'<script type="module">\n(.*?)</script>', INDEX, re.DOTALL)[0]
    (folder / "browser.mjs").write_text(BROWSER)
    (folder / "page.mjs").write_text(f'import "./browser.mjs"\n{script}')
    async with serving(folder, "chat:app") as url:
        async with aiohttp.ClientSession() as http, http.get(url) as response:
            assert await response.text() == INDEX
        browser = await asyncio.create_subprocess_exec(
            *(node(), "page.mjs", url), cwd=folder, stdin=PIPE, stdout=PIPE, stderr=STDOUT
        )
        try:
            await lines_until(browser, "here: ann")
            enter(browser, "hello")
            await lines_until(browser, "ann: hello")
            enter(browser, "x" * 1001)
            await lines_until(browser, "refused: String should have at most 1000 characters")
        finally:
            browser.kill()
            await browser.communicate()
