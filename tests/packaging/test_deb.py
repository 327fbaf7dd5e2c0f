"""The .deb in a minimal Debian without systemd: install, start, stop, remove.

The tests run the commands of the unit themselves, with its user and a clean environment. They also
show that the maintainer scripts work without systemd.
"""

from __future__ import annotations

import re

import pytest

from phoenix_compat.version import __version__
from tests.integration.operations.commands import ROOT
from tests.packaging.conftest import PACKAGE
from tests.packaging.sandbox import Program, Sandbox

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(300)]

UNIT = (ROOT / "packaging" / "systemd" / "phoenix-compat.service").read_text()
USER = "phoenix-compat:phoenix-compat"
URL = "http://127.0.0.1:4000"
TASK = {"input_data": {"type": "image", "prompt": "Medieval monk"}}


def command(name: str) -> tuple[str, ...]:
    """A command of the unit."""
    found = re.search(rf"^{name}=(.+)$", UNIT, re.MULTILINE)
    assert found is not None
    return tuple(found.group(1).split())


def started(sandbox: Sandbox) -> Program:
    """Start the server like systemd: the check, then the server, as the user of the unit."""
    sandbox.check_output(*command("ExecStartPre"), user=USER)
    program = sandbox.start(*command("ExecStart"), user=USER)
    program.url()
    sandbox.key = sandbox.check_output(
        "cat", "/var/lib/phoenix-compat/first-key", user=USER
    ).strip()
    return program


@pytest.fixture
def installed(sandbox: Sandbox) -> Sandbox:
    """The sandbox with the package installed."""
    sandbox.check_output("dpkg", "--install", f"/opt/{PACKAGE.name}")
    return sandbox


def test_install_start_kill_restart_stop_remove(installed: Sandbox) -> None:
    """A completed task survives SIGKILL, and an unfinished one completes after the restart. Stop
    exits with 0. Remove keeps data and configuration; purge deletes only the configuration."""
    sandbox = installed
    version = sandbox.check_output("phoenix-compat", "--version", user=USER)
    first = started(sandbox)
    task_id = sandbox.post(f"{URL}/api/tasks", TASK)["task_id"]
    completed = sandbox.ended_task(URL, task_id)
    unfinished = sandbox.post(f"{URL}/api/tasks", TASK)["task_id"]
    sandbox.until(lambda: "prediction_id" in sandbox.get(f"{URL}/api/tasks/{unfinished}"))
    sandbox.kill(sandbox.pids()[0], "KILL")
    first.process.wait(timeout=10)
    no_answer = sandbox.get(f"{URL}/healthz")
    second = started(sandbox)
    after_kill = sandbox.get(f"{URL}/api/tasks/{task_id}")
    resumed = sandbox.ended_task(URL, unfinished)
    sandbox.kill(sandbox.pids()[0], "TERM")
    code = second.process.wait(timeout=30)
    sandbox.check_output("dpkg", "--remove", "phoenix-compat")
    after_remove = sandbox.run("sh", "-c", "command -v phoenix-compat").stdout
    config = (sandbox.root / "etc/phoenix-compat/config.toml").exists()
    output = sandbox.check_output("dpkg", "--purge", "phoenix-compat")

    assert __version__ in version
    assert completed["status"] == "completed"
    assert no_answer is None
    assert after_kill["result_data"] == completed["result_data"]
    assert resumed["status"] == "completed"
    assert code == 0
    assert after_remove == ""
    assert config
    assert not (sandbox.root / "etc/phoenix-compat").exists()
    assert (sandbox.root / "var/lib/phoenix-compat/tasks.sqlite3").exists()
    assert "are kept" in output


def test_only_root_and_the_server_can_read_the_configuration(installed: Sandbox) -> None:
    """The file may contain a token: other users cannot read it, and the server cannot write it."""
    config = "/etc/phoenix-compat/config.toml"

    status = installed.check_output("stat", "--format=%a %U:%G", config).strip()
    stranger = installed.run("cat", config, user="nobody")
    installed.check_output("dpkg", "--purge", "phoenix-compat")

    assert status == f"640 root:{USER.partition(':')[0]}"
    assert stranger.returncode != 0


def test_an_upgrade_keeps_the_configuration(installed: Sandbox) -> None:
    """Installing the package again does not overwrite a changed configuration."""
    config = installed.root / "etc/phoenix-compat/config.toml"
    config.write_text('data_dir = "/var/lib/phoenix-compat"\nport = 4321\n')

    installed.check_output("dpkg", "--install", f"/opt/{PACKAGE.name}")
    text = config.read_text()
    installed.check_output("dpkg", "--purge", "phoenix-compat")

    assert "port = 4321" in text


def test_the_licence_is_where_debian_looks_for_it(installed: Sandbox) -> None:
    """Everybody can read it."""
    path = "/usr/share/doc/phoenix-compat/copyright"

    text = installed.check_output("cat", path, user="nobody")
    installed.check_output("dpkg", "--purge", "phoenix-compat")

    assert text == (ROOT / "packaging" / "debian" / "copyright").read_text()


def test_shells_complete_and_man_explains(installed: Sandbox) -> None:
    """The files are where Debian's shells look, and the installed program completes."""
    places = (
        "usr/share/bash-completion/completions/phoenix-compat",
        "usr/share/zsh/vendor-completions/_phoenix-compat",
        "usr/share/fish/vendor_completions.d/phoenix-compat.fish",
        "usr/share/man/man1/phoenix-compat-task-list.1.gz",
    )
    missing = [place for place in places if not (installed.root / place).is_file()]

    completed = installed.check_output(
        "env",
        "_PHOENIX_COMPAT_COMPLETE=bash_complete",
        "COMP_WORDS=phoenix-compat ta",
        "COMP_CWORD=1",
        "phoenix-compat",
    )
    installed.check_output("dpkg", "--purge", "phoenix-compat")

    assert missing == []
    assert "task" in completed
