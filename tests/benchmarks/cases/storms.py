"""Many clients of the task server: they come back after a kill, and they stay.

    python -m tests.benchmarks.cases.storms [--clients 10000] [--storms 6] [--idle 18000]

In a storm the server is killed while all clients watch a task, and started again at once. They come
back with phoenix.js's own waits. It prints, for each storm, when the last one was joined and told
the state, counted from the start of the new process; the heartbeats of the first thousand who were
back, meanwhile; and the memory when all have left, beside that of a server that had no clients.

Then the clients come in five steps and stay: the memory and its slope, and the CPU time of their
heartbeats, one in thirty seconds from each. They come from two addresses.

The server has core 0 and the clients core 1.
"""

# ruff: noqa: T201 - the result is printed

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.benchmark import BenchmarkError
from tests.benchmarks.context import BenchmarkContext
from tests.benchmarks.loads import task_client
from tests.benchmarks.machine import LOAD_CORE, facts, pinned, raise_open_file_limit
from tests.benchmarks.servers import Running, task_server
from tests.benchmarks.tools import DEFAULT_FOLDER, Tools

TASKS: Final = 100
BEATING: Final = 1_000
HEARTBEAT_S: Final = 30.0
STEPS: Final = 5
SOURCES: Final = "127.0.0.2,127.0.0.3"
SETTLED_S: Final = 8.0
"""After this the server has given back what the clients that are gone had; see `after_storms`."""

MAX_BACK_S: Final = 8.0
MAX_P99_MS: Final = 250.0
MAX_MEMORY_RATIO: Final = 1.10

_SPARE_FILES: Final = 500
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


class Clients:
    """The process with the clients; see `loads.returning_clients`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @classmethod
    @contextmanager
    def of(
        cls, port: int, count: int, tasks: Sequence[str], sources: str = ""
    ) -> Iterator[Clients]:
        """Start it; it ends with the block."""
        module = "tests.benchmarks.loads.returning_clients"
        own = [sys.executable, "-m", module, str(port), str(count), sources, *tasks]
        with subprocess.Popen(  # noqa: S603 - our own command line
            pinned(own, LOAD_CORE), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                yield cls(process)
            finally:
                process.kill()

    def tell(self, command: str) -> None:
        """Begin something; `answer` waits for its end."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """What the clients found. Raises BenchmarkError if they have given up."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchmarkError("the clients have given up; they said why")
        found: dict[str, Any] = json.loads(line)
        return found

    def do(self, command: str) -> dict[str, Any]:
        """Do something, and wait for its end."""
        self.tell(command)
        return self.answer()


@contextmanager
def _server(context: BenchmarkContext, folder: Path, clients: int, port: int) -> Iterator[Running]:
    settings: dict[str, object] = {
        "data_dir": folder,
        "max_connections": clients + _SPARE_FILES,
        "max_connections_per_address": clients + _SPARE_FILES,
    }
    with task_server(context, port=port, **settings) as server:
        yield server


def _with_tasks(context: BenchmarkContext) -> tuple[Path, list[str], int]:
    """A data folder with completed tasks, their ids, and a port.

    The servers that are measured have drawn no picture, which would change their memory.
    """
    folder = context.new_folder()
    with _server(context, folder, TASKS, 0) as server:
        tasks = [task_client.post(server) for _ in range(TASKS)]
        task_client.wait_until_ended(server)
        return folder, tasks, server.port


def storms(context: BenchmarkContext, clients: int, count: int) -> list[dict[str, Any]]:
    """Kill the server of so many clients, again and again. Returns what each storm was like."""
    folder, tasks, port = _with_tasks(context)
    found: list[dict[str, Any]] = []
    with Clients.of(port, clients, tasks) as all_clients:
        for _ in range(count):
            with _server(context, folder, clients, port) as server:
                time.sleep(2.0)
                idle_kib = _resident_kib(server.pid)
                all_clients.do("join")
                all_clients.tell(f"return {BEATING}")
                os.kill(server.pid, signal.SIGKILL)
            begun_s = time.monotonic()
            with _server(context, folder, clients, port) as server:
                back = all_clients.answer()
                peak_kib = _resident_kib(server.pid)
                all_clients.do("leave")
                time.sleep(SETTLED_S)
                after_kib = _resident_kib(server.pid)
            back |= {
                "back_s": round(back["at_s"] - begun_s, 2),
                "start_s": round(server.started_in_s, 2),
                "idle_kib": idle_kib,
                "peak_kib": peak_kib,
                "after_kib": after_kib,
            }
            found.append(back)
            print(json.dumps(back), flush=True)
    return found


