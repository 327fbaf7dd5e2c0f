"""The one-file executable in a minimal Debian without Python and without a network."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from phoenix_compat.version import __version__
from tests.packaging.conftest import ONE_FILE
from tests.packaging.sandbox import NOEXEC, Sandbox

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(300)]

BINARY = f"/opt/{ONE_FILE.name}"
WITHOUT_OPTIONS = ("/bin/sh", "-c", f"cd /srv && exec {BINARY} serve")
JPEG = b"\xff\xd8\xff"
SERVE = (BINARY, "serve", "--port", "0", "--data-dir", "/srv/data")
TEMP = "/tmp"  # noqa: S108 - where the one file unpacks; the tests are about it
HOME = f"{TEMP}/phoenix-compat-0"
NOEXEC_TEMP = ("/usr/bin/env", f"TMPDIR={NOEXEC}")
TASK = {"input_data": {"type": "image", "prompt": "Medieval monk"}}


def test_the_sandbox_is_isolated(sandbox: Sandbox) -> None:
    """The sandbox has no Python and no route to a network."""
    assert sandbox.run("sh", "-c", "ls /usr/bin/python* /usr/local/bin/python*").stdout == ""
    assert sandbox.run("sh", "-c", "cat /proc/net/route | tail -n +2").stdout == ""


def test_the_demo_saves_a_picture(sandbox: Sandbox) -> None:
    """`demo` starts a server, posts a task, receives its progress and saves a JPEG."""
    printed = sandbox.check_output(BINARY, "demo", "--out", "/srv/demo")

    path = printed.splitlines()[-1]
    assert (sandbox.root / path.lstrip("/")).read_bytes()[:3] == JPEG


def test_a_task_completes_after_sigkill_and_a_restart(sandbox: Sandbox) -> None:
    """The server is one process, so SIGKILL leaves nothing running. After a restart the task
    completes with one create. No option or setting is needed."""
    first = sandbox.start(*WITHOUT_OPTIONS)
    url = first.url()
    (server,) = sandbox.pids()
    task_id = sandbox.post(f"{url}/api/tasks", TASK)["task_id"]
    sandbox.until(lambda: "prediction_id" in sandbox.get(f"{url}/api/tasks/{task_id}"))

    sandbox.kill(server, "KILL")
    first.process.wait(timeout=10)
    left, answer = sandbox.pids(), sandbox.get(f"{url}/healthz")
    again = sandbox.start(*WITHOUT_OPTIONS).url()
    task = sandbox.ended_task(again, task_id)
    picture_url = task["result_data"]["image_url"]

    assert left == []
    assert answer is None
    assert again == url == "http://127.0.0.1:4000"
    assert task["status"] == "completed"
    assert sandbox.fetch(picture_url)[:3] == JPEG
    created = re.findall(
        r'"id": "(\w{26})"', (sandbox.root / "srv/data/emulator.jsonl").read_text()
    )
    assert len(set(created)) == 1


def test_workers_run_and_end_with_their_supervisor(sandbox: Sandbox) -> None:
    """`--workers 2` runs three processes, which complete a task; all end with the supervisor."""
    program = sandbox.start(*SERVE, "--workers", "2")
    url = program.url()
    processes = sandbox.pids()
    task_id = sandbox.post(f"{url}/api/tasks", TASK)["task_id"]
    task = sandbox.ended_task(url, task_id)

    sandbox.kill(processes[0], "KILL")
    program.process.wait(timeout=10)
    sandbox.until(lambda: sandbox.pids() == [])

    assert len(processes) == 3
    assert task["status"] == "completed"
    assert sandbox.get(f"{url}/healthz") is None


def test_it_unpacks_in_the_data_directory_when_tmp_is_noexec(sandbox: Sandbox) -> None:
    """With a noexec temp directory the server starts without a warning."""
    program = sandbox.start(*NOEXEC_TEMP, *SERVE)

    health = sandbox.get(f"{program.url()}/healthz")

    assert health["version"] == __version__
    assert (sandbox.root / "srv/data/.program").is_dir()
    assert "cannot" not in program.output.read_text()


def test_without_a_place_to_unpack_the_error_names_both(sandbox: Sandbox) -> None:
    """The error names both places with the reasons and says what to do; the exit code is 2."""
    (sandbox.root / "srv/data").write_text("a file")

    finished = sandbox.run(*NOEXEC_TEMP, *SERVE)

    assert finished.returncode == 2
    assert f"cannot unpack in {NOEXEC}: it is mounted noexec" in finished.stderr
    assert "/srv/data" in finished.stderr
    assert "set TMPDIR" in finished.stderr


@pytest.fixture
def small_temp(sandbox: Sandbox) -> Iterator[str]:
    """A temp directory that is too small for the bundle."""
    sandbox.check_output("mkdir", "-p", "/srv/small")
    sandbox.check_output("mount", "-t", "tmpfs", "-o", "mode=1777,size=20m", "tmpfs", "/srv/small")
    yield "/srv/small"
    sandbox.stop_all()
    sandbox.check_output("umount", "/srv/small")


def test_a_full_disk_leaves_nothing_behind(sandbox: Sandbox, small_temp: str) -> None:
    """When the bundle does not fit, its files are removed and the data directory is used. When it
    does not fit there either, the error names both places."""
    temp = ("/usr/bin/env", f"TMPDIR={small_temp}")
    elsewhere = sandbox.check_output(
        *temp, "PHOENIX_COMPAT_DATA_DIR=/srv/data", BINARY, "--version"
    )
    left = sandbox.check_output("find", small_temp, "-type", "f")

    finished = sandbox.run(*temp, f"PHOENIX_COMPAT_DATA_DIR={small_temp}/data", BINARY, "--version")

    assert __version__ in elsewhere
    assert left == ""
    assert finished.returncode == 2
    assert finished.stderr.count("No space left on device") == 2
    assert sandbox.check_output("find", small_temp, "-type", "f") == ""


def test_setuid_is_refused(sandbox: Sandbox) -> None:
    """A setuid launcher must not run files from /tmp, and the program would not get the rights."""
    sandbox.check_output("sh", "-c", f"cp {BINARY} /srv/setuid && chmod 4755 /srv/setuid")

    finished = sandbox.run("/srv/setuid", "--version", user="nobody")

    assert finished.returncode == 2
    assert "setuid" in finished.stderr
    assert sandbox.check_output("ls", TEMP) == ""


def test_a_folder_that_another_user_made_first_is_not_trusted(sandbox: Sandbox) -> None:
    """A folder with our name in /tmp is skipped when it belongs to another user."""
    sandbox.check_output("mkdir", "-m", "0777", HOME, user="nobody")

    printed = sandbox.check_output(
        "/usr/bin/env", "PHOENIX_COMPAT_DATA_DIR=/srv/data", BINARY, "--version"
    )

    assert __version__ in printed
    assert (sandbox.root / "srv/data/.program").is_dir()


def test_missing_files_are_unpacked_again_and_old_versions_removed(sandbox: Sandbox) -> None:
    """The next start restores a missing file and removes a version that is not running."""
    sandbox.check_output(BINARY, "--version")
    sandbox.check_output(
        "sh", "-c", f"rm {HOME}/*/_internal/base_library.zip; mkdir {HOME}/0123456789abcdef"
    )

    printed = sandbox.check_output(BINARY, "--version")

    assert __version__ in printed
    assert len(sandbox.check_output("ls", HOME).split()) == 1


def test_a_damaged_download_is_refused(sandbox: Sandbox) -> None:
    """A truncated or changed file does not run and leaves no files."""
    whole = ONE_FILE.read_bytes()
    binary = sandbox.root / "srv/broken"
    results: list[subprocess.CompletedProcess[str]] = []
    for broken in (whole[:-100], whole[:-5000] + b"\0" * 64 + whole[-4936:]):
        binary.write_bytes(broken)
        binary.chmod(0o755)
        results.append(sandbox.run("/srv/broken", "--version"))

    assert [result.returncode for result in results] == [2, 2]
    assert all("download it again" in result.stderr for result in results)
    assert sandbox.check_output("find", TEMP, "-type", "f") == ""
