"""The .deb and its unit, as shipped, under a systemd that runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import pytest

from phoenix_compat.version import __version__
from tests.packaging.conftest import PACKAGE
from tests.packaging.machine import BOOTER, BootError, Machine, booted

pytestmark = [
    pytest.mark.packaging,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        shutil.which(BOOTER) is None, reason=f"{BOOTER} is not installed (systemd-container)"
    ),
]

UNIT = "phoenix-compat"
URL = "http://127.0.0.1:4000"
ORDER = {"input_data": {"type": "image", "prompt": "Medieval monk"}}
CONFIG = "etc/phoenix-compat/config.toml"
_WATCHDOG_S = 30.0
_BROKEN = 'port = "many"\n'
_SAID = "port: Input should be a valid integer"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A booted Debian with the package in /srv; not installed."""
    try:
        with booted(tmp_path_factory.mktemp("machine")) as fresh:
            shutil.copy(PACKAGE, fresh.root / "srv")
            yield fresh
    except BootError as error:
        pytest.skip(f"no machine can be booted here: {error}")


@pytest.fixture
def installed(machine: Machine) -> Iterator[Machine]:
    """The machine with the package, as an operator installs it."""
    machine.done("apt-get", "install", "--yes", f"/srv/{PACKAGE.name}")
    yield machine
    machine.done("dpkg", "--purge", UNIT)
    machine.done("rm", "-rf", "/var/lib/phoenix-compat")


def configure(machine: Machine, line: str) -> None:
    """Put a line before the configuration that is shipped."""
    path = machine.root / CONFIG
    path.write_text(line + path.read_text())


def main_pid(machine: Machine) -> int:
    """The server's process id inside."""
    return int(machine.unit_property(UNIT, "MainPID"))


def answers(machine: Machine) -> bool:
    """Whether the server is well."""
    health = machine.get(f"{URL}/healthz")
    return health is not None and health["status"] == "ok"


def completed_task(machine: Machine) -> str:
    """The id of a task that was ordered and has completed."""
    task_id: str = machine.post(f"{URL}/api/tasks", ORDER)["task_id"]
    assert machine.ended_task(URL, task_id)["status"] == "completed"
    return task_id


def test_an_install_starts_it(installed: Machine) -> None:
    """After `apt install` the unit is active and enabled, says where it listens, and does a job; in
    the sandbox nothing is refused that it needs."""
    health = installed.get(f"{URL}/healthz")
    completed_task(installed)
    status = installed.done("systemctl", "status", "--full", UNIT)
    enabled = installed.done("systemctl", "is-enabled", UNIT).strip()
    warnings = installed.done(
        *("journalctl", "--boot", "--output", "json", "--priority", "warning", "--unit", UNIT)
    )

    assert health == {"status": "ok", "version": __version__}
    assert "Active: active (running)" in status
    assert f'Status: "listening on {URL}"' in status
    assert enabled == "enabled"
    assert [json.loads(line)["MESSAGE"] for line in warnings.splitlines()] == []


def test_it_comes_back_after_a_reboot(installed: Machine) -> None:
    """The machine is switched off and on: the server is up by itself, with the task from before."""
    task_id = completed_task(installed)

    installed.switch_off()
    installed.switch_on()
    installed.until(lambda: answers(installed))
    task = installed.get(f"{URL}/api/tasks/{task_id}")

    assert task["status"] == "completed"


def test_kill_9_is_answered_by_a_restart(installed: Machine) -> None:
    """A server that was killed is started again, and keeps its tasks."""
    task_id = completed_task(installed)
    before = main_pid(installed)

    installed.kill(before, "KILL")
    installed.until(lambda: main_pid(installed) not in {0, before} and answers(installed))

    assert installed.unit_property(UNIT, "NRestarts") == "1"
    assert installed.get(f"{URL}/api/tasks/{task_id}")["status"] == "completed"


def test_a_server_that_hangs_is_killed_and_started_again(installed: Machine) -> None:
    """The watchdog finds a stopped process; no port is held by it afterwards."""
    before = main_pid(installed)

    installed.kill(before, "STOP")
    installed.until(
        lambda: main_pid(installed) not in {0, before} and answers(installed), _WATCHDOG_S + 30
    )

    assert "Watchdog timeout" in installed.journal(UNIT)
    assert installed.pids() == [main_pid(installed)]


