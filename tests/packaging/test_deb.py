"""The .deb in a bare Debian: installed, started as its unit says, stopped, removed.

systemd itself does not run in the room: its part is played by hand, with the commands, the user and
the environment of the unit. That the scripts leave a system without systemd alone is seen too.
"""

from __future__ import annotations

import re

import pytest

from phoenix_compat.version import __version__
from tests.integration.operations.commands import ROOT
from tests.packaging.bare_root import Program, Room
from tests.packaging.conftest import PACKAGE

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(300)]

UNIT = (ROOT / "packaging" / "systemd" / "phoenix-compat.service").read_text()
USER = "phoenix-compat:phoenix-compat"
URL = "http://127.0.0.1:4000"
ORDER = {"input_data": {"type": "image", "prompt": "Medieval monk"}}


def command(name: str) -> tuple[str, ...]:
    """A command of the unit."""
    found = re.search(rf"^{name}=(.+)$", UNIT, re.MULTILINE)
    assert found is not None
    return tuple(found.group(1).split())


def started(room: Room) -> Program:
    """What systemd does at a start: the check, then the server, as the unit's user."""
    room.done(*command("ExecStartPre"), user=USER)
    program = room.start(*command("ExecStart"), user=USER)
    program.url()
    return program


@pytest.fixture
def installed(room: Room) -> Room:
    """The room with the package."""
    room.done("dpkg", "--install", f"/opt/{PACKAGE.name}")
    return room


def test_install_start_kill_restart_stop_remove(installed: Room) -> None:
    """The whole life of a package: a job that is done is kept over SIGKILL, one that was in hand
    completes after the restart; stop drains with exit code 0; remove leaves the data, purge takes
    the configuration too."""
    room = installed
    version = room.done("phoenix-compat", "--version", user=USER)
    first = started(room)
    task_id = room.post(f"{URL}/api/tasks", ORDER)["task_id"]
    completed = room.ended_task(URL, task_id)
    in_hand = room.post(f"{URL}/api/tasks", ORDER)["task_id"]
    room.until(lambda: "prediction_id" in room.get(f"{URL}/api/tasks/{in_hand}"))
    room.kill(room.pids()[0], "KILL")
    first.process.wait(timeout=10)
    silent = room.get(f"{URL}/healthz")
    second = started(room)
    kept = room.get(f"{URL}/api/tasks/{task_id}")
    taken_up = room.ended_task(URL, in_hand)
    room.kill(room.pids()[0], "TERM")
    code = second.process.wait(timeout=30)
    room.done("dpkg", "--remove", "phoenix-compat")
    after_remove = room.run("sh", "-c", "command -v phoenix-compat").stdout
    config = (room.root / "etc/phoenix-compat/config.toml").exists()
    told = room.done("dpkg", "--purge", "phoenix-compat")

    assert __version__ in version
    assert completed["status"] == "completed"
    assert silent is None
    assert kept["result_data"] == completed["result_data"]
    assert taken_up["status"] == "completed"
    assert code == 0
    assert after_remove == ""
    assert config
    assert not (room.root / "etc/phoenix-compat").exists()
    assert (room.root / "var/lib/phoenix-compat/tasks.sqlite3").exists()
    assert "are kept" in told


def test_the_configuration_is_for_the_server_and_root_alone(installed: Room) -> None:
    """It may hold a token: nobody else reads it, and the server does not write it."""
    config = "/etc/phoenix-compat/config.toml"

    status = installed.done("stat", "--format=%a %U:%G", config).strip()
    stranger = installed.run("cat", config, user="nobody")
    installed.done("dpkg", "--purge", "phoenix-compat")

    assert status == f"640 root:{USER.partition(':')[0]}"
    assert stranger.returncode != 0


def test_a_second_install_keeps_what_was_changed(installed: Room) -> None:
    """An upgrade leaves the operator's configuration and the data as they are."""
    config = installed.root / "etc/phoenix-compat/config.toml"
    config.write_text('data_dir = "/var/lib/phoenix-compat"\nport = 4321\n')

    installed.done("dpkg", "--install", f"/opt/{PACKAGE.name}")
    text = config.read_text()
    installed.done("dpkg", "--purge", "phoenix-compat")

    assert "port = 4321" in text


def test_the_licence_is_where_debian_looks_for_it(installed: Room) -> None:
    """Everybody can read it."""
    path = "/usr/share/doc/phoenix-compat/copyright"

    text = installed.done("cat", path, user="nobody")
    installed.done("dpkg", "--purge", "phoenix-compat")

    assert text == (ROOT / "packaging" / "debian" / "copyright").read_text()
