"""What a server leaves behind that cannot listen on its address: nothing."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.integration.operations.commands import run

SERVE = ("-m", "phoenix_compat", "serve")


@pytest.mark.parametrize(
    ("host", "more"),
    [
        ("127.0.0.1", ("--create-first-key",)),
        ("127.0.0.1", ("--create-first-key", "--workers", "2")),
        ("192.0.2.1", ()),
    ],
)
async def test_nothing_is_made(tmp_path: Path, host: str, more: tuple[str, ...]) -> None:
    """D9: neither the data directory nor a database, files or a key, with any number of workers."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        folder = tmp_path / "new"

        finished = await run(
            *SERVE, "--host", host, "--port", port, "--data-dir", str(folder), *more,
            PHOENIX_COMPAT_INSECURE_NO_AUTH="true",
        )  # fmt: skip

    assert finished.code == 2, finished.err
    assert f"cannot listen on {host}:{port}" in finished.err
    assert not any(tmp_path.iterdir())  # noqa: ASYNC240 - an empty folder
