"""The .deb and its systemd unit in a booted machine."""

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
TASK = {"input_data": {"type": "image", "prompt": "Medieval monk"}}
CONFIG = "etc/phoenix-compat/config.toml"
FIRST_KEY = "/var/lib/phoenix-compat/first-key"
_WATCHDOG_S = 30.0
_BROKEN = 'port = "many"\n'
_ERROR_TEXT = "must be a whole number from 0 to 65535, not 'many'"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A booted Debian with the package in /srv, not installed."""
    try:
        with booted(tmp_path_factory.mktemp("machine")) as fresh:
            shutil.copy(PACKAGE, fresh.root / "srv")
            yield fresh
    except BootError as error:
        pytest.skip(f"a machine cannot be booted here: {error}")


@pytest.fixture
def installed(machine: Machine) -> Iterator[Machine]:
    """The machine with the package installed."""
    machine.check_output("apt-get", "install", "--yes", f"/srv/{PACKAGE.name}")
    machine.key = machine.check_output("cat", FIRST_KEY).strip()
    yield machine
    machine.check_output("dpkg", "--purge", UNIT)
    machine.check_output("rm", "-rf", "/var/lib/phoenix-compat")


def configure(machine: Machine, line: str) -> None:
    """Add a line at the start of the default configuration."""
    path = machine.root / CONFIG
    path.write_text(line + path.read_text())


def main_pid(machine: Machine) -> int:
    """The process id of the server in the machine."""
    return int(machine.unit_property(UNIT, "MainPID"))


def is_healthy(machine: Machine) -> bool:
    """True when /healthz is ok."""
    health = machine.get(f"{URL}/healthz")
    return health is not None and health["status"] == "ok"


def completed_task(machine: Machine) -> str:
    """Post a task and wait until it has completed. Returns its id."""
    task_id: str = machine.post(f"{URL}/api/tasks", TASK)["task_id"]
    assert machine.ended_task(URL, task_id)["status"] == "completed"
    return task_id


def test_an_install_starts_the_service(installed: Machine) -> None:
    """After `apt install` the unit is active and enabled, its status has the URL, and a task
    completes. The journal has no warnings."""
    health = installed.get(f"{URL}/healthz")
    completed_task(installed)
    status = installed.check_output("systemctl", "status", "--full", UNIT)
    enabled = installed.check_output("systemctl", "is-enabled", UNIT).strip()
    warnings = installed.check_output(
        *("journalctl", "--boot", "--output", "json", "--priority", "warning", "--unit", UNIT)
    )

    assert (health["status"], health["version"]) == ("ok", __version__)
    assert health["connections"]["accept_errors"] == 0
    assert "Active: active (running)" in status
    assert f'Status: "listening on {URL}"' in status
    assert enabled == "enabled"
    assert [json.loads(line)["MESSAGE"] for line in warnings.splitlines()] == []


def test_the_service_starts_after_a_reboot(installed: Machine) -> None:
    """After a reboot the server runs again and has the earlier task."""
    task_id = completed_task(installed)

    installed.shut_down()
    installed.boot()
    installed.until(lambda: is_healthy(installed))
    task = installed.get(f"{URL}/api/tasks/{task_id}")

    assert task["status"] == "completed"


def test_a_killed_server_is_restarted(installed: Machine) -> None:
    """systemd restarts a server after SIGKILL, and it has its tasks."""
    task_id = completed_task(installed)
    before = main_pid(installed)

    installed.kill(before, "KILL")
    installed.until(lambda: main_pid(installed) not in {0, before} and is_healthy(installed))

    assert installed.unit_property(UNIT, "NRestarts") == "1"
    assert installed.get(f"{URL}/api/tasks/{task_id}")["status"] == "completed"


def test_a_hanging_server_is_restarted(installed: Machine) -> None:
    """The watchdog kills a stopped process, and only the new process remains."""
    before = main_pid(installed)

    installed.kill(before, "STOP")
    installed.until(
        lambda: main_pid(installed) not in {0, before} and is_healthy(installed), _WATCHDOG_S + 30
    )

    assert "Watchdog timeout" in installed.journal(UNIT)
    assert installed.pids() == [main_pid(installed)]


def test_a_broken_configuration_is_refused_once(installed: Machine) -> None:
    """A restart fails once with the name of the invalid setting. Once fixed, a restart works."""
    valid = (installed.root / CONFIG).read_text()
    configure(installed, _BROKEN)

    refused = installed.run("systemctl", "restart", UNIT).returncode
    state = installed.unit_property(UNIT, "ActiveState")
    attempts = installed.journal(UNIT).count(_ERROR_TEXT)
    (installed.root / CONFIG).write_text(valid)
    fixed = installed.run("systemctl", "restart", UNIT).returncode

    assert (refused, state, attempts) == (1, "failed", 1)
    assert fixed == 0
    assert is_healthy(installed)


def test_a_reload_applies_the_configuration(installed: Machine) -> None:
    """`systemctl reload` changes the log level of the running process. An invalid configuration
    is refused, and the running settings stay."""
    before = main_pid(installed)
    configure(installed, 'log_level = "debug"\n')
    installed.check_output("systemctl", "reload", UNIT)
    installed.until(lambda: "config.reloaded" in installed.journal(UNIT))
    configure(installed, _BROKEN)
    refused = installed.run("systemctl", "reload", UNIT).returncode

    assert refused == 1
    assert _ERROR_TEXT in installed.journal(UNIT)
    assert main_pid(installed) == before
    assert is_healthy(installed)


def test_workers_run_in_the_sandbox(installed: Machine) -> None:
    """With `workers = 2` a supervisor and two workers run, and all of them stop."""
    configure(installed, "workers = 2\n")
    installed.check_output("systemctl", "restart", UNIT)
    processes = installed.pids()
    completed_task(installed)
    installed.check_output("systemctl", "stop", UNIT)

    assert len(processes) == 3
    assert installed.pids() == []
    assert installed.unit_property(UNIT, "Result") == "success"


def test_a_proxy_of_another_user_connects_to_a_unix_socket(installed: Machine) -> None:
    """The unit has a folder for it, in /run, which other users may enter but not change."""
    path = "/run/phoenix-compat/http.sock"
    configure(installed, f'unix_socket = "{path}"\nunix_socket_mode = "0666"\n')
    installed.check_output("systemctl", "restart", UNIT)
    probe = ("phoenix-compat", "healthcheck", "--config", "/dev/null", "--unix-socket", path)

    answer = installed.check_output(*probe, user="nobody")
    refused = installed.run("touch", "/run/phoenix-compat/file", user="nobody")
    installed.check_output("systemctl", "stop", UNIT)
    left = installed.run("ls", "/run/phoenix-compat")

    assert "ready" in answer
    assert "Permission denied" in refused.stderr
    assert left.returncode != 0


def test_a_stop_is_clean(installed: Machine) -> None:
    """`systemctl stop` ends the server with exit code 0, and it is not restarted."""
    installed.check_output("systemctl", "stop", UNIT)

    assert installed.unit_property(UNIT, "ActiveState") == "inactive"
    assert installed.unit_property(UNIT, "ExecMainStatus") == "0"
    assert not is_healthy(installed)


def test_an_upgrade_restarts_the_service(installed: Machine) -> None:
    """Reinstalling the package starts a new process, which has the tasks."""
    task_id = completed_task(installed)
    before = main_pid(installed)

    installed.check_output("apt-get", "install", "--yes", "--reinstall", f"/srv/{PACKAGE.name}")

    assert main_pid(installed) not in {0, before}
    assert installed.get(f"{URL}/api/tasks/{task_id}")["status"] == "completed"


def test_a_fresh_install_has_a_first_key(installed: Machine) -> None:
    """Only the server's user can read it, and the journal does not have it. An upgrade creates no
    other one. Root manages keys while the service runs."""
    mode = installed.check_output("stat", "--format=%a %U", FIRST_KEY).strip()
    stranger = installed.run("cat", FIRST_KEY, user="nobody")
    journal = installed.journal(UNIT)
    installed.check_output("rm", FIRST_KEY)
    installed.check_output("apt-get", "install", "--yes", "--reinstall", f"/srv/{PACKAGE.name}")
    installed.until(lambda: is_healthy(installed))
    created = installed.check_output("phoenix-compat", "keys", "create", "phone").strip()
    listed = json.loads(installed.check_output("phoenix-compat", "keys", "list", "--json"))
    refused = installed.run("phoenix-compat", "keys", "list", user="nobody")

    assert mode == f"600 {UNIT}"
    assert stranger.returncode != 0
    assert FIRST_KEY in journal
    assert installed.key not in journal
    assert created.startswith("pck_")
    assert [record["name"] for record in listed] == ["first", "phone"]
    assert installed.run("test", "-e", FIRST_KEY).returncode == 1
    assert refused.returncode == 2


def test_remove_and_purge_keep_the_data(installed: Machine) -> None:
    """`apt remove` stops the server and keeps the configuration. `apt purge` deletes it and the
    files of the unit. The tasks stay."""
    installed.check_output("apt-get", "remove", "--yes", UNIT)
    processes = installed.pids()
    config = (installed.root / CONFIG).exists()
    installed.check_output("apt-get", "purge", "--yes", UNIT)
    unit_files = installed.check_output("find", "/etc", "-name", f"*{UNIT}*")
    failed = installed.check_output("systemctl", "--failed", "--no-legend")

    assert processes == []
    assert config
    assert unit_files == ""
    assert failed == ""
    assert (installed.root / "var/lib/phoenix-compat/tasks.sqlite3").exists()


def test_the_unit_is_hardened(installed: Machine) -> None:
    """`systemd-analyze security` gives an exposure level of at most 1.2 of 10; lower is better."""
    installed.check_output("systemd-analyze", "security", "--no-pager", "--threshold=12", UNIT)


def test_the_data_directory_is_private(installed: Machine) -> None:
    """Other users cannot read the data directory."""
    found = installed.check_output("stat", "--format=%a %U", "/var/lib/phoenix-compat")

    assert found.strip() == f"700 {UNIT}"
