"""Builds what runs without Python: the one-file executable, the .tar.gz and the .deb.

    python packaging/bundle.py [--reuse] [FOLDER]

PyInstaller makes the bundle, a folder; the three are made of that same folder.
"""

# ruff: noqa: S603 - the programs that are run are named here

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

from archive import tar_gz
from deb import build_deb

ROOT = Path(__file__).resolve().parents[1]
BUNDLE = ROOT / "build" / "bundle" / "phoenix-compat"

_MAGIC = b"PHXCFILE"
_DIGEST_LENGTH = 16


def version() -> str:
    """The version, from the one place where it is."""
    found: str = runpy.run_path(str(ROOT / "phoenix_compat" / "version.py"))["__version__"]
    return found


def last_commit_s() -> int:
    """The time of everything in a release: SOURCE_DATE_EPOCH, else that of the last commit."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    return int(_output("git", "-C", str(ROOT), "log", "-1", "--format=%ct"))


def build_bundle(epoch_s: int) -> None:
    """Run PyInstaller. Hashes and times are fixed, so that what it writes depends on its input."""
    subprocess.run(
        [
            *(sys.executable, "-m", "PyInstaller", "--noconfirm", "--clean", "--log-level", "WARN"),
            *("--distpath", str(BUNDLE.parent), "--workpath", str(ROOT / "build" / "pyinstaller")),
            str(ROOT / "packaging" / "phoenix-compat.spec"),
        ],
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "0", "SOURCE_DATE_EPOCH": str(epoch_s)},
    )
    _strip(BUNDLE)


def _strip(bundle: Path) -> None:
    """Take out what only debuggers read, a third of the size. Not from Pillow's libraries: they
    were edited after they were linked, and strip breaks such files."""
    libraries = [
        str(path)
        for path in sorted(bundle.rglob("*.so*"))
        if path.is_file() and not path.is_symlink() and path.parent.name != "pillow.libs"
    ]
    subprocess.run(["strip", "--strip-unneeded", *libraries], check=True)  # noqa: S607 - binutils


def build_one_file(bundle: Path, target: Path, epoch_s: int) -> None:
    """The executable of launcher.c with the bundle behind it."""
    launcher = ROOT / "build" / "launcher"
    sources = [str(ROOT / "packaging" / name) for name in ("launcher.c", "payload.c")]
    compiler = os.environ.get("CC", "cc")
    flags = ("-O2", "-Wall", "-Wextra", "-Werror", "-static", "-s")
    subprocess.run([compiler, *flags, "-o", str(launcher), *sources, "-lz"], check=True)
    target.write_bytes(joined(launcher.read_bytes(), tar_gz(bundle, "", epoch_s)))
    target.chmod(0o755)


def joined(head: bytes, payload: bytes) -> bytes:
    """The launcher, the archive behind it, and the trailer; see payload.c."""
    digest = hashlib.sha256(payload).hexdigest()[:_DIGEST_LENGTH]
    return head + payload + _MAGIC + f"{len(head):016x}{digest}".encode()


def machine() -> str:
    """The machine, in the words of `uname -m`."""
    return platform.machine()


def build_all(folder: Path, epoch_s: int, *, is_built: bool = False) -> list[Path]:
    """Build the three.

    Args:
        folder: where they go.
        is_built: take the bundle that is there.
    """
    if not is_built:
        build_bundle(epoch_s)
    folder.mkdir(parents=True, exist_ok=True)
    name = f"phoenix-compat-{version()}"
    one_file = folder / f"{name}-linux-{machine()}"
    build_one_file(BUNDLE, one_file, epoch_s)
    tarball = folder / f"{one_file.name}.tar.gz"
    tarball.write_bytes(tar_gz(BUNDLE, f"{name}/", epoch_s))
    return [one_file, tarball, build_deb(BUNDLE, folder, version(), epoch_s)]


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    """Build, and say what was built."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "dist")
    parser.add_argument("--reuse", action="store_true", help="take the bundle that is there")
    options = parser.parse_args()
    if shutil.which(os.environ.get("CC", "cc")) is None or shutil.which("dpkg-deb") is None:
        raise SystemExit("missing tools: apt-get install gcc libc6-dev zlib1g-dev binutils dpkg")
    for path in build_all(options.folder, last_commit_s(), is_built=options.reuse):
        print(f"{path.stat().st_size / 1e6:6.1f} MB  {path}")  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
