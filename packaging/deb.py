"""Builds the .deb from a bundle: lays out the files as installed, and packs them with dpkg-deb."""

# ruff: noqa: S603, S607 - all commands are literals in this file

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from manual import write_manual

PACKAGING = Path(__file__).resolve().parent
ROOT = PACKAGING.parent

_SCRIPTS = ("postinst", "prerm", "postrm")


def build_deb(bundle: Path, folder: Path, version: str, epoch_s: int) -> Path:
    """Pack the bundle with its systemd unit, its configuration, its manual and the scripts.

    Args:
        bundle: the folder that PyInstaller created.
        folder: the output folder.
        epoch_s: the modification time of all files.
    """
    machine = _output("dpkg", "--print-architecture")
    target = folder / f"phoenix-compat_{version}_{machine}.deb"
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name)
        tree.chmod(0o755)
        _lay_out(bundle, tree)
        write_manual(tree, version, epoch_s)
        control = tree / "DEBIAN"
        control.mkdir()
        for script in _SCRIPTS:
            _copy(PACKAGING / "debian" / script, control / script, 0o755)
        (control / "conffiles").write_text("/etc/phoenix-compat/config.toml\n")
        size_kib = sum(path.lstat().st_size for path in tree.rglob("*")) // 1024
        text = (PACKAGING / "debian" / "control").read_text()
        (control / "control").write_text(
            text.format(version=version, machine=machine, size_kib=size_kib)
        )
        for path in (tree, *tree.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
            os.utime(path, (epoch_s, epoch_s), follow_symlinks=False)
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(tree), str(target)],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch_s)},
        )
    return target


def _lay_out(bundle: Path, tree: Path) -> None:
    program = tree / "usr/lib/phoenix-compat"
    shutil.copytree(bundle, program, symlinks=True)
    command = tree / "usr/bin/phoenix-compat"
    command.parent.mkdir()
    command.symlink_to("../lib/phoenix-compat/phoenix-compat")
    unit = tree / "lib/systemd/system/phoenix-compat.service"
    _copy(PACKAGING / "systemd" / "phoenix-compat.service", unit, 0o644)
    _copy(PACKAGING / "config.toml", tree / "etc/phoenix-compat/config.toml", 0o644)
    documents = tree / "usr/share/doc/phoenix-compat"
    _copy(ROOT / "CHANGELOG.md", documents / "CHANGELOG.md", 0o644)
    _copy(PACKAGING / "debian" / "copyright", documents / "copyright", 0o644)


def _copy(source: Path, target: Path, mode: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
