"""Reads in Chromium's trace how long a page held its main thread."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from tests.integration.console.browser.chromium import Visit

_CATEGORIES: Final = ("toplevel", "devtools.timeline")


@dataclass(slots=True)
class LongTasks:
    """The longest task of the main thread.

    Attributes:
        cpu_ms: its processor time. On a quiet machine this is its duration; on a busy one the
            duration says more about the other programs than about the page.
        wall_ms: the longest duration.
    """

    cpu_ms: float = 0.0
    wall_ms: float = 0.0


@asynccontextmanager
async def traced(visit: Visit) -> AsyncIterator[LongTasks]:
    """Trace the page while the block runs; the result is there after the block."""
    found = LongTasks()
    running: Any = visit.page.context.browser
    await running.start_tracing(page=visit.page, categories=list(_CATEGORIES))
    try:
        yield found
    finally:
        events = json.loads(await running.stop_tracing())["traceEvents"]
    mains = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    tasks = [
        event
        for event in events
        if event["ph"] == "X"
        and event["name"].endswith("RunTask")
        and (event["pid"], event["tid"]) in mains
    ]
    assert tasks, "the trace has no tasks: Chromium has changed"
    found.cpu_ms = max(event.get("tdur", event["dur"]) for event in tasks) / 1_000
    found.wall_ms = max(event["dur"] for event in tasks) / 1_000
