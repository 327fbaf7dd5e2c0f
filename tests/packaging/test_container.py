"""The Containerfile, built and run by podman, on a base image made by debootstrap.

The container has no network but its loopback: publishing a port is not tested.
"""

# ruff: noqa: S603, S607 - Debian's own tools, with arguments of the tests

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.operations.commands import ROOT
from tests.packaging.bare_root import Room, bare_root
from tests.packaging.conftest import DIST

_TOOLS = ("podman", "crun")
_MISSING = [tool for tool in _TOOLS if shutil.which(tool) is None]

pytestmark = [
    pytest.mark.packaging,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(_MISSING), reason=f"not installed: {' '.join(_MISSING)}"),
]

IMAGE = "phoenix-compat"
BASE_IMAGE = "docker.io/library/debian:bookworm-slim"
HARDENING = "--read-only --tmpfs /tmp --cap-drop all --security-opt no-new-privileges"
URL = "http://127.0.0.1:4000"
ORDER = {"input_data": {"type": "image", "prompt": "Medieval monk"}}

# A tree of cgroups that every version of crun understands, in a mount namespace of our own.
_HOLDER = """
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup && echo ready
exec sleep infinity
"""
# What runs without rights that the machine of the tests may not have: limits are not raised.
_SPARE = (
    *("--cgroups", "disabled", "--network", "none"),
    *("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"),
)


class Inside(Room):
    """The network of a container, with the programs of this machine."""

    @property
    def _enter(self) -> tuple[str, ...]:
        return "nsenter", "--target", str(self._holder), "--net"


class Engine:
    """podman, with images and containers in a folder of its own."""

    def __init__(self, folder: Path, holder: int) -> None:
        self._podman = (
            *("nsenter", "--target", str(holder), "--mount", "podman"),
            *("--root", str(folder / "images"), "--runroot", str(folder / "run")),
            *("--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--runtime", "crun"),
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of podman to its end."""
        command = [*self._podman, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)

    def done(self, *arguments: str) -> str:
        """What a command that must succeed printed."""
        finished = self.run(*arguments)
        assert finished.returncode == 0, f"{arguments}: {finished.stdout}{finished.stderr}"
        return finished.stdout.strip()

    def image(self) -> Any:
        """What the image says of itself."""
        return json.loads(self.done("image", "inspect", IMAGE))[0]

    def serve(self, name: str) -> Inside:
        """Run the image as it is documented; its network, for requests, once it answers."""
        options = ("--detach", "--name", name, *HARDENING.split(), *_SPARE)
        self.done("run", *options, "--volume", "phoenix-compat:/data", IMAGE)
        return self.inside(name)

    def inside(self, name: str) -> Inside:
        """The network of a container that runs, once the server in it answers."""
        room = Inside(Path("/"), int(self.done("inspect", name, "--format", "{{.State.Pid}}")))
        room.until(lambda: room.get(f"{URL}/healthz") is not None)
        return room


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """podman with the image, built by the words of docs/deploy/container.md."""
    folder = tmp_path_factory.mktemp("podman")
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", _HOLDER], stdout=subprocess.PIPE
    ) as holder:
        try:
            assert holder.stdout is not None
            if holder.stdout.readline() != b"ready\n":
                pytest.skip("control groups of version 2 cannot be mounted here")
            engine = Engine(folder, holder.pid)
            base = folder / "base.tar"
            subprocess.run(["tar", "-C", str(bare_root()), "-cf", str(base), "."], check=True)
            engine.done("import", str(base), BASE_IMAGE)
            engine.done(
                *("build", "--format", "docker", "--pull=never", "--isolation", "chroot"),
                *("-f", str(ROOT / "packaging/container/Containerfile"), "-t", IMAGE, str(DIST)),
            )
            yield engine
            engine.run("system", "reset", "--force")
        finally:
            holder.kill()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def podman(engine: Engine) -> Iterator[Engine]:
    """The same, without the containers and the volume of the test before."""
    yield engine
    engine.run("rm", "--force", "--all", "--time", "0")
    engine.run("volume", "rm", "--all", "--force")


def test_the_image_says_what_an_engine_must_know(podman: Engine) -> None:
    """Who runs in it, where the data is, how to ask for its health, and how to stop it."""
    image = podman.image()

    assert image["User"] == "10001:10001"
    assert image["Config"]["Volumes"] == {"/data": {}}
    assert image["Config"]["StopSignal"] == "SIGTERM"
    assert image["Healthcheck"]["Test"] == ["CMD", "phoenix-compat", "healthcheck"]


def test_it_does_the_job_with_nothing_but_its_volume(podman: Engine) -> None:
    """Read-only root, no capability, user 10001: a task completes, the health check agrees, and
    nothing outside of /data and /tmp can be written."""
    room = podman.serve("server")
    task = room.ended_task(URL, room.post(f"{URL}/api/tasks", ORDER)["task_id"])
    healthy = podman.run("healthcheck", "run", "server")
    who = podman.done("exec", "server", "id")
    status = podman.done("exec", "server", "cat", "/proc/1/status")
    owner = podman.done("exec", "server", "stat", "--format=%a %u:%g", "/data")
    refused = podman.run("exec", "server", "touch", "/opt/file")

    assert task["status"] == "completed"
    assert healthy.returncode == 0, healthy.stderr
    assert who.startswith("uid=10001(phoenix-compat) gid=10001(phoenix-compat)")
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert owner == "750 10001:10001"
    assert "Read-only file system" in refused.stderr


def test_the_volume_outlives_kill_9_and_the_container(podman: Engine) -> None:
    """A killed container starts again with its tasks; so does another one with the same volume."""
    room = podman.serve("first")
    task_id = room.post(f"{URL}/api/tasks", ORDER)["task_id"]
    completed = room.ended_task(URL, task_id)
    podman.done("kill", "--signal", "KILL", "first")
    podman.done("wait", "first")
    podman.done("start", "first")
    after_kill = podman.inside("first").get(f"{URL}/api/tasks/{task_id}")
    podman.done("rm", "--force", "first")
    in_another = podman.serve("second").get(f"{URL}/api/tasks/{task_id}")

    assert completed["status"] == "completed"
    assert after_kill == in_another == completed


def test_a_stop_is_clean(podman: Engine) -> None:
    """SIGTERM, which the engine sends, ends the server with exit code 0."""
    podman.serve("server")

    podman.done("stop", "--time", "20", "server")

    assert podman.done("inspect", "server", "--format", "{{.State.ExitCode}}") == "0"


def test_the_documentation_runs_it_in_the_same_way() -> None:
    """docs/deploy/container.md has the options of these tests."""
    assert HARDENING in (ROOT / "docs" / "deploy" / "container.md").read_text()
