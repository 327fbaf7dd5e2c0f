"""An upgrade from a .deb without authentication: it creates nothing, and says what to do."""

# ruff: noqa: S603, S607 - Debian's tools, with arguments from the tests

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.conftest import PACKAGE
from tests.packaging.sandbox import Sandbox
from tests.packaging.test_deb import TASK, URL, USER, command

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(300)]

CONFIG = "etc/phoenix-compat/config.toml"
DATA = "/var/lib/phoenix-compat"
HINT = "this version does not start"
AS_USER = ("runuser", "-u", "phoenix-compat", "--", "phoenix-compat")
OLD_SERVE = ("phoenix-compat", "serve", "--data-dir", DATA)
KEYS = 'auth = ["keys"]\n'


@pytest.fixture(scope="module")
def older_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as it was before authentication: an older version, and no `auth` in its file."""
    folder = tmp_path_factory.mktemp("older")
    tree, target = folder / "tree", folder / "older.deb"
    subprocess.run(["dpkg-deb", "--raw-extract", str(PACKAGE), str(tree)], check=True)
    config, control = tree / CONFIG, tree / "DEBIAN/control"
    config.write_text(config.read_text().replace(KEYS, ""))
    control.write_text(re.sub(r"(?m)^Version: .*", "Version: 0.0.9", control.read_text()))
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(target)], check=True
    )
    return target


@pytest.fixture
def older(sandbox: Sandbox, older_package: Path) -> Iterator[Sandbox]:
    """The sandbox with the older package, whose server has run and has a task of nobody."""
    target = sandbox.root / "srv/older.deb"
    target.write_bytes(older_package.read_bytes())
    sandbox.check_output("dpkg", "--install", "/srv/older.deb")
    started = sandbox.start(*OLD_SERVE, user=USER)
    started.url()
    task_id = sandbox.post(f"{URL}/api/tasks", TASK)["task_id"]
    sandbox.ended_task(URL, task_id)
    sandbox.kill(sandbox.pids()[0], "TERM")
    started.process.wait(timeout=30)
    yield sandbox
    sandbox.key = ""
    sandbox.stop_all()
    sandbox.check_output("dpkg", "--purge", "phoenix-compat")
    sandbox.check_output("rm", "-rf", DATA)


def upgrade(sandbox: Sandbox) -> str:
    """Install the new package; a configuration that was changed is kept. Returns the output."""
    return sandbox.check_output("dpkg", "--force-confold", "--install", f"/opt/{PACKAGE.name}")


def refusals(sandbox: Sandbox) -> list[str]:
    """What the unit's commands print. They end with exit code 2."""
    finished = [sandbox.run(*command(name), user=USER) for name in ("ExecStartPre", "ExecStart")]
    assert [one.returncode for one in finished] == [2, 2]
    return [one.stderr for one in finished]


def test_a_configuration_that_was_never_changed(older: Sandbox) -> None:
    """dpkg replaces it, so clients need keys. There is none: the installation and the server name
    both ways out. With a key it starts, and the key can take over the tasks."""
    printed = upgrade(older)
    texts = refusals(older)
    files = older.check_output("ls", DATA)
    older.key = older.check_output(*AS_USER, "keys", "create", "phone").strip()
    adopted = older.check_output(*AS_USER, "keys", "adopt", "key:phone")
    older.start(*command("ExecStart"), user=USER).url()
    tasks = older.get(f"{URL}/api/tasks")["tasks"]

    assert KEYS in (older.root / CONFIG).read_text()
    assert HINT in printed
    for text in (printed, *texts):
        assert "phoenix-compat keys create" in text
        assert 'auth = ["none"]' in text
    assert "first-key" not in files
    assert "1 task now belongs to key:phone" in adopted
    assert len(tasks) == 1


def test_a_configuration_that_has_a_public_url(older: Sandbox) -> None:
    """It is kept. The server is reachable for others and has no authentication, so it does not
    start; `insecure_no_auth` is the other way out."""
    config = older.root / CONFIG
    with config.open("a") as file:
        file.write('public_url = "https://tasks.example.com"\n')
    printed = upgrade(older)
    texts = refusals(older)
    with config.open("a") as file:
        file.write("insecure_no_auth = true\n")
    older.check_output(*command("ExecStartPre"), user=USER)
    older.start(*command("ExecStart"), user=USER).url()
    tasks = older.get(f"{URL}/api/tasks")["tasks"]

    assert HINT in printed
    for text in (printed, *texts):
        assert 'auth = ["keys"]' in text
        assert "insecure_no_auth = true" in text
    assert len(tasks) == 1


def test_a_configuration_for_this_machine_alone(older: Sandbox) -> None:
    """It is kept, and the server starts as before, without a key and without a hint."""
    with (older.root / CONFIG).open("a") as file:
        file.write("concurrency = 3\n")
    printed = upgrade(older)
    older.check_output(*command("ExecStartPre"), user=USER)
    older.start(*command("ExecStart"), user=USER).url()
    tasks = older.get(f"{URL}/api/tasks")["tasks"]

    assert HINT not in printed
    assert len(tasks) == 1
    assert older.run("ls", f"{DATA}/first-key").returncode != 0
