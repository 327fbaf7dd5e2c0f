"""`GET /readyz`: whether tasks are accepted and worked on, and if not, why."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from phoenix_compat.server.process.listening import BACKGROUND
from phoenix_compat.server.process.logs import lines_left_out
from phoenix_compat.tasks.model.errors import StoreGoneError, StoreUnavailableError
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.worker.circuit_breaker import BreakerState
from phoenix_compat.tasks.worker.worker import Worker


async def ready(
    worker: Worker,
    store: TaskStore,
    node: int | None,
    bus_problem: Callable[[], str | None],
    request: web.Request,
) -> web.Response:
    """200, or 503 while the store, the bus, a background task or the provider does not work.

    `status` is then `unavailable`, or `waiting` if only the provider does not work.

    Args:
        node: the number of this process; None if it is the only one.
        bus_problem: returns why this process does not hear others; None if it does.
    """
    state = worker.provider_state
    background = request.app[BACKGROUND]
    store_problem = await store.health_error() if store.is_open else None
    status = "ready" if state.circuit is not BreakerState.OPEN else "waiting"
    deafness = bus_problem()
    if store_problem is not None or deafness is not None or not background.is_healthy:
        status = "unavailable"
    body: dict[str, object] = {
        "status": status,
        "provider": {
            "circuit": state.circuit.value,
            "reason": state.reason,
            "open_s": round(state.open_s, 1),
            "creates_per_minute": round(state.creates_per_minute, 1),
        },
        "store": _store(store_problem),
        "background": background.report,
        **worker.counts,
        "log_lines_left_out": lines_left_out(),
    }
    if node is not None:
        body["node"] = node
    if deafness is not None:
        body["bus"] = {"state": "unavailable", "reason": deafness}
    return web.json_response(body, status=200 if status == "ready" else 503)


def _store(problem: StoreUnavailableError | None) -> dict[str, object]:
    """The state of the store, without the file's path, because anyone may ask."""
    if problem is None:
        return {"state": "available"}
    is_gone = isinstance(problem, StoreGoneError)
    reason = "the database file was removed or replaced" if is_gone else str(problem)
    return {"state": "unavailable", "reason": reason}