def test_a_broken_configuration_is_refused_once(installed: Machine) -> None:
    """A restart with it fails and says which setting is wrong; it is not tried again; after the
    mend a restart works at once."""
    whole = (installed.root / CONFIG).read_text()
    configure(installed, _BROKEN)

    refused = installed.run("systemctl", "restart", UNIT).returncode
    state = installed.unit_property(UNIT, "ActiveState")
    tries = installed.journal(UNIT).count(_SAID)
    (installed.root / CONFIG).write_text(whole)
    mended = installed.run("systemctl", "restart", UNIT).returncode

    assert (refused, state, tries) == (1, "failed", 1)
    assert mended == 0
    assert answers(installed)


def test_a_reload_takes_over_what_may_change(installed: Machine) -> None:
    """`systemctl reload` changes the level of the log of the running process; a configuration that
    cannot work is refused, and the server goes on as it was."""
    before = main_pid(installed)
    configure(installed, 'log_level = "debug"\n')
    installed.done("systemctl", "reload", UNIT)
    installed.until(lambda: "config.reloaded" in installed.journal(UNIT))
    configure(installed, _BROKEN)
    refused = installed.run("systemctl", "reload", UNIT).returncode

    assert refused == 1
    assert _SAID in installed.journal(UNIT)
    assert main_pid(installed) == before
    assert answers(installed)


def test_workers_run_in_the_sandbox(installed: Machine) -> None:
    """With `workers = 2` supervisor and workers serve together, and stop together."""
    configure(installed, "workers = 2\n")
    installed.done("systemctl", "restart", UNIT)
    processes = installed.pids()
    completed_task(installed)
    installed.done("systemctl", "stop", UNIT)

    assert len(processes) == 3
    assert installed.pids() == []
    assert installed.unit_property(UNIT, "Result") == "success"


def test_a_stop_is_clean(installed: Machine) -> None:
    """`systemctl stop` ends it with exit code 0, and it stays ended."""
    installed.done("systemctl", "stop", UNIT)

    assert installed.unit_property(UNIT, "ActiveState") == "inactive"
    assert installed.unit_property(UNIT, "ExecMainStatus") == "0"
    assert not answers(installed)


def test_an_upgrade_restarts_it(installed: Machine) -> None:
    """Installing the package over itself leaves a new process, and the tasks."""
    task_id = completed_task(installed)
    before = main_pid(installed)

    installed.done("apt-get", "install", "--yes", "--reinstall", f"/srv/{PACKAGE.name}")

    assert main_pid(installed) not in {0, before}
    assert installed.get(f"{URL}/api/tasks/{task_id}")["status"] == "completed"


def test_remove_and_purge_leave_the_data_alone(installed: Machine) -> None:
    """`apt remove` stops it and keeps the configuration, `apt purge` takes that and the unit's
    traces; the tasks stay."""
    installed.done("apt-get", "remove", "--yes", UNIT)
    left = installed.pids()
    config = (installed.root / CONFIG).exists()
    installed.done("apt-get", "purge", "--yes", UNIT)
    traces = installed.done("find", "/etc", "-name", f"*{UNIT}*")
    failed = installed.done("systemctl", "--failed", "--no-legend")

    assert left == []
    assert config
    assert traces == ""
    assert failed == ""
    assert (installed.root / "var/lib/phoenix-compat/tasks.sqlite3").exists()


def test_the_sandbox_is_tight(installed: Machine) -> None:
    """`systemd-analyze security` scores the unit at most 1.2 of 10; 0 is the tightest."""
    installed.done("systemd-analyze", "security", "--no-pager", "--threshold=12", UNIT)


def test_the_data_directory_is_the_servers_alone(installed: Machine) -> None:
    """Nobody else reads the tasks."""
    found = installed.done("stat", "--format=%a %U", "/var/lib/phoenix-compat")

    assert found.strip() == f"750 {UNIT}"
