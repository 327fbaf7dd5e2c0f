"""Noticing that several processes serve one application."""

from __future__ import annotations

import logging
import os
from types import CodeType, SimpleNamespace
from typing import Any

import pytest

from phoenix_compat import Endpoint
from phoenix_compat.cluster.detection import Siblings, find_siblings


def called_by(module: str, **names: Any) -> Siblings | None:
    """What is found where a function of this module, with these local names, is on the stack."""
    code = compile("found = find(pid)", "<server>", "exec")
    assert isinstance(code, CodeType)
    outer: dict[str, Any] = {"__name__": module, "find": find_siblings, "pid": os.getpid()}
    exec(code, outer, names)  # noqa: S102 - a frame of another module
    found: Siblings | None = names["found"]
    return found


@pytest.mark.parametrize(
    ("module", "names", "expected"),
    [
        ("gunicorn.arbiter", {"self": SimpleNamespace(num_workers=4)}, Siblings("gunicorn", 4)),
        ("gunicorn.arbiter", {"self": SimpleNamespace(num_workers=1)}, None),
        ("gunicorn.arbiter", {}, Siblings("gunicorn", None)),
        ("uvicorn._subprocess", {"config": SimpleNamespace(workers=3)}, Siblings("uvicorn", 3)),
        ("uvicorn._subprocess", {"config": SimpleNamespace(workers=1)}, None),
        (
            "uvicorn._subprocess",
            {"config": SimpleNamespace(workers=None, should_reload=True)},
            None,
        ),
        (
            "hypercorn.asyncio.run",
            {"config": SimpleNamespace(workers=2)},
            Siblings("hypercorn", 2),
        ),
        ("hypercorn.asyncio.run", {"config": SimpleNamespace(workers=1)}, None),
        ("uvicorn.server", {"config": SimpleNamespace(workers=3)}, None),
    ],
)
def test_servers(module: str, names: dict[str, Any], expected: Siblings | None) -> None:
    """A server's own functions are on the stack of its workers, and know how many there are."""
    assert called_by(module, **names) == expected


def test_a_fork() -> None:
    """An endpoint that was made in another process than the one that serves it."""
    assert find_siblings(os.getpid()) is None
    assert find_siblings(os.getpid() + 1) == Siblings("a fork", None)


async def test_an_endpoint_says_it_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The first opening logs it; one of a cluster, and one alone, logs nothing."""
    deaf, connected, alone = Endpoint(), Endpoint(), Endpoint()
    connected.pubsub.relay = lambda *_: None

    alone.open()
    monkeypatch.setattr(os, "getpid", lambda: 0)
    for endpoint in (deaf, connected, alone):
        endpoint.open()
        endpoint.open()

    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == 1
    assert told[0].startswith("a fork runs several processes of this application")
    assert "Write mount(app, endpoint, cluster=Cluster())" in told[0]
