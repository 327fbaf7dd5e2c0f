"""`GET /readyz`: whether orders are taken and worked on, and else what keeps them from it."""

from __future__ import annotations

from aiohttp import web

from phoenix_compat.cluster import WorkerProcess
from phoenix_compat.server.process.listening import BACKGROUND
from phoenix_compat.server.process.logs import lines_left_out
from phoenix_compat.tasks.model.errors import StoreGoneError, StoreUnavailableError
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.worker.circuit_breaker import BreakerState
from phoenix_compat.tasks.worker.worker import Worker


async def ready(
    worker: Worker, store: TaskStore, worker_process: WorkerProcess | None, request: web.Request
) -> web.Response:
    """200; or 503 while the store does not work, a background task is down, or the provider is.

    `status` is then `unavailable`, or, when it is the provider alone, `waiting`.
    """
    state = worker.provider_state
    background = request.app[BACKGROUND]
    store_trouble = await store.health_error() if store.is_open else None
    status = "ready" if state.circuit is not BreakerState.OPEN else "waiting"
    if store_trouble is not None or not background.is_healthy:
        status = "unavailable"
    body: dict[str, object] = {
        "status": status,
        "provider": {
            "circuit": state.circuit.value,
            "reason": state.reason,
            "open_s": round(state.open_s, 1),
            "creates_per_minute": round(state.creates_per_minute, 1),
        },
        "store": _store(store_trouble),
        "background": background.report,
        **worker.counts,
        "log_lines_left_out": lines_left_out(),
    }
    if worker_process is not None:
        body["node"] = worker_process.node
    return web.json_response(body, status=200 if status == "ready" else 503)


def _store(trouble: StoreUnavailableError | None) -> dict[str, object]:
    """How it stands with the store; anyone may ask, so the file's path is not told."""
    if trouble is None:
        return {"state": "available"}
    is_gone = isinstance(trouble, StoreGoneError)
    reason = "the database file was removed or replaced" if is_gone else str(trouble)
    return {"state": "unavailable", "reason": reason}
