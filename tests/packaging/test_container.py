"""The Containerfile, built and run with podman on a base image from debootstrap.

The container has only a loopback network, so publishing a port is not tested.
"""

# ruff: noqa: S603, S607 - Debian's tools, with arguments from the tests

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.operations.commands import ROOT
from tests.packaging.conftest import DIST
from tests.packaging.sandbox import Sandbox, debian_root

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
TASK = {"input_data": {"type": "image", "prompt": "Medieval monk"}}

# A cgroup v2 hierarchy, which every version of crun supports, in a separate mount namespace.
_HOLDER = """
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup && echo ready
exec sleep infinity
"""
# Options that avoid privileges which the test machine may not have; limits are not raised.
_REDUCED = (
    *("--cgroups", "disabled", "--network", "none"),
    *("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"),
)

OPTIONS = (*HARDENING.split(), *_REDUCED, "--volume", "phoenix-compat:/data")
OPEN = "-e PHOENIX_COMPAT_AUTH='[\"none\"]' -e PHOENIX_COMPAT_INSECURE_NO_AUTH=true"
"""The options of docs/deploy/container.md that let everyone in."""


class ContainerNetwork(Sandbox):
    """The network of a container, used with the programs of this machine."""

    @property
    def _enter(self) -> tuple[str, ...]:
        return "nsenter", "--target", str(self._holder), "--net"


