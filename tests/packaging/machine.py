"""A Debian that boots with systemd: systemd-nspawn runs it, without a network."""

# ruff: noqa: S603, S607 - Debian's tools, with arguments from the tests

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.packaging.sandbox import CLEAN, Sandbox, debian_root

BOOTER = "systemd-nspawn"
_TIMEOUT_S = 60.0


class BootError(Exception):
    """The machine cannot be booted here; the text is the end of its console output."""


class Machine(Sandbox):
    """A Debian root that can be booted and shut down.

    Args:
        folder: the folder with the root and the console output.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "root", 0)
        self._console = folder / "console"
        self._booter: subprocess.Popen[bytes] | None = None

    def boot(self) -> None:
        """Boot, and wait until all units have started.

        Raises:
            BootError: the boot failed.
        """
        # Not registered, because this machine may run without systemd and D-Bus.
        options = ("--boot", "--private-network", "--register=no", "--keep-unit", "--console=pipe")
        with self._console.open("wb") as console:
            self._booter = subprocess.Popen(
                [BOOTER, "--directory", str(self.root), *options],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
            )
        try:
            self.until(self._is_up, _TIMEOUT_S)
        except AssertionError as error:
            raise BootError(self._console.read_text()[-500:]) from error

    def shut_down(self) -> None:
        """Shut down cleanly."""
        assert self._booter is not None
        self._booter.terminate()
        try:
            self._booter.wait(_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._booter.kill()
            self._booter.wait()
            raise

    def unit_property(self, unit: str, name: str) -> str:
        """A property of a unit, from `systemctl show`."""
        return self.check_output("systemctl", "show", "--property", name, "--value", unit).strip()

    def journal(self, unit: str) -> str:
        """The journal of a unit since the last boot."""
        return self.check_output("journalctl", "--boot", "--output", "cat", "--unit", unit)

    def _is_up(self) -> bool:
        assert self._booter is not None
        assert self._booter.poll() is None, self._booter.returncode
        if self._systemd_pid() is None:
            return False
        state = self.run("systemctl", "is-system-running").stdout.strip()
        return state in {"running", "degraded"}

    def _systemd_pid(self) -> int | None:
        """The process id of its systemd, as seen on this machine."""
        assert self._booter is not None
        booter = self._booter.pid
        for child in Path(f"/proc/{booter}/task/{booter}/children").read_text().split():
            with suppress(OSError):
                if Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                    return int(child)
        return None

    @property
    def _enter(self) -> tuple[str, ...]:
        return "nsenter", "--target", str(self._systemd_pid()), "--net"

    def _inside(self, command: tuple[str, ...], user: str) -> list[str]:
        namespaces = ("--mount", "--uts", "--ipc", "--pid", "--cgroup")
        return [*self._enter, *namespaces, "chroot", "--userspec", user, "/", *CLEAN, *command]


@contextmanager
def booted(folder: Path) -> Iterator[Machine]:
    """Boot a machine with a new root in this folder, and shut it down at the end.

    Raises:
        BootError: it cannot be booted here.
    """
    machine = Machine(folder)
    base = debian_root("systemd-sysv", "dbus")
    subprocess.run(["cp", "--archive", "--reflink=auto", str(base), str(machine.root)], check=True)
    try:
        machine.boot()
        yield machine
    finally:
        machine.shut_down()
        shutil.rmtree(machine.root)
