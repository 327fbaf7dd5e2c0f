"""An S3 server for tests: moto's, as a process. It checks no signatures."""

from __future__ import annotations

import contextlib
import http.client
import secrets
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.own import OwnServer
from tests.services.programs import free_port
from tests.services.shared import Start, shared_server


@pytest.fixture(scope="session")
def s3_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of an S3 server that all tests share."""

    def prepare(folder: Path, port: int) -> Start:
        return Start(_command(port), signal.SIGTERM)

    with shared_server(tmp_path_factory, "s3", prepare, _is_ready) as port:
        yield port


@pytest.fixture
def s3_url(s3_port: int) -> str:
    """The `files_url` of a new bucket."""
    return make_bucket(s3_port)


class OwnS3(OwnServer):
    """An S3 server of one test's own, at `port`; `start` it. It keeps its objects in memory."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        super().__init__(_command(self.port), lambda: _is_ready(self.port), folder / "s3.log")


@pytest.fixture
def own_s3(tmp_path: Path) -> Iterator[OwnS3]:
    """A running S3 server of the test's own."""
    server = OwnS3(tmp_path)
    server.start()
    yield server
    server.kill()


def make_bucket(port: int, through: int | None = None) -> str:
    """Make a bucket of a random name; returns its `files_url`.

    Args:
        through: the port by which it is reached, if that is another one.
    """
    bucket = f"test-{secrets.token_hex(8)}"
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as server:
        server.request("PUT", f"/{bucket}")
        assert server.getresponse().status == 200
    endpoint = f"http://127.0.0.1:{port if through is None else through}"
    keys = "access_key_id=AKIATESTACCESSKEY&secret_access_key=the-secret-key-of-the-tests"
    return f"s3://{bucket}/some/files?endpoint={endpoint}&region=us-east-1&{keys}"


def _command(port: int) -> tuple[str, ...]:
    return (sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port))


def _is_ready(port: int) -> bool:
    server = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        server.request("GET", "/moto-api/data.json")
        return server.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        server.close()
