"""How near the server comes to what the machine's sockets allow.

    python -m tests.benchmarks.against_limit ../shared/bench

Compiles the load generator and the minimal C server of the folder given, pins the server under test
to one core and the generator to another, and measures both in turn. Absolute figures drift with the
machine; the ratio of two medians of one run is what counts. Prints a JSON line for each measurement
and a table at the end.
"""

# ruff: noqa: T201 - the result goes to stdout

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SERVER_CORE, _LOAD_CORE = "0", "1"

WORK = {
    "fan-out 1000, 1 in flight": ["fanout", "-n", "1000", "-w", "1", "-m", "200"],
    "fan-out 1000, 4 in flight": ["fanout", "-n", "1000", "-w", "4", "-m", "300"],
    "echo, 100 connections": ["echo", "-n", "100", "-d", "3"],
    "heartbeats, 100 connections": ["heartbeat", "-n", "100", "-d", "3"],
    "idle, 1000 joined": ["idle", "-n", "1000", "-d", "2"],
}


def compile_tools(sources: Path, into: Path) -> tuple[Path, Path]:
    """Build phxload and wslimit; their paths."""
    for name, libraries in (("phxload", ["-lm"]), ("wslimit", [])):
        command = ["gcc", "-O2", "-o", str(into / name), str(sources / f"{name}.c"), *libraries]
        subprocess.run(command, check=True)  # noqa: S603 - our own command line
    return into / "phxload", into / "wslimit"


@contextmanager
def running(command: list[str], port: int) -> Iterator[int]:
    """A server pinned to its core, once it accepts connections; yields its pid."""
    pinned = ["taskset", "-c", _SERVER_CORE, *command]
    with subprocess.Popen(pinned, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:  # noqa: S603 - our own command line
        try:
            _wait_for(port, server)
            yield server.pid
        finally:
            server.terminate()


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + 15
    while time.monotonic() < deadline_s and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"{server.args!r} does not listen on port {port}")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def measure(phxload: Path, arguments: list[str], port: int, pid: int) -> dict[str, Any]:
    """One run of the generator; its JSON."""
    command = ["taskset", "-c", _LOAD_CORE, str(phxload), *arguments]
    command += ["-p", str(port), "--pid", str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command line
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _measure_fresh(kind: str, phxload: Path, wslimit: Path, arguments: list[str]) -> dict[str, Any]:
    """One run against a server of its own, so that none inherits another's memory."""
    port = free_port()
    ours = [sys.executable, "-m", "phoenix_compat", "conformance", "serve", "--port", str(port)]
    with running(ours if kind == "server" else [str(wslimit), str(port), "1"], port) as pid:
        return measure(phxload, arguments, port, pid)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", type=Path, help="the folder of phxload.c and wslimit.c")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="measure only works whose name contains this")
    options = parser.parse_args()
    for tool in ("gcc", "taskset"):
        if shutil.which(tool) is None:
            raise SystemExit(f"{tool} is needed and not installed")
    machine = {"machine": platform.machine(), "cores": os.cpu_count(), "python": sys.version[:6]}
    work = {name: run for name, run in WORK.items() if not options.only or options.only in name}
    figures: dict[tuple[str, str], list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        phxload, wslimit = compile_tools(options.sources, Path(folder))
        for number in range(options.rounds):
            for kind in ("server", "limit"):
                for name, arguments in work.items():
                    result = _measure_fresh(kind, phxload, wslimit, arguments)
                    figures.setdefault((name, kind), []).append(result)
                    line = {"round": number, "server": kind, "work": name, **machine, **result}
                    print(json.dumps(line), flush=True)
    _print_table(work, figures)


def _print_table(
    work: dict[str, list[str]], figures: dict[tuple[str, str], list[dict[str, Any]]]
) -> None:
    print(f"\n{'work':32}{'server':>12}{'limit':>12}{'ratio':>8}")
    for name in work:
        field = "rss_per_conn_bytes" if name.startswith("idle") else "ops_per_s"
        server, limit = (
            statistics.median(result[field] for result in figures[name, kind])
            for kind in ("server", "limit")
        )
        ratio = "" if field != "ops_per_s" else f"{server / limit:8.2f}"
        unit = " B" if field != "ops_per_s" else "/s"
        print(f"{name:32}{server:10.0f}{unit}{limit:10.0f}{unit}{ratio}")


if __name__ == "__main__":
    main()
