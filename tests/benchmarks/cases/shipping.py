"""Compares the distribution formats: size, start-up time and memory.

    python -m tests.benchmarks.cases.shipping [--rounds N]

Run it after `make binary`. It measures the one-file executable, the folder and a venv with only the
package, in turn, and prints the table of docs/operations.md. The start-up time is that from exec to
the first 200 of /healthz. Memory is the proportional set size (PSS) of the idle server, with the
emulator in the same process.
"""

# ruff: noqa: S603, T201 - it runs our own programs; the result is printed

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

_START_TIMEOUT_S = 30.0
_IDLE_S = 2.0
_POLL_S = 0.005
_ONE_FILE = ROOT / "dist" / f"phoenix-compat-{__version__}-linux-{platform.machine()}"
_FOLDER = ROOT / "build" / "bundle" / "phoenix-compat"

HEADER = "| | size | `--version` | to the first 200 | idle memory |"
ONE_FILE, FOLDER, VENV = "one file", "folder (`.tar.gz`, `.deb`)", "venv, without Python itself"


@dataclass(frozen=True)
class Format:
    """A distribution format: its name, its program, and the path whose size counts."""

    name: str
    program: Path
    path: Path


def make_venv(folder: Path) -> Format:
    """Install the package of this tree into a venv, as a user does."""
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
    return Format(VENV, folder / "bin" / "phoenix-compat", folder)


def size_mb(path: Path) -> float:
    """The size of a file or a folder in megabytes."""
    files = [path] if path.is_file() else [one for one in path.rglob("*") if not one.is_symlink()]
    return sum(one.stat().st_size for one in files if one.is_file()) / 1e6


def run_once(program: Path) -> tuple[float, float]:
    """Run the server once. Returns seconds to the first 200, and the memory in MiB when idle."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        began_s = time.perf_counter()
        process = subprocess.Popen(
            [str(program), "serve", "--port", str(port), "--data-dir", folder],
            stdout=subprocess.DEVNULL,
            env=environment({}),
        )
        try:
            _wait_for_200(f"http://127.0.0.1:{port}/healthz", began_s)
            took_s = time.perf_counter() - began_s
            time.sleep(_IDLE_S)
            rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
            found = re.search(r"^Pss:\s+(\d+)", rollup, re.MULTILINE)
            assert found is not None
            return took_s, int(found.group(1)) / 1024
        finally:
            process.terminate()
            process.wait()


def _wait_for_200(url: str, began_s: float) -> None:
    while time.perf_counter() - began_s < _START_TIMEOUT_S:
        try:
            with urllib.request.urlopen(url) as answer:  # noqa: S310 - our own server
                assert answer.status == 200
                return
        except urllib.error.URLError:
            time.sleep(_POLL_S)
    raise SystemExit(f"{url} does not answer")


def version_ms(program: Path, **environment: str) -> float:
    """How long `--version` takes, in milliseconds."""
    began_s = time.perf_counter()
    subprocess.run(
        [str(program), "--version"],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )
    return (time.perf_counter() - began_s) * 1000


def row(format_: Format, runs: Sequence[tuple[float, float, float]]) -> str:
    """The row of a format: medians of its runs (start in s, memory in MiB, version in ms)."""
    start_s, memory_mib, ms = map(statistics.median, zip(*runs, strict=True))
    size = f"{size_mb(format_.path):.0f} MB"
    return f"| {format_.name} | {size} | {ms:.0f} ms | {start_s:.2f} s | {memory_mib:.0f} MiB |"


def main() -> None:
    """Measure all formats in turn, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if not _ONE_FILE.exists():
        raise SystemExit("There is no executable yet; run: make binary")
    with tempfile.TemporaryDirectory() as temporary:
        formats = (
            Format(ONE_FILE, _ONE_FILE, _ONE_FILE),
            Format(FOLDER, _FOLDER / "phoenix-compat", _FOLDER),
            make_venv(Path(temporary) / "venv"),
        )
        unpacking_ms = version_ms(_ONE_FILE, TMPDIR=temporary)
        runs: dict[Format, list[tuple[float, float, float]]] = {format_: [] for format_ in formats}
        for _ in range(options.rounds):
            for format_ in formats:
                runs[format_].append((*run_once(format_.program), version_ms(format_.program)))
        print(f"{HEADER}\n|---|---|---|---|---|")
        for format_ in formats:
            print(row(format_, runs[format_]))
    print(f"\nThe first start of the one file, which unpacks: {unpacking_ms / 1000:.2f} s.")


if __name__ == "__main__":
    main()
