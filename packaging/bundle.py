"""Builds the packages that run without Python: the one-file executable, the .tar.gz and the .deb.

    python packaging/bundle.py [--reuse] [FOLDER]

PyInstaller creates the bundle, a folder; all three packages are made from it.
"""

# ruff: noqa: S603 - all commands are literals in this file

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
    """The version, from phoenix_compat/version.py."""
    found: str = runpy.run_path(str(ROOT / "phoenix_compat" / "version.py"))["__version__"]
    return found


def last_commit_s() -> int:
    """The timestamp for a release: SOURCE_DATE_EPOCH, or the time of the last commit."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    return int(_output("git", "-C", str(ROOT), "log", "-1", "--format=%ct"))


def build_bundle(epoch_s: int) -> None:
    """Run PyInstaller, with fixed hash seed and timestamps for a reproducible result."""
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
    """Remove debug symbols, a third of the size.

    Pillow's libraries are skipped: they were modified after linking, and strip breaks such files.
    """
    libraries = [
        str(path)
        for path in sorted(bundle.rglob("*.so*"))
        if path.is_file() and not path.is_symlink() and path.parent.name != "pillow.libs"
    ]
    subprocess.run(["strip", "--strip-unneeded", *libraries], check=True)  # noqa: S607 - binutils


def build_one_file(bundle: Path, target: Path, epoch_s: int) -> None:
    """Compile launcher.c and append the bundle to the executable."""
    launcher = ROOT / "build" / "launcher"
    sources = [str(ROOT / "packaging" / name) for name in ("launcher.c", "payload.c")]
    compiler = os.environ.get("CC", "cc")
    flags = ("-O2", "-Wall", "-Wextra", "-Werror", "-static", "-s")
    subprocess.run([compiler, *flags, "-o", str(launcher), *sources, "-lz"], check=True)
    target.write_bytes(joined(launcher.read_bytes(), tar_gz(bundle, "", epoch_s)))
    target.chmod(0o755)


def joined(head: bytes, payload: bytes) -> bytes:
    """The launcher, followed by the archive and the trailer; see payload.c."""
    digest = hashlib.sha256(payload).hexdigest()[:_DIGEST_LENGTH]
    return head + payload + _MAGIC + f"{len(head):016x}{digest}".encode()


def machine() -> str:
    """The machine architecture, as `uname -m` prints it."""
    return platform.machine()


def build_all(folder: Path, epoch_s: int, *, is_built: bool = False) -> list[Path]:
    """Build all three packages. Returns their paths.

    Args:
        folder: the output folder.
        is_built: use the existing bundle.
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
    """Build the packages, and print their sizes and paths."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "dist")
    parser.add_argument("--reuse", action="store_true", help="use the existing bundle")
    options = parser.parse_args()
    if shutil.which(os.environ.get("CC", "cc")) is None or shutil.which("dpkg-deb") is None:
        raise SystemExit(
            "Error: tools are missing; run: apt-get install gcc libc6-dev zlib1g-dev binutils dpkg"
        )
    for path in build_all(options.folder, last_commit_s(), is_built=options.reuse):
        print(f"{path.stat().st_size / 1e6:6.1f} MB  {path}")  # noqa: T201 - the result is printed


if __name__ == "__main__":
    main()