def idle(context: BenchmarkContext, clients: int) -> list[dict[str, Any]]:
    """Clients that stay, more and more of them. Returns memory and CPU time at each step."""
    folder, tasks, port = _with_tasks(context)
    found: list[dict[str, Any]] = []
    for step in range(1, STEPS + 1):
        count = clients * step // STEPS
        with (
            _server(context, folder, clients, port) as server,
            Clients.of(port, count, tasks, SOURCES) as all_clients,
        ):
            joined = all_clients.do("join")
            time.sleep(1.0)
            resident_kib, cpu_s = _resident_kib(server.pid), _cpu_s(server.pid)
            beats = all_clients.do(f"beat {HEARTBEAT_S}")
            used_s = _cpu_s(server.pid) - cpu_s
        found.append(
            {
                "clients": count,
                "refused": joined["refused"] + beats["refused"],
                "resident_kib": resident_kib,
                "cpu_percent": round(100 * used_s / HEARTBEAT_S, 1),
                "p99_ms": beats["p99_ms"],
            }
        )
        print(json.dumps(found[-1]), flush=True)
    return found


def storm_table(found: Sequence[dict[str, Any]], clients: int) -> str:
    """The worst of all storms, and the limits."""
    refused = sum(one["refused"] for one in found)
    back_s = [one["back_s"] for one in found]
    p99_ms = max(one["p99_ms"] for one in found)
    memory = max(one["after_kib"] / one["idle_kib"] for one in found)
    worst, limit, most = "the worst", f"{MAX_P99_MS:.0f} ms", f"{MAX_MEMORY_RATIO:.2f}"
    text = f"{statistics.median(back_s):.1f} s (at most {max(back_s):.1f} s)"
    return "\n".join(
        (
            f"| {clients} clients, {len(found)} kills | figure | limit |",
            "|---|---|---|",
            f"| all joined and told again, after the start | {text} | {MAX_BACK_S:.0f} s |",
            f"| handshakes and joins refused | {refused} | 0 |",
            f"| p99 of a heartbeat of the first {BEATING}, {worst} | {p99_ms:.0f} ms | {limit} |",
            f"| memory when all have left, beside before, {worst} | {memory:.2f} | {most} |",
        )
    )


def idle_table(found: Sequence[dict[str, Any]]) -> str:
    """A row for each number of clients, and the slope."""
    rows = [
        f"| {one['clients']} | {one['resident_kib'] / 1024:.0f} MiB | {one['cpu_percent']} % | "
        f"{one['p99_ms']} ms | {one['refused']} |"
        for one in found
    ]
    first, last = found[0], found[-1]
    slope = (last["resident_kib"] - first["resident_kib"]) * 1024
    slope //= max(last["clients"] - first["clients"], 1)
    head = (
        "| idle joined clients | resident memory | CPU of heartbeats | p99 of one | refused |",
        "|---|---|---|---|---|",
    )
    return "\n".join((*head, *rows, "", f"Each further client takes {slope} bytes."))


def _resident_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise BenchmarkError("the server is gone")


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--storms", type=int, default=6)
    parser.add_argument("--idle", type=int, default=18_000)
    options = parser.parse_args()
    raise_open_file_limit(max(options.clients, options.idle) + _SPARE_FILES)
    print(json.dumps(facts()))
    with tempfile.TemporaryDirectory(prefix="storms-") as folder:
        context = BenchmarkContext(tools=Tools(Path(folder), DEFAULT_FOLDER), disk=Path(folder))
        if options.storms:
            found = storms(context, options.clients, options.storms)
            print(f"\n{storm_table(found, options.clients)}\n")
        if options.idle:
            print(f"\n{idle_table(idle(context, options.idle))}")


if __name__ == "__main__":
    main()
