"""The servers under test and the baselines, each in its own process on the server's core."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import jwt

from tests.benchmarks.benchmark import BenchmarkError
from tests.benchmarks.context import BenchmarkContext
from tests.benchmarks.machine import ROOT, SERVER_CORE, pinned
from tests.patience import patient

START_S = 15.0
STOP_S = 30.0


@dataclass(frozen=True, slots=True)
class Running:
    """A server that listens on loopback."""

    port: int
    pid: int
    started_in_s: float


_JWT_SECRET: Final = "benchmark" * 4
_SAFE: Final[dict[str, object]] = {
    "owner_usd_per_day": 1_000_000,
    "total_usd_per_month": 1_000_000,
    "owner_tasks_per_day": 1_000_000,
    "owner_creates_per_minute": 1_000_000,
    "owner_connects_per_minute": 1_000_000,
    "owner_joins_per_minute": 1_000_000,
}
"""Caps and rates that count and are not reached."""

Serve: TypeAlias = Callable[[BenchmarkContext], AbstractContextManager[Running]]
"""Starts a new server for each run."""


@contextmanager
def reference_set(context: BenchmarkContext) -> Iterator[Running]:
    """Our server with the reference channels: events `echo` and `broadcast` on `room:*`."""
    port = free_port()
    command = [context.python, "-m", "phoenix_compat", "conformance", "serve", "--port", str(port)]
    with running(command, port, checkout=context.checkout) as server:
        yield server


@contextmanager
def c_server(context: BenchmarkContext) -> Iterator[Running]:
    """The minimal C server, which joins the writes of one tick."""
    port = free_port()
    with running([str(context.tools.wslimit), str(port), "1"], port) as server:
        yield server


@contextmanager
def task_server(
    context: BenchmarkContext, *, port: int = 0, **settings: object
) -> Iterator[Running]:
    """The task server with the emulator and a new database. Settings are passed by name.

    Args:
        port: 0 for a free one.
    """
    port = port or free_port()
    command = [context.python, "-m", "phoenix_compat", "serve", "--port", str(port)]
    named = {"data_dir": context.new_folder(), "log_level": "error"} | settings
    environment = {f"PHOENIX_COMPAT_{name.upper()}": str(value) for name, value in named.items()}
    with running(command, port, environment, checkout=context.checkout) as server:
        yield server


@dataclass(frozen=True, slots=True)
class Safe:
    """The task server with authentication, caps and rates, and a credential for it.

    Attributes:
        kind: "keys" or "jwt" (HS256).
    """

    kind: str

    @contextmanager
    def serve(self, context: BenchmarkContext) -> Iterator[tuple[Running, str]]:
        """Run it; yields the credential too."""
        folder = context.new_folder()
        settings: dict[str, object] = {"data_dir": folder, "auth": f'["{self.kind}"]'} | _SAFE
        if self.kind == "keys":
            credential = _new_key(context, str(folder))
        else:
            settings |= {"jwt_secret": _JWT_SECRET, "jwt_algorithms": '["HS256"]'}
            claims = {"sub": "user-1", "exp": int(time.time()) + 3_600}
            credential = jwt.encode(claims, _JWT_SECRET, algorithm="HS256")
        with task_server(context, **settings) as server:  # type: ignore[arg-type] # no `port`
            yield server, credential


def _new_key(context: BenchmarkContext, folder: str) -> str:
    command = [context.python, "-m", "phoenix_compat", "keys", "create", "bench"]
    done = subprocess.run(  # noqa: S603 - our own command line
        [*command, "--data-dir", folder],
        cwd=context.checkout or ROOT,
        env=_without_settings(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BenchmarkError(f"no key could be created:\n{done.stderr}")
    return done.stdout.strip()


def comparison_app(name: str) -> Serve:
    """One of the servers of `apps`, by its name."""

    @contextmanager
    def serve(context: BenchmarkContext) -> Iterator[Running]:
        port = free_port()
        own = ["-m", "tests.benchmarks.apps", name, str(port), str(context.new_folder())]
        with running([sys.executable, *own], port) as server:
            yield server

    return serve


@contextmanager
def running(
    command: Sequence[str],
    port: int,
    environment: Mapping[str, str] | None = None,
    *,
    checkout: Path | None = None,
    core: int = SERVER_CORE,
) -> Iterator[Running]:
    """Run a server on its core while the block runs; entered when it accepts connections.

    Args:
        checkout: the folder to run it in; None for this checkout.
        core: which one that is.

    Raises:
        BenchmarkError: the server exits or does not listen in time; the text has its output.
    """
    with tempfile.TemporaryFile() as output:
        begin_s = time.perf_counter()
        server = subprocess.Popen(  # noqa: S603 - our own command line
            pinned(command, core),
            stdout=output,
            stderr=output,
            cwd=checkout or ROOT,
            env=_without_settings(os.environ) | dict(environment or {}),
        )
        try:
            if not _listens(port, server):
                output.seek(0)
                text = output.read().decode(errors="replace")
                raise BenchmarkError(f"{' '.join(command)} does not listen on port {port}:\n{text}")
            yield Running(port, server.pid, time.perf_counter() - begin_s)
        finally:
            _end(server)


def free_port() -> int:
    """A free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without settings of our server, which could change the results."""
    names = ("PHOENIX_COMPAT_", "REPLICATE_", "PUBLIC_URL")
    return {name: value for name, value in environment.items() if not name.startswith(names)}


def _listens(port: int, server: subprocess.Popen[bytes]) -> bool:
    deadline_s = time.monotonic() + patient(START_S)
    while time.monotonic() < deadline_s and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.005)
    return False


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(patient(STOP_S))
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
