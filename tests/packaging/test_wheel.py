"""The wheel in a fresh venv, installed as a user installs it: the library alone, and with extras.

What pip chooses today is installed, without the pins of constraints.txt.
"""

# ruff: noqa: S310, S603 - our own program is run, on the loopback

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from phoenix_compat.version import __version__
from tests.docs.test_tutorial import CHAT
from tests.integration.install.without import CHAT_CLIENT
from tests.integration.operations.commands import ROOT, environment

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(600)]

ORDER = {"input_data": {"type": "image", "prompt": "Medieval monk"}}
NO_SERVER = (
    "Error: the task server is not installed. "
    'Install it with: pip install "phoenix-compat[server]"\n'
)
_PATIENCE_S = 60.0
_LOOK_S = 0.1


class Venv:
    """A virtual environment that has pip and nothing else."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)

    def program(self, name: str) -> str:
        """The path of an installed program."""
        return str(self._folder / "bin" / name)

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run an installed program to its end."""
        return subprocess.run(
            [self.program(program), *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd=self._folder,  # not the project's, where the package would be found as well
            env=environment({}),
        )

    def install(self, what: str) -> None:
        """Install it, with what it needs."""
        done = self.run("python", "-m", "pip", "install", "--quiet", what)
        assert done.returncode == 0, done.stderr

    @property
    def packages(self) -> set[str]:
        """What is installed, without the installers."""
        listed = self.run("python", "-m", "pip", "list", "--format=json").stdout
        return {one["name"].lower() for one in json.loads(listed)} - {"pip", "setuptools"}

    @contextmanager
    def serving(self, data_dir: Path) -> Iterator[str]:
        """The task server; yields its URL."""
        with subprocess.Popen(
            [self.program("phoenix-compat"), "serve", "--port", "0", "--data-dir", str(data_dir)],
            cwd=self._folder,
            env=environment({}),
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            found = None
            while found is None and (line := process.stdout.readline()):
                found = re.search(r"http://127\.0\.0\.1:\d+", line)
            try:
                assert found is not None, "it ended before it listened"
                yield found.group()
            finally:
                process.terminate()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    command = (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder))
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return next(folder.glob("*.whl"))


def asked(url: str, body: object = None) -> Any:
    """The JSON that a URL answers."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=_PATIENCE_S) as answer:
        return json.load(answer)


def test_the_library_alone(wheel: Path, tmp_path: Path) -> None:
    """At most twelve packages; the chat of docs/channels.md runs, and commands say what is
    missing."""
    venv = Venv(tmp_path / "venv")
    venv.install(str(wheel))
    (tmp_path / "chat.py").write_text(CHAT)

    chat = venv.run("python", str(CHAT_CLIENT), str(tmp_path / "chat.py"))
    version = venv.run("phoenix-compat", "--version")
    serve = venv.run("phoenix-compat", "serve")
    by_module = venv.run("python", "-m", "phoenix_compat", "conformance", "run")

    assert {"aiohttp", "msgspec", "phoenix-compat"} < venv.packages
    assert len(venv.packages) <= 12
    assert chat.stdout == "ann: hi\n", chat.stderr
    assert version.stdout == f"phoenix-compat, version {__version__}\n"
    assert (serve.returncode, serve.stderr) == (2, NO_SERVER)
    assert by_module.returncode == 2
    assert '"phoenix-compat[conformance]"' in by_module.stderr


def test_the_conformance_suite_without_the_task_server(wheel: Path, tmp_path: Path) -> None:
    """Its extra is enough for its commands, and brings nothing of the task server's."""
    venv = Venv(tmp_path / "venv")
    venv.install(f"{wheel}[conformance]")

    listed = venv.run("phoenix-compat", "conformance", "run", "--list")

    assert "join/ok/v2" in listed.stdout, listed.stderr
    assert venv.packages.isdisjoint({"pydantic", "replicate", "pillow", "structlog", "httpx"})


def test_the_task_server(wheel: Path, tmp_path: Path) -> None:
    """pip finds all of it, the SDK's pre-release too; a task completes without a token."""
    venv = Venv(tmp_path / "venv")
    venv.install(f"{wheel}[server]")

    with venv.serving(tmp_path / "data") as url:
        task_id = asked(f"{url}/api/tasks", ORDER)["task_id"]
        end_s = time.monotonic() + _PATIENCE_S
        while (task := asked(f"{url}/api/tasks/{task_id}"))["status"] == "processing":
            assert time.monotonic() < end_s, task
            time.sleep(_LOOK_S)

    assert task["status"] == "completed"
    assert "cryptography" in venv.packages  # PyJWT needs it for public keys
