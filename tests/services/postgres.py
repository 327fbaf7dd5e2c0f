"""PostgreSQL for tests: one server for all, and one of a test's own.

It listens on loopback only, asks for a password, and does not flush to the disk: what a crash of
the server loses does not depend on that.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import asyncpg
import pytest

from tests.services.own import OwnServer
from tests.services.programs import free_port, program
from tests.services.shared import Start, service_folder, shared_server
from tests.services.unprivileged import make_folder, unprivileged

PASSWORD: Final = "kept-secret"
"""It is in the URLs of all these servers, so that a test can search logs for it."""

DURABLE: Final = {
    "fsync": "on",
    "full_page_writes": "on",
    "shared_buffers": "128MB",
    "autovacuum_naptime": "1min",
}
"""What PostgreSQL has by default where these tests have not."""
_FIRST_VERSION: Final = 15
_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "dynamic_shared_memory_type": "mmap",
    "timezone": "UTC",
    "log_min_messages": "fatal",
    "autovacuum_naptime": "1h",
}


class Databases:
    """Makes databases on the server that all tests share."""

    def __init__(self, port: int, execute: Callable[[str], object]) -> None:
        self._port = port
        self._execute = execute

    def create(self, template: str = "template0") -> str:
        """The URL of a new database, a copy of another one."""
        name = f"test_{uuid.uuid4().hex}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return _url(self._port, name)

    def drop(self, url: str) -> None:
        """Drop a database, also if somebody is connected to it."""
        self._execute(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")


class OwnPostgres(OwnServer):
    """A PostgreSQL server of one test's own; `url` is that of its database "postgres".

    Args:
        pristine: a data folder to begin with a copy of; without it, a new one is made.
        settings: of the server, besides those of all these servers.
    """

    def __init__(
        self, pristine: Path | None = None, settings: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        # Within the folder of the shared server, which is deleted also when the run is killed.
        self._folder = make_folder("postgres", None if pristine is None else pristine.parent)
        if pristine is None:
            _init(self._folder)
            pristine = self._folder / "pristine"
        _copy(pristine, self._folder / "data")
        self.port = free_port()
        self.url = _url(self.port, "postgres")
        command = _command(self._folder, self.port, settings)
        super().__init__(
            command, lambda: _is_ready(self._folder), self._folder / "log", signal.SIGINT
        )

    def start(self) -> None:
        """Start it, and wait until it answers. Blocks."""
        (self._folder / "data/postmaster.pid").unlink(missing_ok=True)
        super().start()

    def kill(self) -> None:
        """End it in immediate mode: as a crash, only that all its processes end. Blocks."""
        self.resume()
        self._end(signal.SIGQUIT)

    def pause(self) -> None:
        """Let all its processes stand still, as on a machine that hangs."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Let them go on after `pause`."""
        self._signal_all(signal.SIGCONT)

    def remove(self) -> None:
        """End it, and delete all that it has."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _signal_all(self, number: signal.Signals) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        for process in (self._process.pid, *_children(self._process.pid)):
            with suppress(ProcessLookupError):
                os.kill(process, number)


@contextmanager
def shared_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of the server that all tests of a run share."""
    place = service_folder(tmp_path_factory, "postgres") / "place"
    for name in ("initdb", "postgres"):
        _program(name)

    def prepare(_data: Path, port: int) -> Start:
        folder = make_folder("postgres")
        place.write_text(str(folder))
        _init(folder)
        _copy(folder / "pristine", folder / "data")
        return Start(_command(folder, port), signal.SIGQUIT, folder)

    def is_ready(_port: int) -> bool:
        return _is_ready(Path(place.read_text()))

    with shared_server(tmp_path_factory, "postgres", prepare, is_ready) as port:
        yield port


@pytest.fixture(scope="session")
def postgres_databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """Makes and drops databases on the server that all tests share."""
    with (
        shared_postgres(tmp_path_factory) as port,
        _administrator(_url(port, "postgres")) as execute,
    ):
        yield Databases(port, execute)


@pytest.fixture
def postgres_url(postgres_databases: Databases) -> Iterator[str]:
    """The URL of a new, empty database on the server that all tests share."""
    url = postgres_databases.create()
    yield url
    postgres_databases.drop(url)


@pytest.fixture
def own_postgres(
    tmp_path_factory: pytest.TempPathFactory, postgres_databases: Databases
) -> Iterator[OwnPostgres]:
    """A running server of the test's own."""
    del postgres_databases  # keeps the folder below in place
    place = service_folder(tmp_path_factory, "postgres") / "place"
    server = OwnPostgres(Path(place.read_text()) / "pristine")
    try:
        server.start()
        yield server
    finally:
        server.remove()


def _program(name: str) -> str:
    versions = [
        folder
        for folder in Path("/usr/lib/postgresql").glob("*")
        if folder.name.isdigit() and int(folder.name) >= _FIRST_VERSION
    ]
    versions.sort(key=lambda folder: int(folder.name))
    return program(name, "postgresql", [str(folder / "bin") for folder in versions])


def _url(port: int, database: str) -> str:
    return f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}/{database}"


def _command(
    folder: Path, port: int, settings: Mapping[str, str] = MappingProxyType({})
) -> list[str]:
    own = {"port": str(port), "unix_socket_directories": str(folder)}
    named = _SETTINGS | own | dict(settings)
    options = [part for name, value in named.items() for part in ("-c", f"{name}={value}")]
    command = [_program("postgres"), "-D", str(folder / "data"), *options]
    return unprivileged(command, dies_by="QUIT")


def _is_ready(folder: Path) -> bool:
    try:
        lines = (folder / "data/postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) > 7 and lines[7].strip() == "ready"


def _init(folder: Path) -> None:
    secret = folder / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)  # its folder is closed to others
    command = [_program("initdb"), "-D", str(folder / "pristine"), "-U", "postgres"]
    command += ["-E", "UTF8", "--locale=C", "-A", "scram-sha-256", f"--pwfile={secret}"]
    _run([*command, "--no-sync", "--no-instructions"])


def _copy(source: Path, target: Path) -> None:
    _run(["cp", "-a", str(source), str(target)])


def _run(command: list[str]) -> None:
    subprocess.run(  # noqa: S603 - Debian's programs
        unprivileged(command), check=True, stdout=subprocess.DEVNULL, cwd="/"
    )


def _children(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in children.read_text().split()] if children.exists() else []


@contextmanager
def _administrator(url: str) -> Iterator[Callable[[str], object]]:
    # A loop of its own, so that fixtures can use it before and after the loop of a test.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:

        def run(work: Awaitable[Any]) -> Any:
            async def wait() -> Any:
                return await work

            return runner.run(wait())

        connection = run(asyncpg.connect(url))
        try:
            yield lambda sql: run(connection.execute(sql))
        finally:
            run(connection.close())
