"""Notices that several processes serve one application, and none of them knows the others.

Then a broadcast would reach the clients of its own process only, and nothing would tell. A worker
cannot ask its server how many workers there are, but the server's own functions are on its stack:

    gunicorn      the arbiter, which forks the workers, whatever their class
    uvicorn       the function that runs in each process of `--workers`
    hypercorn     the same
    a fork        an endpoint that was made in another process than the one that serves it
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final

REMEDY: Final = (
    "Write mount(app, endpoint, cluster=Cluster()) to make them one server, see docs/workers.md, "
    "or Endpoint(bus=...), see docs/many-machines.md, or run one process"
)


@dataclass(frozen=True, slots=True)
class Siblings:
    """The processes that serve the same application.

    Attributes:
        server: who has started them: "gunicorn", "uvicorn", "hypercorn" or "a fork".
        count: how many there are with this one; None if nobody knows.
    """

    server: str
    count: int | None

    def __str__(self) -> str:
        """What to tell the operator."""
        count = "several" if self.count is None else str(self.count)
        return (
            f"{self.server} runs {count} processes of this application, which do not know each "
            "other: a broadcast, a disconnect and a presence reach the clients of one process "
            f"only, and a long-poll session lives in one. {REMEDY}"
        )


def find_siblings(made_in_pid: int) -> Siblings | None:
    """The processes beside this one; None if it is the only one, as far as can be seen.

    Args:
        made_in_pid: the process that has made the endpoint.
    """
    for frame in _stack():
        found = _server_of(frame)
        if found is not None:
            return found if found.count is None or found.count > 1 else None
    return None if made_in_pid == os.getpid() else Siblings("a fork", None)


def _stack() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the callers are the evidence
    while frame is not None:
        yield frame
        frame = frame.f_back


def _server_of(frame: FrameType) -> Siblings | None:
    module = frame.f_globals.get("__name__")
    if module == "gunicorn.arbiter":
        return _siblings("gunicorn", getattr(frame.f_locals.get("self"), "num_workers", None))
    if module == "uvicorn._subprocess":
        config = frame.f_locals.get("config")
        is_alone = getattr(config, "should_reload", False)  # its process is started anew, not twice
        return _siblings("uvicorn", 1 if is_alone else getattr(config, "workers", None))
    if module in {"hypercorn.asyncio.run", "hypercorn.trio.run"} and "config" in frame.f_locals:
        return _siblings("hypercorn", getattr(frame.f_locals["config"], "workers", None))
    return None


def _siblings(server: str, count: Any) -> Siblings:
    return Siblings(server, count if isinstance(count, int) else None)
