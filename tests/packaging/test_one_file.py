"""The one-file executable in a bare Debian without Python and without a network."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from phoenix_compat.version import __version__
from tests.packaging.bare_root import NOEXEC, Room
from tests.packaging.conftest import ONE_FILE

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(300)]

BINARY = f"/opt/{ONE_FILE.name}"
BARE = ("/bin/sh", "-c", f"cd /srv && exec {BINARY} serve")
JPEG = b"\xff\xd8\xff"
SERVE = (BINARY, "serve", "--port", "0", "--data-dir", "/srv/data")
TEMP = "/tmp"  # noqa: S108 - where the one file unpacks; the tests are about it
HOME = f"{TEMP}/phoenix-compat-0"
NO_PROGRAMS = ("/usr/bin/env", f"TMPDIR={NOEXEC}")
ORDER = {"input_data": {"type": "image", "prompt": "Medieval monk"}}


def test_the_room_is_bare(room: Room) -> None:
    """There is no Python inside, and no way out."""
    assert room.run("sh", "-c", "ls /usr/bin/python* /usr/local/bin/python*").stdout == ""
    assert room.run("sh", "-c", "cat /proc/net/route | tail -n +2").stdout == ""


def test_the_demo_job_runs_to_its_picture(room: Room) -> None:
    """`demo` starts a server, orders, hears the progress over the channel and saves a JPEG."""
    printed = room.done(BINARY, "demo", "--out", "/srv/demo")

    path = printed.splitlines()[-1]
    assert (room.root / path.lstrip("/")).read_bytes()[:3] == JPEG


def test_a_task_completes_after_kill_9_and_a_restart(room: Room) -> None:
    """Started bare, without an option or a setting: the server is one process, SIGKILL in the
    middle of a task leaves nothing serving, and the next start completes that task, ordered once,
    with its picture."""
    first = room.start(*BARE)
    url = first.url()
    (server,) = room.pids()
    task_id = room.post(f"{url}/api/tasks", ORDER)["task_id"]
    room.until(lambda: "prediction_id" in room.get(f"{url}/api/tasks/{task_id}"))

    room.kill(server, "KILL")
    first.process.wait(timeout=10)
    left, answer = room.pids(), room.get(f"{url}/healthz")
    again = room.start(*BARE).url()
    task = room.ended_task(again, task_id)
    picture_url = task["result_data"]["image_url"]

    assert left == []
    assert answer is None
    assert again == url == "http://127.0.0.1:4000"
    assert task["status"] == "completed"
    assert room.fetch(picture_url)[:3] == JPEG
    emulator = picture_url.partition("/files/")[0]
    assert room.get(f"{emulator}/__emu/counts")["counts"]["created"] == 1


def test_workers_run_and_end_with_their_supervisor(room: Room) -> None:
    """`--workers 2` is three processes that do a job; none outlives a supervisor that is killed."""
    program = room.start(*SERVE, "--workers", "2")
    url = program.url()
    processes = room.pids()
    task_id = room.post(f"{url}/api/tasks", ORDER)["task_id"]
    task = room.ended_task(url, task_id)

    room.kill(processes[0], "KILL")
    program.process.wait(timeout=10)
    room.until(lambda: room.pids() == [])

    assert len(processes) == 3
    assert task["status"] == "completed"
    assert room.get(f"{url}/healthz") is None


def test_it_unpacks_under_the_data_directory_when_tmp_forbids_programs(room: Room) -> None:
    """With a temp directory mounted noexec the server starts, says nothing of it, and serves."""
    program = room.start(*NO_PROGRAMS, *SERVE)

    health = room.get(f"{program.url()}/healthz")

    assert health["version"] == __version__
    assert (room.root / "srv/data/.program").is_dir()
    assert "cannot" not in program.output.read_text()


def test_no_place_to_unpack_is_a_clear_error(room: Room) -> None:
    """Where no place will do, both are named with the reason and the remedy; exit code 2."""
    (room.root / "srv/data").write_text("a file")

    finished = room.run(*NO_PROGRAMS, *SERVE)

    assert finished.returncode == 2
    assert f"cannot unpack in {NOEXEC}: it is mounted noexec" in finished.stderr
    assert "/srv/data" in finished.stderr
    assert "set TMPDIR" in finished.stderr


@pytest.fixture
def tiny(room: Room) -> Iterator[str]:
    """A temp directory with room for a part of the bundle."""
    room.done("mkdir", "-p", "/srv/tiny")
    room.done("mount", "-t", "tmpfs", "-o", "mode=1777,size=20m", "tmpfs", "/srv/tiny")
    yield "/srv/tiny"
    room.stop_all()
    room.done("umount", "/srv/tiny")


def test_a_full_disk_leaves_nothing_behind(room: Room, tiny: str) -> None:
    """Where the bundle does not fit it is taken away again, and the data directory is used; when it
    does not fit there either, the error says so of both."""
    temp = ("/usr/bin/env", f"TMPDIR={tiny}")
    elsewhere = room.done(*temp, "PHOENIX_COMPAT_DATA_DIR=/srv/data", BINARY, "--version")
    left = room.done("find", tiny, "-type", "f")

    finished = room.run(*temp, f"PHOENIX_COMPAT_DATA_DIR={tiny}/data", BINARY, "--version")

    assert __version__ in elsewhere
    assert left == ""
    assert finished.returncode == 2
    assert finished.stderr.count("No space left on device") == 2
    assert room.done("find", tiny, "-type", "f") == ""


def test_setuid_is_refused(room: Room) -> None:
    """Another user's rights would not reach the program, and must not run what lies in /tmp."""
    room.done("sh", "-c", f"cp {BINARY} /srv/setuid && chmod 4755 /srv/setuid")

    finished = room.run("/srv/setuid", "--version", user="nobody")

    assert finished.returncode == 2
    assert "setuid" in finished.stderr
    assert room.done("ls", TEMP) == ""


def test_a_folder_that_another_user_made_first_is_not_trusted(room: Room) -> None:
    """A stranger's folder of our name in /tmp is passed over."""
    room.done("mkdir", "-m", "0777", HOME, user="nobody")

    printed = room.done("/usr/bin/env", "PHOENIX_COMPAT_DATA_DIR=/srv/data", BINARY, "--version")

    assert __version__ in printed
    assert (room.root / "srv/data/.program").is_dir()


def test_what_a_cleaner_took_is_unpacked_again_and_old_versions_go(room: Room) -> None:
    """A missing file heals at the next start; a version that nobody runs is removed."""
    room.done(BINARY, "--version")
    room.done("sh", "-c", f"rm {HOME}/*/_internal/base_library.zip; mkdir {HOME}/0123456789abcdef")

    printed = room.done(BINARY, "--version")

    assert __version__ in printed
    assert len(room.done("ls", HOME).split()) == 1


def test_a_damaged_download_is_told(room: Room) -> None:
    """A file that was cut off, or of which a byte has changed, does not run, and leaves nothing."""
    whole = ONE_FILE.read_bytes()
    binary = room.root / "srv/broken"
    results: list[subprocess.CompletedProcess[str]] = []
    for broken in (whole[:-100], whole[:-5000] + b"\0" * 64 + whole[-4936:]):
        binary.write_bytes(broken)
        binary.chmod(0o755)
        results.append(room.run("/srv/broken", "--version"))

    assert [result.returncode for result in results] == [2, 2]
    assert all("download it again" in result.stderr for result in results)
    assert room.done("find", TEMP, "-type", "f") == ""
