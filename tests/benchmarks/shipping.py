"""What the ways to ship cost: size, start, memory.

    python -m tests.benchmarks.shipping [--rounds N]

After `make binary`: the one file, the folder and the installed package side by side, in turn, as
rows of a table for docs/deploy.md. Start is the time from exec to the first 200 of /healthz; memory
is the proportional share (PSS) of the idle server, which has the emulator inside.
"""

# ruff: noqa: S603, T201 - our own programs are run; the result goes to stdout

from __future__ import annotations

import argparse
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from phoenix_compat.version import __version__
from tests.integration.commands import ROOT, environment
from tests.integration.proxies import free_port

_PATIENCE_S = 30.0
_IDLE_S = 2.0
_LOOK_S = 0.005
_ONE_FILE = ROOT / "dist" / f"phoenix-compat-{__version__}-linux-{platform.machine()}"
_FOLDER = ROOT / "build" / "bundle" / "phoenix-compat"
_VENV = Path(sys.executable).parents[1]


def size_mb(path: Path) -> float:
    """What a file or a folder takes, in megabytes."""
    files = [path] if path.is_file() else [one for one in path.rglob("*") if not one.is_symlink()]
    return sum(one.stat().st_size for one in files if one.is_file()) / 1e6


def run_once(command: tuple[str, ...]) -> tuple[float, float]:
    """Seconds to the first 200, and MiB of the idle server."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        began_s = time.perf_counter()
        process = subprocess.Popen(
            [*command, "serve", "--port", str(port), "--data-dir", folder],
            stdout=subprocess.DEVNULL,
            env=environment({}),
        )
        try:
            _first_answer(f"http://127.0.0.1:{port}/healthz", began_s)
            took_s = time.perf_counter() - began_s
            time.sleep(_IDLE_S)
            rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
            found = re.search(r"^Pss:\s+(\d+)", rollup, re.MULTILINE)
            assert found is not None
            return took_s, int(found.group(1)) / 1024
        finally:
            process.terminate()
            process.wait()


def _first_answer(url: str, began_s: float) -> None:
    while time.perf_counter() - began_s < _PATIENCE_S:
        try:
            with urllib.request.urlopen(url) as answer:  # noqa: S310 - our own server
                assert answer.status == 200
                return
        except urllib.error.URLError:
            time.sleep(_LOOK_S)
    raise SystemExit(f"{url} does not answer")


def version_ms(command: tuple[str, ...]) -> float:
    """How long `--version` takes."""
    began_s = time.perf_counter()
    subprocess.run([*command, "--version"], check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began_s) * 1000


def main() -> None:
    """Measure all in turn, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if not _ONE_FILE.exists():
        raise SystemExit("nothing was built yet: make binary")
    ways = {
        "one file": ((str(_ONE_FILE),), _ONE_FILE),
        "folder (.tar.gz, .deb)": ((str(_FOLDER / "phoenix-compat"),), _FOLDER),
        "venv (with the tools of the tests)": ((str(_VENV / "bin" / "phoenix-compat"),), _VENV),
    }
    with tempfile.TemporaryDirectory() as fresh:
        began_s = time.perf_counter()
        subprocess.run(
            [str(_ONE_FILE), "--version"],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": fresh},
        )
        unpacking_s = time.perf_counter() - began_s
    runs = [
        {name: (*run_once(command), version_ms(command)) for name, (command, _) in ways.items()}
        for _ in range(options.rounds)
    ]
    print("| | size | `--version` | to the first 200 | idle memory |\n|---|---|---|---|---|")
    for name, (_, path) in ways.items():
        start_s, memory_mib, ms = (
            statistics.median(run[name][column] for run in runs) for column in range(3)
        )
        print(
            f"| {name} | {size_mb(path):.0f} MB | {ms:.0f} ms | {start_s:.2f} s |"
            f" {memory_mib:.0f} MiB |"
        )
    print(f"\nThe first start of the one file, which unpacks: {unpacking_s:.2f} s to `--version`.")


if __name__ == "__main__":
    main()
