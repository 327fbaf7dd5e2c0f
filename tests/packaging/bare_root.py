"""A bare Debian in namespaces of its own: no Python, no network but its loopback.

debootstrap makes the root once, into build/root; each room is a copy. Processes in it have their
own process ids, mounts and network, and end with it.
"""

# ruff: noqa: S603, S607 - Debian's own tools, with arguments of the tests

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.operations.commands import ROOT

BASE = ROOT / "build" / "root"
TOOLS = ("debootstrap", "unshare", "nsenter", "ip", "curl")
_PATIENCE_S = 30.0
_LOOK_S = 0.05
_URL = re.compile(r"http://127\.0\.0\.1:\d+")
NOEXEC = "/noexec"
"""A temp directory inside in which no program may run."""
CLEAN = (
    *("/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"),
    "DEBIAN_FRONTEND=noninteractive",
)
"""Begins a command with an environment of its own."""

_HOLDER = """
set -e
ip link set lo up
mount -t proc proc "$1/proc"
mount -t tmpfs -o mode=1777 tmpfs "$1/tmp"
mkdir "$1$2"
mount -t tmpfs -o mode=1777,noexec tmpfs "$1$2"
echo ready
exec sleep infinity
"""


@dataclass
class Program:
    """A process in the room.

    Attributes:
        output: a file of the room with what it prints.
    """

    process: subprocess.Popen[bytes]
    output: Path

    def url(self) -> str:
        """Where it listens, once it says so."""
        deadline_s = time.monotonic() + _PATIENCE_S
        while not (found := _URL.search(self.output.read_text())):
            ended = self.process.poll() is not None
            assert not ended, self.output.read_text()
            assert time.monotonic() < deadline_s, self.output.read_text()
            time.sleep(_LOOK_S)
        return found.group()


class Room:
    """The inside of a bare root."""

    def __init__(self, root: Path, holder: int) -> None:
        self.root = root
        self._programs: list[Program] = []
        self._holder = holder

    def run(self, *command: str, user: str = "root") -> subprocess.CompletedProcess[str]:
        """Run a command inside to its end."""
        return subprocess.run(
            self._inside(command, user), capture_output=True, text=True, timeout=180, check=False
        )

    def done(self, *command: str, user: str = "root") -> str:
        """What a command that must succeed printed."""
        finished = self.run(*command, user=user)
        assert finished.returncode == 0, f"{command}: {finished.stdout}{finished.stderr}"
        return finished.stdout

    def start(self, *command: str, user: str = "root") -> Program:
        """Start a command inside."""
        output = self.root / f"output-{time.monotonic_ns()}"
        with output.open("wb") as file:
            inside = self._inside(command, user)
            process = subprocess.Popen(inside, stdout=file, stderr=subprocess.STDOUT)
        self._programs.append(Program(process, output))
        return self._programs[-1]

    def stop_all(self) -> None:
        """Kill what was started, and wait for its end."""
        self.run("sh", "-c", "kill -9 -1")
        for program in self._programs:
            program.process.wait(timeout=_PATIENCE_S)
        self._programs.clear()

    def pids(self, name: str = "phoenix-compat") -> list[int]:
        """The processes inside whose program has this name, oldest first; as the room counts."""
        script = (
            'for p in /proc/[0-9]*; do [ "$(cat $p/comm 2>/dev/null)" = $1 ] &&'
            ' ! grep -q "^State:.Z" $p/status && echo ${p#/proc/}; done; true'
        )
        return sorted(map(int, self.done("sh", "-c", script, "sh", name).split()))

    def kill(self, pid: int, signal: str) -> None:
        """Send a signal to a process inside."""
        self.done("sh", "-c", f"kill -{signal} {pid}")

    def get(self, url: str) -> Any:
        """A document, asked for with the network of the room; None when nobody answers."""
        return self._ask(url)

    def post(self, url: str, body: object) -> Any:
        """Send JSON."""
        return self._ask(url, "--header", "content-type: application/json", "-d", json.dumps(body))

    def fetch(self, url: str) -> bytes:
        """The bytes at a URL."""
        curl = ("curl", "--silent", "--fail", "--noproxy", "*", "--max-time", "20", url)
        return subprocess.run([*self._enter, *curl], capture_output=True, check=True).stdout

    def ended_task(self, url: str, task_id: str) -> Any:
        """A task, once it has ended."""
        self.until(lambda: self.get(f"{url}/api/tasks/{task_id}")["status"] != "processing")
        return self.get(f"{url}/api/tasks/{task_id}")

    def until(self, is_so: Callable[[], bool], patience_s: float = _PATIENCE_S) -> None:
        """Look again and again until something is so."""
        deadline_s = time.monotonic() + patience_s
        while not is_so():
            assert time.monotonic() < deadline_s, "it does not come to be so"
            time.sleep(_LOOK_S)

    @property
    def _enter(self) -> tuple[str, ...]:
        """Into the network of the room, with the programs of this machine."""
        return "nsenter", "--target", str(self._holder), "--net", "--mount", "--pid"

    def _ask(self, url: str, *options: str) -> Any:
        curl = ("curl", "--silent", "--noproxy", "*", "--max-time", "5", *options, url)
        finished = subprocess.run(
            [*self._enter, *curl], capture_output=True, text=True, timeout=30, check=False
        )
        return json.loads(finished.stdout) if finished.returncode == 0 else None

    def _inside(self, command: tuple[str, ...], user: str) -> list[str]:
        return [
            *(*self._enter, "chroot", "--userspec", user, str(self.root)),
            *(*CLEAN, *command),
        ]


def bare_root(*packages: str) -> Path:
    """A Debian with nothing but what it cannot do without and these, made when it is missing."""
    release = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if line
    )["VERSION_CODENAME"]
    root = BASE / "-".join((release, *packages))
    if not root.exists():
        BASE.mkdir(parents=True, exist_ok=True)
        fresh = root.with_name(f"{root.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        more = [f"--include={','.join(packages)}"] if packages else []
        subprocess.run(["debootstrap", "--variant=minbase", *more, release, str(fresh)], check=True)
        fresh.rename(root)
    return root


@contextmanager
def open_room(folder: Path) -> Iterator[Room]:
    """A room in a copy of the bare root, which is put into this folder."""
    root = folder / "root"
    subprocess.run(["cp", "--archive", "--reflink=auto", str(bare_root()), str(root)], check=True)
    with subprocess.Popen(
        [
            *("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child"),
            *("sh", "-c", _HOLDER, "sh", str(root), NOEXEC),
        ],
        stdout=subprocess.PIPE,
    ) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"ready\n"
            children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()
            yield Room(root, int(children[0]))
        finally:
            holder.kill()
            holder.wait()
            shutil.rmtree(root)
