"""What the ways to ship cost: size, start, memory.

    python -m tests.benchmarks.works.shipping [--rounds N]

After `make binary`: the one file, the folder, and a venv with nothing but the package, which is
made for this from the tree; side by side, in turn, as the table of docs/operations.md. Start is the
time from exec to the first 200 of /healthz; memory is the proportional share (PSS) of the idle
server, which has the emulator inside.
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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from phoenix_compat.version import __version__
from tests.integration.operations.commands import ROOT, environment
from tests.integration.process.proxies import free_port

_PATIENCE_S = 30.0
_IDLE_S = 2.0
_LOOK_S = 0.005
_ONE_FILE = ROOT / "dist" / f"phoenix-compat-{__version__}-linux-{platform.machine()}"
_FOLDER = ROOT / "build" / "bundle" / "phoenix-compat"

HEADER = "| | size | `--version` | to the first 200 | idle memory |"
ONE_FILE, FOLDER, VENV = "one file", "folder (`.tar.gz`, `.deb`)", "venv, without Python itself"


@dataclass(frozen=True)
class Way:
    """One way to ship: how it is called, what starts it, and what it takes on the disk."""

    name: str
    program: Path
    path: Path


def make_venv(folder: Path) -> Way:
    """The package of this tree, installed as a user installs it."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    subprocess.run(
        [
            *(str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"),
            *(
                "--disable-pip-version-check",
                "-c",
                str(ROOT / "constraints.txt"),
                f"{ROOT}[server]",
            ),
        ],
        check=True,
    )
    return Way(VENV, folder / "bin" / "phoenix-compat", folder)


def size_mb(path: Path) -> float:
    """What a file or a folder takes, in megabytes."""
    files = [path] if path.is_file() else [one for one in path.rglob("*") if not one.is_symlink()]
    return sum(one.stat().st_size for one in files if one.is_file()) / 1e6


def run_once(program: Path) -> tuple[float, float]:
    """Seconds to the first 200, and MiB of the idle server."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        began_s = time.perf_counter()
        process = subprocess.Popen(
            [str(program), "serve", "--port", str(port), "--data-dir", folder],
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


def version_ms(program: Path, **environment: str) -> float:
    """How long `--version` takes."""
    began_s = time.perf_counter()
    subprocess.run(
        [str(program), "--version"],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )
    return (time.perf_counter() - began_s) * 1000


def row(way: Way, runs: Sequence[tuple[float, float, float]]) -> str:
    """A way's row of the table: medians of its runs (start in s, memory in MiB, version in ms)."""
    start_s, memory_mib, ms = map(statistics.median, zip(*runs, strict=True))
    size = f"{size_mb(way.path):.0f} MB"
    return f"| {way.name} | {size} | {ms:.0f} ms | {start_s:.2f} s | {memory_mib:.0f} MiB |"


def main() -> None:
    """Measure all in turn, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if not _ONE_FILE.exists():
        raise SystemExit("nothing was built yet: make binary")
    with tempfile.TemporaryDirectory() as made:
        ways = (
            Way(ONE_FILE, _ONE_FILE, _ONE_FILE),
            Way(FOLDER, _FOLDER / "phoenix-compat", _FOLDER),
            make_venv(Path(made) / "venv"),
        )
        unpacking_ms = version_ms(_ONE_FILE, TMPDIR=made)
        runs: dict[Way, list[tuple[float, float, float]]] = {way: [] for way in ways}
        for _ in range(options.rounds):
            for way in ways:
                runs[way].append((*run_once(way.program), version_ms(way.program)))
        print(f"{HEADER}\n|---|---|---|---|---|")
        for way in ways:
            print(row(way, runs[way]))
    print(f"\nThe first start of the one file, which unpacks: {unpacking_ms / 1000:.2f} s.")


if __name__ == "__main__":
    main()
