"""A Debian that boots: systemd-nspawn runs systemd as its first process, without a network."""

# ruff: noqa: S603, S607 - Debian's own tools, with arguments of the tests

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.packaging.bare_root import CLEAN, Room, bare_root

BOOTER = "systemd-nspawn"
_PATIENCE_S = 60.0


class BootError(Exception):
    """This machine cannot boot another one; the text is what its console showed."""


class Machine(Room):
    """A root that can be switched on and off.

    Args:
        folder: holds the root, and what the console shows.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "root", 0)
        self._console = folder / "console"
        self._booter: subprocess.Popen[bytes] | None = None

    def switch_on(self) -> None:
        """Boot, to the end.

        Raises:
            BootError: it failed.
        """
        # Nobody but us knows of it: no systemd and no D-Bus need to run out here.
        options = ("--boot", "--private-network", "--register=no", "--keep-unit", "--console=pipe")
        with self._console.open("wb") as console:
            self._booter = subprocess.Popen(
                [BOOTER, "--directory", str(self.root), *options],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
            )
        try:
            self.until(self._is_up, _PATIENCE_S)
        except AssertionError as error:
            raise BootError(self._console.read_text()[-500:]) from error

    def switch_off(self) -> None:
        """Shut down in order."""
        assert self._booter is not None
        self._booter.terminate()
        try:
            self._booter.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._booter.kill()
            self._booter.wait()
            raise

    def unit_property(self, unit: str, name: str) -> str:
        """What systemd knows of a unit."""
        return self.done("systemctl", "show", "--property", name, "--value", unit).strip()

    def journal(self, unit: str) -> str:
        """What the unit and systemd said of it since the last boot."""
        return self.done("journalctl", "--boot", "--output", "cat", "--unit", unit)

    def _is_up(self) -> bool:
        assert self._booter is not None
        assert self._booter.poll() is None, self._booter.returncode
        if self._first_process() is None:
            return False
        state = self.run("systemctl", "is-system-running").stdout.strip()
        return state in {"running", "degraded"}

    def _first_process(self) -> int | None:
        """Its process id out here."""
        assert self._booter is not None
        booter = self._booter.pid
        for child in Path(f"/proc/{booter}/task/{booter}/children").read_text().split():
            with suppress(OSError):
                if Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                    return int(child)
        return None

    @property
    def _enter(self) -> tuple[str, ...]:
        return "nsenter", "--target", str(self._first_process()), "--net"

    def _inside(self, command: tuple[str, ...], user: str) -> list[str]:
        spaces = ("--mount", "--uts", "--ipc", "--pid", "--cgroup")
        return [*self._enter, *spaces, "chroot", "--userspec", user, "/", *CLEAN, *command]


@contextmanager
def booted(folder: Path) -> Iterator[Machine]:
    """A machine of a fresh root in this folder, switched on; shut down at the end.

    Raises:
        BootError: it cannot be done here.
    """
    machine = Machine(folder)
    base = bare_root("systemd-sysv", "dbus")
    subprocess.run(["cp", "--archive", "--reflink=auto", str(base), str(machine.root)], check=True)
    try:
        machine.switch_on()
        yield machine
    finally:
        machine.switch_off()
        shutil.rmtree(machine.root)