class Engine:
    """podman, with images and containers in a separate folder."""

    def __init__(self, folder: Path, holder: int) -> None:
        self._podman = (
            *("nsenter", "--target", str(holder), "--mount", "podman"),
            *("--root", str(folder / "images"), "--runroot", str(folder / "run")),
            *("--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--runtime", "crun"),
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a podman command to its end."""
        command = [*self._podman, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)

    def check_output(self, *arguments: str) -> str:
        """Run a podman command that must succeed. Returns its stdout."""
        finished = self.run(*arguments)
        assert finished.returncode == 0, f"{arguments}: {finished.stdout}{finished.stderr}"
        return finished.stdout.strip()

    def image(self) -> Any:
        """The metadata of the image."""
        return json.loads(self.check_output("image", "inspect", IMAGE))[0]

    def serve(self, name: str) -> ContainerNetwork:
        """Run the image as documented. Returns its network once the server answers."""
        self.check_output("run", "--detach", "--name", name, *OPTIONS, IMAGE)
        return self.inside(name)

    def inside(self, name: str, key: str | None = None) -> ContainerNetwork:
        """The network of a running container; waits until its server answers.

        Args:
            key: the key that requests have; None for the first one of the installation.
        """
        sandbox = ContainerNetwork(
            Path("/"), int(self.check_output("inspect", name, "--format", "{{.State.Pid}}"))
        )
        sandbox.until(lambda: sandbox.get(f"{URL}/healthz") is not None)
        if key is None:
            key = self.check_output("exec", name, "cat", "/data/first-key")
        sandbox.key = key
        return sandbox


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """podman with the image, built as in docs/deploy/container.md."""
    folder = tmp_path_factory.mktemp("podman")
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", _HOLDER], stdout=subprocess.PIPE
    ) as holder:
        try:
            assert holder.stdout is not None
            if holder.stdout.readline() != b"ready\n":
                pytest.skip("cgroup v2 cannot be mounted here")
            engine = Engine(folder, holder.pid)
            base = folder / "base.tar"
            subprocess.run(["tar", "-C", str(debian_root()), "-cf", str(base), "."], check=True)
            engine.check_output("import", str(base), BASE_IMAGE)
            engine.check_output(
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
    """The engine; containers and volumes are removed after each test."""
    yield engine
    engine.run("rm", "--force", "--all", "--time", "0")
    engine.run("volume", "rm", "--all", "--force")


def test_the_image_has_its_metadata(podman: Engine) -> None:
    """The image sets the user, the volume, the health check and the stop signal."""
    image = podman.image()

    assert image["User"] == "10001:10001"
    assert image["Config"]["Volumes"] == {"/data": {}}
    assert image["Config"]["StopSignal"] == "SIGTERM"
    assert image["Healthcheck"]["Test"] == ["CMD", "phoenix-compat", "healthcheck"]


def test_it_completes_a_task_in_a_locked_down_container(podman: Engine) -> None:
    """With a read-only root, no capabilities and user 10001, a task completes, the health check
    succeeds, and only /data and /tmp are writable."""
    sandbox = podman.serve("server")
    task = sandbox.ended_task(URL, sandbox.post(f"{URL}/api/tasks", TASK)["task_id"])
    healthy = podman.run("healthcheck", "run", "server")
    who = podman.check_output("exec", "server", "id")
    status = podman.check_output("exec", "server", "cat", "/proc/1/status")
    owner = podman.check_output("exec", "server", "stat", "--format=%a %u:%g", "/data")
    refused = podman.run("exec", "server", "touch", "/opt/file")

    assert task["status"] == "completed"
    assert healthy.returncode == 0, healthy.stderr
    assert who.startswith("uid=10001(phoenix-compat) gid=10001(phoenix-compat)")
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert owner == "700 10001:10001"
    assert "Read-only file system" in refused.stderr


def test_tasks_survive_sigkill_and_a_new_container(podman: Engine) -> None:
    """A restarted container has its tasks, and so does another one with the same volume."""
    sandbox = podman.serve("first")
    task_id = sandbox.post(f"{URL}/api/tasks", TASK)["task_id"]
    completed = sandbox.ended_task(URL, task_id)
    podman.check_output("kill", "--signal", "KILL", "first")
    podman.check_output("wait", "first")
    podman.check_output("start", "first")
    after_kill = podman.inside("first").get(f"{URL}/api/tasks/{task_id}")
    podman.check_output("rm", "--force", "first")
    in_another = podman.serve("second").get(f"{URL}/api/tasks/{task_id}")

    assert completed["status"] == "completed"
    assert after_kill == in_another == completed


def test_a_fresh_container_has_a_first_key(podman: Engine) -> None:
    """Its user alone can read it, the log does not have it, and the next container with the same
    volume has the same."""
    first = podman.serve("first").key
    mode = podman.check_output("exec", "first", "stat", "--format=%a %u", "/data/first-key")
    created = podman.check_output("exec", "first", "phoenix-compat", "keys", "create", "phone")
    logs = podman.run("logs", "first")
    podman.check_output("rm", "--force", "first")
    second = podman.serve("second").key

    assert mode == "600 10001"
    assert first.startswith("pck_")
    assert created.splitlines()[0].startswith("pck_")
    assert first not in logs.stdout + logs.stderr
    assert second == first


def test_a_volume_from_before_authentication(podman: Engine) -> None:
    """The container ends with exit code 2 and names both ways out, which are those of the page. It
    creates no key; one that is created in the volume can take over the tasks."""
    podman.check_output(
        "run", "--detach", "--name", "old", *shlex.split(OPEN), *OPTIONS, IMAGE, "serve"
    )
    old = podman.inside("old", key="")
    task_id = old.post(f"{URL}/api/tasks", TASK)["task_id"]
    old.ended_task(URL, task_id)
    podman.check_output("rm", "--force", "--time", "20", "old")

    refused = podman.run("run", "--rm", *OPTIONS, IMAGE)
    podman.check_output("run", "--detach", "--name", "open", *shlex.split(OPEN), *OPTIONS, IMAGE)
    to_everyone = podman.inside("open", key="").get(f"{URL}/api/tasks/{task_id}")
    files = podman.check_output("exec", "open", "ls", "/data")
    podman.check_output("rm", "--force", "--time", "20", "open")
    key = podman.check_output("run", "--rm", *OPTIONS, IMAGE, "keys", "create", "phone")
    podman.check_output("run", "--rm", *OPTIONS, IMAGE, "keys", "adopt", "key:phone")
    podman.check_output("run", "--detach", "--name", "new", *OPTIONS, IMAGE)
    with_key = podman.inside("new", key=key.splitlines()[0]).get(f"{URL}/api/tasks/{task_id}")

    assert refused.returncode == 2
    assert "phoenix-compat keys create" in refused.stderr
    assert 'auth = ["none"] and insecure_no_auth = true' in refused.stderr
    assert "first-key" not in files
    assert to_everyone["status"] == with_key["status"] == "completed"


def test_a_stop_is_clean(podman: Engine) -> None:
    """`podman stop` ends the server with exit code 0."""
    podman.serve("server")

    podman.check_output("stop", "--time", "20", "server")

    assert podman.check_output("inspect", "server", "--format", "{{.State.ExitCode}}") == "0"


def test_the_suite_runs_in_a_container(podman: Engine) -> None:
    """The command of the image can be one of the conformance commands, without a volume."""
    hardening = (*HARDENING.split(), *_REDUCED)
    serve = ("conformance", "serve", "--port", "4001")
    podman.check_output("run", "--detach", "--name", "set", *hardening, IMAGE, *serve)
    sandbox = ContainerNetwork(
        Path("/"), int(podman.check_output("inspect", "set", "--format", "{{.State.Pid}}"))
    )
    sandbox.until(lambda: sandbox.get("http://127.0.0.1:4001/healthz") is not None)

    printed = podman.check_output(
        *("exec", "set", "phoenix-compat", "conformance", "run", "http://127.0.0.1:4001"),
        *("--only", "join/ok"),
    )

    assert " passed, profile 1.8.12" in printed


def test_the_documentation_has_the_same_options() -> None:
    """docs/deploy/container.md runs the container with the options of these tests."""
    page = (ROOT / "docs" / "deploy" / "container.md").read_text()

    assert HARDENING in page
    assert OPEN in page
