"""A minimal Debian in its own namespaces, without Python and with loopback as its only network.

debootstrap creates the root once, in build/root; each sandbox is a copy. The processes in a sandbox
have their own process ids, mounts and network, and end with it.
"""

# ruff: noqa: S603, S607 - Debian's tools, with arguments from the tests

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
_TIMEOUT_S = 30.0
_POLL_S = 0.05
_URL = re.compile(r"http://127\.0\.0\.1:\d+")
NOEXEC = "/noexec"
"""A temp directory in the sandbox that is mounted noexec."""
CLEAN = (
    *("/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"),
    "DEBIAN_FRONTEND=noninteractive",
)
"""The prefix of a command that gives it a clean environment."""

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
    """A process in the sandbox.

    Attributes:
        output: the file with its stdout and stderr.
    """

    process: subprocess.Popen[bytes]
    output: Path

    def url(self) -> str:
        """Wait until the program prints its URL, and return it."""
        deadline_s = time.monotonic() + _TIMEOUT_S
        while not (found := _URL.search(self.output.read_text())):
            ended = self.process.poll() is not None
            assert not ended, self.output.read_text()
            assert time.monotonic() < deadline_s, self.output.read_text()
            time.sleep(_POLL_S)
        return found.group()


class Sandbox:
    """The processes and files in a Debian root.

    Args:
        root: the root directory.
        holder: the id of the process whose namespaces are used.

    Attributes:
        key: the API key that requests have; empty for none.
    """

    def __init__(self, root: Path, holder: int) -> None:
        self.root = root
        self.key = ""
        self._programs: list[Program] = []
        self._holder = holder

    def run(self, *command: str, user: str = "root") -> subprocess.CompletedProcess[str]:
        """Run a command in the sandbox to its end."""
        return subprocess.run(
            self._inside(command, user), capture_output=True, text=True, timeout=180, check=False
        )

    def check_output(self, *command: str, user: str = "root") -> str:
        """Run a command that must succeed. Returns its stdout."""
        finished = self.run(*command, user=user)
        assert finished.returncode == 0, f"{command}: {finished.stdout}{finished.stderr}"
        return finished.stdout

    def start(self, *command: str, user: str = "root") -> Program:
        """Start a command in the sandbox."""
        output = self.root / f"output-{time.monotonic_ns()}"
        with output.open("wb") as file:
            inside = self._inside(command, user)
            process = subprocess.Popen(inside, stdout=file, stderr=subprocess.STDOUT)
        self._programs.append(Program(process, output))
        return self._programs[-1]

    def stop_all(self) -> None:
        """Kill all started programs, and wait for their exit."""
        self.run("sh", "-c", "kill -9 -1")
        for program in self._programs:
            program.process.wait(timeout=_TIMEOUT_S)
        self._programs.clear()

    def pids(self, name: str = "phoenix-compat") -> list[int]:
        """The ids of the processes of this program, oldest first, as seen in the sandbox."""
        script = (
            'for p in /proc/[0-9]*; do [ "$(cat $p/comm 2>/dev/null)" = $1 ] &&'
            ' ! grep -q "^State:.Z" $p/status && echo ${p#/proc/}; done; true'
        )
        return sorted(map(int, self.check_output("sh", "-c", script, "sh", name).split()))

    def kill(self, pid: int, signal: str) -> None:
        """Send a signal to a process in the sandbox."""
        self.check_output("sh", "-c", f"kill -{signal} {pid}")

    def get(self, url: str) -> Any:
        """GET JSON in the network of the sandbox; None when there is no answer."""
        return self._request(url)

    def post(self, url: str, body: object) -> Any:
        """POST JSON in the network of the sandbox; None when there is no answer."""
        return self._request(
            url, "--header", "content-type: application/json", "-d", json.dumps(body)
        )

    def fetch(self, url: str) -> bytes:
        """The bytes at a URL."""
        curl = ("curl", "--silent", "--fail", "--noproxy", "*", "--max-time", "20", url)
        return subprocess.run([*self._enter, *curl], capture_output=True, check=True).stdout

    def ended_task(self, url: str, task_id: str) -> Any:
        """Wait until a task has ended, and return it."""
        self.until(lambda: self.get(f"{url}/api/tasks/{task_id}")["status"] != "processing")
        return self.get(f"{url}/api/tasks/{task_id}")

    def until(self, condition: Callable[[], bool], timeout_s: float = _TIMEOUT_S) -> None:
        """Poll until a condition is true."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline_s, "the condition did not become true in time"
            time.sleep(_POLL_S)

    @property
    def _enter(self) -> tuple[str, ...]:
        """The command prefix that enters the namespaces, with the programs of this machine."""
        return "nsenter", "--target", str(self._holder), "--net", "--mount", "--pid"

    def _request(self, url: str, *options: str) -> Any:
        key = ("--header", f"authorization: Bearer {self.key}") if self.key else ()
        curl = ("curl", "--silent", "--noproxy", "*", "--max-time", "5", *key, *options, url)
        finished = subprocess.run(
            [*self._enter, *curl], capture_output=True, text=True, timeout=30, check=False
        )
        return json.loads(finished.stdout) if finished.returncode == 0 else None

    def _inside(self, command: tuple[str, ...], user: str) -> list[str]:
        return [
            *(*self._enter, "chroot", "--userspec", user, str(self.root)),
            *(*CLEAN, *command),
        ]


def debian_root(*packages: str) -> Path:
    """The path of a minimal Debian root with these packages; created when it is missing."""
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
def open_sandbox(folder: Path) -> Iterator[Sandbox]:
    """Open a sandbox on a copy of the minimal root in this folder."""
    root = folder / "root"
    subprocess.run(["cp", "--archive", "--reflink=auto", str(debian_root()), str(root)], check=True)
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
            yield Sandbox(root, int(children[0]))
        finally:
            holder.kill()
            holder.wait()
            shutil.rmtree(root)
